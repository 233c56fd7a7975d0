//! An experiment's events: appended as they happen, read from any number on.

use std::fs::File;
use std::io::{self, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use veilflow_engine::Event;

use super::error::JournalError;
use super::frame::{Found, Frame, Scanner};
use super::tail::Tail;

/// The most bytes of one event.
const EVENT_BYTES: u64 = 64 * 1024 * 1024;

/// After so many events the index notes where one begins.
const STRIDE: u64 = 64;

/// An experiment's events. They are in the file when [`append`](Self::append) returns, and durable when the run's
/// next checkpoint is.
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tail: Tail,
    /// The number after the last event's.
    next: u64,
    /// How many events there are.
    count: u64,
    /// Numbers of events and where they begin, ascending, one in [`STRIDE`].
    index: Vec<(u64, u64)>,
}

/// Some of an experiment's events.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// In order.
    pub events: Vec<Event>,
    /// The number to go on from.
    pub next: u64,
    /// Whether these are all that there are now.
    pub complete: bool,
}

impl Events {
    /// Opens the file, or makes it. It ends before what is not whole.
    pub(super) fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |error| JournalError::io("read", path)(error);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut state = State { tail: Tail::new(file, 0), next: 0, count: 0, index: Vec::new() };
        let mut reader = Reader::open(path, 0, length).map_err(failed)?;
        while let Some((offset, event)) = reader.next().map_err(failed)? {
            state.note(event.sequence, offset);
        }
        state.tail.go_to(reader.offset());
        Ok(Self { path: path.to_owned(), state: Mutex::new(state) })
    }

    /// The number after the last event's.
    pub fn next(&self) -> u64 {
        self.state().next
    }

    /// Adds an event.
    ///
    /// # Errors
    /// What the storage reports, and an event that is not later than the last one.
    pub fn append(&self, event: &Event) -> io::Result<()> {
        let frame = Frame::encode(event)?;
        let mut state = self.state();
        if event.sequence < state.next {
            let text = format!("event {} comes after event {}", event.sequence, state.next.saturating_sub(1));
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let offset = state.tail.end();
        frame.parts().try_for_each(|part| state.tail.append(part))?;
        state.note(event.sequence, offset);
        Ok(())
    }

    /// Events from the number `from` on: at most `events` of them, and no more after `bytes` bytes; one at least where
    /// there is one.
    ///
    /// # Errors
    /// What the storage reports.
    pub fn read(&self, from: u64, events: usize, bytes: u64) -> Result<Page, JournalError> {
        let (start, end) = {
            let state = self.state();
            (state.start_of(from), state.tail.end())
        };
        let mut page = Page { events: Vec::new(), next: from, complete: false };
        let failed = |error| JournalError::io("read", &self.path)(error);
        let mut reader = Reader::open(&self.path, start, end).map_err(failed)?;
        let (mut first, mut full) = (None, false);
        while let Some((offset, event)) = reader.next().map_err(failed)? {
            if event.sequence < from {
                continue;
            }
            let first = *first.get_or_insert(offset);
            page.next = event.sequence.saturating_add(1);
            page.events.push(event);
            full = page.events.len() >= events || reader.offset().saturating_sub(first) >= bytes;
            if full {
                break;
            }
        }
        page.complete = reader.offset() >= end;
        if full || page.complete {
            return Ok(page);
        }
        Err(JournalError::damaged(&self.path, reader.offset(), "an event is not what was written"))
    }

    /// Drops the events from the number `from` on, and what is not whole: they are told again.
    pub(super) fn truncate(&self, from: u64) -> Result<(), JournalError> {
        let failed = |error| JournalError::io("cut", &self.path)(error);
        let mut state = self.state();
        let (start, end) = (state.start_of(from), state.tail.end());
        state.index.retain(|(_, offset)| *offset < start);
        // Those before the nearest note are a multiple of the stride.
        state.count = (state.index.len() as u64).saturating_mul(STRIDE);
        let mut reader = Reader::open(&self.path, start, end).map_err(failed)?;
        let mut cut = start;
        while let Some((offset, event)) = reader.next().map_err(failed)? {
            if event.sequence >= from {
                break;
            }
            state.note(event.sequence, offset);
            cut = reader.offset();
        }
        state.next = state.next.min(from);
        state.tail.cut(cut).map_err(failed)
    }

    /// Makes all events durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.state().tail.sync()
    }

    /// Makes all events durable, and gives back the room for more.
    pub(super) fn close(&self) -> io::Result<()> {
        let mut state = self.state();
        let end = state.tail.end();
        state.tail.cut(end)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, sequence: u64, offset: u64) {
        if self.count.is_multiple_of(STRIDE) {
            self.index.push((sequence, offset));
        }
        self.count = self.count.saturating_add(1);
        self.next = sequence.saturating_add(1);
    }

    /// Where to look for the event of this number: at it or a little before.
    fn start_of(&self, sequence: u64) -> u64 {
        let after = self.index.partition_point(|(noted, _)| *noted <= sequence);
        after.checked_sub(1).and_then(|at| self.index.get(at)).map_or(0, |(_, offset)| *offset)
    }
}

/// Reads events and where they begin, through a handle of its own.
struct Reader(Scanner<BufReader<File>>);

impl Reader {
    fn open(path: &Path, offset: u64, end: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self(Scanner::new(BufReader::new(file), offset, end, EVENT_BYTES)))
    }

    /// The next event. `None` at the end, and at what is no event: all from there on is of no use.
    fn next(&mut self) -> io::Result<Option<(u64, Event)>> {
        let offset = self.offset();
        match self.0.next()? {
            Found::Record(payload) => {
                let event = ciborium::from_reader(payload.as_slice());
                Ok(Some((offset, event.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?)))
            }
            _ => Ok(None),
        }
    }

    fn offset(&self) -> u64 {
        self.0.offset()
    }
}

#[cfg(test)]
pub(in crate::journal) mod tests;
