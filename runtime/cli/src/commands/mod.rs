//! The commands.

pub(crate) mod bench;
mod completions;
mod data;
pub(crate) mod director;
pub(crate) mod envoy;
pub(crate) mod envoys;
pub(crate) mod experiment;
pub(crate) mod federation;
mod flows;
mod graph;
mod part;
pub(crate) mod pki;
mod run;
pub(crate) mod secagg;

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command};

use crate::args::{self, Strictness};
use crate::console::Console;
use crate::entry::Entry;
use crate::error::CliError;
use crate::registry::Registry;

/// Parses the arguments and runs the command that they name.
pub(crate) fn dispatch(
    registry: &Registry,
    binary: &str,
    arguments: Vec<OsString>,
    console: &mut Console,
) -> Result<(), CliError> {
    args::check(registry)?;
    let relaxed = args::command(registry, binary, Strictness::Relaxed);
    let parsed = relaxed.clone().try_get_matches_from(&arguments);
    let matches = parsed.map_err(|error| usage(registry, &relaxed, &arguments, error))?;
    match matches.subcommand() {
        Some(("run", matches)) => {
            let (flow, given) = chosen(registry, matches)?;
            let arguments = run::with_config(&relaxed, &["run"], flow, given, arguments)?;
            let matches = strict(registry, binary, &arguments)?;
            let inner = matches.subcommand().and_then(|(_, matches)| matches.subcommand());
            inner.map_or(Ok(()), |(_, matches)| run::run(flow, matches, console))
        }
        Some(("experiment", matches)) => match matches.subcommand() {
            Some(("submit", matches)) => {
                let (flow, given) = chosen(registry, matches)?;
                let commands = ["experiment", "submit"];
                let arguments = run::with_config(&relaxed, &commands, flow, given, arguments)?;
                let matches = strict(registry, binary, &arguments)?;
                let submit = matches.subcommand().and_then(|(_, matches)| matches.subcommand());
                let inner = submit.and_then(|(_, matches)| matches.subcommand());
                inner.map_or(Ok(()), |(_, matches)| experiment::submit(flow, matches, console))
            }
            _ => experiment::experiment(registry, matches, console),
        },
        Some(("federation", matches)) => federation::federation(binary, matches, console),
        Some(("director", matches)) => director::director(registry, matches, console),
        Some(("envoy", matches)) => envoy::envoy(registry, matches, console),
        Some(("envoys", matches)) => envoys::envoys(matches, console),
        Some(("graph", _)) => {
            let matches = strict(registry, binary, &arguments)?;
            let Some((_, matches)) = matches.subcommand() else { return Ok(()) };
            let (flow, matches) = chosen(registry, matches)?;
            graph::graph(flow, matches, console)
        }
        Some(("flows", _)) => flows::flows(registry, console),
        Some(("data", matches)) => match matches.subcommand() {
            Some((_, matches)) => data::fetch(registry, matches, console),
            None => Ok(()),
        },
        Some(("secagg", matches)) => secagg::secagg(matches, console),
        Some(("pki", matches)) => pki::pki(matches, console),
        Some(("bench", matches)) => bench::bench(registry, matches, console),
        Some(("completions", matches)) => {
            let command = args::command(registry, binary, Strictness::Strict);
            completions::completions(command, binary, matches, console)
        }
        // Clap asks for a command and knows no others.
        _ => Ok(()),
    }
}

/// The arguments with all that is required.
fn strict(registry: &Registry, binary: &str, arguments: &[OsString]) -> Result<ArgMatches, CliError> {
    let command = args::command(registry, binary, Strictness::Strict);
    let parsed = command.clone().try_get_matches_from(arguments);
    parsed.map_err(|error| usage(registry, &command, arguments, error))
}

/// Prints an error once, in full, with what to do next, and returns the exit code.
pub(crate) fn report(error: &CliError, console: &mut Console) -> u8 {
    match error {
        CliError::Usage(shown) if !shown.use_stderr() => {
            // `--help` and `--version` are what was asked for.
            if let Err(error) = console.print(&shown.to_string()) {
                return report(&error, console);
            }
        }
        CliError::Usage(shown) => console.log().line(shown.to_string().trim_end()),
        error => {
            console.log().line(format_args!("error: {error}"));
            if let Some(hint) = error.hint() {
                console.log().line(format_args!("\nnext: {hint}"));
            }
        }
    }
    error.exit_code()
}

fn chosen<'a>(
    registry: &'a Registry,
    matches: &'a ArgMatches,
) -> Result<(&'a dyn Entry, &'a ArgMatches), CliError> {
    let (name, matches) = matches.subcommand().unwrap_or(("", matches));
    registry.flow(name).map(|flow| (flow, matches)).ok_or_else(|| unknown_flow(registry, name))
}

fn unknown_flow(registry: &Registry, name: &str) -> CliError {
    let known = registry.flows.iter().map(|flow| flow.name().to_owned()).collect();
    CliError::Unknown { what: "flow", name: name.to_owned(), known }
}

/// Adds to clap's errors what it knows and does not list: the flows and the flags that there are.
fn usage(registry: &Registry, root: &Command, arguments: &[OsString], error: clap::Error) -> CliError {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    // Clap tells what is unknown, not where: walk down to the command that was meant.
    let mut command = root;
    let mut path = Vec::new();
    for argument in arguments.iter().skip(1).filter_map(|argument| argument.to_str()) {
        match command.find_subcommand(argument) {
            Some(inner) => {
                command = inner;
                path.push(argument);
            }
            None => break,
        }
    }
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let name = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            match path.as_slice() {
                ["run" | "graph", ..] | ["experiment", "submit", ..] => unknown_flow(registry, &name),
                _ => {
                    let known = command.get_subcommands().map(|known| known.get_name().to_owned()).collect();
                    CliError::Unknown { what: "command", name, known }
                }
            }
        }
        ErrorKind::UnknownArgument => {
            let name = context(ContextKind::InvalidArg).unwrap_or_default();
            if !name.starts_with("--") {
                return CliError::Usage(Box::new(error));
            }
            let own = command.get_arguments().filter_map(|arg| arg.get_long());
            let mut known: Vec<_> = own.chain(["help"]).map(|long| format!("--{long}")).collect();
            known.sort();
            known.dedup();
            CliError::Unknown { what: "flag", name, known }
        }
        _ => CliError::Usage(Box::new(error)),
    }
}
