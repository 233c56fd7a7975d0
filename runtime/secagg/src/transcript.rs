//! Unambiguous byte strings for hashes, key derivation and associated data.
//!
//! Each field is preceded by its length (8 bytes, big-endian), so no two lists of fields give the same bytes; the
//! first field is always a domain, so no two uses do either.

use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

use crate::{
    defences::{Defence, stands},
    session::Session,
};

/// Every domain of this crate starts with this; a change of any encoding changes the version in it.
macro_rules! domain {
    ($name:literal) => {
        concat!("veilflow/secagg/v1/", $name)
    };
}
pub(crate) use domain;

/// Bytes that all fields find room in unless names are very long: what is secret among them is not moved, which would
/// leave a copy behind.
const ROOM: usize = 512;

/// A list of fields, encoded as it grows.
#[derive(Clone)]
pub(crate) struct Transcript(Vec<u8>);

impl Transcript {
    pub(crate) fn new(domain: &str) -> Self {
        Self(Vec::with_capacity(ROOM)).bytes(domain.as_bytes())
    }

    pub(crate) fn bytes(mut self, field: &[u8]) -> Self {
        self.0.extend_from_slice(&length_prefix(field));
        self.0.extend_from_slice(field);
        self
    }

    pub(crate) fn text(self, field: &str) -> Self {
        self.bytes(field.as_bytes())
    }

    pub(crate) fn int(self, field: u64) -> Self {
        self.bytes(&field.to_be_bytes())
    }

    pub(crate) fn session(self, session: &Session) -> Self {
        if !stands(Defence::SessionBinding) {
            return self;
        }
        self.bytes(session.id()).int(session.round()).int(u64::from(session.attempt()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    /// For fields that are secret: no copy of them stays behind.
    pub(crate) fn hash_and_wipe(mut self) -> [u8; 32] {
        let digest = self.hash();
        self.0.zeroize();
        digest
    }
}

/// Hashes fields of any length without holding them in one buffer; equal to [`Transcript::hash`] of the same fields.
pub(crate) fn hash_fields<'a>(domain: &str, fields: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(Transcript::new(domain).as_bytes());
    for field in fields {
        hash.update(length_prefix(field));
        hash.update(field);
    }
    hash.finalize().into()
}

/// A field's length as it precedes the field.
pub(crate) fn length_prefix(field: &[u8]) -> [u8; 8] {
    // A slice never holds more than `isize::MAX` bytes, so this is exact on every target.
    (field.len() as u64).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cannot_slide_into_each_other() {
        let ab_c = Transcript::new("d").text("ab").text("c");
        let a_bc = Transcript::new("d").text("a").text("bc");
        assert_ne!(ab_c.as_bytes(), a_bc.as_bytes());
        assert_ne!(Transcript::new("dx").hash(), Transcript::new("d").text("x").hash());
    }

    #[test]
    fn streaming_hash_is_the_same_hash() {
        let fields: [&[u8]; 3] = [b"", b"one", b"two"];
        let whole = fields.iter().fold(Transcript::new("d"), |t, f| t.bytes(f));
        assert_eq!(whole.hash(), hash_fields("d", fields));
    }
}
