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
    #[error("{0}")]
    NoDirector(String),
    #[error("internal error, please report it: {0}")]
    Internal(String),
}

impl Lost {
    /// The error in one word.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Lost::Wire(error) => error.code(),
            Lost::Own(error) => error.code(),
            Lost::Silent => "silent",
            Lost::Gone => "gone",
            Lost::NoDirector(_) => "no-director",
            Lost::Internal(_) => "internal",
        }
    }
}
