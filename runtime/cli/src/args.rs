//! The command line's grammar.

use std::path::PathBuf;
use std::str::FromStr;
use std::thread;

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, Args, Command, ValueEnum, value_parser};
use clap_complete::Shell;
use veilflow_engine::Resources;
use veilflow_spec::{Device, Format, InvalidName, Name};

use crate::cohort::numbered;
use crate::commands::{bench, director, envoy, envoys, experiment, federation, pki, secagg};
use crate::entry::Entry;
use crate::error::CliError;
use crate::registry::Registry;
use crate::remote::connection::ConnectionArgs;

/// The seed of a run that names none.
pub(crate) const DEFAULT_SEED: u64 = 42;

/// The flags that every flow has, and what they hold in `--config` too.
#[derive(Args, Debug)]
#[group(skip)]
#[command(next_help_heading = "Flags of every run")]
pub(crate) struct RunArgs {
    /// Who takes part: names separated by commas, or a number of them
    #[arg(long, value_name = "NAMES|N")]
    pub(crate) collaborators: Option<Collaborators>,
    /// Where randomness starts: the same seed gives the same model
    #[arg(long, value_name = "SEED", default_value_t = DEFAULT_SEED)]
    pub(crate) seed: u64,
    /// How many processors the collaborators share, in equal parts of at least one [default: all, one for each]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub(crate) threads: Option<u32>,
    /// What the collaborators compute on: cpu, cuda:0 or metal:0
    #[arg(long, value_name = "DEVICE", default_value_t)]
    pub(crate) device: Device,
    /// Which part of the device a collaborator takes while it runs: with 0.25 four run at once, with 0 all [default: 1, and of the processor 0]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) device_share: Option<f64>,
    /// Simulates that a collaborator is gone before a step, in every round; give it again for more
    #[arg(long, value_name = "NAME@STEP", value_delimiter = ',', action = ArgAction::Append)]
    pub(crate) drop: Vec<Dropout>,
    /// Simulates that in each round each collaborator drops out with this probability, at a random step
    #[arg(long, value_name = "P", default_value = "0", hide_default_value = true, allow_negative_numbers = true, value_parser = probability)]
    pub(crate) dropouts: f64,
    /// How the results are printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// Draws the columns of the results as curves: .svg or .png
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Writes the model: .safetensors
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// Reads flags from a TOML file (`rounds = 2`); flags given here come first
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Prints results and errors only
    #[arg(long, short, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Prints every step as it starts and ends
    #[arg(long, short)]
    pub(crate) verbose: bool,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// Where a flow runs.
#[derive(Args, Debug)]
#[group(skip)]
#[command(next_help_heading = "Where it runs")]
pub(crate) struct PlaceArgs {
    /// In this process, at a federation's sites, or first here and then there
    #[arg(long, value_name = "RUNTIME", value_enum, default_value_t = Runtime::Local)]
    pub(crate) runtime: Runtime,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

/// The flags of `experiment submit` beside the flow's own.
#[derive(Args, Debug)]
#[group(skip)]
#[command(next_help_heading = "Flags of every experiment")]
pub(crate) struct SubmitArgs {
    /// Who takes part: names separated by commas, or a number of them [default: all envoys online that offer the flow]
    #[arg(long, value_name = "NAMES|N")]
    pub(crate) collaborators: Option<Collaborators>,
    /// Where randomness starts: the same seed gives the same model
    #[arg(long, value_name = "SEED", default_value_t = DEFAULT_SEED)]
    pub(crate) seed: u64,
    /// Simulates that a collaborator is gone before a step, in every round; give it again for more
    #[arg(long, value_name = "NAME@STEP", value_delimiter = ',', action = ArgAction::Append)]
    pub(crate) drop: Vec<Dropout>,
    /// Simulates that in each round each collaborator drops out with this probability, at a random step
    #[arg(long, value_name = "P", default_value = "0", hide_default_value = true, allow_negative_numbers = true, value_parser = probability)]
    pub(crate) dropouts: f64,
    /// How the experiment is printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Shape::Table)]
    pub(crate) output: Shape,
    /// Reads flags from a TOML file (`rounds = 2`); flags given here come first
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

impl RunArgs {
    /// The number of processors that the collaborators share.
    pub(crate) fn processors(&self) -> usize {
        let given = self.threads.and_then(|threads| usize::try_from(threads).ok());
        given.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
    }

