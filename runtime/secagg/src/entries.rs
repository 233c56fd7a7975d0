//! A masked vector as it travels: entries of b bits without gaps.
//!
//! N entries are ⌈N·b/8⌉ bytes. Whole *blocks* of 128 entries come first, 16·b bytes each, then the rest. Bit j of a
//! string of bytes is bit j mod 8 of byte ⌊j/8⌋, lowest first.
//!
//! - In the rest, entry i is the bits i·b to i·b + b − 1; those that are left over in the last byte are 0.
//! - A block is four such strings, for the entries 4i, 4i + 1, 4i + 2 and 4i + 3, i < 32, of b little-endian 32-bit
//!   words each, and their words take turns. So four entries that are neighbours are shifted and masked alike, which
//!   every processor does at once.
//!
//! How many entries of how many bits they are says the plan, not the message, so the receiver checks the length against
//! its own.
//!
//! Each entry was reduced modulo 2ᵇ before, so nothing carries from one into the next (`SECURITY.md`, row 8).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::ByteBuf;

/// Packed masked entries. In one process they are moved; serialized they are bytes, never a sequence of numbers.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entries(Vec<u8>);

/// Bytes that are no vector of the plan's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Too short or too long, in bytes.
    Length { expected: usize, got: usize },
    /// A bit is set after the last entry.
    Padding,
}

/// As many entries fill whole words, whatever their width: b of them.
const GROUP: usize = 32;

/// Strings of a block.
const LANES: usize = 4;

/// Runs a function that is compiled for each width: with shifts that are known to the compiler it takes a third of the time.
macro_rules! for_width {
    ($bits:expr, $function:ident($($argument:expr),*)) => {
        for_width!(@ $bits, $function, ($($argument),*),
            1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31)
    };
    (@ $bits:expr, $function:ident, $arguments:tt, $($width:literal)*) => {
        match $bits {
            $($width => $function::<$width> $arguments,)*
            _ => $function::<32> $arguments,
        }
    };
}

impl Entries {
    /// Packs the lowest `bits` bits of each entry, 1 to 32.
    pub(crate) fn pack(entries: &[u32], bits: u32) -> Self {
        let mut bytes = Vec::with_capacity(packed_bytes(entries.len(), bits));
        for_width!(bits, pack(entries, &mut bytes));
        Self(bytes)
    }

