//! How much a peer may ask of this process, and how it sends.

use std::time::Duration;

use super::packing::Compression;

/// How much a peer may ask of this process, and how it sends. The defaults suit a director with a few hundred envoys.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The most bytes of one message in a request.
    pub message_bytes: usize,
    /// The most connections at once.
    pub connections: usize,
    /// The most of them from one address.
    pub connections_per_address: usize,
    /// The most of them without a certificate: in their handshake, or to enrol.
    pub unauthenticated: usize,
    /// How long a connection without a certificate may last.
    pub unauthenticated_for: Duration,
    /// The most calls at once on one connection.
    pub streams: u32,
    /// The most bytes of a request's headers.
    pub header_bytes: u32,
    /// How long the TLS handshake may take, or at the dialling end the connection as a whole.
    pub handshake: Duration,
    /// How long a new connection may be without a request.
    pub first_request: Duration,
    /// How long one message of a request may take to arrive, once it is due.
    pub request: Duration,
    /// How often an idle connection is probed.
    pub keepalive: Duration,
    /// How long the answer to a probe may take.
    pub keepalive_timeout: Duration,
    /// How long calls may go on when the server shuts down.
    pub drain: Duration,
    /// How many messages wait for a peer that does not read before [`Outgoing::send`](super::Outgoing::send) waits.
    pub queue: usize,
    /// How this process sends chunks.
    pub compression: Compression,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 1024 * 1024,
            connections: 2048,
            connections_per_address: 512,
            unauthenticated: 256,
            unauthenticated_for: Duration::from_secs(600),
            streams: 64,
            header_bytes: 16 * 1024,
            handshake: Duration::from_secs(10),
            first_request: Duration::from_secs(10),
            request: Duration::from_secs(30),
            keepalive: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(5),
            queue: 64,
            compression: Compression::None,
        }
    }
}

/// The most bytes of one message in an answer.
pub(crate) const ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// How much of one stream may be on its way unread: a few chunks.
pub(crate) const STREAM_WINDOW: u32 = 4 * 1024 * 1024;

/// The same for all streams of a connection together.
pub(crate) const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// The largest frame that is taken.
pub(crate) const FRAME_BYTES: u32 = 256 * 1024;
