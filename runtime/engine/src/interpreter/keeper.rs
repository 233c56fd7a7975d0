//! What makes a walk durable.

use std::collections::BTreeMap;

use serde_bytes::ByteBuf;
use veilflow_spec::{Cause, Name};

use super::Seat;
use crate::error::RunError;
use crate::remote::TaskKey;

/// Writes a walk down while it happens, and knows what an earlier process wrote.
pub(crate) trait Keeper<A>: Send {
    /// A step of the aggregator returned `output`; the walk goes on at `next`.
    fn checkpoint(&self, next: &[u32], seat: &Seat<A>, output: Vec<u8>) -> Result<(), RunError>;

    /// A collaborator answered, or will not.
    fn answer(&self, task: &TaskKey, from: &Name, answer: Result<&[u8], Cause>) -> Result<(), RunError>;

    /// A fan-out is over.
    fn closed(&self, task: &TaskKey) -> Result<(), RunError>;

    /// What an earlier process wrote down of a fan-out since its last checkpoint.
    fn recorded(&self, task: &TaskKey) -> Option<Recorded>;
}

/// A fan-out as an earlier process left it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) answers: BTreeMap<Name, Result<ByteBuf, Cause>>,
    pub(crate) closed: bool,
}
