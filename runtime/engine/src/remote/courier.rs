//! What carries tasks to the sites and their answers back.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

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
/// confidential flows. Nothing enters before the run starts and after it ends.
#[derive(Clone, Debug, Default)]
pub struct SiteEvents(Arc<Mutex<Weak<Stream>>>);

impl SiteEvents {
    /// Takes what happened at a site. In a confidential flow it is dropped.
    pub fn emit(&self, kind: EventKind) {
        let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(stream) = stream.filter(|stream| !stream.confidential()) {
            stream.emit(|| kind);
        }
    }

    pub(crate) fn attach(&self, stream: &Arc<Stream>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(stream);
    }
}
