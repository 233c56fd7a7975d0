//! `envoy`: a site's process, and how it gets its identity.

mod enroll;
mod renew;
mod revocations;
mod roster;
mod site;

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Arg, ArgAction, ArgMatches, Command};
use tokio::sync::mpsc;
use veilflow_engine::EventKind;
use veilflow_federated::Registry as Flows;
use veilflow_federated::envoy::{Envoy, EnvoyConfig, Notice};
use veilflow_spec::Signal;

use self::site::{Site, site_file, take, taken};
use super::part::{self, Asked, Part};
use crate::console::Console;
use crate::error::CliError;
use crate::registry::Registry;
use crate::serving::{self, PartLog, Ready};
use crate::settings::{self, Kind, Setting};

/// The keys of an envoy's file that are flags too.
const SETTINGS: [Setting; 17] = [
    Setting { key: "name", kind: Kind::Text("NAME"), help: "This site's name, as its certificate has it" },
    Setting { key: "director", kind: Kind::Text("URL"), help: "Where the director is" },
    Setting { key: "identity", kind: Kind::Path("DIR"), help: "Folder with the site's key and certificate" },
    Setting {
        key: "renew-before",
        kind: Kind::Text("TIME"),
        help: "With how much of its time left the certificate is renewed, such as 30d [default: a third of it]",
    },
    Setting { key: "state-dir", kind: Kind::Path("DIR"), help: "Folder for what must outlast the process" },
    Setting {
        key: "insecure-loopback",
        kind: Kind::Switch,
        help: "Talks without encryption, to a director on a loopback address only",
    },
    Setting {
        key: "policy.allowed-flows",
        kind: Kind::List("FLOWS"),
        help: "The flows that this site runs, with commas between; * for all",
    },
    Setting {
        key: "policy.allow-plain",
        kind: Kind::Switch,
        help: "Runs flows too in which the aggregator sees this site's own values",
    },
    Setting { key: "policy.min-cohort", kind: Kind::Number, help: "The fewest sites in a secure sum" },
    Setting {
        key: "policy.min-threshold",
        kind: Kind::Number,
        help: "The smallest threshold of a secure sum",
    },
    Setting {
        key: "policy.min-security",
        kind: Kind::Text("SETTING"),
        help: "The weakest setting of a secure sum: malicious, malicious:0.1 or semi-honest",
    },
    Setting {
        key: "policy.max-unfinished",
        kind: Kind::Number,
        help: "The most sessions in a row that come to no masked input",
    },
    Setting {
        key: "policy.max-rounds",
        kind: Kind::Number,
        help: "The most rounds that this site masks inputs for",
    },
    Setting { key: "resources.cpus", kind: Kind::Number, help: "Processors for all its work" },
    Setting { key: "resources.cpus-per-task", kind: Kind::Number, help: "Processors for each task" },
    Setting {
        key: "resources.device",
        kind: Kind::Text("DEVICE"),
        help: "What tasks compute on: cpu or cuda:0",
    },
    Setting {
        key: "connection.compression",
        kind: Kind::Text("HOW"),
        help: "How answers are sent: none or zstd, which shows on the line how compressible they are [default: none]",
    },
];

const PART: Part = Part {
    name: "envoy",
    about: "Runs a site's part of a federation",
    starts: "Dials the director and runs this site's tasks, until it is told to end",
    file: "bengaluru.toml",
    settings: &SETTINGS,
};

/// The grammar of `envoy`.
pub(crate) fn command(binary: &str) -> Command {
    let verbose = Arg::new("verbose")
        .long("verbose")
        .short('v')
        .action(ArgAction::SetTrue)
        .help("Logs what happens inside tasks too");
    PART.command(binary, [verbose])
        .subcommand(enroll::command(binary))
        .subcommand(renew::command(binary))
        .subcommand(revocations::command(binary))
        .subcommand(roster::command(binary))
}

pub(super) fn envoy(
    registry: &Registry,
    matches: &ArgMatches,
    console: &mut Console,
) -> Result<(), CliError> {
    match (Asked::of(matches), matches.subcommand()) {
        (Some(Asked::Start(matches)), _) => start(registry, matches, console),
        (Some(Asked::Check(matches)), _) => check(registry, matches, console),
        (None, Some(("enroll", matches))) => enroll::enroll(matches, console),
        (None, Some(("renew", matches))) => renew::renew(matches, console),
        (None, Some(("revocations", matches))) => revocations::revocations(matches, console),
        (None, Some(("roster", matches))) => roster::roster(matches, console),
        (None, _) => Ok(()),
    }
}

/// The configuration, compared with the flows that are compiled in.
fn config(flows: &Flows, matches: &ArgMatches) -> Result<EnvoyConfig, CliError> {
    let file = settings::read(matches, &SETTINGS)?;
    let config = EnvoyConfig::parse(&file.path, &file.text)?;
    config.validate(flows)?;
    settings::check_places(flows, &config.flows, &file.path)?;
    Ok(config)
}

fn start(registry: &Registry, matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    let flows = registry.deployed();
    let config = config(&flows, matches)?;
    let verbose = matches.get_flag("verbose");
    let ready = Ready { name: Some(config.name.to_string()), director: config.director.clone() };
    let log = PartLog::new(console, part::shape(matches));
    // One place: who asks for more has been told already.
    let (attached, mut first) = mpsc::channel(1);
    let notices = log.clone();
    let notice = move |notice: &Notice| {
        if matches!(notice, Notice::Attached) {
            let _ = attached.try_send(());
        }
        if verbose || !is_detail(notice) {
            notices.write(notice.level(), notice);
        }
    };
    serving::serve(&log, async |mut told| {
        let envoy = Envoy::start(config, flows, Arc::new(notice)).await?;
        tokio::select! {
            () = told.until_signalled() => {}
            _ = first.recv() => {
                log.ready(console, &ready)?;
                told.until_signalled().await;
            }
        }
        envoy.shutdown();
        envoy.wait().await;
        Ok(())
    })
}

/// What happens inside tasks, many times a second.
fn is_detail(notice: &Notice) -> bool {
    match notice {
        Notice::Event { event, .. } => {
            !matches!(event.kind, EventKind::Signal { signal: Signal::Note(_) | Signal::Row(_), .. })
        }
        _ => false,
    }
}

/// What `config check` says.
#[derive(serde::Serialize)]
struct Checked {
    config: PathBuf,
    name: String,
    director: String,
    flows: Vec<String>,
}

fn check(registry: &Registry, matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    let flows = registry.deployed();
    let config = config(&flows, matches)?;
    let allowed = flows.flows().map(|flow| flow.name().to_owned());
    let checked = Checked {
        flows: allowed.filter(|flow| config.policy.allowed.contains(flow)).collect(),
        config: config.path,
        name: config.name.to_string(),
        director: config.director,
    };
    let (file, name, flows) = (checked.config.display(), &checked.name, checked.flows.join(", "));
    let text = format!("{file} is good: {name} runs {flows} for {}\n", checked.director);
    part::print_checked(matches, console, &checked, &text)
}
