//! Masks: the keystream of AES-128-CTR, as little-endian words of 32 bits, modulo 2³², or of 64, modulo 2⁶⁴.
//!
//! A derived key is 32 bytes: 16 for AES and 16 for the first counter block, so that one precomputed table does not
//! serve against many masks. The plan's modulus divides that of the words, so they may be reduced once, after all masks.

use std::num::NonZeroUsize;

use aes::Aes128;
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit as _, StreamCipher as _, StreamCipherSeek as _},
};
use pulp::{Arch, Simd, WithSimd};
use zeroize::{DefaultIsZeroes, Zeroizing};

use crate::{error::Error, words::Word};

/// Whether a mask is put on or taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    Plus,
    Minus,
}

impl Sign {
    /// Of the two who share a mask the first by name adds it and the second subtracts it.
    pub(crate) fn of_pair(me: &str, other: &str) -> Self {
        if me < other { Self::Plus } else { Self::Minus }
    }

    /// The sign that takes a mask off again.
    pub(crate) fn opposite(self) -> Self {
        match self {
            Self::Plus => Self::Minus,
            Self::Minus => Self::Plus,
        }
    }
}

/// Bytes of entries that are finished, under all masks, before the next ones are touched: with as much keystream they
/// stay in the first-level cache, whatever the vector's length and the number of masks.
const TILE: usize = 4096;

/// Entries of a tile.
const fn tile<W: Word>() -> usize {
    match TILE.checked_div(size_of::<W>()) {
        Some(entries) => entries,
        None => TILE,
    }
}

/// A mask's key, and whether it is put on or taken off.
pub(crate) type Mask = (Zeroizing<[u8; 32]>, Sign);

/// Expands the mask of `key` and adds it to, or subtracts it from, `entries`.
pub(crate) fn apply<W: Word>(entries: &mut [W], key: &[u8; 32], sign: Sign) -> Result<(), Error> {
    apply_streams(entries, &mut [(stream(key)?, sign)])
}

/// [`apply`] for many masks at once: each entry is read and written once.
pub(crate) fn apply_all<W: Word>(entries: &mut [W], masks: &[Mask]) -> Result<(), Error> {
    let streams: Result<Vec<_>, Error> = masks.iter().map(|(key, sign)| Ok((stream(key)?, *sign))).collect();
    apply_streams(entries, &mut streams?)
}

/// [`apply_all`] with up to so many threads, each with its own part of the vector. The result is the same for any
/// number.
pub(crate) fn apply_all_parallel<W: Word>(
    entries: &mut [W],
    masks: &[Mask],
    threads: NonZeroUsize,
) -> Result<(), Error> {
    // Whole tiles, so that every part starts where a block of the cipher does.
    let tiles = entries.len().div_ceil(tile::<W>()).div_ceil(threads.get()).max(1);
    let part = tiles.saturating_mul(tile::<W>());
    if entries.len() <= part {
        return apply_all(entries, masks);
    }
    std::thread::scope(|scope| {
        let parts = entries.chunks_mut(part).enumerate().map(|(number, entries)| {
            let first = number.saturating_mul(part);
            scope.spawn(move || apply_from(entries, masks, first))
        });
        // All are started before the first is waited for.
        let parts: Vec<_> = parts.collect();
        parts
            .into_iter()
            .try_for_each(|part| part.join().map_err(|_| Error::Internal { operation: "mask thread" })?)
    })
}

/// [`apply_all`] to a part of a vector that starts at entry `first`.
fn apply_from<W: Word>(entries: &mut [W], masks: &[Mask], first: usize) -> Result<(), Error> {
    let position = (first as u64).saturating_mul(W::BYTES as u64);
    let skipped = |(key, sign): &Mask| {
        let mut stream = stream(key)?;
        stream.try_seek(position).map_err(|_| Error::Internal { operation: "mask position" })?;
        Ok((stream, *sign))
    };
    let streams: Result<Vec<_>, Error> = masks.iter().map(skipped).collect();
    apply_streams(entries, &mut streams?)
}

pub(crate) type Stream = Ctr128BE<Aes128>;

pub(crate) fn stream(key: &[u8; 32]) -> Result<Stream, Error> {
    let (aes_key, counter) = key.split_at(16);
    Stream::new_from_slices(aes_key, counter).map_err(|_| Error::Internal { operation: "mask key" })
}

/// The next bytes of a stream. Never inlined, so that a program has one such loop: compilers make it twice as fast in one
/// place as in another.
#[inline(never)]
pub(crate) fn write_keystream(stream: &mut Stream, bytes: &mut [u8]) -> Result<(), Error> {
    stream.try_write_keystream(bytes).map_err(|_| Error::Internal { operation: "mask keystream" })
}

/// A tile's worth of keystream, erased in one piece: an array of bytes would be erased byte by byte.
#[derive(Clone, Copy)]
struct Keystream([[u8; 16]; TILE / 16]);

impl Default for Keystream {
    fn default() -> Self {
        Self([[0; 16]; TILE / 16])
    }
}

impl DefaultIsZeroes for Keystream {}

/// One keystream onto a tile, with the widest vectors that the processor has.
struct Combine<'a, W: Word> {
    entries: &'a mut [W],
    words: &'a [W::Bytes],
    sign: Sign,
}

