//! `bench`.

mod here;
mod own;
mod secagg;

use std::time::Duration;

use clap::{ArgMatches, Command};

pub(crate) use self::here::Here;
use crate::console::Console;
use crate::error::CliError;
use crate::registry::Registry;

/// The grammar of `bench`.
pub(crate) fn command(registry: &Registry, binary: &str) -> Command {
    let command = Command::new("bench")
        .about("Measures what parts of Veilflow cost on this machine")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(secagg::command(binary))
        .after_help(format!("Example:\n  {binary} bench secagg {}", secagg::EXAMPLE));
    registry.benchmarks.iter().fold(command, |command, benchmark| command.subcommand(own::command(benchmark)))
}

pub(super) fn bench(
    registry: &Registry,
    matches: &ArgMatches,
    console: &mut Console,
) -> Result<(), CliError> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(()) };
    match registry.benchmarks.iter().find(|benchmark| benchmark.name == name) {
        Some(benchmark) => own::run(benchmark, matches, console),
        None => secagg::secagg(matches, console),
    }
}

/// A part of the clients.
pub(crate) fn part(text: &str) -> Result<f64, String> {
    let part = text.parse().ok().filter(|part| (0.0..1.0).contains(part));
    part.ok_or_else(|| "a part is at least 0 and below 1, such as 0.1".to_owned())
}

/// A time as people read it.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds >= 1.0 { format!("{seconds:.2} s") } else { format!("{:.2} ms", seconds * 1e3) }
}

/// A size as people read it.
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
