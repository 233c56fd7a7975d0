//! A walk that is written to a run's log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use veilflow_spec::graph::Value;
use veilflow_spec::{Cause, Checkpoint, Codec, Name, Result as StepResult, to_cbor};

use super::courier::TaskKey;
use super::pieces::Pieces;
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

fn encoded(bytes: StepResult<Vec<u8>>) -> Result<Pieces, RunError> {
    bytes.map(Pieces::from).map_err(|error| RunError::Internal(error.to_string()))
}

impl<A: Checkpoint> Keeper<A> for LogKeeper {
    fn checkpoint(
        &self,
        next: &[u32],
        seat: &Seat<A>,
        output: &Value,
        codec: &Codec,
    ) -> Result<(), RunError> {
        let Some(saved) = seat.aggregator.save() else { return Ok(()) };
        // What was saved may be as large as the model: it goes before the next is encoded.
        let aggregator = encoded(to_cbor(&saved))?;
        drop(saved);
        self.append(&Record::Checkpoint {
            position: encoded(to_cbor(&next))?,
            aggregator,
            hidden: encoded(to_cbor(&seat.hidden.save()))?,
            value: encoded(codec.encode(&**output))?,
            events: self.stream.next(),
        })
    }

    fn answers(&self, task: &TaskKey, answers: Vec<(Name, Result<Pieces, Cause>)>) -> Result<(), RunError> {
        let record = |(from, outcome)| Record::Answer { task: task.clone(), from, outcome };
        let records: Vec<Record> = answers.into_iter().map(record).collect();
        self.log.append_all(&records).map_err(RunError::Log)
    }

    fn closed(&self, task: &TaskKey) -> Result<(), RunError> {
        self.append(&Record::Closed { task: task.clone() })
    }

    fn recorded(&self, task: &TaskKey) -> Option<Recorded> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner).remove(task)
    }
}
