//! What makes a walk durable.

use std::collections::BTreeMap;

use veilflow_spec::graph::Value;
use veilflow_spec::{Cause, Codec, Name};

use super::Seat;
use crate::error::RunError;
use crate::remote::{Pieces, TaskKey};

/// Writes a walk down while it happens, and knows what an earlier process wrote.
pub(crate) trait Keeper<A>: Send {
    /// A step of the aggregator returned `output`, which this codec writes; the walk goes on at `next`.
    fn checkpoint(&self, next: &[u32], seat: &Seat<A>, output: &Value, codec: &Codec)
    -> Result<(), RunError>;

    /// These collaborators answered, or will not.
    fn answers(&self, task: &TaskKey, answers: Vec<(Name, Result<Pieces, Cause>)>) -> Result<(), RunError>;

    /// A fan-out is over.
    fn closed(&self, task: &TaskKey) -> Result<(), RunError>;

    /// What an earlier process wrote down of a fan-out since its last checkpoint.
    fn recorded(&self, task: &TaskKey) -> Option<Recorded>;
}

/// A fan-out as an earlier process left it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) answers: BTreeMap<Name, Result<Pieces, Cause>>,
    pub(crate) closed: bool,
}
