//! One experiment's directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rand::TryRng as _;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};
use veilflow_engine::remote::{Record, RunLog};

use super::error::JournalError;
use super::events::Events;
use super::files::{create_directory, read, sync_directory, unfinished, write_atomically};
use super::frame::{Found, Frame, Scanner};
use super::lock::DirectoryLock;
use super::segments::{Opened, Segments};
use crate::experiment::{ExperimentId, Outcome, Summary};
use crate::wire::messages::Submit;

const META: &str = "meta";
const PARAMS: &str = "params";
const LOG: &str = "log";
const EVENTS: &str = "events";
const REPORT: &str = "report";

/// The most bytes of one record of a run: an aggregator's state, and what its step returned.
const RECORD_BYTES: u64 = 64 * 1024 * 1024 * 1024;

/// The most bytes of what is known of an experiment.
const META_BYTES: u64 = 64 * 1024 * 1024;

/// One experiment: what was asked for, where it is in its life, its transitions, its events, how it ended.
///
/// ```text
/// meta     what was asked for, its state, its outcome: replaced whole
/// params   the flow's parameters in CBOR, where the client sent some
/// log/     the run's transitions, at least from its last checkpoint on; gone when it is over
/// events   what happened
/// report   the report in CBOR, where it finished
/// ```
#[derive(Debug)]
pub struct ExperimentJournal {
    directory: PathBuf,
    meta: Mutex<Meta>,
    events: Arc<Events>,
    log: Mutex<Option<Arc<Segments>>>,
    /// The state directory is this process's as long as one of its journals lives.
    _lock: Arc<DirectoryLock>,
}

/// What is known of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Meta {
    submit: Submit,
    summary: Summary,
    outcome: Option<Outcome>,
    #[serde(with = "serde_bytes")]
    sessions: [u8; 32],
}

impl ExperimentJournal {
    /// Makes the directory of a new experiment in `experiments`. It is there whole when this returns, or not at all.
    pub(super) fn create(
        experiments: &Path,
        submit: Submit,
        summary: Summary,
        params: Option<&[u8]>,
        lock: Arc<DirectoryLock>,
    ) -> Result<Self, JournalError> {
        let name = summary.id.to_string();
        let (unfinished, directory) = (experiments.join(unfinished(&name)), experiments.join(&name));
        if directory.exists() {
            return Err(JournalError::Exists { id: summary.id });
        }
        let mut sessions = [0; 32];
        let system = |error| JournalError::io("make the session ids of", &directory)(io::Error::other(error));
        SysRng.try_fill_bytes(&mut sessions).map_err(system)?;
        create_directory(&unfinished)?;
        if let Some(params) = params {
            write_atomically(&unfinished.join(PARAMS), params)?;
        }
        let meta = Meta { submit, summary, outcome: None, sessions };
        meta.write(&unfinished)?;
        let moved = fs::rename(&unfinished, &directory).and_then(|()| sync_directory(experiments));
        moved.map_err(JournalError::io("create", &directory))?;
        Self::of(directory, meta, lock)
    }

    /// Opens the directory of an experiment.
    pub(super) fn open(directory: PathBuf, lock: Arc<DirectoryLock>) -> Result<Self, JournalError> {
        let meta = Meta::read(&directory)?;
        Self::of(directory, meta, lock)
    }

    fn of(directory: PathBuf, meta: Meta, lock: Arc<DirectoryLock>) -> Result<Self, JournalError> {
        let events = Arc::new(Events::open(&directory.join(EVENTS))?);
        Ok(Self { directory, meta: Mutex::new(meta), events, log: Mutex::new(None), _lock: lock })
    }

    /// The experiment's id.
    pub fn id(&self) -> ExperimentId {
        self.meta().summary.id
    }

    /// What was asked for.
    pub fn submit(&self) -> Submit {
        self.meta().submit.clone()
    }

    /// Where it is in its life.
    pub fn summary(&self) -> Summary {
        self.meta().summary.clone()
    }

    /// How it ended; none while it is not over.
    pub fn outcome(&self) -> Option<Outcome> {
        self.meta().outcome.clone()
    }

    /// What the ids of its secure sessions are derived from: random, and the same in every process.
    pub fn sessions(&self) -> [u8; 32] {
        self.meta().sessions
    }

    /// The flow's parameters in CBOR, where the client sent some.
    ///
    /// # Errors
    /// What the storage reports.
    pub fn params(&self) -> Result<Option<Vec<u8>>, JournalError> {
        read(&self.directory.join(PARAMS))
    }

    /// Its report in CBOR, where it finished.
    ///
    /// # Errors
    /// What the storage reports.
    pub fn report(&self) -> Result<Option<Vec<u8>>, JournalError> {
        if self.meta().outcome.is_none() {
            return Ok(None);
        }
        read(&self.directory.join(REPORT))
    }

    /// Its events.
    pub fn events(&self) -> &Arc<Events> {
        &self.events
    }

    /// Changes its summary and returns it. The change is durable then, or was not made.
    ///
    /// # Errors
    /// What the storage reports.
    pub fn update(&self, change: impl FnOnce(&mut Summary)) -> Result<Summary, JournalError> {
        self.replace(|meta| change(&mut meta.summary))
    }

