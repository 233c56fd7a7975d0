//! An append-only log in segments. A checkpoint begins a new one, once the last has become long enough, and only when it
//! is durable the older ones go.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Write as _};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::error::JournalError;
use super::files::{create_directory, is_left_over, replace};
use super::frame::{Found, Frame, Scanner};
use super::tail::Tail;

/// The first bytes of every segment: what it is, and the version of its format.
const MAGIC: [u8; 8] = *b"VLOG\0\0\0\x01";

/// A checkpoint that would make a segment longer than this begins a new one. To begin one costs several syncs.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;

/// What the names of segments end with; before it stands their number.
const ENDING: &str = ".log";

/// A log of records, durable when a call returns.
///
/// Calls from several threads that wait at the same time are written and synced together. After a write that failed the
/// log takes nothing more: what is on disk is then known again only to who opens it anew.
#[derive(Debug)]
pub(super) struct Segments {
    directory: PathBuf,
    /// How long a segment becomes before a checkpoint begins the next.
    pub(super) segment_bytes: u64,
    state: Mutex<State>,
    /// Something was made durable, or failed.
    changed: Condvar,
}

/// A log that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    /// It, to be gone on with.
    pub(super) segments: Segments,
    /// Its last checkpoint, unless there was none, and what followed.
    pub(super) records: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct State {
    /// `None` while a thread writes.
    writer: Option<Writer>,
    queue: Vec<Frame>,
    /// How many entries were ever put into the queue, and how many of them are durable.
    queued: u64,
    durable: u64,
    failed: Option<io::ErrorKind>,
}

#[derive(Debug)]
struct Writer {
    tail: Tail,
    number: u64,
}

impl Segments {
    /// Opens the log in this directory, or begins one. A torn tail is cut off.
    pub(super) fn open(directory: &Path, record_limit: u64) -> Result<Opened, JournalError> {
        create_directory(directory)?;
        let numbers = clean(directory)?;
        let (writer, records) = match numbers.split_last() {
            None => (begin(directory, 1, None)?, Vec::new()),
            Some((last, older)) => {
                let opened = resume(directory, *last, record_limit)?;
                // A process was stopped between the two.
                remove(directory, older)?;
                opened
            }
        };
        let state = State { writer: Some(writer), queue: Vec::new(), queued: 0, durable: 0, failed: None };
        let segments = Self {
            directory: directory.to_owned(),
            segment_bytes: SEGMENT_BYTES,
            state: Mutex::new(state),
            changed: Condvar::new(),
        };
        Ok(Opened { segments, records })
    }

    /// Adds a record. It is durable when this returns. A checkpoint stands for all before it.
    pub(super) fn append(&self, frame: Frame) -> io::Result<()> {
        self.append_all(vec![frame])
    }

    /// Adds records in order, with one sync.
    pub(super) fn append_all(&self, frames: Vec<Frame>) -> io::Result<()> {
        let mut state = self.state();
        state.queued = state.queued.saturating_add(frames.len() as u64);
        state.queue.extend(frames);
        let ticket = state.queued;
        while state.durable < ticket {
            if let Some(kind) = state.failed {
                return Err(io::Error::new(kind, "an earlier record could not be written"));
            }
            state = match state.writer.take() {
                Some(writer) => self.flush(state, writer)?,
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        Ok(())
    }

    /// Writes all that waits. Other threads queue up meanwhile, for the next time.
    fn flush<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        mut writer: Writer,
    ) -> io::Result<MutexGuard<'a, State>> {
        let (batch, upto) = (mem::take(&mut state.queue), state.queued);
        drop(state);
        let written = writer.write(&self.directory, &batch, self.segment_bytes);
        let mut state = self.state();
        state.writer = Some(writer);
        match &written {
            Ok(()) => state.durable = upto,
            Err(error) => state.failed = Some(error.kind()),
        }
        self.changed.notify_all();
        written.map(|()| state)
    }

