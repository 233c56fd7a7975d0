//! `director`: the part in the middle, which queues experiments and hosts their aggregators.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgMatches, Command};
use veilflow_federated::Registry as Flows;
use veilflow_federated::director::{Director, DirectorConfig, Line};

use super::envoy::{output, shape};
use super::federation::Ready;
use crate::args::Shape;
use crate::console::Console;
use crate::error::CliError;
use crate::registry::Registry;
use crate::settings::{self, Kind, Setting};
use crate::{json, serving};

/// The keys of a director's file that are flags too.
const SETTINGS: [Setting; 15] = [
    Setting {
        key: "listen",
        kind: Kind::Text("ADDRESS"),
        help: "Where it listens [default: 127.0.0.1:50050]",
    },
    Setting {
        key: "identity",
        kind: Kind::Path("DIR"),
        help: "Folder with the director's key and certificate",
    },
    Setting {
        key: "renew-before",
        kind: Kind::Text("TIME"),
        help: "With how much of its time left the certificate is renewed, such as 30d [default: a third of it]",
    },
    Setting { key: "state-dir", kind: Kind::Path("DIR"), help: "Folder in which it keeps its experiments" },
    Setting {
        key: "insecure-loopback",
        kind: Kind::Switch,
        help: "Listens without encryption, on a loopback address only; peers are who they say",
    },
    Setting { key: "slots", kind: Kind::Number, help: "The most experiments that run at once [default: 4]" },
    Setting {
        key: "reconnect-grace",
        kind: Kind::Text("TIME"),
        help: "How long a task waits for an envoy whose connection is lost [default: 60s]",
    },
    Setting {
        key: "device",
        kind: Kind::Text("DEVICE"),
        help: "What the aggregators' steps compute on: cpu or cuda:0",
    },
    Setting {
        key: "compression",
        kind: Kind::Text("HOW"),
        help: "How models are sent: none or zstd, which shows on the line how compressible they are [default: none]",
    },
    Setting {
        key: "limits.queue",
        kind: Kind::Number,
        help: "The most experiments that wait [default: 1000]",
    },
    Setting { key: "limits.envoys", kind: Kind::Number, help: "The most envoys [default: 10000]" },
    Setting {
        key: "limits.max-content",
        kind: Kind::Text("SIZE"),
        help: "The largest message, such as 8GiB",
    },
    Setting {
        key: "limits.memory",
        kind: Kind::Text("SIZE"),
        help: "The most memory for messages on their way, such as 16GiB",
    },
    Setting { key: "limits.connections", kind: Kind::Number, help: "The most connections [default: 2048]" },
    Setting {
        key: "limits.connections-per-address",
        kind: Kind::Number,
        help: "The most connections from one address [default: 512]",
    },
];

/// The grammar of `director`.
pub(crate) fn command(binary: &str) -> Command {
    let example = |text: &str| format!("Example:\n  {binary} director {text}");
    let check = settings::arguments(Command::new("check"), &SETTINGS)
        .arg(output())
        .about("Reads a configuration and says what it means, or what is wrong with it")
        .after_help(example("config check --config director.toml"));
    Command::new("director")
        .about("Runs the part of a federation that sites and clients dial")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(
            settings::arguments(Command::new("start"), &SETTINGS)
                .about("Queues experiments and hosts their aggregators, until it is told to end")
                .after_help(example("start --config director.toml")),
        )
        .subcommand(
            Command::new("config")
                .about("Checks configurations")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .disable_help_subcommand(true)
                .subcommand(check)
                .after_help(example("config check --config director.toml")),
        )
        .after_help(example("start --config director.toml"))
}

pub(super) fn director(
    registry: &Registry,
    matches: &ArgMatches,
    console: &mut Console,
) -> Result<(), CliError> {
    match matches.subcommand() {
        Some(("start", matches)) => start(registry, matches, console),
        Some((_, matches)) => match matches.subcommand() {
            Some((_, matches)) => check(registry, matches, console),
            None => Ok(()),
        },
        None => Ok(()),
    }
}

/// The configuration, compared with the flows that are compiled in, and the file that it came from.
fn config(flows: &Flows, matches: &ArgMatches) -> Result<(PathBuf, DirectorConfig), CliError> {
    let file = settings::read(matches, &SETTINGS)?;
    let config = DirectorConfig::parse(&file.path, &file.text)?;
    settings::check_places(flows, &config.flows, &file.path)?;
    config.validate(flows)?;
    Ok((file.path, config))
}

fn start(registry: &Registry, matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    let flows = registry.deployed();
    let (_, config) = config(&flows, matches)?;
    let scheme = if config.insecure_loopback { "http" } else { "https" };
    let log = console.log().clone();
    let mut told = serving::Told::listen(&log);
    let line = Arc::new(move |line: Line| serving::log(&log, line));
    let runtime = serving::runtime()?;
    runtime.block_on(async {
        let mut director = Director::start(config, flows, line).await?;
        console.print(&Ready::line(&format!("{scheme}://{}", director.address())))?;
        tokio::select! {
            () = told.until_signalled() => {}
            ended = director.ended() => return Ok(ended?),
        }
        Ok::<_, CliError>(director.shutdown().await?)
    })?;
    // An aggregator's step that does not look at its cancellation is not waited for: it is run again.
    runtime.shutdown_background();
    Ok(())
}

/// What `config check` says.
#[derive(serde::Serialize)]
struct Checked {
    config: PathBuf,
    listen: String,
    state_dir: PathBuf,
    slots: usize,
    flows: Vec<String>,
}

fn check(registry: &Registry, matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    let flows = registry.deployed();
    let (path, config) = config(&flows, matches)?;
    let checked = Checked {
        config: path,
        listen: config.listen.to_string(),
        state_dir: config.state_dir,
        slots: config.slots,
        flows: flows.flows().map(|flow| flow.name().to_owned()).collect(),
    };
    console.print(&match shape(matches) {
        Shape::Json => json::pretty(&checked)?,
        Shape::Table => format!(
            "{} is good: it listens on {} for {}, {} experiments at once\n",
            checked.config.display(),
            checked.listen,
            checked.flows.join(", "),
            checked.slots
        ),
    })
}