    /// Writes down that it is over, and its report where it finished. `change` is made to the summary in the same
    /// moment; its state is the outcome's. What only a running experiment needs is dropped.
    ///
    /// # Errors
    /// What the storage reports.
    pub fn finish(
        &self,
        outcome: Outcome,
        report: Option<&[u8]>,
        change: impl FnOnce(&mut Summary),
    ) -> Result<Summary, JournalError> {
        if let Some(report) = report {
            write_atomically(&self.directory.join(REPORT), report)?;
        }
        self.events.close().map_err(JournalError::io("sync", &self.directory.join(EVENTS)))?;
        let summary = self.replace(|meta| {
            change(&mut meta.summary);
            meta.summary.state = outcome.state;
            meta.outcome = Some(outcome);
        })?;
        self.drop_log()?;
        Ok(summary)
    }

    /// Begins the run's log, or goes on with it, and returns its last checkpoint, unless there is none, and what
    /// followed. Events from the checkpoint on are dropped: the run tells them again.
    ///
    /// # Errors
    /// What the storage reports, and a log that is not what was written.
    pub fn resume(&self) -> Result<Vec<Record>, JournalError> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.directory.join(LOG);
        let Opened { segments, records } = Segments::open(&path, RECORD_BYTES)?;
        let damaged = |error| JournalError::damaged(&path, 0, format!("a record cannot be read: {error}"));
        let history = records.into_iter().map(decode).collect::<Result<Vec<_>, _>>().map_err(damaged)?;
        let told = match history.first() {
            Some(Record::Checkpoint { events, .. }) => *events,
            _ => 0,
        };
        self.events.truncate(told)?;
        *log = Some(Arc::new(segments));
        Ok(history)
    }

    fn replace(&self, change: impl FnOnce(&mut Meta)) -> Result<Summary, JournalError> {
        let mut meta = self.meta();
        let mut changed = meta.clone();
        change(&mut changed);
        changed.write(&self.directory)?;
        *meta = changed;
        Ok(meta.summary.clone())
    }

    fn drop_log(&self) -> Result<(), JournalError> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        *log = None;
        let path = self.directory.join(LOG);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(JournalError::io("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    fn meta(&self) -> MutexGuard<'_, Meta> {
        self.meta.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunLog for ExperimentJournal {
    fn append(&self, record: &Record) -> io::Result<()> {
        self.append_all(slice::from_ref(record))
    }

    fn append_all(&self, records: &[Record]) -> io::Result<()> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let log = log.ok_or_else(|| io::Error::other("the run is over, or was not begun"))?;
        let is_checkpoint = |record: &Record| matches!(record, Record::Checkpoint { .. });
        if records.iter().any(is_checkpoint) {
            // Whoever resumes from here does not tell the earlier events again.
            self.events.sync()?;
        }
        let frame = |record: &Record| {
            let (lengths, bytes) = record.split();
            Frame::with_bytes(&lengths, bytes, is_checkpoint(record))
        };
        log.append_all(records.iter().map(frame).collect::<io::Result<_>>()?)
    }
}

/// A record as [`append`](ExperimentJournal::append) wrote it: with the lengths of its bytes, which follow.
fn decode(record: Vec<u8>) -> Result<Record, String> {
    let mut rest = record.as_slice();
    let head: Record<u64> = ciborium::from_reader(&mut rest).map_err(|error| error.to_string())?;
    let head_bytes = record.len().saturating_sub(rest.len());
    let bytes = Bytes::from(record).split_off(head_bytes);
    head.join(bytes).ok_or_else(|| "its bytes are not as many as it says".to_owned())
}

impl Meta {
    fn write(&self, directory: &Path) -> Result<(), JournalError> {
        let path = directory.join(META);
        let frame = Frame::encode(self).map_err(JournalError::io("encode", &path))?;
        write_atomically(&path, &frame.parts().collect::<Vec<_>>().concat())
    }

    fn read(directory: &Path) -> Result<Self, JournalError> {
        let path = directory.join(META);
        let unknown = || JournalError::Unknown { path: directory.to_owned() };
        let bytes = read(&path)?.ok_or_else(unknown)?;
        let mut scanner = Scanner::new(bytes.as_slice(), 0, bytes.len() as u64, META_BYTES);
        let payload = match scanner.next().map_err(JournalError::io("read", &path))? {
            Found::Record(payload) => payload,
            Found::Damaged(what) => return Err(JournalError::damaged(&path, 0, what)),
            _ => return Err(JournalError::damaged(&path, 0, "it is cut off")),
        };
        let meta: Self = ciborium::from_reader(payload.as_slice())
            .map_err(|error| JournalError::damaged(&path, 0, error))?;
        let named = directory.file_name().and_then(|name| name.to_str());
        if named != Some(meta.summary.id.to_string().as_str()) {
            let what = format!("it is of experiment {}", meta.summary.id);
            return Err(JournalError::damaged(&path, 0, what));
        }
        Ok(meta)
    }
}

#[cfg(test)]
mod tests;
