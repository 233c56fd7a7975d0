//! Records in a file: each with its length and two checksums before it.
//!
//! ```text
//! length of the payload, 8 bytes, little endian; its highest bit says that the record stands for all before it
//! CRC-32 of these 8 bytes, 4 bytes
//! CRC-32 of the payload, 4 bytes
//! payload
//! ```
//!
//! The length has a checksum of its own, so that a record that was not written to its end is told from one that was
//! changed later: the first is a torn tail, the second is damage.

use std::io::{self, Read};

use bytes::Bytes;
use crc32fast::Hasher;
use serde::Serialize;

/// How many bytes stand before a payload.
pub(super) const HEADER: usize = 16;

/// The bit of the length that marks a checkpoint.
const CHECKPOINT: u64 = 1 << 63;

/// A record as it is written.
#[derive(Debug)]
pub(super) struct Frame {
    /// The header and the record in CBOR.
    head: Vec<u8>,
    /// What follows it as it is: large bytes are written from where they lie.
    rest: Vec<Bytes>,
}

impl Frame {
    /// A record in CBOR.
    pub(super) fn encode<T: Serialize>(record: &T) -> io::Result<Self> {
        Self::new(record, Vec::new(), 0)
    }

    /// A record in CBOR, and bytes that are known by it. A checkpoint stands for all before it.
    pub(super) fn with_bytes<T: Serialize>(
        record: &T,
        bytes: Vec<Bytes>,
        checkpoint: bool,
    ) -> io::Result<Self> {
        Self::new(record, bytes, if checkpoint { CHECKPOINT } else { 0 })
    }

    /// A record in CBOR that stands for all before it.
    pub(super) fn checkpoint<T: Serialize>(record: &T) -> io::Result<Self> {
        Self::new(record, Vec::new(), CHECKPOINT)
    }

    fn new<T: Serialize>(record: &T, rest: Vec<Bytes>, mark: u64) -> io::Result<Self> {
        let mut head = vec![0; HEADER];
        ciborium::into_writer(record, &mut head).map_err(io::Error::other)?;
        let mut frame = Self { head, rest };
        let length = frame.len().saturating_sub(HEADER as u64) | mark;
        if let Some((header, payload)) = frame.head.split_at_mut_checked(HEADER) {
            let length = length.to_le_bytes();
            let mut checksum = Hasher::new();
            checksum.update(payload);
            frame.rest.iter().for_each(|bytes| checksum.update(bytes));
            let checksums = [crc32fast::hash(&length), checksum.finalize()].map(u32::to_le_bytes);
            header.copy_from_slice([&length[..], checksums.as_flattened()].concat().as_slice());
        }
        Ok(frame)
    }

    /// All of its bytes, in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.head.as_slice()).chain(self.rest.iter().map(|bytes| &**bytes))
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> u64 {
        self.parts().map(|part| part.len() as u64).sum()
    }

    /// Whether it stands for all before it.
    pub(super) fn is_checkpoint(&self) -> bool {
        // The highest bit of the last byte of a little-endian number.
        self.head.get(7).is_some_and(|byte| byte & 0x80 != 0)
    }
}

/// What a file has at a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A payload.
    Record(Vec<u8>),
    /// A payload that stands for all before it.
    Checkpoint(Vec<u8>),
    /// Its end.
    End,
    /// The start of a record that was not written to its end.
    Torn,
    /// Something that no writer left, however it was stopped.
    Damaged(&'static str),
}

/// Reads records, one after the other.
#[derive(Debug)]
pub(super) struct Scanner<R> {
    reader: R,
    /// Where the next record begins, in bytes from the start of the file.
    offset: u64,
    end: u64,
    limit: u64,
}

impl<R: Read> Scanner<R> {
    /// Reads from `offset`, at which `reader` stands, up to `end`. No record is longer than `limit` bytes.
    pub(super) fn new(reader: R, offset: u64, end: u64, limit: u64) -> Self {
        Self { reader, offset, end, limit }
    }

