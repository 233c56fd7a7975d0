//! The message that a secure join's fan-out gives to its collaborators, and its digest.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::codec::Codec;
use crate::error::{Result, StepError};
use crate::graph::{Broadcast, Value, open, wrong_type};
use crate::message::Message;

/// SHA-256 over a message in CBOR: what tells whether two sites were given the same.
///
/// The encoding is the one that travels. It is the same on every machine for what messages are made of here: maps and
/// sets are sorted, floats are written in their shortest exact form.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageDigest([u8; 32]);

impl MessageDigest {
    /// The digest of `message`.
    ///
    /// # Errors
    /// What its `Serialize` reports.
    pub fn of<M: Message>(message: &M) -> Result<Self> {
        let mut hash = Hash(Sha256::new_with_prefix(b"veilflow/message/1"));
        ciborium::into_writer(message, &mut hash)
            .map_err(|error| StepError::with_code("message-not-encoded", error))?;
        Ok(Self(hash.0.finalize().into()))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for MessageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageDigest({})", crate::schema::hex(&self.0, 8))
    }
}

/// Hashes what is written.
struct Hash(Sha256);

impl io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is done with the message of a fan-out whose type is erased.
#[derive(Clone, Copy)]
pub(crate) struct Carried {
    pub(crate) codec: Codec,
    pub(crate) share: fn(Value) -> Result<Broadcast>,
    pub(crate) digest: fn(&(dyn Any + Send + Sync)) -> Result<MessageDigest>,
}

impl Carried {
    pub(crate) fn of<M: Message>() -> Self {
        Self {
            codec: Codec::of::<M>(),
            share: |value| Ok(Arc::new(open::<M>(value)?)),
            digest: |message| MessageDigest::of(message.downcast_ref::<M>().ok_or_else(wrong_type::<M>)?),
        }
    }
}

/// A message as it was given, with its digest. Clones share both, and whoever asks first computes the digest; over a
/// network each site has a clone of its own, of what reached it.
#[derive(Clone)]
pub struct Given {
    message: Broadcast,
    carried: Carried,
    memo: Arc<OnceLock<MessageDigest>>,
}

impl Given {
    pub(crate) fn new(message: Broadcast, carried: Carried) -> Self {
        Self { message, carried, memo: Arc::default() }
    }

    /// The message that reached a site as these bytes.
    pub(crate) fn decode(bytes: impl io::Read, carried: Carried) -> Result<Self> {
        Ok(Self::new((carried.share)(carried.codec.decode(bytes)?)?, carried))
    }

    /// The message.
    pub fn message(&self) -> &Broadcast {
        &self.message
    }

    /// The message in CBOR, as it travels to a site.
    ///
    /// # Errors
    /// What its `Serialize` reports.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.carried.codec.encode(&*self.message)
    }

    /// Its digest.
    ///
    /// # Errors
    /// What the message's `Serialize` reports.
    pub fn digest(&self) -> Result<MessageDigest> {
        if let Some(digest) = self.memo.get() {
            return Ok(*digest);
        }
        let digest = (self.carried.digest)(&*self.message)?;
        Ok(*self.memo.get_or_init(|| digest))
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given").field("digest", &self.memo.get()).finish_non_exhaustive()
    }
}

/// A fan-out of a secure join that holds several messages.
#[derive(Debug, thiserror::Error)]
#[error(
    "the fan-out of a secure join holds several messages, although its type has one for all: the checkpoint that it was \
     read from is not what a step returned. Start the run anew"
)]
pub(crate) struct DifferentMessages;

impl DifferentMessages {
    pub(crate) const CODE: &'static str = "different-messages";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;

    #[test]
    fn a_digest_depends_on_the_content_and_is_computed_once() {
        let given =
            |values: &[f32]| Given::new(Arc::new(Tensor::vector(values.to_vec())), Carried::of::<Tensor>());
        let (one, other) = (given(&[1.0, 2.0]), given(&[1.0, 2.5]));
        let clone = one.clone();
        assert_eq!(one.digest().unwrap(), given(&[1.0, 2.0]).digest().unwrap());
        assert_ne!(one.digest().unwrap(), other.digest().unwrap());
        assert!(clone.memo.get().is_some(), "the clone has it too");
        assert!(Given::new(Arc::new(1_u8), Carried::of::<Tensor>()).digest().is_err());
    }
}
