//! What an entry is kept in: 32 bits where the modulus is at most 2³², 64 above.
//!
//! The modulus divides 2^32, or 2^64, so sums and masks may wrap around in a word and be reduced once, at the end.

use std::ops::{BitAnd, BitOr, Shl, Shr};

use zeroize::Zeroize;

use crate::{
    entries::{Entries, Malformed},
    error::Error,
    mask::{self, Mask},
};

/// `u32` or `u64`. Everything that differs between the two is here, in [`PackedWord`](crate::entries::PackedWord)
/// and in [`RoundedWord`](crate::quantize::RoundedWord).
pub(crate) trait Word:
    Copy
    + Default
    + Send
    + Sync
    + Zeroize
    + Into<u64>
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + Shl<usize, Output = Self>
    + Shr<usize, Output = Self>
{
    /// Bits of a word.
    const BITS: usize;
    /// Bytes of a word.
    const BYTES: usize;
    /// A word without zeros.
    const ONES: Self;
    /// A word as it travels.
    type Bytes: Copy + Default;

    fn from_le(bytes: Self::Bytes) -> Self;
    fn to_le(self) -> Self::Bytes;
    /// Whole words of a string of bytes.
    fn split(bytes: &[u8]) -> &[Self::Bytes];
    fn flatten(words: &[Self::Bytes]) -> &[u8];
    fn flatten_mut(words: &mut [Self::Bytes]) -> &mut [u8];
    /// The lowest bits.
    fn truncate(value: u64) -> Self;
    /// Modulo 2 to the number of bits, as [`minus`](Self::minus).
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    /// `self − other` where both are sums of entries, as a floating-point number.
    fn difference(self, other: u64) -> f64;
    fn collect(words: Vec<Self>) -> Words;
}

macro_rules! word {
    ($word:ident, $variant:ident, |$one:ident, $other:ident| $difference:expr) => {
        impl Word for $word {
            const BITS: usize = $word::BITS as usize;
            const BYTES: usize = size_of::<$word>();
            const ONES: Self = $word::MAX;
            type Bytes = [u8; size_of::<$word>()];

            #[inline(always)]
            fn from_le(bytes: Self::Bytes) -> Self {
                $word::from_le_bytes(bytes)
            }

            #[inline(always)]
            fn to_le(self) -> Self::Bytes {
                self.to_le_bytes()
            }

            fn split(bytes: &[u8]) -> &[Self::Bytes] {
                bytes.as_chunks().0
            }

            fn flatten(words: &[Self::Bytes]) -> &[u8] {
                words.as_flattened()
            }

            fn flatten_mut(words: &mut [Self::Bytes]) -> &mut [u8] {
                words.as_flattened_mut()
            }

            #[inline(always)]
            fn truncate(value: u64) -> Self {
                value as $word
            }

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            #[inline(always)]
            fn difference(self, other: u64) -> f64 {
                let ($one, $other) = (self, other);
                $difference
            }

            fn collect(words: Vec<Self>) -> Words {
                Words::$variant(words)
            }
        }
    };
}

// Integers below 2³³ are exact in f64, and so is their difference.
word!(u32, Narrow, |one, other| f64::from(one) - other as f64);
// Exact in 64 bits; rounded once, where it has more than 53.
word!(u64, Wide, |one, other| one.wrapping_sub(other).cast_signed() as f64);

/// The entries of one vector or of a sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// Up to 32 bits an entry.
    Narrow(Vec<u32>),
    /// Up to 64.
    Wide(Vec<u64>),
}

/// Runs the same expression for either vector.
macro_rules! either {
    ($words:expr, $vector:ident => $result:expr) => {
        match $words {
            Words::Narrow($vector) => $result,
            Words::Wide($vector) => $result,
        }
    };
}
pub(crate) use either;

impl Words {
    /// So many zeros, for entries of so many bits.
    pub(crate) fn zeros(length: usize, bits: u32) -> Self {
        if bits <= u32::BITS { Self::Narrow(vec![0; length]) } else { Self::Wide(vec![0; length]) }
    }

    pub(crate) fn len(&self) -> usize {
        either!(self, words => words.len())
    }

    /// The entries, whatever they are kept in.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        (0..self.len()).map(|index| either!(self, words => words.get(index).copied().map_or(0, Into::into)))
    }

    /// Adds entry by entry.
    pub(crate) fn add(&mut self, other: &Self) -> Result<(), Error> {
        fn add<W: Word>(sum: &mut [W], entries: &[W]) {
            sum.iter_mut().zip(entries).for_each(|(total, entry)| *total = total.plus(*entry));
        }
        match (self, other) {
            (Self::Narrow(sum), Self::Narrow(entries)) => add(sum, entries),
            (Self::Wide(sum), Self::Wide(entries)) => add(sum, entries),
            _ => return Err(Error::Internal { operation: "sum of different words" }),
        }
        Ok(())
    }

    /// Puts masks on the entries from `first` on, or takes them off, in up to so many threads.
    pub(crate) fn apply(
        &mut self,
        first: usize,
        masks: &[Mask],
        threads: std::num::NonZeroUsize,
    ) -> Result<(), Error> {
        either!(self, words => {
            mask::apply_all_parallel(words.get_mut(first..).unwrap_or_default(), masks, threads)
        })
    }

    pub(crate) fn pack(&self, bits: u32) -> Entries {
        either!(self, words => Entries::pack(words, bits))
    }

    /// Adds a vector that arrived. An error changes nothing.
    pub(crate) fn add_packed(&mut self, entries: &Entries, bits: u32) -> Result<(), Malformed> {
        either!(self, words => entries.add_to(words, bits))
    }
}

impl Zeroize for Words {
    fn zeroize(&mut self) {
        either!(self, words => words.zeroize());
    }
}
