//! How two ends trust each other: certificates of the federation, or, on this machine only, each other's word.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use veilflow_spec::Name;

use super::chunks::Party;
use super::error::{Refusal, WireError};
use crate::pki::{Identity, Peer, PkiError, Revocations, Role, Thumbprint};
use crate::tls;

/// How a server knows its peers.
#[derive(Clone)]
pub enum Security {
    /// TLS 1.3 with certificates of the federation. A peer without one can only enrol.
    Mutual {
        /// See [`tls`].
        config: Arc<rustls::ServerConfig>,
        /// Whose certificates no longer count. A connection ends as soon as its certificate is among them.
        revocations: Revocations,
    },
    /// Plaintext, and peers are who they say: for trying things out. Only on a loopback address.
    InsecureLoopback,
}

/// How a client proves who it is, and knows the director.
#[derive(Clone)]
pub enum Dialing {
    /// TLS 1.3 with certificates of the federation, or with none to enrol.
    Mutual {
        /// See [`tls`].
        config: Arc<rustls::ClientConfig>,
        /// Whose certificates no longer count: such a director is not talked to, and a connection ends as soon as its
        /// certificate is among them. None for who enrols, and has no list yet.
        revocations: Option<Revocations>,
    },
    /// Plaintext to a loopback address, and the client's word for who it is; nobody, to enrol.
    InsecureLoopback(Option<Party>),
}

impl Dialing {
    /// With this identity, to directors whose certificates are not in the list.
    ///
    /// # Errors
    /// As [`client_config`](crate::tls::client_config).
    pub fn with(identity: &Identity, revocations: Revocations) -> Result<Self, PkiError> {
        Ok(Self::Mutual { config: tls::client_config(identity)?, revocations: Some(revocations) })
    }

    /// Without an identity, to enrol with a director of this authority.
    ///
    /// # Errors
    /// As [`enrolling_client_config`](crate::tls::enrolling_client_config).
    pub fn enrolling(authority: Thumbprint) -> Result<Self, PkiError> {
        Ok(Self::Mutual { config: tls::enrolling_client_config(authority)?, revocations: None })
    }
}

/// The header in which a client says who it is, where the director takes its word.
pub(crate) const PARTY_HEADER: &str = "veilflow-party";

/// Refuses plaintext beyond this machine.
pub(crate) fn require_loopback(address: SocketAddr) -> Result<(), WireError> {
    if address.ip().to_canonical().is_loopback() { Ok(()) } else { Err(WireError::Plaintext(address)) }
}

/// The peer that a plaintext request names.
pub(crate) fn claimed_peer(headers: &HeaderMap) -> Result<Option<Peer>, Refusal> {
    let Some(header) = headers.get(PARTY_HEADER) else { return Ok(None) };
    let invalid = || Refusal::Unauthenticated(format!("the header `{PARTY_HEADER}` is no `role/name`"));
    // Names may hold letters of any language, which a header's bytes carry as UTF-8.
    let text = std::str::from_utf8(header.as_bytes()).map_err(|_| invalid())?;
    let (role, name) = text.split_once('/').ok_or_else(invalid)?;
    let role: Role = role.parse().map_err(|_| invalid())?;
    let name = Name::from(name);
    name.validate().map_err(|error| Refusal::Unauthenticated(error.to_string()))?;
    let day = Duration::from_secs(24 * 60 * 60);
    Ok(Some(Peer { name, role, serial: Vec::new(), not_after: SystemTime::now() + day }))
}
