//! `director`: the part in the middle, which queues experiments and hosts their aggregators.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{ArgMatches, Command};
use veilflow_federated::Registry as Flows;
use veilflow_federated::director::{Director, DirectorConfig, Line};

use super::part::{self, Asked, Part};
use crate::console::Console;
use crate::error::CliError;
use crate::registry::Registry;
use crate::serving::{self, PartLog, Ready};
use crate::settings::{self, Kind, Setting};

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

const PART: Part = Part {
    name: "director",
    about: "Runs the part of a federation that sites and clients dial",
    starts: "Queues experiments and hosts their aggregators, until it is told to end",
    file: "director.toml",
    settings: &SETTINGS,
};

/// The grammar of `director`.
pub(crate) fn command(binary: &str) -> Command {
    PART.command(binary, [])
}

pub(super) fn director(
    registry: &Registry,
    matches: &ArgMatches,
    console: &mut Console,
) -> Result<(), CliError> {
    match Asked::of(matches) {
        Some(Asked::Start(matches)) => start(registry, matches, console),
        Some(Asked::Check(matches)) => check(registry, matches, console),
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
    let log = PartLog::new(console, part::shape(matches));
    let lines = log.clone();
    let line = Arc::new(move |line: Line| lines.write(line.level(), &line));
    serving::serve(&log, async |mut told| {
        let mut director = Director::start(config, flows, line).await?;
        let ready = Ready { name: None, director: format!("{scheme}://{}", director.address()) };
        log.ready(console, &ready)?;
        tokio::select! {
            () = told.until_signalled() => {}
            ended = director.ended() => return Ok(ended?),
        }
        Ok(director.shutdown().await?)
    })
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
    let (file, flows) = (checked.config.display(), checked.flows.join(", "));
    let text = format!(
        "{file} is good: it listens on {} for {flows}, {} experiments at once\n",
        checked.listen, checked.slots
    );
    part::print_checked(matches, console, &checked, &text)
}
