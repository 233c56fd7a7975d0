//! `experiment`: what a director runs, has run and will run.

mod results;
mod shown;
mod submit;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use veilflow_federated::wire::messages::Told;

use crate::args::{self, Shape, Strictness};
use crate::console::Console;
use crate::error::CliError;
use crate::registry::Registry;
use crate::remote::Remote;
use crate::remote::connection::ConnectionArgs;
use crate::{json, progress};

pub(super) use self::submit::submit;

#[derive(Args, Debug)]
#[group(skip)]
struct ListArgs {
    /// How the experiments are printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Shape::Table)]
    output: Shape,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The flags of `show` and `cancel`.
#[derive(Args, Debug)]
#[group(skip)]
struct OneArgs {
    /// The experiment's id, or as much of its start as no other has
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    id: String,
    #[command(flatten)]
    rest: ListArgs,
}

#[derive(Args, Debug)]
#[group(skip)]
struct LogsArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Goes on until the experiment is over
    #[arg(long, short)]
    follow: bool,
}

/// The grammar of `experiment`.
pub(crate) fn command(registry: &Registry, binary: &str, strictness: Strictness) -> Command {
    let flow = registry.flows.first().map_or("FLOW", |flow| flow.name());
    let example = |text: &str| format!("Example:\n  {binary} experiment {text}");
    let submit = Command::new("submit")
        .about("Queues a flow at the director and prints its id")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand_value_name("FLOW")
        .subcommand_help_heading("Flows")
        .disable_help_subcommand(true)
        .override_usage(format!("{binary} experiment submit FLOW [FLAGS]"))
        .after_help(example(&format!("submit {flow} --collaborators Bengaluru,Portland")))
        .subcommands(registry.flows.iter().map(|flow| args::submit_flow(&**flow, binary, strictness)));
    Command::new("experiment")
        .about("Submits, lists, shows, follows and cancels experiments")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(submit)
        .subcommand(
            ListArgs::augment_args(Command::new("list"))
                .about("Lists the director's experiments, the newest first")
                .after_help(example("list")),
        )
        .subcommand(
            OneArgs::augment_args(Command::new("show"))
                .about("Shows what is known of an experiment")
                .after_help(example("show 3f2a")),
        )
        .subcommand(
            LogsArgs::augment_args(Command::new("logs"))
                .about("Prints what happened in an experiment, a line or a JSON object each")
                .after_help(example("logs 3f2a --follow")),
        )
        .subcommand(
            OneArgs::augment_args(Command::new("cancel"))
                .about("Cancels an experiment")
                .after_help(example("cancel 3f2a")),
        )
        .subcommand(results::command(binary))
        .after_help(example("list"))
}

/// All of `experiment` but `submit`, which has the flow's own flags.
pub(super) fn experiment(
    registry: &Registry,
    matches: &ArgMatches,
    console: &mut Console,
) -> Result<(), CliError> {
    match matches.subcommand() {
        Some(("list", matches)) => list(&parsed(matches)?, console),
        Some(("show", matches)) => show(&parsed(matches)?, console),
        Some(("logs", matches)) => logs(&parsed(matches)?, console),
        Some(("cancel", matches)) => cancel(&parsed(matches)?, console),
        Some(("results", matches)) => results::results(registry, matches, console),
        _ => Ok(()),
    }
}

fn parsed<T: FromArgMatches>(matches: &ArgMatches) -> Result<T, CliError> {
    T::from_arg_matches(matches).map_err(|error| CliError::Usage(Box::new(error)))
}

fn list(args: &ListArgs, console: &mut Console) -> Result<(), CliError> {
    let remote = Remote::connect(&args.connection)?;
    let mut experiments = remote.wait(remote.client().list())?;
    experiments.sort_by_key(|summary| (std::cmp::Reverse(summary.submitted_ms), summary.id));
    console.print(&match args.output {
        Shape::Table => shown::table(&experiments),
        Shape::Json => json::pretty(&experiments)?,
    })
}

fn show(args: &OneArgs, console: &mut Console) -> Result<(), CliError> {
    let remote = Remote::connect(&args.rest.connection)?;
    let id = remote.find(&args.id)?.id;
    let (summary, outcome) = remote.wait(remote.client().show(id))?;
    console.print(&match args.rest.output {
        Shape::Table => shown::one(&summary, outcome.as_ref()),
        Shape::Json => json::pretty(&shown::Shown { summary: &summary, outcome: outcome.as_ref() })?,
    })
}

fn logs(args: &LogsArgs, console: &mut Console) -> Result<(), CliError> {
    let remote = Remote::connect(&args.one.rest.connection)?;
    let id = remote.find(&args.one.id)?.id;
    let shape = args.one.rest.output;
    let mut failed = None;
    let mut told = |told: &Told| {
        let text = match (shape, told) {
            (Shape::Json, told) => json::line(told),
            (Shape::Table, Told::Event(event)) => {
                Ok(progress::line(event).map_or_else(String::new, |line| line + "\n"))
            }
            // How it ended is told once, by its outcome.
            (Shape::Table, Told::State(summary)) if summary.state.is_over() => Ok(String::new()),
            (Shape::Table, Told::State(summary)) => Ok(format!("{}: {}\n", summary.state, summary.reason)),
            (Shape::Table, Told::Over(outcome)) => Ok(shown::outcome(outcome)),
        };
        if failed.is_none() {
            failed = text.and_then(|text| console.print(&text)).err();
        }
    };
    remote.wait(remote.client().follow(id, 0, args.follow, &mut told))?;
    failed.map_or(Ok(()), Err)
}

fn cancel(args: &OneArgs, console: &mut Console) -> Result<(), CliError> {
    let remote = Remote::connect(&args.rest.connection)?;
    let id = remote.find(&args.id)?.id;
    let summary = remote.wait(remote.client().cancel(id))?;
    console.print(&match args.rest.output {
        Shape::Table => format!("{}: {}, {}\n", summary.id, summary.state, summary.reason),
        Shape::Json => json::pretty(&summary)?,
    })
}