    /// What each of so many collaborators takes while it runs.
    ///
    /// One processor costs the least processor time, since nothing is divided, and where there are as many collaborators
    /// as processors it is the fastest too. Only who names a number of processors wants all of them used, so only then
    /// do fewer collaborators get several each.
    pub(crate) fn resources(&self, collaborators: usize) -> Resources {
        let each = if self.threads.is_some() { self.processors() / collaborators.max(1) } else { 1 };
        // A model and its batches fill a graphics card sooner than a processor, so that sharing it is asked for.
        let share = self.device_share.unwrap_or(if self.device == Device::Cpu { 0.0 } else { 1.0 });
        Resources::cpus(each).with_device_share(share)
    }
}

/// The flags of `graph` beside the flow's own.
#[derive(Args, Debug)]
#[group(skip)]
#[command(next_help_heading = "Flags of every graph")]
pub(crate) struct GraphArgs {
    /// How the flow is drawn: text, mermaid, dot or svg
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
    /// Who takes part: names separated by commas, or a number of them
    #[arg(long, value_name = "NAMES|N")]
    pub(crate) collaborators: Option<Collaborators>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
    Csv,
}

/// How what is no run's result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    Table,
    Json,
}

/// What runs a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    Local,
    Federated,
    Both,
}

/// Who takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Collaborators(pub(crate) Vec<Name>);

/// The most collaborators that a number may ask for: more is a slip of the finger.
const MAX_COLLABORATORS: usize = 1_000_000;

/// Why a text says nobody who could take part.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidCollaborators {
    #[error("a number of collaborators is from 1 to {MAX_COLLABORATORS}")]
    Number,
    #[error("{0} is named twice: a name stands for one site")]
    Twice(Name),
    #[error(transparent)]
    Name(#[from] InvalidName),
}

impl FromStr for Collaborators {
    type Err = InvalidCollaborators;

    fn from_str(text: &str) -> Result<Self, InvalidCollaborators> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
            let number = text.parse().ok().filter(|number| (1..=MAX_COLLABORATORS).contains(number));
            return number.map(|number| Self(numbered(number))).ok_or(InvalidCollaborators::Number);
        }
        let mut names: Vec<Name> = Vec::new();
        for name in text.split(',').map(|name| Name::from(name.trim())) {
            name.validate()?;
            if names.contains(&name) {
                return Err(InvalidCollaborators::Twice(name));
            }
            names.push(name);
        }
        Ok(Self(names))
    }
}

/// A number from 0 to 1.
fn probability(text: &str) -> Result<f64, InvalidProbability> {
    text.parse().ok().filter(|part| (0.0..=1.0).contains(part)).ok_or(InvalidProbability)
}

/// A part of a device.
fn share(text: &str) -> Result<f64, InvalidShare> {
    text.parse().ok().filter(|part| (0.0..=1.0).contains(part)).ok_or(InvalidShare)
}

/// A text that says no part of a device.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share of a device is a number from 0 to 1, such as 0.5 for two at once")]
pub(crate) struct InvalidShare;

/// A text that says no probability.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a probability is a number from 0 to 1, such as 0.1")]
pub(crate) struct InvalidProbability;

/// A simulated dropout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dropout {
    pub(crate) name: Name,
    pub(crate) step: String,
}

/// A text that says no dropout.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a dropout is written NAME@STEP, such as Portland@train")]
pub(crate) struct InvalidDropout;

impl FromStr for Dropout {
    type Err = InvalidDropout;

    fn from_str(text: &str) -> Result<Self, InvalidDropout> {
        match text.split_once('@') {
            Some((name, step)) if !name.trim().is_empty() && !step.trim().is_empty() => {
                Ok(Self { name: Name::from(name.trim()), step: step.trim().to_owned() })
            }
            _ => Err(InvalidDropout),
        }
    }
}

