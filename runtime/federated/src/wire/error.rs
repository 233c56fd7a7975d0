//! What goes wrong between two ends, and what one end tells the other of it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tonic::{Code, Status};
use veilflow_spec::{Fingerprint, Name};

use super::codec;
use super::messages::ChunkHash;

/// A director's refusal of a call. It crosses whole, so that the other side can act on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody known calls: no certificate, or none that counts.
    #[error("not authenticated: {0}")]
    Unauthenticated(String),
    /// Somebody known calls who may not do this.
    #[error("not allowed: {0}")]
    Denied(String),
    /// What is asked for is not there.
    #[error("not found: {0}")]
    Unknown(String),
    /// What is asked for makes no sense.
    #[error("invalid: {0}")]
    Invalid(String),
    /// Bytes that are no message of this kind.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// The other end speaks another version.
    #[error(
        "the director speaks version {director} of the protocol, this program {yours}: install the same release"
    )]
    Protocol {
        /// The director's.
        director: u32,
        /// The caller's.
        yours: u32,
    },
    /// Both ends have a flow of this name that is not the same one.
    #[error(
        "the flow `{flow}` has the fingerprint {director} at the director and {yours} here: build both from the same \
         sources, with the same options"
    )]
    FlowMismatch {
        /// The flow.
        flow: String,
        /// What the director's build has.
        director: Fingerprint,
        /// What the caller's build has.
        yours: Fingerprint,
    },
    /// It cannot be done in the state that things are in.
    #[error("{0}")]
    Conflict(String),
    /// More than is allowed at once.
    #[error("too large: {0}")]
    TooLarge(String),
    /// No room or no time for it.
    #[error("busy: {0}")]
    Busy(String),
    /// The director is going down.
    #[error("the director is shutting down")]
    Leaving,
    /// The director's own failure.
    #[error("the director failed: {0}")]
    Internal(String),
}

impl Refusal {
    /// A short name, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Unauthenticated(_) => "unauthenticated",
            Refusal::Denied(_) => "denied",
            Refusal::Unknown(_) => "unknown",
            Refusal::Invalid(_) => "invalid",
            Refusal::Malformed(_) => "malformed",
            Refusal::Protocol { .. } => "protocol",
            Refusal::FlowMismatch { .. } => "flow-mismatch",
            Refusal::Conflict(_) => "conflict",
            Refusal::TooLarge(_) => "too-large",
            Refusal::Busy(_) => "busy",
            Refusal::Leaving => "leaving",
            Refusal::Internal(_) => "internal",
        }
    }

    fn status(&self) -> Code {
        match self {
            Refusal::Unauthenticated(_) => Code::Unauthenticated,
            Refusal::Denied(_) => Code::PermissionDenied,
            Refusal::Unknown(_) => Code::NotFound,
            Refusal::Invalid(_) | Refusal::Malformed(_) => Code::InvalidArgument,
            Refusal::Protocol { .. } | Refusal::FlowMismatch { .. } | Refusal::Conflict(_) => {
                Code::FailedPrecondition
            }
            Refusal::TooLarge(_) => Code::OutOfRange,
            Refusal::Busy(_) => Code::ResourceExhausted,
            Refusal::Leaving => Code::Unavailable,
            Refusal::Internal(_) => Code::Internal,
        }
    }
}

/// The most bytes of a refusal's text that are sent: it travels in a header.
const TEXT_BYTES: usize = 1024;

impl From<Refusal> for Status {
    fn from(mut refusal: Refusal) -> Self {
        if let Refusal::Unauthenticated(text)
        | Refusal::Denied(text)
        | Refusal::Unknown(text)
        | Refusal::Invalid(text)
        | Refusal::Malformed(text)
        | Refusal::Conflict(text)
        | Refusal::TooLarge(text)
        | Refusal::Busy(text)
        | Refusal::Internal(text)
        | Refusal::FlowMismatch { flow: text, .. } = &mut refusal
        {
            text.truncate(text.floor_char_boundary(TEXT_BYTES));
        }
        let details = codec::encode(&refusal).map(Bytes::from).unwrap_or_default();
        Status::with_details(refusal.status(), refusal.code(), details)
    }
}

