//! Where every secret of this crate comes from: the operating system's generator, and nowhere else.
//!
//! In this crate's own tests, and only there, a run can be given fixed randomness, so that a whole session has known
//! answers.

#[cfg(not(test))]
pub(crate) use rand::rngs::SysRng as Generator;

#[cfg(test)]
pub(crate) use fixed::{Generator, with_fixed};

#[cfg(test)]
mod fixed {
    use std::cell::RefCell;

    use rand::{
        TryCryptoRng, TryRng,
        rngs::{SysError, SysRng},
    };

    use crate::transcript::hash_fields;

    /// Block i is SHA-256 of the fields "veilflow/secagg/test-generator", seed (8 bytes) and i (8 bytes), as a
    /// transcript writes them. Each request takes whole blocks, and the rest of the last one is lost.
    struct Blocks {
        seed: u64,
        next: u64,
    }

    impl Blocks {
        fn fill(&mut self, bytes: &mut [u8]) {
            for part in bytes.chunks_mut(32) {
                let (seed, number) = (self.seed.to_be_bytes(), self.next.to_be_bytes());
                let block = hash_fields("veilflow/secagg/test-generator", [&seed[..], &number[..]]);
                part.copy_from_slice(&block[..part.len()]);
                self.next += 1;
            }
        }
    }

    thread_local! {
        static FIXED: RefCell<Option<Blocks>> = const { RefCell::new(None) };
    }

    /// The operating system's generator, or the fixed blocks of the test that runs in this thread.
    pub(crate) struct Generator;

    impl TryRng for Generator {
        type Error = SysError;

        fn try_next_u32(&mut self) -> Result<u32, SysError> {
            let mut bytes = [0; 4];
            self.try_fill_bytes(&mut bytes)?;
            Ok(u32::from_le_bytes(bytes))
        }

        fn try_next_u64(&mut self) -> Result<u64, SysError> {
            let mut bytes = [0; 8];
            self.try_fill_bytes(&mut bytes)?;
            Ok(u64::from_le_bytes(bytes))
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), SysError> {
            FIXED.with_borrow_mut(|fixed| match fixed {
                Some(blocks) => {
                    blocks.fill(bytes);
                    Ok(())
                }
                None => SysRng.try_fill_bytes(bytes),
            })
        }
    }

    impl TryCryptoRng for Generator {}

    /// Runs a test, in this thread, with the same randomness each time.
    pub(crate) fn with_fixed<T>(seed: u64, test: impl FnOnce() -> T) -> T {
        struct Restore;
        impl Drop for Restore {
            fn drop(&mut self) {
                FIXED.set(None);
            }
        }
        let _restore = Restore;
        FIXED.set(Some(Blocks { seed, next: 0 }));
        test()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::TryRng as _;

    fn draw() -> [u8; 48] {
        let mut bytes = [0; 48];
        Generator.try_fill_bytes(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn row_07_fixed_randomness_ends_with_its_test() {
        assert_eq!(with_fixed(1, draw), with_fixed(1, draw));
        assert_ne!(with_fixed(1, draw), with_fixed(2, draw));
        let (first, second) = with_fixed(1, || (draw(), draw()));
        assert_ne!(first, second);
        assert_ne!(draw(), draw());
    }
}