impl<W: Word> WithSimd for Combine<'_, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let pairs = self.entries.iter_mut().zip(self.words);
        match self.sign {
            Sign::Plus => pairs.for_each(|(entry, word)| *entry = entry.plus(W::from_le(*word))),
            Sign::Minus => pairs.for_each(|(entry, word)| *entry = entry.minus(W::from_le(*word))),
        }
    }
}

fn apply_streams<W: Word>(entries: &mut [W], streams: &mut [(Stream, Sign)]) -> Result<(), Error> {
    let arch = Arch::new();
    let mut keystream = Zeroizing::new(Keystream::default());
    for tile in entries.chunks_mut(tile::<W>()) {
        let bytes = keystream.0.as_flattened_mut();
        let used = size_of_val(tile);
        let bytes = bytes.split_at_mut_checked(used).map_or(&mut [][..], |(used, _)| used);
        for (stream, sign) in &mut *streams {
            write_keystream(stream, bytes)?;
            arch.dispatch(Combine { entries: &mut *tile, words: W::split(bytes), sign: *sign });
        }
    }
    Ok(())
}

/// What one mask costs, for the benchmark beside this crate.
#[doc(hidden)]
pub fn expand_mask_and_add(entries: &mut [u32], key: &[u8; 32]) -> Result<(), Error> {
    apply(entries, key, Sign::Plus)
}

/// What many masks cost, for the benchmark beside this crate.
#[doc(hidden)]
pub fn expand_masks_and_add(
    entries: &mut [u32],
    keys: &[[u8; 32]],
    threads: NonZeroUsize,
) -> Result<(), Error> {
    let masks: Vec<Mask> = keys.iter().map(|key| (Zeroizing::new(*key), Sign::Plus)).collect();
    apply_all_parallel(entries, &masks, threads)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vectors;

    #[derive(serde::Deserialize)]
    struct Vectors<W> {
        cases: Vec<Case<W>>,
    }

    #[derive(serde::Deserialize)]
    struct Case<W> {
        key: String,
        first_entry: usize,
        entries: Vec<W>,
    }

    fn check<W: Word + PartialEq + std::fmt::Debug>(Vectors { cases }: Vectors<W>) -> usize {
        for case in &cases {
            let mut entries = vec![W::default(); case.first_entry + case.entries.len()];
            apply(&mut entries, &vectors::bytes(&case.key), Sign::Plus).unwrap();
            assert_eq!(entries[case.first_entry..], case.entries, "{} from {}", case.key, case.first_entry);
        }
        cases.len()
    }

    #[test]
    fn row_07_known_answers() {
        assert_eq!(check::<u32>(vectors::read(include_str!("vectors/mask.json"))), 4);
        assert_eq!(check::<u64>(vectors::read(include_str!("vectors/mask_wide.json"))), 4);
    }

    #[test]
    fn one_of_a_pair_adds_what_the_other_subtracts() {
        assert_eq!(Sign::of_pair("a", "b"), Sign::Plus);
        assert_eq!(Sign::of_pair("b", "a"), Sign::of_pair("a", "b").opposite());
    }

    fn cancels<W: Word + PartialEq + std::fmt::Debug>(key: &[u8; 32], entries: &[W]) {
        let mut masked = entries.to_vec();
        apply(&mut masked, key, Sign::Plus).unwrap();
        assert!(entries.len() < 8 || masked != entries);
        apply(&mut masked, key, Sign::Minus).unwrap();
        assert_eq!(masked, entries);
    }

    fn is_one_after_the_other<W: Word + PartialEq + std::fmt::Debug>(
        keys: &[([u8; 32], bool)],
        length: usize,
        threads: usize,
    ) {
        let sign = |plus| if plus { Sign::Plus } else { Sign::Minus };
        let masks: Vec<Mask> = keys.iter().map(|(key, plus)| (Zeroizing::new(*key), sign(*plus))).collect();
        let start = vec![W::truncate(7); length];
        let mut expected = start.clone();
        for (key, sign) in &masks {
            apply(&mut expected, key, *sign).unwrap();
        }
        let mut together = start.clone();
        apply_all(&mut together, &masks).unwrap();
        assert_eq!(together, expected);
        let mut parallel = start;
        apply_all_parallel(&mut parallel, &masks, NonZeroUsize::new(threads).unwrap()).unwrap();
        assert_eq!(parallel, expected);
    }

    proptest! {
        #[test]
        fn masks_cancel(key: [u8; 32], entries in proptest::collection::vec(any::<u64>(), 0..5000)) {
            cancels(&key, &entries);
            cancels(&key, &entries.iter().map(|entry| u32::truncate(*entry)).collect::<Vec<_>>());
        }

        #[test]
        fn many_masks_at_once_are_one_after_the_other(
            keys in proptest::collection::vec(any::<([u8; 32], bool)>(), 0..6),
            length in prop_oneof![0_usize..20, 1000_usize..10_000],
            threads in 1_usize..6,
        ) {
            is_one_after_the_other::<u32>(&keys, length, threads);
            is_one_after_the_other::<u64>(&keys, length, threads);
        }

        #[test]
        fn a_longer_mask_starts_with_the_shorter_one(key: [u8; 32], short in 0_usize..4200, more in 0_usize..4200) {
            let mask = |length| {
                let mut entries = vec![0_u32; length];
                apply(&mut entries, &key, Sign::Plus).unwrap();
                entries
            };
            prop_assert_eq!(&mask(short + more)[..short], &mask(short)[..]);
        }
    }
}
