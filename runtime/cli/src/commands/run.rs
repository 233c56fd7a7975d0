//! `run FLOW`.

use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use clap::{ArgMatches, Command, FromArgMatches};
use veilflow_engine::{Canceller, Event};
use veilflow_spec::{FlowDescription, Name, Placement, Tensor};

use crate::args::{Dropout, Output, RunArgs};
use crate::cohort::Cohort;
use crate::console::Console;
use crate::entry::{Entry, Model, Run};
use crate::error::CliError;
use crate::files::{self, Target};
use crate::interrupt::{self, Interruptible};
use crate::plot::{self, Picture};
use crate::progress::{Progress, Verbosity};
use crate::results::{Recorder, Results};
use crate::usage::{Meter, Usage};
use crate::{config, csv, json, save, table};

/// The command line with what its `--config` adds, right behind the flow's name.
pub(super) fn with_config(
    root: &Command,
    flow: &dyn Entry,
    given: &ArgMatches,
    mut arguments: Vec<OsString>,
) -> Result<Vec<OsString>, CliError> {
    let Some(path) = given.get_one::<std::path::PathBuf>("config") else { return Ok(arguments) };
    let own = root.find_subcommand("run").and_then(|run| run.find_subcommand(flow.name()));
    let Some(own) = own else { return Ok(arguments) };
    let added = config::arguments(path, own, given)?;
    // `program run FLOW`: nothing else can stand before the flow.
    let behind_flow = 3.min(arguments.len());
    arguments.splice(behind_flow..behind_flow, added);
    Ok(arguments)
}

pub(super) fn run(flow: &dyn Entry, matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    let args = RunArgs::from_arg_matches(matches).map_err(|error| CliError::Usage(Box::new(error)))?;
    let names = args.collaborators.as_ref().map_or_else(|| flow.collaborators(), |named| named.0.clone());
    let resources = args.resources(names.len());
    let cohort = Cohort::new(names, args.seed, args.processors()).with_device(args.device);
    let description = flow.describe(matches, &cohort)?;
    let dropouts = dropouts(args.drop, &cohort, &description)?;
    let files = Files::check(args.plot.as_deref(), args.save.as_deref())?;
    let verbosity = match (args.quiet, args.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };

    let meter = Meter::start();
    let progress = Progress::new(console, verbosity, description.confidential);
    let recorder = Arc::new(Recorder::default());
    let (gather, show, sites) = (Arc::clone(&recorder), progress.clone(), progress.clone());
    let observer = move |event: &Event| {
        gather.event(event);
        show.run_event(event);
    };
    let site_observer = move |event: &Event| sites.site_event(event);
    let interruptible = Arc::new(RunningRun { progress: progress.clone(), canceller: Mutex::new(None) });
    let guard = interrupt::while_running(Arc::clone(&interruptible) as Arc<dyn Interruptible>);
    let outcome = flow.run(
        matches,
        &cohort,
        Run {
            resources,
            dropouts,
            dropout_probability: args.dropouts,
            observer: Arc::new(observer),
            site_observer: Arc::new(site_observer),
            cancellable: &|canceller| interruptible.set(canceller),
        },
    );
    drop(guard);
    progress.clear();
    let usage = meter.usage();
    let results = recorder.results();
    let model = outcome.inspect_err(|_| so_far(console, &results))?;

    let text = match args.output {
        Output::Table => human(flow, &cohort, &results, &model, usage),
        Output::Csv => csv::rows(&results),
        Output::Json => {
            let about = json::About {
                flow: flow.name(),
                seed: cohort.seed(),
                participants: cohort.names(),
                model_sha256: digest(&model),
                usage,
            };
            json::object(about, &results).map_err(|error| CliError::Output(error.into()))?
        }
    };
    // The results come first: whatever fails after them does not lose them.
    let printed = console.print(&text);
    let written = files.write(flow, &cohort, &description, &results, &model, &progress);
    let failed: Vec<_> = [printed].into_iter().chain(written).filter_map(Result::err).collect();
    if failed.is_empty() { Ok(()) } else { Err(CliError::After(failed)) }
}

/// The simulated dropouts, each of which must name a collaborator and one of its steps.
fn dropouts(
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

/// The rows that a run had before it failed, above its error: standard output is for whole results.
fn so_far(console: &Console, results: &Results) {
    if !results.rows.is_empty() {
        console.log().line(format_args!("Results until then:\n{}", table::results(results).trim_end()));
    }
}

fn human(flow: &dyn Entry, cohort: &Cohort, results: &Results, model: &Model, usage: Usage) -> String {
    let mut text = table::results(results);
    if let Some(rounds) = table::rounds(&results.rounds()) {
        text.push_str(&rounds);
    }
    let mut parts = vec![
        format!("{} collaborators", cohort.len()),
        format!("seed {}", cohort.seed()),
        format!("{:.1} s", usage.wall_s),
    ];
    if let Some(cpu) = usage.cpu_s {
        parts.push(format!("{cpu:.1} CPU-s"));
    }
    if let Some(bytes) = usage.peak_rss_bytes {
        parts.push(format!("{:.0} MB at most", bytes as f64 / 1e6));
    }
    if let Some(digest) = digest(model) {
        parts.push(format!("model {}", digest.get(..12).unwrap_or(&digest)));
    }
    text + &format!("{}: {}\n", flow.name(), parts.join(", "))
}

/// SHA-256 of the model's little-endian values, in the model's order.
fn digest(model: &Model) -> Option<String> {
    if model.is_empty() {
        return None;
    }
    let digest = Tensor::digest(model.iter().map(|(_, tensor)| tensor));
    Some(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The files that a run writes, known to be writable before it starts.
struct Files {
    plot: Option<(Target, Picture)>,
    save: Option<Target>,
}

impl Files {
    fn check(plot: Option<&Path>, save: Option<&Path>) -> Result<Self, CliError> {
        let plot = plot.map(|path| {
            let picture = match files::ending("plot", path, &[".svg", ".png"])? {
                ".svg" => Picture::Svg,
                _ => Picture::Png,
            };
            Ok::<_, CliError>((Target::check(path)?, picture))
        });
        let save = save.map(|path| {
            files::ending("save", path, &[".safetensors"])?;
            Target::check(path)
        });
        Ok(Self { plot: plot.transpose()?, save: save.transpose()? })
    }

    /// Writes each file, whatever became of the other.
    fn write(
        &self,
        flow: &dyn Entry,
        cohort: &Cohort,
        description: &FlowDescription,
        results: &Results,
        model: &Model,
        progress: &Progress,
    ) -> [Result<(), CliError>; 2] {
        let plot = || {
            let Some((target, picture)) = &self.plot else { return Ok(()) };
            let title = format!("{}, {} collaborators, seed {}", flow.name(), cohort.len(), cohort.seed());
            target.write(&plot::draw(&title, results, *picture)?)?;
            progress.line(format_args!("plot written to {}", target.path().display()));
            Ok(())
        };
        let save = || {
            let Some(target) = &self.save else { return Ok(()) };
            if model.is_empty() {
                return Err(CliError::NoModel { flow: flow.name() });
            }
            let about = [
                ("flow", flow.name().to_owned()),
                ("fingerprint", description.fingerprint().to_string()),
                ("seed", cohort.seed().to_string()),
            ];
            target.write(&save::safetensors(model, &about)?)?;
            progress.line(format_args!("model written to {}", target.path().display()));
            Ok(())
        };
        [plot(), save()]
    }
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
