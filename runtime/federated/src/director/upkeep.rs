//! What a director does with the authority's words while it runs: it passes lists on to the envoys, and has its own
//! certificate renewed through its own desk, like everybody's.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::desk::Desk;
use super::envoys::{Envoys, Signed};
use super::log::{Line, Log};
use crate::pki::{Identity, PkiError, Renewer, Revocations};
use crate::tls::Shown;

/// What it is about.
pub(super) struct Upkeep {
    pub(super) identity: Identity,
    /// With how much of its certificate's time left it is renewed; a third, where it is not said.
    pub(super) renew_before: Option<Duration>,
    pub(super) shown: Arc<Shown>,
    pub(super) desk: Arc<Desk>,
    pub(super) envoys: Arc<Envoys>,
    pub(super) log: Log,
}

impl Upkeep {
    /// Goes on for ever.
    pub(super) async fn run(self) {
        let revocations = self.desk.revocations().clone();
        let refused =
            |error: PkiError| (self.log)(Line::Problem(format!("the list of revoked certificates: {error}")));
        tokio::join!(revocations.watch(refused), self.pass_on(&revocations), self.renew());
    }

    /// Passes each list of revoked certificates on, wherever it came from.
    async fn pass_on(&self, revocations: &Revocations) {
        let mut lists = revocations.subscribe();
        lists.mark_changed();
        // `revocations` keeps the other end.
        while lists.changed().await.is_ok() {
            let list = Arc::clone(&lists.borrow_and_update());
            let (version, bytes) = (list.version(), Bytes::copy_from_slice(list.to_bytes()));
            (self.log)(Line::Revocations { version, revoked: list.revoked().len() });
            self.envoys.pass_on(|lists| lists.revocations = Some(Signed { version, bytes }));
        }
    }

    async fn renew(&self) {
        let (desk, peer, log) = (Arc::clone(&self.desk), self.identity.peer().clone(), Arc::clone(&self.log));
        let renewer = Renewer {
            before: self.renew_before,
            clock: Arc::new(SystemTime::now),
            ask: Box::new(move |request| {
                let (desk, peer) = (Arc::clone(&desk), peer.clone());
                Box::pin(async move { desk.answered(peer, request).await.map_err(|error| error.to_string()) })
            }),
            tell: Box::new(move |renewal| log(Line::Certificate(renewal))),
        };
        let mut identity = self.identity.clone();
        loop {
            identity = renewer.renewed(&identity).await;
            if let Err(error) = self.shown.replace(&identity) {
                (self.log)(Line::Problem(format!("the renewed certificate: {error}")));
            }
        }
    }
}
