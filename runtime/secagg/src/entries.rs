//! A masked vector as it travels: entries of b bits without gaps.
//!
//! N entries are ⌈N·b/8⌉ bytes. Whole *blocks* of 512 entries come first, 64·b bytes each, then the rest. Bit j of a
//! string of bytes is bit j mod 8 of byte ⌊j/8⌋, lowest first.
//!
//! - In the rest, entry i is the bits i·b to i·b + b − 1; those that are left over in the last byte are 0.
//! - A block is several such strings of b little-endian words each, and their words take turns. Up to 32 bits an entry
//!   there are sixteen strings of 32-bit words, the first for the entries 16i, i < 32, the next for 16i + 1, and so on;
//!   above that eight of 64-bit words, the first for the entries 8i, i < 64. So 64 bytes of entries that are neighbours
//!   are shifted and masked alike, in as few instructions as the processor's widest vectors allow.
//!
//! How many entries of how many bits they are says the plan, not the message, so the receiver checks the length against
//! its own.
//!
//! Each entry was reduced modulo 2ᵇ before, so nothing carries from one into the next (`SECURITY.md`, row 8).

use std::fmt;

use pulp::{Arch, Simd, WithSimd};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::ByteBuf;

use crate::words::Word;

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

/// Entries of a block, whatever their width.
const BLOCK: usize = 512;

/// What is packed. `GROUP` entries fill whole words, b of them; a block has `LANES` strings of so many.
pub(crate) trait PackedWord: Word {
    fn pack(entries: &[Self], bits: u32, bytes: &mut Vec<u8>);
    fn add(bytes: &[u8], sum: &mut [Self], bits: u32);
}

/// Entries to pack, with the widest vectors that the processor has.
struct Pack<'a, W> {
    entries: &'a [W],
    bits: u32,
    bytes: &'a mut Vec<u8>,
}

/// Packed entries to add, likewise.
struct Add<'a, W> {
    bytes: &'a [u8],
    sum: &'a mut [W],
    bits: u32,
}

/// Has code compiled for each width below a whole word: with shifts that are known to the compiler it takes a third of
/// the time.
macro_rules! packed_word {
    ($word:ty, $lanes:literal, $group:literal, $($width:literal)*) => {
        impl PackedWord for $word {
            fn pack(entries: &[Self], bits: u32, bytes: &mut Vec<u8>) {
                Arch::new().dispatch(Pack { entries, bits, bytes });
            }

            fn add(bytes: &[u8], sum: &mut [Self], bits: u32) {
                Arch::new().dispatch(Add { bytes, sum, bits });
            }
        }

        impl WithSimd for Pack<'_, $word> {
            type Output = ();

            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) {
                let Self { entries, bits, bytes } = self;
                match bits {
                    $($width => pack::<$word, $lanes, $group, $width>(entries, bytes),)*
                    _ => pack_whole(entries, bytes),
                }
            }
        }

        impl WithSimd for Add<'_, $word> {
            type Output = ();

            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) {
                let Self { bytes, sum, bits } = self;
                match bits {
                    $($width => add::<$word, $lanes, $group, $width>(bytes, sum),)*
                    _ => add_whole(bytes, sum),
                }
            }
        }
    };
}

