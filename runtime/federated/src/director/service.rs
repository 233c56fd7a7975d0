//! The calls of the network, answered by the [core](super::core).

use std::net::SocketAddr;
use std::sync::Arc;

use veilflow_engine::remote::Parcel;

use super::core::Core;
use super::desk::Desk;
use crate::experiment::Summary;
use crate::pki::{EnrollReply, EnrollRequest, Peer, PendingRequest, Publication};
use crate::wire::messages::{Ask, EnvoyStatus, Follow, FromEnvoy, Results, Submit, ToEnvoy, Told};
use crate::wire::{Caller, Chunks, DirectorService, Incoming, Outgoing, Refusal};

/// A director as the network sees it.
pub(super) struct Service {
    pub(super) core: Arc<Core>,
    /// None without certificates.
    pub(super) desk: Option<Arc<Desk>>,
}

impl Service {
    fn desk(&self) -> Result<&Arc<Desk>, Refusal> {
        let none = || Refusal::Conflict("this director runs without certificates".to_owned());
        self.desk.as_ref().ok_or_else(none)
    }
}

impl DirectorService for Service {
    fn chunks(&self) -> &Chunks {
        self.core.parts.envoys.chunks()
    }

    async fn attach(
        &self,
        caller: Caller,
        incoming: Incoming<FromEnvoy>,
        outgoing: Outgoing<ToEnvoy>,
    ) -> Result<(), Refusal> {
        self.core.parts.envoys.attach(caller.peer().name.clone(), incoming, outgoing).await
    }

    async fn submit(&self, caller: Caller, submit: Submit) -> Result<Summary, Refusal> {
        self.core.submit(caller.peer(), submit).await
    }

    async fn list(&self, _caller: Caller) -> Result<Vec<Summary>, Refusal> {
        Ok(self.core.list())
    }

    async fn show(&self, caller: Caller, ask: Ask) -> Result<Results, Refusal> {
        let experiment = self.core.experiment(caller.peer(), ask.id)?;
        let (summary, outcome) = (Summary::clone(&experiment.summary()), experiment.outcome());
        let report = if outcome.as_ref().is_some_and(|outcome| outcome.code.is_empty()) {
            let read = async {
                let read = move || experiment.journal.report();
                let report = tokio::task::spawn_blocking(read).await.map_err(internal)?.map_err(internal)?;
                let none = || Refusal::Internal("its report is not in the journal".to_owned());
                report.map(|bytes| Arc::new(Parcel::new(bytes))).ok_or_else(none)
            };
            Some(caller.serve(self.chunks(), &format!("report of {}", ask.id), read).await?)
        } else {
            None
        };
        Ok(Results { summary, outcome, report })
    }

    async fn follow(&self, caller: Caller, follow: Follow, outgoing: Outgoing<Told>) -> Result<(), Refusal> {
        self.core.follow(caller.peer(), follow, &outgoing).await
    }

    async fn cancel(&self, caller: Caller, ask: Ask) -> Result<Summary, Refusal> {
        self.core.cancel(caller.peer(), ask.id).await
    }

    async fn envoys(&self, _caller: Caller) -> Result<Vec<EnvoyStatus>, Refusal> {
        Ok(self.core.envoys())
    }

    async fn enroll(
        &self,
        _from: SocketAddr,
        peer: Option<Peer>,
        request: EnrollRequest,
    ) -> Result<EnrollReply, Refusal> {
        tokio::select! {
            reply = self.desk()?.enroll(peer, request) => reply,
            () = self.core.closed() => Err(Refusal::Leaving),
        }
    }

    async fn pending(&self, _caller: Caller) -> Result<Vec<PendingRequest>, Refusal> {
        Ok(self.desk()?.pending())
    }

    async fn publish(&self, _caller: Caller, publication: Publication) -> Result<(), Refusal> {
        let desk = Arc::clone(self.desk()?);
        let own = Arc::clone(&desk);
        let newer =
            tokio::task::spawn_blocking(move || own.publish(publication)).await.map_err(internal)??;
        if newer {
            self.core.parts.envoys.pass_on(|lists| lists.roster = desk.roster());
        }
        Ok(())
    }
}

fn internal(error: impl std::fmt::Display) -> Refusal {
    Refusal::Internal(error.to_string())
}
