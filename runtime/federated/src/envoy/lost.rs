//! Why an envoy has no connection to its director.

use crate::wire::WireError;

use super::error::EnvoyError;

/// Why a connection was not made, or is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// What the wire reports.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The site's own identity, or what it knows of others.
    #[error(transparent)]
    Own(#[from] EnvoyError),
    #[error("the director has gone silent")]
    Silent,
    #[error("the director closed the connection")]
    Gone,
    /// Over TLS 1.3 that is how a director refuses a certificate.
    #[error(
        "{0}, before it answered: where that goes on, it does not accept this site's certificate, and its log says why"
    )]
    Unanswered(Box<Lost>),
    #[error("{0}")]
    NoDirector(String),
    #[error("internal error, please report it: {0}")]
    Internal(String),
}

impl Lost {
    /// That the connection ended before the director said anything.
    pub(super) fn unanswered(self) -> Self {
        match self {
            Lost::Wire(WireError::Lost(_)) | Lost::Gone => Lost::Unanswered(Box::new(self)),
            other => other,
        }
    }

    /// The error in one word.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Lost::Wire(error) => error.code(),
            Lost::Own(error) => error.code(),
            Lost::Silent => "silent",
            Lost::Gone => "gone",
            Lost::Unanswered(lost) => lost.code(),
            Lost::NoDirector(_) => "no-director",
            Lost::Internal(_) => "internal",
        }
    }
}