    /// How many bytes of its segment are written.
    #[cfg(test)]
    pub(super) fn end(&self) -> u64 {
        self.state().writer.as_ref().unwrap().tail.end()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn write(&mut self, directory: &Path, batch: &[Frame], segment_bytes: u64) -> io::Result<()> {
        // What came before a checkpoint is not needed any more, written or not.
        let from = batch.iter().rposition(Frame::is_checkpoint);
        let (_, mut frames) = batch.split_at(from.unwrap_or_default());
        if let Some((checkpoint, after)) = frames.split_first()
            && from.is_some()
            && self.tail.end().saturating_add(checkpoint.len()) > segment_bytes
        {
            let number = self.number.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
            let old = mem::replace(self, begin(directory, number, Some(checkpoint))?);
            remove(directory, &[old.number])?;
            frames = after;
        }
        if frames.is_empty() {
            return Ok(());
        }
        frames.iter().flat_map(Frame::parts).try_for_each(|part| self.tail.append(part))?;
        self.tail.sync()
    }
}

/// Makes a new segment that begins with this record, durable.
fn begin(directory: &Path, number: u64, checkpoint: Option<&Frame>) -> Result<Writer, JournalError> {
    let file = replace(&path(directory, number), |file| {
        file.write_all(&MAGIC)?;
        checkpoint.into_iter().flat_map(Frame::parts).try_for_each(|part| file.write_all(part))
    })?;
    let end = (MAGIC.len() as u64).saturating_add(checkpoint.map_or(0, Frame::len));
    Ok(Writer { tail: Tail::new(file, end), number })
}

/// Reads a segment and cuts off its torn tail.
fn resume(directory: &Path, number: u64, record_limit: u64) -> Result<(Writer, Vec<Vec<u8>>), JournalError> {
    let path = path(directory, number);
    let failed = |error| JournalError::io("read", &path)(error);
    let file = File::options().read(true).write(true).open(&path).map_err(failed)?;
    let end = file.metadata().map_err(failed)?.len();
    let mut reader = BufReader::new(&file);
    let mut magic = Vec::new();
    reader.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(failed)?;
    if magic != MAGIC {
        let what = "it does not begin as a journal of this version does";
        return Err(JournalError::damaged(&path, 0, what));
    }
    let mut scanner = Scanner::new(reader, MAGIC.len() as u64, end, record_limit);
    let mut records = Vec::new();
    let tail = loop {
        match scanner.next().map_err(failed)? {
            Found::Record(record) => records.push(record),
            Found::Checkpoint(record) => records = vec![record],
            other => break other,
        }
    };
    let offset = scanner.offset();
    match tail {
        Found::Damaged(what) => return Err(JournalError::damaged(&path, offset, what)),
        // It got its name only after this record was durable.
        _ if number > 1 && records.is_empty() => {
            return Err(JournalError::damaged(&path, offset, "its checkpoint is cut off"));
        }
        _ => {}
    }
    let mut tail = Tail::new(file, offset);
    if offset < end {
        tail.cut(offset).map_err(JournalError::io("cut the torn tail of", &path))?;
    }
    Ok((Writer { tail, number }, records))
}

/// Removes half-written files. Returns the segments' numbers, ascending.
fn clean(directory: &Path) -> Result<Vec<u64>, JournalError> {
    let failed = |error| JournalError::io("read", directory)(error);
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(number) = name.strip_suffix(ENDING).and_then(|number| number.parse().ok()) {
            numbers.push(number);
        } else if is_left_over(&name) {
            fs::remove_file(entry.path()).map_err(JournalError::io("remove", &entry.path()))?;
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes segments. One that is back after a crash of the machine is removed again: the newest counts.
fn remove(directory: &Path, numbers: &[u64]) -> Result<(), JournalError> {
    for number in numbers {
        let path = path(directory, *number);
        fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
    }
    Ok(())
}

fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}{ENDING}"))
}

#[cfg(test)]
mod tests;
