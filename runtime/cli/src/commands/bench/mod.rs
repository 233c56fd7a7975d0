//! `bench`.

mod secagg;

use clap::{ArgMatches, Command};

use crate::console::Console;
use crate::error::CliError;

/// The grammar of `bench`.
pub(crate) fn command(binary: &str) -> Command {
    Command::new("bench")
        .about("Measures what parts of Veilflow cost on this machine")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(secagg::command(binary))
        .after_help(format!("Example:\n  {binary} bench secagg {}", secagg::EXAMPLE))
}

pub(super) fn bench(matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    match matches.subcommand() {
        Some((_, matches)) => secagg::secagg(matches, console),
        None => Ok(()),
    }
}