/// How a command is built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// As it is shown and meant.
    Strict,
    /// Without required flags, which a configuration file may give yet.
    Relaxed,
}

/// The whole command line of `registry` for a program called `binary`.
pub(crate) fn command(registry: &Registry, binary: &str, strictness: Strictness) -> Command {
    let first = registry.flows.first();
    let example = first.map_or("FLOW", |flow| flow.name());
    let arguments = first.map_or("", |flow| flow.example());
    let run = Command::new("run")
        .about("Runs a flow in this process or at a federation's sites")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand_value_name("FLOW")
        .subcommand_help_heading("Flows")
        .disable_help_subcommand(true)
        .override_usage(format!("{binary} run FLOW [FLAGS]"))
        .after_help(format!("Example:\n  {binary} run {example} {arguments}\n\n{binary} run FLOW --help lists the flags of a flow."))
        .subcommands(registry.flows.iter().map(|flow| run_flow(&**flow, binary, strictness)));
    let graph = Command::new("graph")
        .about("Draws a flow as text, Mermaid, DOT or SVG")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand_value_name("FLOW")
        .subcommand_help_heading("Flows")
        .disable_help_subcommand(true)
        .override_usage(format!("{binary} graph FLOW [FLAGS]"))
        .after_help(format!("Example:\n  {binary} graph {example} --format svg > {example}.svg"))
        .subcommands(registry.flows.iter().map(|flow| graph_flow(&**flow, binary, strictness)));
    let mut command = Command::new(binary.to_owned())
        .bin_name(binary.to_owned())
        .version(registry.version)
        .about("Runs federated-learning flows with secure aggregation")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(run)
        .subcommand(
            Command::new("flows").about("Lists the flows").after_help(format!("Example:\n  {binary} flows")),
        )
        .subcommand(graph);
    if !registry.datasets.is_empty() {
        command = command.subcommand(data(registry, binary));
    }
    let command = command.subcommand(secagg::command(binary)).subcommand(bench::command(registry, binary));
    let command = command
        .subcommand(federation::command(binary))
        .subcommand(envoys::command(binary))
        .subcommand(experiment::command(registry, binary, strictness))
        .subcommand(director::command(binary))
        .subcommand(envoy::command(binary))
        .subcommand(pki::command(binary));
    command.subcommand(completions(binary)).after_help(format!(
        "Examples:\n  {binary} run {example} {arguments}\n  {binary} graph {example} --format mermaid"
    ))
}

fn run_flow(flow: &dyn Entry, binary: &str, strictness: Strictness) -> Command {
    let name = flow.name();
    let names: Vec<_> = flow.collaborators().iter().map(ToString::to_string).collect();
    let command = RunArgs::augment_args(own_options(flow, strictness)).mut_arg("collaborators", |arg| {
        arg.help(format!(
            "Who takes part: names separated by commas, or a number of them [default: {}]",
            names.join(",")
        ))
    });
    titled(command, flow).after_help(format!(
        "Examples:\n  {binary} run {name} {}\n  {binary} run {name} --collaborators 3 --config run.toml",
        flow.example()
    ))
}

fn graph_flow(flow: &dyn Entry, binary: &str, strictness: Strictness) -> Command {
    let command = GraphArgs::augment_args(own_options(flow, strictness));
    let name = flow.name();
    titled(command, flow).after_help(format!("Example:\n  {binary} graph {name} --format dot"))
}

/// The grammar of `experiment submit` for a flow.
pub(crate) fn submit_flow(flow: &dyn Entry, binary: &str, strictness: Strictness) -> Command {
    let command = SubmitArgs::augment_args(own_options(flow, strictness));
    let name = flow.name();
    titled(command, flow).after_help(format!(
        "Example:\n  {binary} experiment submit {name} --collaborators Bengaluru,Portland"
    ))
}

fn own_options(flow: &dyn Entry, strictness: Strictness) -> Command {
    let command = Command::new(flow.name()).next_help_heading("Flags of this flow");
    let command = flow.add_options(command);
    match strictness {
        Strictness::Strict => command,
        Strictness::Relaxed => command.mut_args(|arg| arg.required(false)),
    }
}

