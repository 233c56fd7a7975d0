//! Why an envoy cannot start.

use std::io;

use veilflow_spec::Name;

use crate::config::ConfigError;
use crate::journal::JournalError;
use crate::pki::PkiError;

use super::roster::RosterError;

/// Why an envoy cannot start. Once it runs it goes on for ever; what goes wrong then is a
/// [`Notice`](super::Notice).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvoyError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its key, its certificate or its authority's.
    #[error(transparent)]
    Identity(#[from] PkiError),
    /// A certificate of somebody else's.
    #[error(
        "the configuration names this site `{configured}`, its certificate `{certified}`: correct `name`, or enrol under it"
    )]
    OtherName {
        /// What the configuration says.
        configured: Name,
        /// What the certificate says.
        certified: Name,
    },
    /// Its memory of what it masked.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its roster of identities.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    NoEntropy(#[source] io::Error),
}

impl EnvoyError {
    /// The error in one word.
    pub fn code(&self) -> &'static str {
        match self {
            EnvoyError::Config(error) => error.code(),
            EnvoyError::Identity(error) => error.code(),
            EnvoyError::OtherName { .. } => "other-name",
            EnvoyError::Journal(error) => error.code(),
            EnvoyError::Roster(error) => error.code(),
            EnvoyError::NoEntropy(_) => "no-entropy",
        }
    }
}