    /// Where the next record begins, or what is found instead of it.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record. After anything else there is no next one.
    pub(super) fn next(&mut self) -> io::Result<Found> {
        let rest = self.end.saturating_sub(self.offset);
        if rest == 0 {
            return Ok(Found::End);
        }
        let Some(rest) = rest.checked_sub(HEADER as u64) else { return Ok(Found::Torn) };
        let mut header = [0; HEADER];
        self.reader.read_exact(&mut header)?;
        let [length, checksums] = header.as_chunks::<8>().0 else { return Ok(Found::Damaged("no header")) };
        let (of_length, of_payload) = checksums.split_at(4);
        if crc32fast::hash(length).to_le_bytes() != of_length {
            // There are zeros where nothing was written yet.
            let torn = self.only_zeros(rest)?;
            return Ok(if torn { Found::Torn } else { Found::Damaged("the length of a record is wrong") });
        }
        let (mark, length) =
            (u64::from_le_bytes(*length) & CHECKPOINT, u64::from_le_bytes(*length) & !CHECKPOINT);
        if length > self.limit {
            return Ok(Found::Damaged("a record is longer than any that is written there"));
        }
        let Some(after) = rest.checked_sub(length) else { return Ok(Found::Torn) };
        let Ok(size) = usize::try_from(length) else {
            return Ok(Found::Damaged("a record is longer than this machine's memory"));
        };
        let mut payload = vec![0; size];
        self.reader.read_exact(&mut payload)?;
        if crc32fast::hash(&payload).to_le_bytes() != of_payload {
            let torn = self.only_zeros(after)?;
            return Ok(if torn { Found::Torn } else { Found::Damaged("the checksum of a record is wrong") });
        }
        self.offset = self.offset.saturating_add(HEADER as u64).saturating_add(length);
        Ok(if mark == 0 { Found::Record(payload) } else { Found::Checkpoint(payload) })
    }

    /// Whether nothing else is left in the file.
    fn only_zeros(&mut self, mut rest: u64) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        while rest > 0 {
            let wanted = usize::try_from(rest).map_or(buffer.len(), |rest| rest.min(buffer.len()));
            let part = buffer.get_mut(..wanted).unwrap_or_default();
            self.reader.read_exact(part)?;
            if part.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            rest = rest.saturating_sub(wanted as u64);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8], limit: u64) -> (Vec<Vec<u8>>, Found) {
        let mut scanner = Scanner::new(bytes, 0, bytes.len() as u64, limit);
        let mut records = Vec::new();
        loop {
            match scanner.next().unwrap() {
                Found::Record(payload) | Found::Checkpoint(payload) => records.push(payload),
                other => return (records, other),
            }
        }
    }

    fn three() -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), vec![0]);
        for record in ["one", "two", "three"] {
            Frame::encode(&record).unwrap().parts().for_each(|part| bytes.extend_from_slice(part));
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn a_file_that_ends_anywhere_has_its_whole_records_and_a_torn_tail() {
        let (bytes, ends) = three();
        for length in 0..=bytes.len() {
            let (records, tail) = scan(&bytes[..length], 100);
            assert_eq!(records.len(), ends.iter().filter(|end| **end <= length).count() - 1);
            assert_eq!(tail, if ends.contains(&length) { Found::End } else { Found::Torn });
        }
    }

    #[test]
    fn zeros_in_place_of_what_was_to_be_written_are_a_torn_tail() {
        let (bytes, ends) = three();
        for length in ends[1]..bytes.len() {
            let mut zeros = bytes.clone();
            zeros[length..].fill(0);
            let (records, tail) = scan(&zeros, 100);
            assert_eq!(records.len(), if length < ends[2] { 1 } else { 2 });
            assert_eq!(tail, Found::Torn, "zeros from {length}");
        }
    }

    #[test]
    fn a_changed_byte_before_the_last_record_is_damage() {
        let (bytes, ends) = three();
        for at in 0..ends[2] {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            let (records, tail) = scan(&changed, 100);
            assert_eq!(records.len(), usize::from(at >= ends[1]));
            assert!(matches!(tail, Found::Damaged(_)), "byte {at}: {tail:?}");
        }
    }

    #[test]
    fn a_checkpoint_is_known_as_one() {
        for (frame, is) in [(Frame::encode(&"a").unwrap(), false), (Frame::checkpoint(&"a").unwrap(), true)] {
            assert_eq!(frame.is_checkpoint(), is);
            let bytes = frame.parts().collect::<Vec<_>>().concat();
            let found = Scanner::new(bytes.as_slice(), 0, frame.len(), 100).next().unwrap();
            assert_eq!(matches!(found, Found::Checkpoint(_)), is, "{found:?}");
        }
    }

    #[test]
    fn bytes_beside_a_record_are_part_of_it() {
        let rest = [&b"one"[..], b"", b"two"].map(Bytes::from_static).to_vec();
        let frame = Frame::with_bytes(&"a", rest, false).unwrap();
        let mut bytes = frame.parts().collect::<Vec<_>>().concat();
        assert_eq!(scan(&bytes, 100).0, [b"\x61aonetwo"]);
        *bytes.last_mut().unwrap() ^= 1;
        assert!(matches!(scan(&bytes, 100).1, Found::Torn | Found::Damaged(_)));
    }

    #[test]
    fn no_record_is_longer_than_the_limit_or_the_file() {
        let (bytes, _) = three();
        assert!(matches!(scan(&bytes, 3).1, Found::Damaged(_)));
        let mut huge = vec![0; HEADER];
        let length = (1_u64 << 62).to_le_bytes();
        huge[..8].copy_from_slice(&length);
        huge[8..12].copy_from_slice(&crc32fast::hash(&length).to_le_bytes());
        assert_eq!(scan(&huge, u64::MAX), (Vec::new(), Found::Torn));
    }
}
