//! How the interpreter reaches participants.

use std::future::Future;
use std::sync::Arc;

use veilflow_spec::graph::{Close, CollaboratorNode, Payload, Value};
use veilflow_spec::{Cancellation, Cause, Name};

use crate::remote::{Pieces, TaskKey};

/// A task for one collaborator: a maximal run of its steps.
pub(crate) struct Task<C> {
    /// Who.
    pub(crate) name: Name,
    /// Where it stands in the run.
    pub(crate) key: TaskKey,
    /// The steps, in order. They always run whole.
    pub(crate) steps: Arc<[CollaboratorNode<C>]>,
    /// What the first step receives.
    pub(crate) payload: Payload,
    /// Set when nobody waits any more.
    pub(crate) cancellation: Cancellation,
}

/// What a collaborator's task returned.
pub(crate) enum Arrived {
    Value(Value),
    /// In CBOR, from elsewhere: it may be anything.
    Encoded(Pieces),
}

/// The way to the collaborators. The interpreter knows no other.
pub(crate) trait Port<C> {
    /// Who is there, in the order of their names.
    fn names(&self) -> &[Name];

    /// Has a task done. Who drops the future no longer waits; the collaborator is then busy until its task
    /// returns.
    fn perform(&self, task: Task<C>) -> impl Future<Output = Result<Arrived, Cause>>;

    /// Has every site drop the secrets of the secure join at this path, whose session is over: at once, or where a task
    /// still works, as soon as it returns.
    fn close(&self, join: &Arc<str>, close: &Close);
}
