//! An append-only log in segments: a checkpoint begins a new one, and only then the older ones go.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::error::JournalError;
use super::files::{create_directory, is_left_over, replace, sync_directory};
use super::frame::{Found, Frame, Scanner};

/// The first bytes of every segment: what it is, and the version of its format.
const MAGIC: [u8; 8] = *b"VLOG\0\0\0\x01";

/// What the names of segments end with; before it stands their number.
const ENDING: &str = ".log";

/// A log of records, durable when a call returns.
///
/// Calls from several threads that wait at the same time are written and synced together. After a write that failed the
/// log takes nothing more: what is on disk is then known again only to who opens it anew.
#[derive(Debug)]
pub(super) struct Segments {
    directory: PathBuf,
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
    queue: Vec<Entry>,
    /// How many entries were ever put into the queue, and how many of them are durable.
    queued: u64,
    durable: u64,
    failed: Option<io::ErrorKind>,
}

#[derive(Debug)]
struct Entry {
    frame: Frame,
    checkpoint: bool,
}

#[derive(Debug)]
struct Writer {
    file: File,
    number: u64,
}

impl Segments {
    /// Opens the log in this directory, or begins one. A torn tail is cut off.
    pub(super) fn open(directory: &Path, record_limit: u64) -> Result<Opened, JournalError> {
        create_directory(directory)?;
        let numbers = clean(directory)?;
        let (writer, records) = match numbers.split_last() {
            None => (begin(directory, 1, &[])?, Vec::new()),
            Some((last, older)) => {
                let opened = resume(directory, *last, record_limit)?;
                // A process was stopped between the two.
                remove(directory, older)?;
                opened
            }
        };
        let state = State { writer: Some(writer), queue: Vec::new(), queued: 0, durable: 0, failed: None };
        let segments =
            Self { directory: directory.to_owned(), state: Mutex::new(state), changed: Condvar::new() };
        Ok(Opened { segments, records })
    }

    /// Adds a record. It is durable when this returns.
    pub(super) fn append(&self, frame: Frame) -> io::Result<()> {
        self.write(Entry { frame, checkpoint: false })
    }

    /// Adds a record that stands for all before it: they are dropped once it is durable.
    pub(super) fn checkpoint(&self, frame: Frame) -> io::Result<()> {
        self.write(Entry { frame, checkpoint: true })
    }

    fn write(&self, entry: Entry) -> io::Result<()> {
        let mut state = self.state();
        state.queue.push(entry);
        state.queued = state.queued.saturating_add(1);
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
        let written = writer.write(&self.directory, &batch);
        let mut state = self.state();
        state.writer = Some(writer);
        match &written {
            Ok(()) => state.durable = upto,
            Err(error) => state.failed = Some(error.kind()),
        }
        self.changed.notify_all();
        written.map(|()| state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn write(&mut self, directory: &Path, batch: &[Entry]) -> io::Result<()> {
        let frames = match batch.iter().rposition(|entry| entry.checkpoint) {
            None => batch,
            // What came before it is not needed any more, written or not.
            Some(at) => {
                let (_, from) = batch.split_at(at);
                let number = self.number.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
                let (checkpoint, after) = from.split_at(1);
                let old = mem::replace(self, begin(directory, number, checkpoint)?);
                remove(directory, &[old.number])?;
                after
            }
        };
        if frames.is_empty() {
            return Ok(());
        }
        frames.iter().try_for_each(|entry| self.file.write_all(entry.frame.bytes()))?;
        self.file.sync_data()
    }
}

/// Makes a new segment that begins with these records, durable.
fn begin(directory: &Path, number: u64, entries: &[Entry]) -> Result<Writer, JournalError> {
    let file = replace(&path(directory, number), |file| {
        file.write_all(&MAGIC)?;
        entries.iter().try_for_each(|entry| file.write_all(entry.frame.bytes()))
    })?;
    Ok(Writer { file, number })
}

/// Reads a segment and cuts off its torn tail.
fn resume(directory: &Path, number: u64, record_limit: u64) -> Result<(Writer, Vec<Vec<u8>>), JournalError> {
    let path = path(directory, number);
    let failed = |error| JournalError::io("read", &path)(error);
    let mut file = File::options().read(true).write(true).open(&path).map_err(failed)?;
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
        Found::Torn => {
            let cut = || file.set_len(offset).and_then(|()| file.sync_all());
            cut().map_err(JournalError::io("cut the torn tail of", &path))?;
        }
        Found::End | Found::Record(_) => {}
    }
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    Ok((Writer { file, number }, records))
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

fn remove(directory: &Path, numbers: &[u64]) -> Result<(), JournalError> {
    for number in numbers {
        let path = path(directory, *number);
        fs::remove_file(&path).map_err(JournalError::io("remove", &path))?;
    }
    sync_directory(directory).map_err(JournalError::io("sync", directory))
}

fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:020}{ENDING}"))
}

#[cfg(test)]
mod tests;