    /// Adds entry by entry, modulo 2³². An error changes nothing.
    pub(crate) fn add_to(&self, sum: &mut [u32], bits: u32) -> Result<(), Malformed> {
        let (expected, got) = (packed_bytes(sum.len(), bits), self.0.len());
        if expected != got {
            return Err(Malformed::Length { expected, got });
        }
        let used = (sum.len() % 8).wrapping_mul(bits as usize) % 8;
        if used != 0 && self.0.last().is_some_and(|last| last.wrapping_shr(used as u32) != 0) {
            return Err(Malformed::Padding);
        }
        for_width!(bits, add(&self.0, sum));
        Ok(())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// ⌈entries · bits / 8⌉, without a product that could overflow.
pub(crate) fn packed_bytes(entries: usize, bits: u32) -> usize {
    let bits = bits as usize;
    let rest = (entries % 8).saturating_mul(bits).div_ceil(8);
    (entries / 8).saturating_mul(bits).saturating_add(rest)
}

fn pack<const BITS: usize>(entries: &[u32], bytes: &mut Vec<u8>) {
    let (rows, _) = entries.as_chunks::<LANES>();
    let (blocks, _) = rows.as_chunks::<GROUP>();
    for block in blocks {
        let words = pack_block::<BITS>(block);
        bytes.extend_from_slice(words.map(|row| row.map(u32::to_le_bytes)).as_flattened().as_flattened());
    }
    let rest = entries.get(in_blocks(entries.len())..).unwrap_or_default();
    let (groups, rest) = rest.as_chunks::<GROUP>();
    for group in groups {
        bytes.extend_from_slice(pack_group::<BITS>(group).map(u32::to_le_bytes).as_flattened());
    }
    let mut last = [0; GROUP];
    last.iter_mut().zip(rest).for_each(|(entry, given)| *entry = *given);
    let words = pack_group::<BITS>(&last).map(u32::to_le_bytes);
    bytes.extend(words.as_flattened().iter().take(packed_bytes(rest.len(), BITS as u32)));
}

fn add<const BITS: usize>(bytes: &[u8], sum: &mut [u32]) {
    let blocks = in_blocks(sum.len());
    let (Some((sum, rest)), Some((bytes, tail))) =
        (sum.split_at_mut_checked(blocks), bytes.split_at_checked(packed_bytes(blocks, BITS as u32)))
    else {
        return;
    };
    let (words, _) = bytes.as_chunks::<4>();
    let (rows, _) = words.as_chunks::<LANES>();
    let (packed, _) = rows.as_chunks::<BITS>();
    let (rows, _) = sum.as_chunks_mut::<LANES>();
    let (blocks, _) = rows.as_chunks_mut::<GROUP>();
    for (block, packed) in blocks.iter_mut().zip(packed) {
        add_block(block, packed);
    }
    add_rest::<BITS>(tail, rest);
}

fn add_rest<const BITS: usize>(bytes: &[u8], sum: &mut [u32]) {
    let (groups, rest) = sum.as_chunks_mut::<GROUP>();
    let (words, _) = bytes.as_chunks::<4>();
    let (packed, _) = words.as_chunks::<BITS>();
    for (group, packed) in groups.iter_mut().zip(packed) {
        add_group(group, &packed.map(u32::from_le_bytes));
    }
    let mut last = [[0; 4]; BITS];
    let tail = bytes.get(packed_bytes(groups.len().saturating_mul(GROUP), BITS as u32)..).unwrap_or_default();
    last.as_flattened_mut().iter_mut().zip(tail).for_each(|(byte, given)| *byte = *given);
    let mut group = [0; GROUP];
    add_group(&mut group, &last.map(u32::from_le_bytes));
    rest.iter_mut().zip(group).for_each(|(total, entry)| *total = total.wrapping_add(entry));
}

/// How many of so many entries are in whole blocks.
fn in_blocks(entries: usize) -> usize {
    entries.saturating_sub(entries % (GROUP * LANES))
}

#[allow(clippy::arithmetic_side_effects, reason = "positions in a string are below 2¹⁰, BITS is 1 to 32")]
fn pack_block<const BITS: usize>(entries: &[[u32; LANES]; GROUP]) -> [[u32; LANES]; BITS] {
    let mut words = [[0; LANES]; BITS];
    for (i, row) in entries.iter().enumerate() {
        let (word, shift) = (i * BITS / 32, i * BITS % 32);
        let row = row.map(|entry| entry & (u32::MAX >> (32 - BITS)));
        if let Some(low) = words.get_mut(word) {
            low.iter_mut().zip(row).for_each(|(low, entry)| *low |= entry << shift);
        }
        if let Some(high) = words.get_mut(word + 1) {
            // In two shifts, because one by 32 is not defined.
            high.iter_mut().zip(row).for_each(|(high, entry)| *high |= (entry >> 1) >> (31 - shift));
        }
    }
    words
}

#[allow(clippy::arithmetic_side_effects, reason = "positions in a string are below 2¹⁰, BITS is 1 to 32")]
fn add_block<const BITS: usize>(sum: &mut [[u32; LANES]; GROUP], words: &[[[u8; 4]; LANES]; BITS]) {
    let at = |word: usize| words.get(word).copied().unwrap_or_default().map(u32::from_le_bytes);
    for (i, totals) in sum.iter_mut().enumerate() {
        let (word, shift) = (i * BITS / 32, i * BITS % 32);
        for ((total, low), high) in totals.iter_mut().zip(at(word)).zip(at(word + 1)) {
            let entry = (low >> shift | (high << 1) << (31 - shift)) & (u32::MAX >> (32 - BITS));
            *total = total.wrapping_add(entry);
        }
    }
}

#[allow(clippy::arithmetic_side_effects, reason = "positions in a group are below 2¹⁰, BITS is 1 to 32")]
fn pack_group<const BITS: usize>(entries: &[u32; GROUP]) -> [u32; BITS] {
    let mut words = [0; BITS];
    for (i, entry) in entries.iter().enumerate() {
        let (word, shift) = (i * BITS / 32, i * BITS % 32);
        let shifted = u64::from(*entry & (u32::MAX >> (32 - BITS))) << shift;
        if let Some(low) = words.get_mut(word) {
            *low |= shifted as u32;
        }
        if let Some(high) = words.get_mut(word + 1) {
            *high |= (shifted >> 32) as u32;
        }
    }
    words
}

#[allow(clippy::arithmetic_side_effects, reason = "positions in a group are below 2¹⁰, BITS is 1 to 32")]
fn add_group<const BITS: usize>(sum: &mut [u32; GROUP], words: &[u32; BITS]) {
    let at = |word: usize| u64::from(words.get(word).copied().unwrap_or_default());
    for (i, total) in sum.iter_mut().enumerate() {
        let (word, shift) = (i * BITS / 32, i * BITS % 32);
        let entry = ((at(word) | at(word + 1) << 32) >> shift) as u32 & (u32::MAX >> (32 - BITS));
        *total = total.wrapping_add(entry);
    }
}

/// What packing costs, for the benchmark beside this crate.
#[doc(hidden)]
pub fn pack_entries(entries: &[u32], bits: u32) -> Vec<u8> {
    Entries::pack(entries, bits).0
}

/// What adding a packed vector costs, for the benchmark beside this crate.
#[doc(hidden)]
pub fn add_packed_entries(packed: &[u8], sum: &mut [u32], bits: u32) {
    for_width!(bits, add(packed, sum));
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entries({} bytes)", self.0.len())
    }
}

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ByteBuf::deserialize(deserializer).map(|bytes| Self(bytes.into_vec()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::vectors;

    #[derive(serde::Deserialize)]
    struct Vectors {
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        bits: u32,
        entries: Vec<u32>,
        packed: String,
    }

    fn unpack(packed: &Entries, length: usize, bits: u32) -> Result<Vec<u32>, Malformed> {
        let mut entries = vec![0; length];
        packed.add_to(&mut entries, bits).map(|()| entries)
    }

    #[test]
    fn known_answers() {
        let vectors: Vectors = vectors::read(include_str!("vectors/packing.json"));
        assert_eq!(vectors.cases.len(), 8);
        for Case { bits, entries, packed: expected } in vectors.cases {
            let packed = Entries::pack(&entries, bits);
            assert_eq!(vectors::hex(&packed.0), expected, "{bits} bits");
            assert_eq!(unpack(&packed, entries.len(), bits).unwrap(), entries, "{bits} bits");
        }
    }

    #[test]
    fn travels_as_one_byte_string() {
        let mut bytes = Vec::new();
        ciborium::into_writer(&Entries::pack(&[1, 0x7ff], 11), &mut bytes).unwrap();
        assert_eq!(bytes, [0x43, 0x01, 0xf8, 0x3f]);
        let back: Entries = ciborium::from_reader(bytes.as_slice()).unwrap();
        assert_eq!(unpack(&back, 2, 11), Ok(vec![1, 0x7ff]));
    }

    #[test]
    fn row_16_other_lengths_and_set_padding_change_nothing() {
        let packed = Entries::pack(&[5, 6, 7], 13);
        let mut sum = [1, 2, 3];
        let changes: [fn(&mut Vec<u8>); 3] = [|b| b.push(0), |b| b.truncate(4), Vec::clear];
        for change in changes {
            let mut bytes = packed.clone();
            change(&mut bytes.0);
            let got = bytes.0.len();
            assert_eq!(bytes.add_to(&mut sum, 13), Err(Malformed::Length { expected: 5, got }));
        }
        let mut padded = packed.clone();
        padded.0[4] |= 0x80;
        assert_eq!(padded.add_to(&mut sum, 13), Err(Malformed::Padding));
        assert_eq!(sum, [1, 2, 3]);
        packed.add_to(&mut sum, 13).unwrap();
        assert_eq!(sum, [6, 8, 10]);
    }

    proptest! {
        #[test]
        fn every_width_and_length_comes_back(
            entries in vec(any::<u32>(), 0..500), start in vec(any::<u32>(), 500), bits in 1_u32..=32,
        ) {
            let packed = Entries::pack(&entries, bits);
            prop_assert_eq!(packed.bytes(), (entries.len() * bits as usize).div_ceil(8));
            let mask = u32::MAX >> (32 - bits);
            let expected: Vec<u32> = start.iter().zip(&entries).map(|(s, e)| s.wrapping_add(e & mask)).collect();
            let mut sum = start[..entries.len()].to_vec();
            packed.add_to(&mut sum, bits).unwrap();
            prop_assert_eq!(sum, expected);
        }

        /// As the module's first lines say it, one bit at a time.
        #[test]
        fn packed_as_specified(entries in vec(any::<u32>(), 1..300), bits in 1_u32..=32) {
            let Entries(packed) = Entries::pack(&entries, bits);
            let bits = bits as usize;
            let is_set = |entry: Option<&u32>, bit: usize| entry.is_some_and(|entry| entry >> bit & 1 == 1);
            for j in 0..8 * packed.len() {
                let (block, within) = (j / (128 * bits), j % (128 * bits));
                let expected = if block < entries.len() / 128 {
                    let (string, at) = (within / 32 % 4, within / 128 * 32 + within % 32);
                    is_set(entries.get(128 * block + 4 * (at / bits) + string), at % bits)
                } else {
                    let at = j - entries.len() / 128 * 128 * bits;
                    is_set(entries.get(entries.len() / 128 * 128 + at / bits), at % bits)
                };
                prop_assert_eq!(packed[j / 8] >> (j % 8) & 1 == 1, expected, "bit {}", j);
            }
        }
    }
}
