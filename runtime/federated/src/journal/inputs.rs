//! A site's memory of what it has masked, on disk.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use veilflow_secagg::{
    InputId, InputJournal, KnownCohort, MemoryJournal, PrivacyAccountant, PrivacyCost, Session,
};

use super::error::JournalError;
use super::files::create_directory;
use super::frame::Frame;
use super::lock::DirectoryLock;
use super::segments::{Opened, Segments};

/// The most bytes of one record: a snapshot of the whole memory.
const RECORD_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Below so many bytes a log is not made shorter.
const COMPACT_BYTES: u64 = 1024 * 1024;

/// A site's journal of the inputs that it masked, in a directory of its own. Every call is durable before it returns.
///
/// What a session keeps secret is not in it: who loses it, or goes back to an older copy of it, loses the protection
/// of `SECURITY.md`, rows 6 and 18, not a key.
#[derive(Debug)]
pub struct FileInputJournal {
    memory: MemoryJournal,
    log: Segments,
    /// Bytes since the last snapshot, and at how many the next one is due.
    written: u64,
    due: u64,
    _lock: DirectoryLock,
}

/// What is written down.
#[derive(Debug, Serialize, Deserialize)]
enum Record {
    /// All that was known.
    Snapshot(MemoryJournal),
    Began(Session),
    Masked(InputId, Session),
    Confirmed(KnownCohort),
    Charged(Session, PrivacyCost),
}

impl FileInputJournal {
    /// Opens the journal in this directory, which is made where there is none.
    ///
    /// # Errors
    /// [`JournalError::Locked`] where another process has it, [`JournalError::Damaged`] where it is not what was
    /// written: nothing is masked until somebody has looked. What the storage reports.
    pub fn open(directory: &Path) -> Result<Self, JournalError> {
        create_directory(directory)?;
        let lock = DirectoryLock::take(directory)?;
        let Opened { segments, records } = Segments::open(directory, RECORD_BYTES)?;
        let (mut memory, mut written) = (MemoryJournal::new(), 0_u64);
        for record in records {
            written = written.saturating_add(record.len() as u64);
            let record = ciborium::from_reader(record.as_slice());
            let record = record.map_err(|error| JournalError::damaged(directory, 0, error))?;
            apply(&mut memory, record).map_err(JournalError::io("read", directory))?;
        }
        Ok(Self { memory, log: segments, written, due: COMPACT_BYTES, _lock: lock })
    }

    /// Writes a record down, then takes it to memory.
    fn write(&mut self, record: Record) -> io::Result<()> {
        let frame = Frame::encode(&record)?;
        let bytes = frame.len();
        self.log.append(frame)?;
        self.written = self.written.saturating_add(bytes);
        apply(&mut self.memory, record)?;
        if self.written >= self.due {
            self.compact()?;
        }
        Ok(())
    }

    /// Writes all that is known into a new segment. The next time is when the log has doubled, so that all snapshots
    /// together are no more than what was written.
    fn compact(&mut self) -> io::Result<()> {
        let snapshot = Record::Snapshot(std::mem::take(&mut self.memory));
        let frame = Frame::checkpoint(&snapshot);
        apply(&mut self.memory, snapshot)?;
        let frame = frame?;
        self.written = frame.len();
        self.due = self.written.saturating_mul(2).max(COMPACT_BYTES);
        self.log.append(frame)
    }
}

fn apply(memory: &mut MemoryJournal, record: Record) -> io::Result<()> {
    match record {
        Record::Snapshot(snapshot) => *memory = snapshot,
        Record::Began(session) => drop(memory.begin(&session)?),
        Record::Masked(input, session) => drop(memory.record(&input, &session)?),
        Record::Confirmed(cohort) => memory.confirm(&cohort)?,
        Record::Charged(session, cost) => memory.charge(&session, &cost)?,
    }
    Ok(())
}

impl InputJournal for FileInputJournal {
    fn begin(&mut self, session: &Session) -> io::Result<Option<Session>> {
        let before = self.memory.latest(session.id());
        if before.is_none_or(|last| last < *session) {
            self.write(Record::Began(*session))?;
        }
        Ok(before)
    }

    fn record(&mut self, input: &InputId, session: &Session) -> io::Result<Vec<Session>> {
        let before = self.memory.masked(input).to_vec();
        if !before.contains(session) {
            self.write(Record::Masked(*input, *session))?;
        }
        Ok(before)
    }

    fn unfinished(&mut self) -> io::Result<u64> {
        self.memory.unfinished()
    }

    fn rounds(&mut self) -> io::Result<u64> {
        self.memory.rounds()
    }

    fn confirm(&mut self, cohort: &KnownCohort) -> io::Result<()> {
        if !self.memory.knows(&cohort.members) {
            self.write(Record::Confirmed(cohort.clone()))?;
        }
        Ok(())
    }

    fn cohorts(&mut self) -> io::Result<Vec<KnownCohort>> {
        self.memory.cohorts()
    }

    fn spent(&mut self) -> io::Result<PrivacyAccountant> {
        self.memory.spent()
    }

    fn charge(&mut self, session: &Session, cost: &PrivacyCost) -> io::Result<()> {
        self.write(Record::Charged(*session, *cost))
    }
}

#[cfg(test)]
mod tests;
