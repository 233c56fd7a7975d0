//! Who is at the other end, until `pki` says it.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;
use veilflow_spec::Name;

/// What a certificate lets its owner do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Serves.
    Director,
    /// A site.
    Envoy,
    /// Submits experiments.
    Client,
    /// Answers requests for certificates, and all that a client may.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::Director => "director",
            Role::Envoy => "envoy",
            Role::Client => "client",
            Role::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "director" => Ok(Role::Director),
            "envoy" => Ok(Role::Envoy),
            "client" => Ok(Role::Client),
            "admin" => Ok(Role::Admin),
            other => Err(other.to_owned()),
        }
    }
}

/// The owner of a verified certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// The certificate's serial number.
    pub serial: Vec<u8>,
    /// When the certificate ends.
    pub not_after: SystemTime,
}

impl Peer {
    /// Reads a certificate.
    ///
    /// # Errors
    /// Always, until `pki` does it.
    pub fn from_der(_der: &[u8]) -> Result<Self, String> {
        Err("certificates cannot be read yet".to_owned())
    }
}

/// The serial numbers of certificates that no longer count.
#[derive(Clone, Debug, Default)]
pub struct Revocations(Arc<watch::Sender<BTreeSet<Vec<u8>>>>);

impl Revocations {
    /// Whether this serial number is among them.
    pub fn is_revoked(&self, serial: &[u8]) -> bool {
        self.0.borrow().contains(serial)
    }

    /// Told of each change.
    pub fn subscribe(&self) -> watch::Receiver<BTreeSet<Vec<u8>>> {
        self.0.subscribe()
    }

    /// Ends when this serial number is among them.
    pub async fn until_revoked(&self, serial: &[u8]) {
        let mut lists = self.subscribe();
        let _ = lists.wait_for(|list| list.contains(serial)).await;
    }

    /// Revokes one.
    pub fn revoke(&self, serial: Vec<u8>) {
        self.0.send_modify(|revoked| {
            revoked.insert(serial);
        });
    }
}
