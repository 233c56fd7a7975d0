//! The director, which relays requests, answers and lists.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use veilflow_federated::pki::{Identity, Role};
use veilflow_federated::wire::{Connection, Dialing, Limits, WireError, dial};

use super::PkiCommandError;
use crate::error::CliError;

/// Which director, and as whom.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "The director")]
pub(super) struct DirectorArgs {
    /// Where the director is, such as https://director.example:50050
    #[arg(long, value_name = "URL", requires = "identity")]
    pub(super) director: String,
    /// Folder of your own identity, that of an administrator
    #[arg(long, value_name = "DIR")]
    pub(super) identity: PathBuf,
}

/// The same, where there may be none.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "The director")]
pub(super) struct MaybeDirectorArgs {
    /// Brings the lists to this director at once, such as https://director.example:50050
    #[arg(long, value_name = "URL", requires = "identity")]
    director: Option<String>,
    /// Folder of your own identity, that of an administrator
    #[arg(long, value_name = "DIR", requires = "director")]
    identity: Option<PathBuf>,
}

impl MaybeDirectorArgs {
    pub(super) fn given(&self) -> Option<DirectorArgs> {
        let (director, identity) = self.director.clone().zip(self.identity.clone())?;
        Some(DirectorArgs { director, identity })
    }
}

/// A connection to the director, and the threads on which it lives.
pub(super) struct Director {
    runtime: tokio::runtime::Runtime,
    connection: Connection,
}

impl Director {
    /// Connects as an administrator.
    pub(super) fn connect(args: &DirectorArgs) -> Result<Self, CliError> {
        let identity = Identity::load(&args.identity)?;
        identity.check(Role::Admin, SystemTime::now())?;
        Self::connect_as(&args.director, &identity)
    }

    /// Connects as anybody.
    pub(super) fn connect_as(url: &str, identity: &Identity) -> Result<Self, CliError> {
        let dialing = Dialing::with(identity, identity.revocations()?)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(PkiCommandError::Threads)?;
        let connected = runtime.block_on(dial(url, &dialing, &Limits::default()));
        let connection = connected.map_err(PkiCommandError::Wire)?;
        Ok(Self { runtime, connection })
    }

    /// Makes a call and waits for its answer.
    pub(super) fn call<T, F>(&self, call: impl FnOnce(Connection) -> F) -> Result<T, CliError>
    where
        F: Future<Output = Result<T, WireError>>,
    {
        let answer = self.runtime.block_on(call(self.connection.clone()));
        Ok(answer.map_err(PkiCommandError::Wire)?)
    }
}
