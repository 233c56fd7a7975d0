//! `federation`: a whole federation on this machine, for trying out and for tests.

mod down;
mod layout;
mod process;
mod up;

use clap::{ArgMatches, Command};

use crate::console::Console;
use crate::error::CliError;

pub(crate) use self::process::FederationError;

/// The grammar of `federation`.
pub(crate) fn command(binary: &str) -> Command {
    Command::new("federation")
        .about("Starts and ends a federation on this machine, to try things out")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(up::command(binary))
        .subcommand(down::command(binary))
        .after_help(format!("Example:\n  {binary} federation up --envoys Bengaluru,Portland"))
}

pub(super) fn federation(binary: &str, matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    match matches.subcommand() {
        Some(("up", matches)) => up::up(binary, matches, console),
        Some((_, matches)) => down::down(matches, console),
        None => Ok(()),
    }
}
