//! Secret bytes that are erased in one piece: an array is erased byte by byte, which for the many shares of a session
//! takes longer than anything else that is done with them.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use zeroize::DefaultIsZeroes;

/// As it travels, a string of N bytes. Whoever holds it erases it: in `Zeroizing`, or in its own `Drop`.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Erasable<const N: usize>(ByteArray<N>);

impl<const N: usize> Erasable<N> {
    pub(crate) fn new(bytes: [u8; N]) -> Self {
        Self(ByteArray::new(bytes))
    }
}

impl<const N: usize> Default for Erasable<N> {
    fn default() -> Self {
        Self::new([0; N])
    }
}

impl<const N: usize> DefaultIsZeroes for Erasable<N> {}

impl<const N: usize> Deref for Erasable<N> {
    type Target = [u8; N];

    fn deref(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> DerefMut for Erasable<N> {
    fn deref_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroize as _;

    use super::*;

    #[test]
    fn erased_is_zeros() {
        let mut bytes = Erasable::new([7; 64]);
        assert_eq!(*bytes, [7; 64]);
        bytes.zeroize();
        assert_eq!(*bytes, [0; 64]);
    }
}
