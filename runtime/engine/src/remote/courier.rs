//! What carries tasks to the sites and their answers back.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use veilflow_spec::{Cancellation, Cause, Name};

use super::pieces::Pieces;
use crate::event::{EventKind, Stream};

/// Where a task stands in a run. A site that is given the same one again answers with what it answered before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    /// The path of its fan-out in the graph.
    pub path: Arc<str>,
    /// The counters of the loops around it, outermost first, from 0.
    pub loops: Arc<[u32]>,
    /// Which attempt at a secure session it belongs to, from 0.
    pub attempt: u32,
}

/// Bytes on their way. A broadcast is one parcel, whoever gets it, so what is computed of it is computed once.
#[derive(Debug)]
pub struct Parcel<M = Vec<[u8; 32]>> {
    bytes: Bytes,
    memo: OnceLock<M>,
}

impl<M> Parcel<M> {
    /// A parcel of these bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), memo: OnceLock::new() }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What a courier computes of it, such as the hashes of its chunks.
    pub fn memo(&self, compute: impl FnOnce(&Bytes) -> M) -> &M {
        self.memo.get_or_init(|| compute(&self.bytes))
    }
}

/// A task for one site.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Who.
    pub to: Name,
    /// Which.
    pub task: TaskKey,
    /// In the task in which a secure join's input is made: what its protocol's setup has for the site.
    pub setup: Option<Arc<Parcel>>,
    /// The message of the fan-out.
    pub message: Arc<Parcel>,
    /// Set when nobody waits any more.
    pub cancellation: Cancellation,
}

/// The way to the sites.
pub trait Courier: Send + Sync {
    /// Has a task done and returns its answer in CBOR. Who drops the future no longer waits: the site is told.
    ///
    /// A site that is away may come back, so this waits for it as long as the courier sees fit; it ends in any case.
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'static, Result<Pieces, Cause>>;

    /// Has every site drop the secrets of the secure join at this path.
    fn close(&self, join: &str);
}

/// Where what happened inside the sites' tasks enters a run's stream: they are sent by the sites, which keep those of
/// confidential flows. What comes before the run goes on, as it may after a restart of the director, waits for that.
/// Nothing enters after it ends.
#[derive(Clone, Debug, Default)]
pub struct SiteEvents(Arc<Mutex<Entry>>);

#[derive(Debug)]
enum Entry {
    /// The run is being put where it was.
    Early(Vec<EventKind>),
    Open(Weak<Stream>),
}

impl Default for Entry {
    fn default() -> Self {
        Self::Early(Vec::new())
    }
}

/// The most events that wait for a run. It takes part of a second, and sites tell little meanwhile.
const MAX_EARLY: usize = 256;

impl SiteEvents {
    /// Takes what happened at a site. In a confidential flow it is dropped.
    pub fn emit(&self, kind: EventKind) {
        let stream = match &mut *self.entry() {
            Entry::Early(waiting) => {
                if waiting.len() < MAX_EARLY {
                    waiting.push(kind);
                }
                return;
            }
            Entry::Open(stream) => stream.upgrade(),
        };
        if let Some(stream) = stream.filter(|stream| !stream.confidential()) {
            stream.emit(|| kind);
        }
    }

    /// The run has told where it starts from: what happens at its sites may follow.
    pub(crate) fn attach(&self, stream: &Arc<Stream>) {
        let mut entry = self.entry();
        let before = std::mem::replace(&mut *entry, Entry::Open(Arc::downgrade(stream)));
        // Held meanwhile, so that they keep their order.
        if let Entry::Early(waiting) = before
            && !stream.confidential()
        {
            waiting.into_iter().for_each(|kind| stream.emit(|| kind));
        }
    }

    fn entry(&self) -> MutexGuard<'_, Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
