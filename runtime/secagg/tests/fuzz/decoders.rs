//! What is decoded from bytes of an attacker is refused or understood: no panic, and what is understood is what is
//! encoded again.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};

/// What crosses.
pub(crate) trait Message: Serialize + DeserializeOwned + PartialEq + Debug {}

impl<M: Serialize + DeserializeOwned + PartialEq + Debug> Message for M {}

/// Whether the bytes are such a message.
pub(crate) fn decode<M: Message>(bytes: &[u8]) -> bool {
    let Ok(message) = ciborium::from_reader::<M, _>(bytes) else { return false };
    let mut again = Vec::new();
    ciborium::into_writer(&message, &mut again).unwrap();
    assert!(ciborium::from_reader::<M, _>(again.as_slice()).unwrap() == message, "{message:?}");
    true
}
