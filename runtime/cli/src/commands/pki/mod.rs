//! `pki`: the federation's authority, on an administrator's machine.

mod director;
mod error;
mod init;
mod issue;
mod renew;
mod requests;
mod revoke;
mod roster;
mod sign;
mod token;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{ArgMatches, Args, Command, FromArgMatches, ValueEnum};
use veilflow_federated::pki::{Authority, Date, Passphrase, Validity};

pub(crate) use self::error::PkiCommandError;
use crate::console::Console;
use crate::error::CliError;

/// The folder of the authority.
#[derive(Args, Debug)]
#[group(skip)]
struct AuthorityArgs {
    /// Folder of the authority, which never lies on the director
    #[arg(long, value_name = "DIR", default_value = "ca")]
    ca: PathBuf,
}

impl AuthorityArgs {
    fn open(&self) -> Result<Authority, CliError> {
        Ok(Authority::open(&self.ca, Passphrase::from_environment().as_ref())?)
    }
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// For how long certificates are valid unless somebody says otherwise.
const YEAR: Validity = Validity(Duration::from_secs(365 * 24 * 3600));

/// The grammar of `pki`.
pub(crate) fn command(binary: &str) -> Command {
    Command::new("pki")
        .about("Makes and keeps the federation's identities, on an administrator's machine")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(init::command(binary))
        .subcommand(issue::command(binary))
        .subcommand(token::command(binary))
        .subcommand(requests::command(binary))
        .subcommand(sign::command(binary))
        .subcommand(renew::command(binary))
        .subcommand(revoke::command(binary))
        .subcommand(roster::command(binary))
        .after_help(format!(
            "Examples:\n  {binary} pki init --name \"My federation\"\n  {binary} pki token --name Bengaluru --role envoy --valid 24h"
        ))
}

pub(super) fn pki(matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    match matches.subcommand() {
        Some(("init", matches)) => init::init(&parsed(matches)?, console),
        Some(("issue", matches)) => issue::issue(parsed(matches)?, console),
        Some(("token", matches)) => token::token(&parsed(matches)?, console),
        Some(("requests", matches)) => requests::requests(&parsed(matches)?, console),
        Some(("sign", matches)) => sign::sign(&parsed(matches)?, console),
        Some(("renew", matches)) => renew::renew(&parsed(matches)?, console),
        Some(("revoke", matches)) => revoke::revoke(&parsed(matches)?, console),
        Some(("roster", matches)) => roster::roster(&parsed(matches)?, console),
        _ => Ok(()),
    }
}

fn parsed<T: FromArgMatches>(matches: &ArgMatches) -> Result<T, CliError> {
    T::from_arg_matches(matches).map_err(|error| CliError::Usage(Box::new(error)))
}

fn example(binary: &str, text: &str) -> String {
    format!("Example:\n  {binary} pki {text}")
}

/// A time as people read it.
fn date(time: SystemTime) -> String {
    Date(seconds(time)).to_string()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn json(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}
