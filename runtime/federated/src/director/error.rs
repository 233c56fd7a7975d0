//! Why a director does not start, or ends.

use std::io;
use std::net::SocketAddr;

use crate::config::ConfigError;
use crate::journal::JournalError;
use crate::pki::PkiError;
use crate::wire::WireError;

/// Why a director does not start, or ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectorError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Settings of a flow that is not compiled into this program.
    #[error("the director's configuration: {text}")]
    UnknownFlow {
        /// Which, and those that there are.
        text: String,
    },
    /// Neither an identity nor the wish to do without.
    #[error(
        "a director needs an identity: enrol it with `veilflow pki`, or say `insecure-loopback = true` to try things out on \
         this machine"
    )]
    NoIdentity,
    /// Its identity, the authority's roster or its revocations.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// Its state directory.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The address on which it would listen.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The server.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    NoEntropy(#[source] io::Error),
    /// A part of it that ended by a mistake of ours.
    #[error("internal error, please report it: {0}")]
    Internal(String),
}

impl DirectorError {
    /// A short name, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            DirectorError::Config(error) => error.code(),
            DirectorError::UnknownFlow { .. } => "unknown-flow",
            DirectorError::NoIdentity => "no-identity",
            DirectorError::Pki(error) => error.code(),
            DirectorError::Journal(error) => error.code(),
            DirectorError::Listen { .. } => "listen",
            DirectorError::Wire(error) => error.code(),
            DirectorError::NoEntropy(_) => "no-entropy",
            DirectorError::Internal(_) => "internal",
        }
    }
}
