//! Messages in CBOR over gRPC, and large contents in chunks that are addressed by their hash.

pub mod messages;

/// The most bytes that travel inside a message. More go as chunks.
pub const INLINE_BYTES: usize = 64 * 1024;

/// The size of every chunk but the last of a content.
pub const CHUNK_BYTES: usize = 1024 * 1024;
