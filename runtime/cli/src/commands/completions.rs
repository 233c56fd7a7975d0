//! `completions SHELL`.

use clap::{ArgMatches, Command};
use clap_complete::Shell;

use crate::console::Console;
use crate::error::CliError;

pub(super) fn completions(
    mut command: Command,
    binary: &str,
    matches: &ArgMatches,
    console: &mut Console,
) -> Result<(), CliError> {
    // Required, so it is there.
    let Some(shell) = matches.get_one::<Shell>("shell") else { return Ok(()) };
    let mut script = Vec::new();
    clap_complete::generate(*shell, &mut command, binary, &mut script);
    console.print(&String::from_utf8_lossy(&script))
}
