//! The director at its address, over the wire.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use veilflow_spec::Name;

use crate::pki::{Identity, Role};
use crate::tls;
use crate::wire::messages::Content;
use crate::wire::{Connection, Dialing, Download, Limits, Party, WireError, dial};

use super::error::EnvoyError;
use super::line::{Attached, Link, Lost, unanswered};
use super::notice::{Notice, SiteLog};
use super::task::Contents;

/// A director at an address.
#[derive(Clone)]
pub(super) struct Director {
    pub(super) url: String,
    pub(super) name: Name,
    /// The identity's folder; none over plaintext on a loopback address.
    pub(super) identity: Option<PathBuf>,
    pub(super) log: Arc<dyn SiteLog>,
}

/// Reads the identity of a site, which must be a site's, and this one's.
pub(super) fn identity(folder: &std::path::Path, name: &Name) -> Result<Identity, EnvoyError> {
    let identity = Identity::load(folder)?;
    identity.check(Role::Envoy, SystemTime::now())?;
    if identity.name() == name {
        return Ok(identity);
    }
    Err(EnvoyError::OtherName { configured: name.clone(), certified: identity.name().clone() })
}

impl Director {
    /// How to dial, with the certificate as it is now: one that was renewed meanwhile counts from the next connection on.
    fn dialing(&self) -> Result<Dialing, EnvoyError> {
        let Some(folder) = &self.identity else {
            return Ok(Dialing::InsecureLoopback(Some(Party::envoy(self.name.clone()))));
        };
        let identity = identity(folder, &self.name)?;
        if identity.is_due(SystemTime::now()) {
            let not_after = identity.peer().not_after;
            self.log.notice(&Notice::CertificateDue { not_after });
        }
        Ok(Dialing::Mutual(tls::client_config(&identity)?))
    }
}

impl Link for Director {
    fn attach(&self) -> BoxFuture<'static, Result<Attached, Lost>> {
        let director = self.clone();
        Box::pin(async move {
            let (url, lost) = (director.url.clone(), |error: WireError| error.to_string());
            let dialing = tokio::task::spawn_blocking(move || director.dialing()).await;
            let dialing = dialing.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
            let connection = dial(&url, &dialing, &Limits::default()).await.map_err(lost)?;
            let (outgoing, incoming) = connection.attach().await.map_err(|error| match error {
                WireError::Lost(_) => unanswered(&error.to_string()),
                error => error.to_string(),
            })?;
            Ok(Attached { outgoing, incoming: incoming.boxed(), contents: Arc::new(connection) })
        })
    }
}

impl Contents for Connection {
    fn fetch<'a>(&'a self, download: &'a mut Download) -> BoxFuture<'a, Result<(), WireError>> {
        Box::pin(download.run(self))
    }

    fn store(&self, bytes: Bytes) -> BoxFuture<'static, Result<Content, WireError>> {
        let connection = self.clone();
        Box::pin(async move { connection.store_content(&bytes).await })
    }
}
