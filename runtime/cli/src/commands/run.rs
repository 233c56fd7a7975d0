//! `run FLOW`.

mod federated;

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

use clap::{ArgMatches, Command, FromArgMatches};
use veilflow_engine::{Canceller, Event, Resources};
use veilflow_spec::{FlowDescription, Name, Placement};

use self::federated::Federation;
pub(super) use self::federated::describe;
use crate::args::{Dropout, Output, RunArgs, Runtime};
use crate::cohort::Cohort;
use crate::console::Console;
use crate::ended::{Ended, Files, after};
use crate::entry::{Entry, Run};
use crate::error::CliError;
use crate::interrupt::{self, Interruptible};
use crate::progress::{Progress, Verbosity};
use crate::results::{Recorder, Results};
use crate::usage::Meter;
use crate::{config, csv, json, table};

/// The command line with what its `--config` adds, right behind the flow's name. `commands` stand before it.
pub(super) fn with_config(
    root: &Command,
    commands: &[&str],
    flow: &dyn Entry,
    given: &ArgMatches,
    mut arguments: Vec<OsString>,
) -> Result<Vec<OsString>, CliError> {
    let Some(path) = given.get_one::<std::path::PathBuf>("config") else { return Ok(arguments) };
    let mut own = root;
    for name in commands.iter().copied().chain([flow.name()]) {
        let Some(inner) = own.find_subcommand(name) else { return Ok(arguments) };
        own = inner;
    }
    let added = config::arguments(path, own, given)?;
    // `program run FLOW`: nothing else stands before the flow.
    let behind_flow = (commands.len() + 2).min(arguments.len());
    arguments.splice(behind_flow..behind_flow, added);
    Ok(arguments)
}

pub(super) fn run(flow: &dyn Entry, matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    let args = RunArgs::from_arg_matches(matches).map_err(|error| CliError::Usage(Box::new(error)))?;
    // A director that cannot be reached is told before anything is trained.
    let federation = Federation::of(flow, matches, &args)?;
    let names = match (&args.collaborators, &federation) {
        (Some(named), _) => named.0.clone(),
        (None, Some(federation)) => federation.offering(flow.name())?,
        (None, None) => flow.collaborators(),
    };
    let resources = args.resources(names.len());
    let cohort = Cohort::new(names, args.seed, args.processors()).with_device(args.device);
    let online = federation.is_some() && args.collaborators.is_none();
    let description = flow.describe(matches, &cohort);
    let description =
        description.map_err(|error| if online { error.among(cohort.names()) } else { error })?;
    let dropouts = dropouts(args.drop, &cohort, &description)?;
    let files = Files::check(args.plot.as_deref(), args.save.as_deref())?;
    let verbosity = match (args.quiet, args.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };

    let show = Show { console, verbosity, confidential: description.confidential };
    let mut ended = Vec::new();
    if args.place.runtime != Runtime::Federated {
        let here = Here { resources, dropouts: dropouts.clone(), probability: args.dropouts };
        ended.push(local(flow, matches, &cohort, &description, here, &show)?);
    }
    if let Some(federation) = federation {
        ended.push(federation.run(flow, &cohort, (dropouts, args.dropouts), &show)?);
    }

    let text = match (args.output, ended.as_slice()) {
        (Output::Table, [local, federated]) => comparison(local, federated),
        (Output::Json, [local, federated]) => {
            json::pretty(&Both { local: json::Summary::of(local), federated: json::Summary::of(federated) })?
        }
        (Output::Table, ended) => ended.iter().map(Ended::table).collect(),
        // Of both there is none: that was refused.
        (Output::Csv, ended) => ended.iter().map(|ended| csv::rows(&ended.results)).collect(),
        (Output::Json, ended) => {
            let objects = ended.iter().map(|ended| json::pretty(&json::Summary::of(ended)));
            objects.collect::<Result<_, _>>()?
        }
    };
    let printed = console.print(&text);
    let log = console.log().clone();
    let say = |line: String| {
        if verbosity != Verbosity::Quiet {
            log.line(line);
        }
    };
    // Where both ran, the files are those of the federation.
    let written = ended.last().map(|ended| files.write(ended, &say));
    after(printed, written.into_iter().flatten())
}

/// The runs of both runtimes.
#[derive(serde::Serialize)]
struct Both<'a> {
    local: json::Summary<'a>,
    federated: json::Summary<'a>,
}

