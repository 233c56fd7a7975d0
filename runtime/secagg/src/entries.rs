//! A vector of entries as it travels: one byte string, four little-endian bytes per entry.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_bytes::ByteBuf;

/// Masked entries. In one process they are moved; serialized they are bytes, never a sequence of numbers.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Entries(Vec<u32>);

impl Entries {
    pub(crate) fn new(entries: Vec<u32>) -> Self {
        Self(entries)
    }

    pub(crate) fn as_slice(&self) -> &[u32] {
        &self.0
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entries({})", self.0.len())
    }
}

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = ByteBuf::deserialize(deserializer)?;
        let (entries, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(de::Error::invalid_length(bytes.len(), &"a whole number of 4-byte entries"));
        }
        Ok(Self(entries.iter().map(|entry| u32::from_le_bytes(*entry)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cbor(entries: &Entries) -> Vec<u8> {
        let mut bytes = Vec::new();
        ciborium::into_writer(entries, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn travels_as_one_byte_string() {
        let bytes = cbor(&Entries::new(vec![1, 0xffff_fffe]));
        assert_eq!(bytes, [0x48, 1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff]);
        let back: Entries = ciborium::from_reader(bytes.as_slice()).unwrap();
        assert_eq!(back.as_slice(), [1, 0xffff_fffe]);
    }

    #[test]
    fn rejects_a_broken_entry() {
        let bytes = [0x45, 1, 0, 0, 0, 0xfe];
        assert!(ciborium::from_reader::<Entries, _>(bytes.as_slice()).is_err());
    }
}