packed_word!(u32, 16, 32, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
packed_word!(u64, 8, 64,
    33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63);

impl Entries {
    /// Packs the lowest `bits` bits of each entry: 1 to 32 of a `u32`, 33 to 64 of a `u64`.
    pub(crate) fn pack<W: PackedWord>(entries: &[W], bits: u32) -> Self {
        let mut bytes = Vec::with_capacity(packed_bytes(entries.len(), bits));
        W::pack(entries, bits, &mut bytes);
        Self(bytes)
    }

    /// Adds entry by entry, modulo 2³² or 2⁶⁴. An error changes nothing.
    pub(crate) fn add_to<W: PackedWord>(&self, sum: &mut [W], bits: u32) -> Result<(), Malformed> {
        let (expected, got) = (packed_bytes(sum.len(), bits), self.0.len());
        if expected != got {
            return Err(Malformed::Length { expected, got });
        }
        let used = (sum.len() % 8).wrapping_mul(bits as usize) % 8;
        if used != 0 && self.0.last().is_some_and(|last| last.wrapping_shr(used as u32) != 0) {
            return Err(Malformed::Padding);
        }
        W::add(&self.0, sum, bits);
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

/// Entries that fill their words: whatever takes turns, they are in their order.
#[inline(always)]
fn pack_whole<W: Word>(entries: &[W], bytes: &mut Vec<u8>) {
    entries.iter().for_each(|entry| bytes.extend_from_slice(W::flatten(&[entry.to_le()])));
}

#[inline(always)]
fn add_whole<W: Word>(bytes: &[u8], sum: &mut [W]) {
    sum.iter_mut().zip(W::split(bytes)).for_each(|(total, entry)| *total = total.plus(W::from_le(*entry)));
}

#[inline(always)]
fn pack<W: Word, const LANES: usize, const GROUP: usize, const BITS: usize>(
    entries: &[W],
    bytes: &mut Vec<u8>,
) {
    let (rows, _) = entries.as_chunks::<LANES>();
    let (blocks, _) = rows.as_chunks::<GROUP>();
    for block in blocks {
        let words = pack_block::<W, LANES, GROUP, BITS>(block);
        bytes.extend_from_slice(W::flatten(words.map(|row| row.map(W::to_le)).as_flattened()));
    }
    // The rest is one string: blocks of a single lane.
    let rest = entries.get(in_blocks(entries.len())..).unwrap_or_default();
    let (groups, rest) = rest.as_chunks::<1>().0.as_chunks::<GROUP>();
    for group in groups {
        let words = pack_block::<W, 1, GROUP, BITS>(group);
        bytes.extend_from_slice(W::flatten(words.map(|row| row.map(W::to_le)).as_flattened()));
    }
    let mut last = [[W::default()]; GROUP];
    last.iter_mut().zip(rest).for_each(|(entry, given)| *entry = *given);
    let words = pack_block::<W, 1, GROUP, BITS>(&last).map(|row| row.map(W::to_le));
    bytes.extend(W::flatten(words.as_flattened()).iter().take(packed_bytes(rest.len(), BITS as u32)));
}

#[inline(always)]
fn add<W: Word, const LANES: usize, const GROUP: usize, const BITS: usize>(bytes: &[u8], sum: &mut [W]) {
    let blocks = in_blocks(sum.len());
    let (Some((sum, rest)), Some((bytes, tail))) =
        (sum.split_at_mut_checked(blocks), bytes.split_at_checked(packed_bytes(blocks, BITS as u32)))
    else {
        return;
    };
    let (packed, _) = W::split(bytes).as_chunks::<LANES>().0.as_chunks::<BITS>();
    let (rows, _) = sum.as_chunks_mut::<LANES>();
    let (blocks, _) = rows.as_chunks_mut::<GROUP>();
    for (block, packed) in blocks.iter_mut().zip(packed) {
        add_block::<W, LANES, GROUP, BITS>(block, packed);
    }
    add_rest::<W, GROUP, BITS>(tail, rest);
}

fn add_rest<W: Word, const GROUP: usize, const BITS: usize>(bytes: &[u8], sum: &mut [W]) {
    let (groups, rest) = sum.as_chunks_mut::<1>().0.as_chunks_mut::<GROUP>();
    let (packed, _) = W::split(bytes).as_chunks::<1>().0.as_chunks::<BITS>();
    for (group, packed) in groups.iter_mut().zip(packed) {
        add_block::<W, 1, GROUP, BITS>(group, packed);
    }
    let mut last = [[W::Bytes::default()]; BITS];
    let tail = bytes.get(packed_bytes(groups.len().saturating_mul(GROUP), BITS as u32)..).unwrap_or_default();
    let bytes = W::flatten_mut(last.as_flattened_mut());
    bytes.iter_mut().zip(tail).for_each(|(byte, given)| *byte = *given);
    let mut group = [[W::default()]; GROUP];
    add_block::<W, 1, GROUP, BITS>(&mut group, &last);
    let entries = group.as_flattened();
    rest.as_flattened_mut().iter_mut().zip(entries).for_each(|(total, entry)| *total = total.plus(*entry));
}

/// How many of so many entries are in whole blocks.
fn in_blocks(entries: usize) -> usize {
    entries.saturating_sub(entries % BLOCK)
}

#[inline(always)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "positions in a string are below 2¹³, BITS is 1 to the word's"
)]
fn pack_block<W: Word, const LANES: usize, const GROUP: usize, const BITS: usize>(
    entries: &[[W; LANES]; GROUP],
) -> [[W; LANES]; BITS] {
    let mut words = [[W::default(); LANES]; BITS];
    for (i, row) in entries.iter().enumerate() {
        let (word, shift) = (i * BITS / W::BITS, i * BITS % W::BITS);
        let row = row.map(|entry| entry & (W::ONES >> (W::BITS - BITS)));
        if let Some(low) = words.get_mut(word) {
            low.iter_mut().zip(row).for_each(|(low, entry)| *low = *low | entry << shift);
        }
        if let Some(high) = words.get_mut(word + 1) {
            // In two shifts, because one by all bits of a word is not defined.
            high.iter_mut()
                .zip(row)
                .for_each(|(high, entry)| *high = *high | (entry >> 1) >> (W::BITS - 1 - shift));
        }
    }
    words
}

#[inline(always)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "positions in a string are below 2¹³, BITS is 1 to the word's"
)]
fn add_block<W: Word, const LANES: usize, const GROUP: usize, const BITS: usize>(
    sum: &mut [[W; LANES]; GROUP],
    words: &[[W::Bytes; LANES]; BITS],
) {
    let zeros = [W::Bytes::default(); LANES];
    let at = |word: usize| words.get(word).copied().unwrap_or(zeros).map(W::from_le);
    for (i, totals) in sum.iter_mut().enumerate() {
        let (word, shift) = (i * BITS / W::BITS, i * BITS % W::BITS);
        for ((total, low), high) in totals.iter_mut().zip(at(word)).zip(at(word + 1)) {
            let entry = (low >> shift | (high << 1) << (W::BITS - 1 - shift)) & (W::ONES >> (W::BITS - BITS));
            *total = total.plus(entry);
        }
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
    PackedWord::add(packed, sum, bits);
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
    struct Vectors<W> {
        cases: Vec<Case<W>>,
    }

    #[derive(serde::Deserialize)]
    struct Case<W> {
        bits: u32,
        entries: Vec<W>,
        packed: String,
    }

    fn unpack<W: PackedWord>(packed: &Entries, length: usize, bits: u32) -> Result<Vec<W>, Malformed> {
        let mut entries = vec![W::default(); length];
        packed.add_to(&mut entries, bits).map(|()| entries)
    }

    fn check<W: PackedWord + PartialEq + std::fmt::Debug>(Vectors { cases }: Vectors<W>) -> usize {
        for Case { bits, entries, packed: expected } in &cases {
            let packed = Entries::pack(entries, *bits);
            assert_eq!(vectors::hex(&packed.0), *expected, "{bits} bits");
            assert_eq!(unpack::<W>(&packed, entries.len(), *bits).unwrap(), *entries, "{bits} bits");
        }
        cases.len()
    }

    #[test]
    fn known_answers() {
        assert_eq!(check::<u32>(vectors::read(include_str!("vectors/packing.json"))), 8);
        assert_eq!(check::<u64>(vectors::read(include_str!("vectors/packing_wide.json"))), 7);
    }

    #[test]
    fn travels_as_one_byte_string() {
        let mut bytes = Vec::new();
        ciborium::into_writer(&Entries::pack(&[1_u32, 0x7ff], 11), &mut bytes).unwrap();
        assert_eq!(bytes, [0x43, 0x01, 0xf8, 0x3f]);
        let back: Entries = ciborium::from_reader(bytes.as_slice()).unwrap();
        assert_eq!(unpack::<u32>(&back, 2, 11), Ok(vec![1, 0x7ff]));
    }

    #[test]
    fn row_16_other_lengths_and_set_padding_change_nothing() {
        let packed = Entries::pack(&[5_u32, 6, 7], 13);
        let mut sum = [1_u32, 2, 3];
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

    fn comes_back<W: PackedWord + PartialEq + std::fmt::Debug>(entries: &[W], start: &[W], bits: u32) {
        let packed = Entries::pack(entries, bits);
        assert_eq!(packed.bytes(), (entries.len() * bits as usize).div_ceil(8));
        let mask = W::ONES >> (W::BITS - bits as usize);
        let expected: Vec<W> = start.iter().zip(entries).map(|(s, e)| s.plus(*e & mask)).collect();
        let mut sum = start[..entries.len()].to_vec();
        packed.add_to(&mut sum, bits).unwrap();
        assert_eq!(sum, expected);
    }

    /// As the module's first lines say it, one bit at a time.
    fn is_as_specified<W: PackedWord>(entries: &[W], bits: u32) {
        let Entries(packed) = Entries::pack(entries, bits);
        let (bits, lanes) = (bits as usize, 512 / W::BITS);
        let is_set =
            |entry: Option<&W>, bit: usize| entry.is_some_and(|entry| (*entry >> bit).into() & 1 == 1);
        for j in 0..8 * packed.len() {
            let (block, within) = (j / (512 * bits), j % (512 * bits));
            let expected = if block < entries.len() / 512 {
                let (string, at) = (within / W::BITS % lanes, within / 512 * W::BITS + within % W::BITS);
                is_set(entries.get(512 * block + lanes * (at / bits) + string), at % bits)
            } else {
                let at = j - entries.len() / 512 * 512 * bits;
                is_set(entries.get(entries.len() / 512 * 512 + at / bits), at % bits)
            };
            assert_eq!(packed[j / 8] >> (j % 8) & 1 == 1, expected, "bit {j}");
        }
    }

    proptest! {
        #[test]
        fn every_width_and_length_comes_back(
            entries in vec(any::<u32>(), 0..1600), start in vec(any::<u32>(), 1600), bits in 1_u32..=32,
        ) {
            comes_back(&entries, &start, bits);
        }

        #[test]
        fn every_wide_width_and_length_comes_back(
            entries in vec(any::<u64>(), 0..1600), start in vec(any::<u64>(), 1600), bits in 33_u32..=64,
        ) {
            comes_back(&entries, &start, bits);
        }

        #[test]
        fn packed_as_specified(entries in vec(any::<u32>(), 1..1100), bits in 1_u32..=32) {
            is_as_specified(&entries, bits);
        }

        #[test]
        fn wide_entries_are_packed_as_specified(entries in vec(any::<u64>(), 1..1100), bits in 33_u32..=64) {
            is_as_specified(&entries, bits);
        }
    }
}
