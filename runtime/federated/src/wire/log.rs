//! What a server tells of the peers that it turns away.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::chunks::Party;
use super::method::Method;

/// Takes the server's lines. Called from its own tasks: it must not block.
pub type Logger = Arc<dyn Fn(LogLine) + Send + Sync>;

/// That a peer was turned away, or a connection ended badly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// From where.
    pub address: SocketAddr,
    /// Who, where that is known.
    pub party: Option<Party>,
    /// What happened.
    pub incident: Incident,
}

/// What happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Incident {
    /// More connections than allowed at once.
    #[error("refused: {0}")]
    TooMany(&'static str),
    /// The TLS handshake failed: another authority, no certificate, garbage.
    #[error("no secure connection: {0}")]
    Handshake(String),
    /// The TLS handshake did not end in time.
    #[error("no secure connection within {0:?}")]
    HandshakeTimeout(Duration),
    /// A certificate of the authority's that names nobody here.
    #[error("the certificate is not one of a participant: {0}")]
    Certificate(String),
    /// The certificate no longer counts.
    #[error("closed: the certificate is revoked")]
    Revoked,
    /// The certificate ended.
    #[error("closed: the certificate has expired")]
    Expired,
    /// A connection that asks nothing.
    #[error("closed: no request within {0:?}")]
    NoRequest(Duration),
    /// A connection without a certificate that lasted too long.
    #[error("closed: {0:?} without a certificate")]
    Unauthenticated(Duration),
    /// What came was not HTTP/2, or the connection broke.
    #[error("the connection ended: {0}")]
    Broken(String),
    /// A call that does not exist.
    #[error("no such call: {0}")]
    NoSuchCall(String),
    /// A call that was refused or failed.
    #[error("{method}: {why}")]
    Refused {
        /// Which.
        method: Method,
        /// Why.
        why: String,
    },
    /// The system gives no more connections.
    #[error("no connection could be accepted: {0}")]
    Accept(String),
}

impl Incident {
    /// A short name, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Incident::TooMany(_) => "too-many-connections",
            Incident::Handshake(_) => "handshake",
            Incident::HandshakeTimeout(_) => "handshake-timeout",
            Incident::Certificate(_) => "certificate",
            Incident::Revoked => "revoked",
            Incident::Expired => "expired",
            Incident::NoRequest(_) => "no-request",
            Incident::Unauthenticated(_) => "unauthenticated",
            Incident::Broken(_) => "broken",
            Incident::NoSuchCall(_) => "no-such-call",
            Incident::Refused { .. } => "refused",
            Incident::Accept(_) => "accept",
        }
    }
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.party {
            Some(party) => write!(f, "{} ({party}): {}", self.address, self.incident),
            None => write!(f, "{}: {}", self.address, self.incident),
        }
    }
}