/// The tables one under the other, and whether they are of the same model.
fn comparison(local: &Ended, federated: &Ended) -> String {
    let same = match (local.digest(), federated.digest()) {
        (Some(one), Some(other)) if one == other => "Both models are the same, bit for bit.\n",
        (Some(_), Some(_)) => "The models differ.\n",
        _ => "",
    };
    format!("LocalRuntime\n{}\nFederatedRuntime\n{}{same}", local.table(), federated.table())
}

/// What the runs of a command show, and where.
pub(super) struct Show<'a> {
    console: &'a Console,
    verbosity: Verbosity,
    confidential: bool,
}

impl Show<'_> {
    fn progress(&self) -> Progress {
        Progress::new(self.console, self.verbosity, self.confidential)
    }

    /// The rows that a run had before it failed, above its error: standard output is for whole results.
    fn so_far(&self, results: &Results) {
        if !results.rows.is_empty() {
            let rows = table::results(results);
            self.console.log().line(format_args!("Results until then:\n{}", rows.trim_end()));
        }
    }
}

/// What a run in this process has beside its flow.
struct Here {
    resources: Resources,
    dropouts: Vec<(Name, String)>,
    probability: f64,
}

/// Runs the flow in this process.
fn local(
    flow: &dyn Entry,
    matches: &ArgMatches,
    cohort: &Cohort,
    description: &FlowDescription,
    here: Here,
    show: &Show<'_>,
) -> Result<Ended, CliError> {
    let meter = Meter::start();
    let progress = show.progress();
    let recorder = Arc::new(Recorder::default());
    let (gather, shown, sites) = (Arc::clone(&recorder), progress.clone(), progress.clone());
    let observer = move |event: &Event| {
        gather.event(event);
        shown.run_event(event);
    };
    let site_observer = move |event: &Event| sites.site_event(event);
    let interruptible = Arc::new(RunningRun { progress: progress.clone(), canceller: Mutex::new(None) });
    let guard = interrupt::while_running(Arc::clone(&interruptible) as Arc<dyn Interruptible>);
    let outcome = flow.run(
        matches,
        cohort,
        Run {
            resources: here.resources,
            dropouts: here.dropouts,
            dropout_probability: here.probability,
            observer: Arc::new(observer),
            site_observer: Arc::new(site_observer),
            cancellable: &|canceller| interruptible.set(canceller),
        },
    );
    drop(guard);
    progress.clear();
    let usage = meter.usage();
    let results = recorder.results();
    let model = outcome.inspect_err(|_| show.so_far(&results))?;
    Ok(Ended {
        flow: flow.name().to_owned(),
        fingerprint: description.fingerprint(),
        seed: cohort.seed(),
        participants: cohort.names().to_vec(),
        results,
        model,
        usage,
    })
}

/// The simulated dropouts, each of which must name a collaborator and one of its steps.
pub(super) fn dropouts(
    drops: Vec<Dropout>,
    cohort: &Cohort,
    flow: &FlowDescription,
) -> Result<Vec<(Name, String)>, CliError> {
    let steps = flow.steps();
    let steps = steps.iter().filter(|step| step.placement == Placement::Collaborator);
    let steps: Vec<String> = steps.map(|step| step.name.to_string()).collect();
    for drop in &drops {
        if cohort.index_of(&drop.name).is_none() {
            let known = cohort.names().iter().map(ToString::to_string).collect();
            return Err(CliError::Unknown { what: "collaborator", name: drop.name.to_string(), known });
        }
        if !steps.contains(&drop.step) {
            let what = "step of a collaborator called";
            return Err(CliError::Unknown { what, name: drop.step.clone(), known: steps });
        }
    }
    Ok(drops.into_iter().map(|drop| (drop.name, drop.step)).collect())
}

/// A run that Ctrl-C cancels.
struct RunningRun {
    progress: Progress,
    canceller: Mutex<Option<Canceller>>,
}

impl RunningRun {
    fn set(&self, canceller: Canceller) {
        *self.canceller.lock().unwrap_or_else(PoisonError::into_inner) = Some(canceller);
    }
}

impl Interruptible for RunningRun {
    fn cancel(&self) {
        self.progress.line("cancelling the run; press Ctrl-C again to stop at once");
        if let Some(canceller) = &*self.canceller.lock().unwrap_or_else(PoisonError::into_inner) {
            canceller.cancel();
        }
    }

    fn abandon(&self) {
        self.progress.clear();
    }
}
