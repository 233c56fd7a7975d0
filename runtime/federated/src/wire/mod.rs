//! Messages in CBOR over gRPC, and large contents in chunks that are addressed by their hash.
//!
//! A director [`serve`]s a [`DirectorService`]; envoys and clients [`dial`] it and call over the [`Connection`]. The
//! service is written out by hand on tonic's own machinery: there is no schema beside the messages. What a peer can make
//! this process hold is in [`Limits`] and [`Budget`]; each message is measured before it is read.

mod answer;
mod bounds;
mod census;
mod chunks;
mod codec;
mod cut;
mod dial;
mod error;
mod hash;
mod limits;
mod log;
mod memory;
pub mod messages;
mod method;
mod packing;
mod security;
mod serve;
mod service;
mod stream;
mod transfer;

pub use self::bounds::{MAX_DEPTH, Malformed};
pub use self::chunks::{Budget, Chunks, Party, Served, Usage};
pub use self::codec::{decode, encode};
pub use self::dial::{Connection, DEFAULT_PORT, dial};
pub use self::error::{Refusal, WireError};
pub use self::hash::hash_chunks;
pub use self::limits::Limits;
pub use self::log::{Incident, LogLine, Logger};
pub use self::method::Method;
pub use self::packing::{Compression, UnknownCompression};
pub use self::security::{Dialing, Security};
pub use self::serve::serve;
pub use self::service::{Caller, DirectorService};
pub use self::stream::{Gone, Incoming, NotQueued, Outgoing};
pub use self::transfer::Download;
pub use crate::pki::{EnrollReply, EnrollRequest, Peer, PendingRequest, Publication, Revocations, Role};

/// The most bytes that travel inside a message. More go as chunks.
pub const INLINE_BYTES: usize = 64 * 1024;

/// The size of every chunk but the last of a content.
pub const CHUNK_BYTES: usize = 1024 * 1024;
