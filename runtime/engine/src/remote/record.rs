//! What a hosted run writes down, so that a later process can go on with it.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use veilflow_spec::{Cause, Name};

use super::{Pieces, TaskKey};

/// A transition of a hosted run.
///
/// A run is its last [`Checkpoint`](Self::Checkpoint) and what was recorded since. A secure join is atomic: no checkpoint
/// lies inside, and its server's steps are run again over the recorded answers, which gives the same session.
///
/// `B` are its bytes. Where they are large a log keeps them apart, and writes a record [of their lengths](Self::split).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record<B = Pieces> {
    /// A step of the aggregator returned. All records before it are done with.
    Checkpoint {
        /// Where the walk goes on, in CBOR.
        position: B,
        /// The aggregator's state, in CBOR.
        aggregator: B,
        /// What the roles of secure joins keep between sessions, in CBOR.
        hidden: B,
        /// What the step returned, in CBOR.
        value: B,
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
        outcome: Result<B, Cause>,
    },
    /// A fan-out is over: whoever has not answered by now is missing in it.
    Closed {
        /// Which.
        task: TaskKey,
    },
}

impl Record {
    /// The record with lengths for bytes, and the bytes in their order.
    pub fn split(&self) -> (Record<u64>, Vec<Bytes>) {
        let mut bytes = Vec::new();
        let lengths = self.clone().try_map(&mut |pieces: Pieces| {
            bytes.extend(pieces.iter().cloned());
            Ok::<_, Infallible>(pieces.len())
        });
        let Ok(lengths) = lengths;
        (lengths, bytes)
    }
}

impl Record<u64> {
    /// The record whose bytes follow each other here; none where they are too few or too many.
    pub fn join(self, mut bytes: Bytes) -> Option<Record> {
        let joined = self.try_map(&mut |length| {
            let length = usize::try_from(length).ok().filter(|length| *length <= bytes.len()).ok_or(())?;
            Ok::<_, ()>(Pieces::from(bytes.split_to(length)))
        });
        joined.ok().filter(|_| bytes.is_empty())
    }
}

impl<B> Record<B> {
    fn try_map<C, E>(self, map: &mut impl FnMut(B) -> Result<C, E>) -> Result<Record<C>, E> {
        Ok(match self {
            Self::Checkpoint { position, aggregator, hidden, value, events } => Record::Checkpoint {
                position: map(position)?,
                aggregator: map(aggregator)?,
                hidden: map(hidden)?,
                value: map(value)?,
                events,
            },
            Self::Answer { task, from, outcome } => {
                let outcome = match outcome {
                    Ok(bytes) => Ok(map(bytes)?),
                    Err(cause) => Err(cause),
                };
                Record::Answer { task, from, outcome }
            }
            Self::Closed { task } => Record::Closed { task },
        })
    }
}

/// Where a hosted run writes its transitions.
pub trait RunLog: Send + Sync {
    /// Writes a record. It is durable when this returns.
    ///
    /// # Errors
    /// What the storage reports. The run then ends: it does not go on with what would be lost.
    fn append(&self, record: &Record) -> io::Result<()>;

    /// Writes records in order. They are durable when this returns; of those that were not written to the end a first part
    /// may be there. A log that can make them durable at once saves time.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    fn append_all(&self, records: &[Record]) -> io::Result<()> {
        records.iter().try_for_each(|record| self.append(record))
    }
}
