//! A walk that is written to a run's log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde_bytes::ByteBuf;
use veilflow_spec::{Cause, Checkpoint, Name, to_cbor};

use super::courier::TaskKey;
use super::record::{Record, RunLog};
use crate::error::RunError;
use crate::event::Stream;
use crate::interpreter::{Keeper, Recorded, Seat};

/// Writes a run to its log.
pub(super) struct LogKeeper {
    log: Arc<dyn RunLog>,
    stream: Arc<Stream>,
    past: Mutex<BTreeMap<TaskKey, Recorded>>,
}

impl LogKeeper {
    /// A keeper that knows these fan-outs of an earlier process.
    pub(super) fn new(log: Arc<dyn RunLog>, stream: Arc<Stream>, past: BTreeMap<TaskKey, Recorded>) -> Self {
        Self { log, stream, past: past.into() }
    }

    fn append(&self, record: &Record) -> Result<(), RunError> {
        self.log.append(record).map_err(RunError::Log)
    }
}

fn encoded<T: Serialize>(value: &T) -> Result<ByteBuf, RunError> {
    to_cbor(value).map(ByteBuf::from).map_err(|error| RunError::Internal(error.to_string()))
}

impl<A: Checkpoint> Keeper<A> for LogKeeper {
    fn checkpoint(&self, next: &[u32], seat: &Seat<A>, output: Vec<u8>) -> Result<(), RunError> {
        let Some(saved) = seat.aggregator.save() else { return Ok(()) };
        self.append(&Record::Checkpoint {
            position: encoded(&next)?,
            aggregator: encoded(&saved)?,
            hidden: encoded(&seat.hidden.save())?,
            value: output.into(),
            events: self.stream.next(),
        })
    }

    fn answer(&self, task: &TaskKey, from: &Name, answer: Result<&[u8], Cause>) -> Result<(), RunError> {
        let outcome = answer.map(|bytes| ByteBuf::from(bytes.to_vec()));
        self.append(&Record::Answer { task: task.clone(), from: from.clone(), outcome })
    }

    fn closed(&self, task: &TaskKey) -> Result<(), RunError> {
        self.append(&Record::Closed { task: task.clone() })
    }

    fn recorded(&self, task: &TaskKey) -> Option<Recorded> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner).remove(task)
    }
}
