//! A file that grows at its end, with room made beforehand.
//!
//! To sync what replaces bytes that are in the file already is many times faster than to sync a file that grew: the file
//! system has nothing of its own to write. So the file is made longer by [`ROOM`] at a time, with zeros, which a reader
//! takes for the end.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};

/// By how many bytes a file is made longer.
const ROOM: usize = 256 * 1024;

/// A file and where its next bytes go.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    end: u64,
    /// How long the file is.
    room: u64,
}

impl Tail {
    /// Goes on at `end`, where this file ends.
    pub(super) fn new(file: File, end: u64) -> Self {
        Self { file, end, room: end }
    }

    /// Goes on at another place; what is behind it is replaced.
    pub(super) fn go_to(&mut self, end: u64) {
        (self.end, self.room) = (end, end);
    }

    /// Where the next bytes go.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Adds bytes. Those of a write that failed half-way are replaced by the next.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let after = self.end.saturating_add(bytes.len() as u64);
        // Large ones are not worth writing twice.
        if after > self.room && bytes.len() <= ROOM {
            let room = after.saturating_add(ROOM as u64);
            self.file.seek(SeekFrom::Start(self.room))?;
            io::copy(&mut io::Read::take(io::repeat(0), room.saturating_sub(self.room)), &mut self.file)?;
            self.room = room;
        }
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(bytes)?;
        self.end = after;
        self.room = self.room.max(after);
        Ok(())
    }

    /// Drops all from `end` on, and the room. Durable when this returns.
    pub(super) fn cut(&mut self, end: u64) -> io::Result<()> {
        self.file.set_len(end)?;
        self.file.sync_all()?;
        (self.end, self.room) = (end, end);
        Ok(())
    }

    /// Makes what was added durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn bytes_follow_each_other_and_zeros_follow_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let mut tail = Tail::new(File::create(&path).unwrap(), 0);
        let (mut expected, mut lengths) = (Vec::new(), Vec::new());
        for size in [1, ROOM - 1, 10, 3 * ROOM, 5, ROOM - 1, ROOM + 1] {
            let bytes = vec![7; size];
            tail.append(&bytes).unwrap();
            expected.extend(bytes);
            let found = fs::read(&path).unwrap();
            assert_eq!(tail.end() as usize, expected.len());
            assert_eq!(found[..expected.len()], expected);
            assert!(found[expected.len()..].iter().all(|byte| *byte == 0));
            lengths.push(found.len() > expected.len());
        }
        assert_eq!(lengths, [true, true, true, false, true, true, false]);
        tail.cut(3).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [7; 3]);
        tail.append(&[8]).unwrap();
        assert_eq!(fs::read(&path).unwrap()[..5], [7, 7, 7, 8, 0]);
    }
}
