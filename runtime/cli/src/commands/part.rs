//! What the command lines of a director and of an envoy have in common: `start`, `config check`, and their flags.

use clap::{Arg, ArgMatches, Command};
use serde::Serialize;

use crate::args::Shape;
use crate::console::Console;
use crate::error::CliError;
use crate::json;
use crate::settings::{self, Setting};

/// A part of a federation that runs for long and has a configuration.
pub(super) struct Part {
    /// The command's name.
    pub(super) name: &'static str,
    /// What the command does.
    pub(super) about: &'static str,
    /// What its `start` does.
    pub(super) starts: &'static str,
    /// What its configuration is called in examples.
    pub(super) file: &'static str,
    /// The keys of its configuration that are flags too.
    pub(super) settings: &'static [Setting],
}

/// Which of the commands that both have was given.
pub(super) enum Asked<'a> {
    Start(&'a ArgMatches),
    Check(&'a ArgMatches),
}

impl Part {
    /// The grammar, with the flags that only its `start` has.
    pub(super) fn command(&self, binary: &str, flags: impl IntoIterator<Item = Arg>) -> Command {
        let example =
            |text: &str| format!("Example:\n  {binary} {} {text} --config {}", self.name, self.file);
        let group = |name: &'static str, about: &'static str| {
            Command::new(name)
                .about(about)
                .subcommand_required(true)
                .arg_required_else_help(true)
                .disable_help_subcommand(true)
        };
        let start = settings::arguments(Command::new("start"), self.settings)
            .args(flags)
            .arg(output().help("How it logs: lines on standard error, or JSON objects on standard output"))
            .about(self.starts)
            .after_help(example("start"));
        let check = settings::arguments(Command::new("check"), self.settings)
            .arg(output())
            .about("Reads a configuration and says what it means, or what is wrong with it")
            .after_help(example("config check"));
        let config = group("config", "Checks configurations").subcommand(check);
        group(self.name, self.about)
            .subcommand(start)
            .subcommand(config.after_help(example("config check")))
            .after_help(example("start"))
    }
}

impl<'a> Asked<'a> {
    /// None where it is one of the part's own commands.
    pub(super) fn of(matches: &'a ArgMatches) -> Option<Self> {
        match matches.subcommand()? {
            ("start", matches) => Some(Self::Start(matches)),
            // Clap asks for a command below it, and there is one.
            ("config", matches) => matches.subcommand().map(|(_, matches)| Self::Check(matches)),
            _ => None,
        }
    }
}

/// `--output`.
pub(super) fn output() -> Arg {
    Arg::new("output")
        .long("output")
        .value_name("FORMAT")
        .default_value("table")
        .value_parser(clap::builder::EnumValueParser::<Shape>::new())
        .help("How it is printed")
}

pub(super) fn shape(matches: &ArgMatches) -> Shape {
    matches.get_one("output").copied().unwrap_or(Shape::Table)
}

/// Prints what `config check` found, for people with `text`.
pub(super) fn print_checked(
    matches: &ArgMatches,
    console: &mut Console,
    checked: &impl Serialize,
    text: &str,
) -> Result<(), CliError> {
    match shape(matches) {
        Shape::Json => console.print(&json::pretty(checked)?),
        Shape::Table => console.print(text),
    }
}
