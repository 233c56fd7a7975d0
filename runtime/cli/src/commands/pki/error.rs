//! What `pki` can fail with, beside the identities themselves.

use veilflow_federated::pki::PolicyError;
use veilflow_federated::wire::WireError;

/// Why a `pki` command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum PkiCommandError {
    /// The file with the signing policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The director.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Threads for the network.
    #[error("the program's threads could not be started: {0}")]
    Threads(std::io::Error),
    /// Nobody to ask.
    #[error("standard input cannot be read: {0}")]
    Input(std::io::Error),
    /// The administrator's answer came too late, or never.
    #[error(
        "a renewal waits for the administrator: run the same command again when `pki sign` has answered it"
    )]
    Waiting,
    /// A renewal by nobody.
    #[error("say where the new certificate comes from: --certificate FILE, or --director URL to ask for it")]
    RenewHow,
    /// The administrator said no.
    #[error("the administrator refused: {0}")]
    Refused(String),
}
