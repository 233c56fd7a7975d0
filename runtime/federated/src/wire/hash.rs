//! Contents cut into chunks, and the chunks' addresses.

use std::fmt;

use bytes::Bytes;
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};

use super::error::WireError;
use super::messages::{ChunkHash, Content};
use super::{CHUNK_BYTES, INLINE_BYTES};

impl ChunkHash {
    /// The address of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for ChunkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The addresses of the chunks of these bytes: what [`Parcel::memo`](veilflow_engine::remote::Parcel::memo) keeps. None
/// where they are few enough to travel inside a message. About half a second for each GiB: not on an async thread.
pub fn hash_chunks(bytes: &[u8]) -> Vec<[u8; 32]> {
    if bytes.len() <= INLINE_BYTES {
        return Vec::new();
    }
    bytes.chunks(CHUNK_BYTES).map(|chunk| ChunkHash::of(chunk).0).collect()
}

impl Content {
    /// The content of these bytes, whose chunks have these [hashes](hash_chunks).
    pub fn new(bytes: &[u8], hashes: &[[u8; 32]]) -> Self {
        if bytes.len() <= INLINE_BYTES {
            return Content::Inline(ByteBuf::from(bytes));
        }
        Content::Chunks { bytes: bytes.len() as u64, chunks: hashes.iter().copied().map(ChunkHash).collect() }
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Content::Inline(bytes) => bytes.len() as u64,
            Content::Chunks { bytes, .. } => *bytes,
        }
    }

    /// The addresses of its chunks; none where it is inline.
    pub fn chunks(&self) -> &[ChunkHash] {
        match self {
            Content::Inline(_) => &[],
            Content::Chunks { chunks, .. } => chunks,
        }
    }

    /// Checks what a peer says of a content before anything is allocated for it.
    ///
    /// # Errors
    /// [`WireError::TooLarge`] and [`WireError::ChunkCount`].
    pub fn check(&self, max_bytes: u64) -> Result<(), WireError> {
        let bytes = self.bytes();
        if bytes > max_bytes {
            return Err(WireError::TooLarge { bytes, limit: max_bytes });
        }
        if let Content::Chunks { chunks, .. } = self {
            let expected = bytes.div_ceil(CHUNK_BYTES as u64);
            if expected != chunks.len() as u64 {
                return Err(WireError::ChunkCount { bytes, expected, got: chunks.len() });
            }
        }
        Ok(())
    }
}

/// The chunk of this number, without a copy.
pub(crate) fn chunk(bytes: &Bytes, number: usize) -> Bytes {
    let start = (number * CHUNK_BYTES).min(bytes.len());
    bytes.slice(start..(start + CHUNK_BYTES).min(bytes.len()))
}

/// How many bytes the chunk of this number has in a content of so many.
pub(crate) fn chunk_len(content_bytes: u64, number: usize) -> usize {
    let start = (number as u64).saturating_mul(CHUNK_BYTES as u64);
    usize::try_from(content_bytes.saturating_sub(start)).unwrap_or(usize::MAX).min(CHUNK_BYTES)
}
