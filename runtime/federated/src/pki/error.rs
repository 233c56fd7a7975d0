//! Why certificates, tokens and lists are refused.

use std::io;
use std::path::PathBuf;

use veilflow_spec::{InvalidName, Name};

use super::clock::Date;
use super::role::Role;

/// What went wrong with an identity, a token, or a list that the authority signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// Bytes that are not what they should be.
    #[error("this is no {what}: {why}")]
    Malformed {
        /// What they should be.
        what: &'static str,
        /// Where they differ.
        why: String,
    },
    /// More bytes than such a thing ever has.
    #[error("this {what} has {got} bytes, and at most {limit} are read")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many are read.
        limit: usize,
    },
    /// Not signed by the authority that is trusted here.
    #[error(
        "this {what} is not signed by the federation's authority {authority}: get one from the administrator whose \
         `pki init` made that authority"
    )]
    WrongAuthority {
        /// What.
        what: &'static str,
        /// The SHA-256 of the certificate of the authority that is trusted.
        authority: String,
    },
    /// Over.
    #[error("the {what} of {name} expired on {}: {next}", Date(*at))]
    Expired {
        /// What.
        what: &'static str,
        /// Whose.
        name: String,
        /// When, in seconds since 1970.
        at: u64,
        /// What to do.
        next: &'static str,
    },
    /// Not yet begun.
    #[error("the {what} of {name} is valid from {} on: set the clock of this machine", Date(*from))]
    NotYetValid {
        /// What.
        what: &'static str,
        /// Whose.
        name: String,
        /// From when on, in seconds since 1970.
        from: u64,
    },
    /// A role that may not do this.
    #[error("{name} is {got}, and {expected} is needed here: use an identity of that role")]
    WrongRole {
        /// Who.
        name: Name,
        /// What would do.
        expected: &'static str,
        /// What it is.
        got: Role,
    },
    /// The request, certificate or token is for somebody else.
    #[error("the {what} is for {got}, and {expected} was expected")]
    WrongName {
        /// What.
        what: &'static str,
        /// Who should be named.
        expected: Name,
        /// Who is.
        got: Name,
    },
    /// A certificate and a key that do not belong together.
    #[error(
        "the key of {name} does not belong to its certificate: put back the pair that belongs together, or enrol again"
    )]
    WrongKey {
        /// Whose.
        name: Name,
    },
    /// A second identity of one name.
    #[error(
        "{name} has a valid certificate already: `pki renew` prolongs it, and `pki revoke --name '{name}'` ends it first"
    )]
    NameTaken {
        /// Which.
        name: Name,
    },
    /// A name that this authority has issued nothing for.
    #[error("{name} has no valid certificate of this authority: `pki roster` lists who has")]
    UnknownName {
        /// Which.
        name: Name,
    },
    /// A token that was used for another key.
    #[error("the token for {name} was used already: make a new one with `pki token`")]
    TokenUsed {
        /// For whom it was.
        name: Name,
    },
    /// A token that this authority did not make, or forgot.
    #[error("this authority has no record of the token for {name}: make a new one with `pki token`")]
    TokenUnknown {
        /// For whom it is.
        name: Name,
    },
    /// A request that was not made by the holder of the token.
    #[error(
        "the request of {name} was changed on its way, or made by somebody who does not hold the token: do not sign it"
    )]
    WrongProof {
        /// Who it says it is from.
        name: Name,
    },
    /// A renewal by somebody whose connection says another name, or none.
    #[error("only {name} itself can ask for the renewal of its certificate")]
    NotItself {
        /// Who.
        name: Name,
    },
    /// A list that is older than the one that is there.
    #[error(
        "this {what} has version {got}, and version {have} is here already: get the newest from the administrator"
    )]
    Stale {
        /// Which list.
        what: &'static str,
        /// The version that is here.
        have: u64,
        /// The version that was offered.
        got: u64,
    },
    /// More than is kept.
    #[error(
        "{limit} requests wait for the administrator already: try again when `pki sign` has answered some"
    )]
    Full {
        /// How many are kept.
        limit: usize,
    },
    /// An answer to a request that nobody made.
    #[error("there is no request {id}: `pki requests` lists those there are")]
    UnknownRequest {
        /// Which.
        id: String,
    },
    /// Not a name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Not a host.
    #[error("`{host}` is no host: use names and addresses such as director.example.org or 10.0.0.7")]
    InvalidHost {
        /// What was given.
        host: String,
    },
    /// A director that could not be reached under any name.
    #[error(
        "a director needs the names or addresses under which it is reached: add --hosts, such as --hosts localhost,127.0.0.1"
    )]
    NoHosts,
    /// Hosts of somebody who serves nothing.
    #[error("only a director has hosts, and {name} is {role}: leave --hosts out")]
    NeedlessHosts {
        /// Who.
        name: Name,
        /// What it is.
        role: Role,
    },
    /// A token has no hosts.
    #[error(
        "a director's certificate lists its hosts: make it with `pki issue --role director --hosts …`, not by a token"
    )]
    DirectorByToken,
    /// How long something is valid.
    #[error("nothing can be valid for {given}: use a minute at least, and end before the year 10000")]
    InvalidValidity {
        /// What was given.
        given: String,
    },
    /// A file that is there already and holds what cannot be made again.
    #[error("{} is there already and is not overwritten: name another folder", path.display())]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// A private key that others can read.
    #[error("{} can be read by everybody on this machine: `chmod 600` it, and consider whether the key is still a secret", path.display())]
    Exposed {
        /// Which.
        path: PathBuf,
    },
    /// The authority is being used by another command.
    #[error("{} is in use by another command: wait until it is done", path.display())]
    Locked {
        /// Which.
        path: PathBuf,
    },
    /// A key that is encrypted, and no passphrase or a wrong one.
    #[error("{} is encrypted: set {} to its passphrase", path.display(), super::PASSPHRASE)]
    Passphrase {
        /// Which.
        path: PathBuf,
    },
    /// A file that cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file that cannot be written.
    #[error("{} cannot be written: {error}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    NoEntropy(io::Error),
    /// A certificate or request that could not be made.
    #[error("the certificate could not be made: {0}")]
    Making(#[from] rcgen::Error),
    /// A TLS configuration that could not be made.
    #[error("TLS could not be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl PkiError {
    /// A short name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            PkiError::Malformed { .. } => "malformed",
            PkiError::TooLarge { .. } => "too-large",
            PkiError::WrongAuthority { .. } => "wrong-authority",
            PkiError::Expired { .. } => "expired",
            PkiError::NotYetValid { .. } => "not-yet-valid",
            PkiError::WrongRole { .. } => "wrong-role",
            PkiError::WrongName { .. } => "wrong-name",
            PkiError::WrongKey { .. } => "wrong-key",
            PkiError::NameTaken { .. } => "name-taken",
            PkiError::UnknownName { .. } => "unknown-name",
            PkiError::TokenUsed { .. } => "token-used",
            PkiError::TokenUnknown { .. } => "token-unknown",
            PkiError::WrongProof { .. } => "wrong-proof",
            PkiError::NotItself { .. } => "not-itself",
            PkiError::Stale { .. } => "stale",
            PkiError::Full { .. } => "full",
            PkiError::UnknownRequest { .. } => "unknown-request",
            PkiError::Name(_) => "invalid-name",
            PkiError::InvalidHost { .. } => "invalid-host",
            PkiError::NoHosts => "no-hosts",
            PkiError::NeedlessHosts { .. } => "needless-hosts",
            PkiError::DirectorByToken => "director-by-token",
            PkiError::InvalidValidity { .. } => "invalid-validity",
            PkiError::Exists { .. } => "exists",
            PkiError::Exposed { .. } => "exposed",
            PkiError::Locked { .. } => "locked",
            PkiError::Passphrase { .. } => "passphrase",
            PkiError::Read { .. } => "read",
            PkiError::Write { .. } => "write",
            PkiError::NoEntropy(_) => "no-entropy",
            PkiError::Making(_) => "making",
            PkiError::Tls(_) => "tls",
        }
    }
}

/// Short for the error that most decoders have.
pub(crate) fn malformed(what: &'static str, why: impl std::fmt::Display) -> PkiError {
    PkiError::Malformed { what, why: why.to_string() }
}