/// Why a call, a connection or a server ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// An address that is none.
    #[error("`{url}` is no director's address: {why}; write it as https://HOST:PORT")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Plaintext beyond this machine.
    #[error("plaintext is for loopback addresses only, and {0} is none: use the federation's certificates")]
    Plaintext(SocketAddr),
    /// The other end cannot be reached.
    #[error("{address} cannot be reached: {source}")]
    Connect {
        /// Where.
        address: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// The two ends could not agree on a secure connection.
    #[error("no secure connection with {address}: {source}")]
    Handshake {
        /// With whom.
        address: String,
        /// What TLS says.
        source: io::Error,
    },
    /// A director whose certificate does not count any more. Nothing was said to it.
    #[error(
        "the certificate of {name} at {address} is revoked, and nothing is said to it: ask the federation's administrator \
         for the director that took its place"
    )]
    Revoked {
        /// Where.
        address: String,
        /// Whose certificate it is.
        name: Name,
    },
    /// It took too long.
    #[error("{what} took longer than {after:?}")]
    Timeout {
        /// What.
        what: &'static str,
        /// How long it may take.
        after: Duration,
    },
    /// The other end refused.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The connection is gone.
    #[error("the connection is lost: {0}")]
    Lost(String),
    /// A content that is larger than allowed.
    #[error(
        "a content of {bytes} bytes is larger than the {limit} allowed: raise `max-content`, or send less"
    )]
    TooLarge {
        /// How large.
        bytes: u64,
        /// How large it may be.
        limit: u64,
    },
    /// A content whose chunks do not add up to its size.
    #[error("a content of {bytes} bytes has {expected} chunks, and {got} are named")]
    ChunkCount {
        /// Its size.
        bytes: u64,
        /// How many it must have.
        expected: u64,
        /// How many are named.
        got: usize,
    },
    /// Bytes that are not those of their hash.
    #[error("the bytes that came for the chunk {0} have another hash")]
    Corrupt(ChunkHash),
    /// There is no memory for it.
    #[error("there is no memory for a content of {0} bytes")]
    Memory(u64),
    /// The server's socket failed.
    #[error("the listening socket failed: {0}")]
    Listener(#[from] io::Error),
}

impl WireError {
    /// A short name, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            WireError::Url { .. } => "url",
            WireError::Plaintext(_) => "plaintext",
            WireError::Connect { .. } => "unreachable",
            WireError::Handshake { .. } => "handshake",
            WireError::Revoked { .. } => "director-revoked",
            WireError::Timeout { .. } => "timeout",
            WireError::Refused(refusal) => refusal.code(),
            WireError::Lost(_) => "lost",
            WireError::TooLarge { .. } => "too-large",
            WireError::ChunkCount { .. } => "chunk-count",
            WireError::Corrupt(_) => "corrupt",
            WireError::Memory(_) => "memory",
            WireError::Listener(_) => "listener",
        }
    }

    /// Whether the same may go well over a new connection, or later.
    pub fn is_transient(&self) -> bool {
        match self {
            WireError::Connect { .. }
            | WireError::Timeout { .. }
            | WireError::Lost(_)
            | WireError::Refused(Refusal::Leaving | Refusal::Busy(_)) => true,
            // A peer that is cut off in the middle of its handshake looks the same as one that was refused, but for this.
            WireError::Handshake { source, .. } => source.kind() != io::ErrorKind::InvalidData,
            WireError::Url { .. }
            | WireError::Plaintext(_)
            | WireError::Revoked { .. }
            | WireError::Refused(_)
            | WireError::TooLarge { .. }
            | WireError::ChunkCount { .. }
            | WireError::Corrupt(_)
            | WireError::Memory(_)
            | WireError::Listener(_) => false,
        }
    }
}

impl From<Status> for WireError {
    fn from(status: Status) -> Self {
        if !status.details().is_empty()
            && let Ok(refusal) = codec::decode::<Refusal>(status.details())
        {
            return WireError::Refused(refusal);
        }
        match status.code() {
            // From tonic's framing, on either side.
            Code::OutOfRange | Code::ResourceExhausted => {
                WireError::Refused(Refusal::TooLarge(status.message().to_owned()))
            }
            Code::Unimplemented => WireError::Refused(Refusal::Invalid(status.message().to_owned())),
            _ => WireError::Lost(describe(&status)),
        }
    }
}

/// The innermost cause: the outer ones say "transport error".
fn describe(status: &Status) -> String {
    let mut error: &dyn std::error::Error = status;
    while let Some(source) = error.source() {
        error = source;
    }
    let text = if std::ptr::addr_eq(error, status) { status.message().to_owned() } else { error.to_string() };
    // rustls ends some of its texts in a link for programmers.
    match text.split_once(": https://") {
        Some((text, _)) => text.to_owned(),
        None => text,
    }
}
