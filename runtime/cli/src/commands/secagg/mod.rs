//! `secagg`.

mod plan;

use clap::{ArgMatches, Command};

use crate::console::Console;
use crate::error::CliError;

/// The grammar of `secagg`.
pub(crate) fn command(binary: &str) -> Command {
    Command::new("secagg")
        .about("Finds and checks parameters of secure aggregation")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(plan::command(binary))
        .after_help(format!("Example:\n  {binary} secagg plan {}", plan::EXAMPLE))
}

pub(super) fn secagg(matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    match matches.subcommand() {
        Some((_, matches)) => plan::plan(matches, console),
        None => Ok(()),
    }
}
