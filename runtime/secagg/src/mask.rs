//! Masks: the keystream of AES-128-CTR, as little-endian 32-bit words, modulo 2³².
//!
//! A derived key is 32 bytes: 16 for AES and 16 for the first counter block, so that one precomputed table does not
//! serve against many masks. The plan's modulus divides 2³², so words may be reduced once, after all masks.

use aes::Aes128;
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use zeroize::Zeroizing;

use crate::error::Error;

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

/// Keystream is made in pieces that stay in the first-level cache, whatever the vector's length.
const TILE_BYTES: usize = 8 * 1024;

/// Expands the mask of `key` and adds it to, or subtracts it from, `entries`.
pub(crate) fn apply(entries: &mut [u32], key: &[u8; 32], sign: Sign) -> Result<(), Error> {
    let (aes_key, counter) = key.split_at(16);
    let mut stream = Ctr128BE::<Aes128>::new_from_slices(aes_key, counter)
        .map_err(|_| Error::Internal { operation: "mask key" })?;
    let mut tile = Zeroizing::new([0_u8; TILE_BYTES]);
    for chunk in entries.chunks_mut(TILE_BYTES / 4) {
        let (words, _) = tile.as_chunks_mut::<4>();
        let words = words.split_at_mut_checked(chunk.len()).map_or(&mut [][..], |(used, _)| used);
        stream.write_keystream(words.as_flattened_mut());
        match sign {
            Sign::Plus => combine(chunk, words, u32::wrapping_add),
            Sign::Minus => combine(chunk, words, u32::wrapping_sub),
        }
    }
    Ok(())
}

/// What one mask costs, for the benchmark beside this crate.
#[doc(hidden)]
pub fn expand_mask_and_add(entries: &mut [u32], key: &[u8; 32]) -> Result<(), Error> {
    apply(entries, key, Sign::Plus)
}

fn combine(entries: &mut [u32], words: &[[u8; 4]], operation: impl Fn(u32, u32) -> u32) {
    for (entry, word) in entries.iter_mut().zip(words) {
        *entry = operation(*entry, u32::from_le_bytes(*word));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vectors;

    #[derive(serde::Deserialize)]
    struct Vectors {
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        key: String,
        first_entry: usize,
        entries: Vec<u32>,
    }

    #[test]
    fn row_07_known_answers() {
        let vectors: Vectors = vectors::read(include_str!("vectors/mask.json"));
        assert_eq!(vectors.cases.len(), 4);
        for case in vectors.cases {
            let mut entries = vec![0; case.first_entry + case.entries.len()];
            apply(&mut entries, &vectors::bytes(&case.key), Sign::Plus).unwrap();
            assert_eq!(entries[case.first_entry..], case.entries, "{} from {}", case.key, case.first_entry);
        }
    }

    #[test]
    fn one_of_a_pair_adds_what_the_other_subtracts() {
        assert_eq!(Sign::of_pair("a", "b"), Sign::Plus);
        assert_eq!(Sign::of_pair("b", "a"), Sign::of_pair("a", "b").opposite());
    }

    proptest! {
        #[test]
        fn masks_cancel(key: [u8; 32], entries in proptest::collection::vec(any::<u32>(), 0..5000)) {
            let mut masked = entries.clone();
            apply(&mut masked, &key, Sign::Plus).unwrap();
            prop_assert!(entries.len() < 8 || masked != entries);
            apply(&mut masked, &key, Sign::Minus).unwrap();
            prop_assert_eq!(masked, entries);
        }

        #[test]
        fn a_longer_mask_starts_with_the_shorter_one(key: [u8; 32], short in 0_usize..4200, more in 0_usize..4200) {
            let mask = |length| {
                let mut entries = vec![0; length];
                apply(&mut entries, &key, Sign::Plus).unwrap();
                entries
            };
            prop_assert_eq!(&mask(short + more)[..short], &mask(short)[..]);
        }
    }
}
