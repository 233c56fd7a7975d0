//! `experiment results ID`: what a run that ended left, as `run` prints it.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgMatches, Args, Command};
use veilflow_federated::wire::messages::Told;

use super::parsed;
use crate::args::Output;
use crate::console::Console;
use crate::ended::{Ended, Files, after};
use crate::error::CliError;
use crate::registry::Registry;
use crate::remote::Remote;
use crate::remote::connection::ConnectionArgs;
use crate::results::Timeline;
use crate::usage::Usage;
use crate::{csv, json};

#[derive(Args, Debug)]
#[group(skip)]
struct ResultsArgs {
    /// The experiment's id, or as much of its start as no other has
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    id: String,
    /// How the results are printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Draws the columns of the results as curves: .svg or .png
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Writes the model: .safetensors
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn command(binary: &str) -> Command {
    ResultsArgs::augment_args(Command::new("results"))
        .about("Prints the results of an experiment as a run of its own would")
        .after_help(format!("Example:\n  {binary} experiment results 3f2a --save model.safetensors"))
}

pub(super) fn results(
    registry: &Registry,
    matches: &ArgMatches,
    console: &mut Console,
) -> Result<(), CliError> {
    let args: ResultsArgs = parsed(matches)?;
    let files = Files::check(args.plot.as_deref(), args.save.as_deref())?;
    let remote = Remote::connect(&args.connection)?;
    let client = remote.client();
    let id = remote.find(&args.id)?.id;
    let (summary, report) = remote.wait(client.results(id))?;
    let Some(report) = report else {
        let (id, state, reason) = (id.to_string(), summary.state, summary.reason);
        return Err(CliError::NoResults { id, state, reason });
    };
    let mut timeline = Timeline::default();
    let mut told = |told: &Told| {
        if let Told::Event(event) = told {
            timeline.event(event);
        }
    };
    remote.wait(client.follow(id, 0, false, &mut told))?;
    // A flow that this program does not have has its rows, and a model that is not known here.
    let model = registry.flow(&summary.terms.flow).map(|flow| flow.model(&report)).transpose()?;
    let milliseconds = summary.ended_ms.unwrap_or(0).saturating_sub(summary.started_ms.unwrap_or(0));
    let ended = Ended {
        flow: summary.terms.flow,
        fingerprint: summary.fingerprint,
        seed: summary.terms.seed,
        participants: summary.terms.participants,
        results: timeline.results(),
        model: model.unwrap_or_default(),
        // From its first start to its end; what it took of processors and memory is spread over many machines.
        usage: Usage { wall_s: milliseconds as f64 / 1e3, cpu_s: None, peak_rss_bytes: None },
    };
    let printed = match args.output {
        Output::Table => console.print(&ended.table()),
        Output::Csv => console.print(&csv::rows(&ended.results)),
        Output::Json => json::pretty(&json::Summary::of(&ended)).and_then(|text| console.print(&text)),
    };
    let log = console.log().clone();
    after(printed, files.write(&ended, &|line| log.line(line)))
}
