//! How the interpreter reaches participants.

use std::future::Future;
use std::sync::Arc;

use veilflow_spec::graph::{Close, CollaboratorNode, Payload, Value};
use veilflow_spec::{Cancellation, Cause, Name};

/// A task for one collaborator: a maximal run of its steps.
pub(crate) struct Task<C> {
    /// Who.
    pub(crate) name: Name,
    /// The steps, in order. They always run whole.
    pub(crate) steps: Arc<[CollaboratorNode<C>]>,
    /// What the first step receives.
    pub(crate) payload: Payload,
    /// The counters of the loops around the fan-out.
    pub(crate) loops: Arc<[u32]>,
    /// Set when nobody waits any more.
    pub(crate) cancellation: Cancellation,
}

/// The way to the collaborators. The interpreter knows no other.
pub(crate) trait Port<C> {
    /// Who is there, in the order of their names.
    fn names(&self) -> &[Name];

    /// Has a task done. Who drops the future no longer waits; the collaborator is then busy until its task
    /// returns.
    fn perform(&self, task: Task<C>) -> impl Future<Output = Result<Value, Cause>>;

    /// Has every site drop the secrets of a secure join whose session is over: at once, or where a task still works,
    /// as soon as it returns.
    fn close(&self, close: &Close);
}
