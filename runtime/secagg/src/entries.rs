//! A masked vector as it travels: entries of b bits, one after the other, without gaps.
//!
//! Entry i is the bits i·b to i·b + b − 1, where bit j of the vector is bit j mod 8 of byte ⌊j/8⌋, lowest first. N
//! entries are ⌈N·b/8⌉ bytes; the bits that are left over in the last one are 0. How many entries of how many bits
//! they are says the plan, not the message, so the receiver checks the length against its own.
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
    let (groups, rest) = entries.as_chunks::<GROUP>();
    for group in groups {
        bytes.extend_from_slice(pack_group::<BITS>(group).map(u32::to_le_bytes).as_flattened());
    }
    let mut last = [0; GROUP];
    last.iter_mut().zip(rest).for_each(|(entry, given)| *entry = *given);
    let words = pack_group::<BITS>(&last).map(u32::to_le_bytes);
    bytes.extend(words.as_flattened().iter().take(packed_bytes(rest.len(), BITS as u32)));
}

fn add<const BITS: usize>(bytes: &[u8], sum: &mut [u32]) {
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
            entries in vec(any::<u32>(), 0..200), start in vec(any::<u32>(), 200), bits in 1_u32..=32,
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
        fn packed_as_specified(entries in vec(any::<u32>(), 1..80), bits in 1_u32..=32) {
            let Entries(packed) = Entries::pack(&entries, bits);
            let bits = bits as usize;
            for j in 0..8 * packed.len() {
                let expected = entries.get(j / bits).is_some_and(|entry| entry >> (j % bits) & 1 == 1);
                prop_assert_eq!(packed[j / 8] >> (j % 8) & 1 == 1, expected, "bit {}", j);
            }
        }
    }
}
