//! What a hosted run writes down, so that a later process can go on with it.

use std::io;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use veilflow_spec::{Cause, Name};

use super::TaskKey;

/// A transition of a hosted run.
///
/// A run is its last [`Checkpoint`](Self::Checkpoint) and what was recorded since. A secure join is atomic: no checkpoint
/// lies inside, and its server's steps are run again over the recorded answers, which gives the same session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    /// A step of the aggregator returned. All records before it are done with.
    Checkpoint {
        /// Where the walk goes on, in CBOR.
        position: ByteBuf,
        /// The aggregator's state, in CBOR.
        aggregator: ByteBuf,
        /// What the roles of secure joins keep between sessions, in CBOR.
        hidden: ByteBuf,
        /// What the step returned, in CBOR.
        value: ByteBuf,
        /// How many events the run had emitted.
        events: u64,
    },
    /// A site answered, or will not. Counted once.
    Answer {
        /// Which task.
        task: TaskKey,
        /// Who.
        from: Name,
        /// Its answer in CBOR, or why there is none.
        outcome: Result<ByteBuf, Cause>,
    },
    /// A fan-out is over: whoever has not answered by now is missing in it.
    Closed {
        /// Which.
        task: TaskKey,
    },
}

/// Where a hosted run writes its transitions.
pub trait RunLog: Send + Sync {
    /// Writes a record. It is durable when this returns.
    ///
    /// # Errors
    /// What the storage reports. The run then ends: it does not go on with what would be lost.
    fn append(&self, record: &Record) -> io::Result<()>;
}
