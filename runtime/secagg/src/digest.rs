//! Digests that a caller gives: what the model was, and which input is masked.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use sha2::{Digest as _, Sha256};

use crate::transcript::{Transcript, domain, hash_fields};

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident, $domain:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(ByteArray<32>);

        impl $name {
            /// A digest that was made elsewhere.
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(ByteArray::new(bytes))
            }

            /// SHA-256 over the parts, each with its length, in this type's own domain.
            pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
                Self::from_bytes(hash_fields($domain, parts))
            }

            /// The digest's bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        /// The first four bytes in hexadecimal, enough to tell two apart in a message.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
                write!(f, "…")
            }
        }
    };
}

digest_type! {
    /// H(model): what the server broadcast before this session. Pair masks are derived with it, so the masks of clients
    /// that were given different models do not cancel (`SECURITY.md`, row 1).
    ModelDigest, domain!("model")
}

digest_type! {
    /// Which input a client masks, for its [`InputJournal`](crate::InputJournal) (`SECURITY.md`, row 6).
    ///
    /// Two attempts to have the *same* update summed must give the same id, whatever the server calls the session:
    /// make it from what the site knows, such as the step's path, the loop counters and H(model).
    InputId, domain!("input")
}

impl ModelDigest {
    /// The digest of a model given as numbers in a fixed order, over their little-endian bytes.
    pub fn of_f32(values: &[f32]) -> Self {
        let mut hash = Sha256::new_with_prefix(Transcript::new(domain!("model-f32")).as_bytes());
        let mut buffer = Vec::with_capacity(4096);
        for chunk in values.chunks(1024) {
            buffer.clear();
            chunk.iter().for_each(|value| buffer.extend_from_slice(&value.to_le_bytes()));
            hash.update(&buffer);
        }
        Self::from_bytes(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_separate_kinds_and_contents() {
        let parts: [&[u8]; 1] = [b"x"];
        assert_ne!(ModelDigest::of_parts(parts).as_bytes(), InputId::of_parts(parts).as_bytes());
        assert_ne!(ModelDigest::of_f32(&[0.0]), ModelDigest::of_f32(&[0.0, 0.0]));
        assert_ne!(
            ModelDigest::of_f32(&[0.0]),
            ModelDigest::of_f32(&[-0.0]),
            "the bytes count, not the value"
        );
        assert_eq!(ModelDigest::of_f32(&[1.5; 3000]), ModelDigest::of_f32(&[1.5; 3000]));
    }
}
