//! Random bits for the noise. They come from the operating system, never from a run's seed: whoever knows the noise
//! can take it off.

use std::convert::Infallible;

use aes::Aes128;
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use rand::{TryCryptoRng, TryRng};
use zeroize::Zeroizing;

use crate::error::Error;

/// Bytes that are drawn together; they stay in the first-level cache.
const BUFFER: usize = 4096;

/// AES-128-CTR under a fresh key and counter of the operating system's, key and buffer zeroized: it is what the masks
/// are made of and needs no other package, while the generators of `rand` are not zeroized.
pub(crate) struct NoiseSource {
    cipher: Ctr128BE<Aes128>,
    buffer: Zeroizing<[u8; BUFFER]>,
    used: usize,
}

impl NoiseSource {
    pub(crate) fn from_system() -> Result<Self, Error> {
        let mut seed = Zeroizing::new([0; 32]);
        rand::rngs::SysRng.try_fill_bytes(&mut *seed).map_err(|_| Error::NoEntropy)?;
        let (key, counter) = seed.split_at(16);
        let cipher = Ctr128BE::<Aes128>::new_from_slices(key, counter)
            .map_err(|_| Error::Internal { operation: "noise key" })?;
        Ok(Self { cipher, buffer: Zeroizing::new([0; BUFFER]), used: BUFFER })
    }

    fn next<const BYTES: usize>(&mut self) -> [u8; BYTES] {
        if let Some((bytes, _)) = self.buffer.get(self.used..).and_then(|rest| rest.split_first_chunk()) {
            self.used = self.used.wrapping_add(BYTES);
            return *bytes;
        }
        self.buffer.fill(0);
        self.cipher.apply_keystream(&mut *self.buffer);
        self.used = BYTES;
        // The buffer is longer than any number that is drawn.
        self.buffer.first_chunk().copied().unwrap_or([0; BYTES])
    }
}

impl TryRng for NoiseSource {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.next()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.next()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.iter_mut().for_each(|byte| [*byte] = self.next());
        Ok(())
    }
}

impl TryCryptoRng for NoiseSource {}

#[cfg(test)]
mod tests {
    use rand::Rng as _;

    use super::*;

    #[test]
    fn each_source_is_another_and_no_word_comes_twice() {
        let mut sources = [NoiseSource::from_system().unwrap(), NoiseSource::from_system().unwrap()];
        let mut words: Vec<u64> = sources
            .iter_mut()
            .flat_map(|source| (0..3 * BUFFER / 8).map(|_| source.next_u64()).collect::<Vec<_>>())
            .collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), 6 * BUFFER / 8);
    }

    /// Words of four, eight and one bytes from one stream: none of them is empty, and none is drawn twice.
    #[test]
    fn all_widths_draw_from_one_stream() {
        let mut source = NoiseSource::from_system().unwrap();
        let mut bytes = [0; 5];
        for _ in 0..BUFFER {
            assert_ne!((source.next_u64(), source.next_u64()), (0, 0));
            assert_ne!([source.next_u32(), source.next_u32(), source.next_u32(), source.next_u32()], [0; 4]);
            source.fill_bytes(&mut bytes);
        }
        assert_ne!(bytes, [0; 5]);
    }
}
