//! What a director answers, and who asks.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use veilflow_engine::remote::Parcel;

use super::chunks::{Chunks, Party, Served};
use super::error::Refusal;
use super::messages::{Ask, Content, EnvoyStatus, Follow, FromEnvoy, Results, Submit, ToEnvoy, Told};
use super::stream::{Incoming, Outgoing};
use crate::experiment::Summary;
use crate::pki::Peer;
use crate::pki::{EnrollReply, EnrollRequest, PendingRequest, Publication};

/// What a director answers. Each call comes from somebody whose certificate was verified and whose role may make it;
/// whether it may do so to *this* experiment is for the service to say.
///
/// A unary call's future is dropped when its caller goes away.
pub trait DirectorService: Send + Sync + 'static {
    /// The chunks that peers fetch from and store to.
    fn chunks(&self) -> &Chunks;

    /// An envoy's one long-lived stream. Ends when this returns; `incoming` ends when the envoy is gone.
    fn attach(
        &self,
        caller: Caller,
        incoming: Incoming<FromEnvoy>,
        outgoing: Outgoing<ToEnvoy>,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// A new experiment.
    fn submit(&self, caller: Caller, submit: Submit)
    -> impl Future<Output = Result<Summary, Refusal>> + Send;

    /// All experiments.
    fn list(&self, caller: Caller) -> impl Future<Output = Result<Vec<Summary>, Refusal>> + Send;

    /// What an experiment left. A large report is [served](Caller::serve) to the caller.
    fn show(&self, caller: Caller, ask: Ask) -> impl Future<Output = Result<Results, Refusal>> + Send;

    /// The events of an experiment. Ends when this returns, which is dropped when the caller is gone.
    fn follow(
        &self,
        caller: Caller,
        follow: Follow,
        outgoing: Outgoing<Told>,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Cancels an experiment.
    fn cancel(&self, caller: Caller, ask: Ask) -> impl Future<Output = Result<Summary, Refusal>> + Send;

    /// All envoys that it knows.
    fn envoys(&self, caller: Caller) -> impl Future<Output = Result<Vec<EnvoyStatus>, Refusal>> + Send;

    /// A request for a certificate, from anybody: the peer is known where it renews.
    fn enroll(
        &self,
        from: SocketAddr,
        peer: Option<Peer>,
        request: EnrollRequest,
    ) -> impl Future<Output = Result<EnrollReply, Refusal>> + Send;

    /// The requests that wait for the authority.
    fn pending(&self, caller: Caller) -> impl Future<Output = Result<Vec<PendingRequest>, Refusal>> + Send;

    /// What the authority signed.
    fn publish(
        &self,
        caller: Caller,
        publication: Publication,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// Who calls.
#[derive(Clone)]
pub struct Caller {
    peer: Peer,
    address: SocketAddr,
    held: Arc<Held>,
}

/// What is served to a connection by name, for as long as it lasts: the newest few.
#[derive(Default)]
pub(crate) struct Held(Mutex<VecDeque<(String, Arc<Parcel>, Served)>>);

/// How many contents a connection keeps alive.
const HELD: usize = 4;

impl Caller {
    pub(crate) fn new(peer: Peer, address: SocketAddr, held: Arc<Held>) -> Self {
        Self { peer, address, held }
    }

    /// The owner of the verified certificate.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// As whose the caller's chunks count.
    pub fn party(&self) -> Party {
        Party::from(&self.peer)
    }

    /// From where it calls.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves a content to the caller as long as its connection lasts, or until it asked for four others. `what` names the
    /// content, so that asking again does not hold it twice; it is only made where it is not held.
    ///
    /// # Errors
    /// As [`Chunks::serve`], and what `make` returns.
    pub async fn serve<E: From<Refusal>>(
        &self,
        chunks: &Chunks,
        what: &str,
        make: impl Future<Output = Result<Arc<Parcel>, E>>,
    ) -> Result<Content, E> {
        let held = self.held.find(what);
        let parcel = match held {
            Some(parcel) => parcel,
            None => make.await?,
        };
        let (content, served) = chunks.serve(&parcel, self.party()).await?;
        self.held.keep(what, parcel, served);
        Ok(content)
    }
}

impl Held {
    fn find(&self, what: &str) -> Option<Arc<Parcel>> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().find(|(name, ..)| name == what).map(|(_, parcel, _)| Arc::clone(parcel))
    }

    fn keep(&self, what: &str, parcel: Arc<Parcel>, served: Served) {
        let mut gone = Vec::new();
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = held.iter().position(|(name, ..)| name == what) {
            gone.extend(held.remove(at));
        }
        held.push_back((what.to_owned(), parcel, served));
        while held.len() > HELD {
            gone.extend(held.pop_front());
        }
        // What is dropped takes the store's lock: not under this one.
        drop(held);
        drop(gone);
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller({} at {})", self.party(), self.address)
    }
}