/// Sets the text about the flow, which the options' own doc comments would otherwise replace.
fn titled(command: Command, flow: &dyn Entry) -> Command {
    command.about(flow.about()).long_about(None)
}

fn data(registry: &Registry, binary: &str) -> Command {
    let names: Vec<_> = registry.datasets.iter().map(|dataset| dataset.name).collect();
    let example = names.first().copied().unwrap_or("NAME");
    let about = registry.datasets.iter().map(|dataset| format!("\n  {:<10} {}", dataset.name, dataset.about));
    let fetch = Command::new("fetch")
        .about("Downloads a data set, checks it and keeps it")
        .arg(
            Arg::new("name")
                .value_name("NAME")
                .required(true)
                .value_parser(NonEmptyStringValueParser::new())
                .help(format!("Which: {}", names.join(", "))),
        )
        .arg(
            Arg::new("data-dir")
                .long("data-dir")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("Where the files go [default: veilflow/NAME in your cache folder]"),
        )
        .arg(Arg::new("quiet").long("quiet").short('q').action(ArgAction::SetTrue).help("Prints errors only"))
        .after_help(format!(
            "Data sets:{}\n\nExample:\n  {binary} data fetch {example} --data-dir data/{example}",
            about.collect::<String>()
        ));
    Command::new("data")
        .about("Gets data sets")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(fetch)
        .after_help(format!("Example:\n  {binary} data fetch {example}"))
}

fn completions(binary: &str) -> Command {
    Command::new("completions")
        .about("Prints completions for a shell")
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(value_parser!(Shell))
                .help("Which shell"),
        )
        .after_help(format!(
            "Example:\n  {binary} completions bash > ~/.local/share/bash-completion/completions/{binary}"
        ))
}

/// Finds what clap would only find by panicking, and only in a debug build: names used twice.
///
/// # Errors
/// [`CliError::DuplicateName`], [`CliError::ReservedFlag`] and [`CliError::SiteOption`].
pub(crate) fn check(registry: &Registry) -> Result<(), CliError> {
    let flows: Vec<_> = registry.flows.iter().map(|flow| flow.name()).collect();
    let datasets: Vec<_> = registry.datasets.iter().map(|dataset| dataset.name).collect();
    for (what, names) in [("flows", flows), ("data sets", datasets)] {
        for (position, name) in names.iter().enumerate() {
            if names[..position].contains(name) {
                return Err(CliError::DuplicateName { what, name });
            }
        }
    }
    let common = GraphArgs::augment_args(Command::new("graph"));
    let submit = SubmitArgs::augment_args(Command::new("submit"));
    let common: Vec<Arg> = RunArgs::augment_args(Command::new("run"))
        .get_arguments()
        .chain(common.get_arguments())
        .chain(submit.get_arguments())
        .cloned()
        .collect();
    for flow in &registry.flows {
        let options = flow.add_options(Command::new("own"));
        let is_wrong = |flag: &&&str| {
            let own = options.get_arguments().find(|arg| arg.get_long() == Some(**flag));
            own.is_none_or(|arg| arg.is_required_set())
        };
        if let Some(flag) = flow.site_options().iter().find(is_wrong) {
            return Err(CliError::SiteOption { flow: flow.name(), flag });
        }
        for own in options.get_arguments() {
            let taken = common.iter().any(|other| {
                own.get_id() == other.get_id()
                    || own.get_long().is_some_and(|long| Some(long) == other.get_long() || long == "help")
                    || own.get_short().is_some_and(|short| Some(short) == other.get_short() || short == 'h')
            });
            if taken {
                let flag = match (own.get_long(), own.get_short()) {
                    (Some(long), _) => format!("--{long}"),
                    (None, Some(short)) => format!("-{short}"),
                    (None, None) => own.get_id().to_string(),
                };
                return Err(CliError::ReservedFlag { flow: flow.name(), flag });
            }
        }
    }
    Ok(())
}
