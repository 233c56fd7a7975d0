//! The director at its address, over the wire.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use veilflow_spec::Name;

use crate::pki::{Clock, EnrollReply, EnrollRequest};
use crate::wire::messages::Content;
use crate::wire::{Compression, Connection, Dialing, Download, Limits, Party, WireError, dial};

use super::error::EnvoyError;
use super::line::{Attached, Link};
use super::lost::Lost;
use super::member::Member;
use super::renewal::Relays;
use super::task::Contents;

/// A director at an address.
#[derive(Clone)]
pub(super) struct Director {
    pub(super) url: String,
    pub(super) name: Name,
    /// None over plaintext on a loopback address.
    pub(super) member: Option<Member>,
    /// How answers are sent.
    pub(super) compression: Compression,
    pub(super) clock: Clock,
}

impl Director {
    /// How to dial, with the certificate as it is now: one that was renewed meanwhile counts from the next connection on.
    fn dialing(&self) -> Result<Dialing, EnvoyError> {
        let Some(member) = &self.member else {
            return Ok(Dialing::InsecureLoopback(Some(Party::envoy(self.name.clone()))));
        };
        let identity = member.current((self.clock)())?;
        Ok(Dialing::with(&identity, member.revocations.clone())?)
    }
}

impl Link for Director {
    fn attach(&self) -> BoxFuture<'static, Result<Attached, Lost>> {
        let director = self.clone();
        Box::pin(async move {
            let url = director.url.clone();
            let limits = Limits { compression: director.compression, ..Limits::default() };
            let dialing = tokio::task::spawn_blocking(move || director.dialing()).await;
            let dialing = dialing.map_err(|error| Lost::Internal(error.to_string()))??;
            let connection = dial(&url, &dialing, &limits).await?;
            let (outgoing, incoming) =
                connection.attach().await.map_err(|error| Lost::from(error).unanswered())?;
            let connection = Arc::new(connection);
            let (contents, relay) = (Arc::clone(&connection), connection);
            Ok(Attached { outgoing, incoming: incoming.boxed(), contents, relay })
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

impl Relays for Connection {
    fn enroll(&self, request: EnrollRequest) -> BoxFuture<'static, Result<EnrollReply, WireError>> {
        let connection = self.clone();
        Box::pin(async move { Connection::enroll(&connection, request).await })
    }
}
