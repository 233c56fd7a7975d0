//! `envoy roster`: whose keys this site trusts, and approving new ones.

use std::time::SystemTime;

use clap::{Arg, ArgAction, ArgMatches, Command};
use veilflow_federated::envoy::{RosterEntry, RosterPin};
use veilflow_spec::Name;

use super::super::part::{output, shape};
use super::{Site, site_file, take, taken};
use crate::args::Shape;
use crate::console::Console;
use crate::error::CliError;
use crate::{json, table};

pub(super) fn command(binary: &str) -> Command {
    Command::new("roster")
        .about("Shows whose keys this site trusts, and approves those that wait")
        .arg(site_file())
        .arg(take(
            "Takes this roster of the authority, as `pki roster --out` writes it, where it is a newer one",
        ))
        .arg(
            Arg::new("approve")
                .long("approve")
                .value_name("NAMES")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .help("Trusts these with the keys that are shown; compare the keys with their owners first"),
        )
        .arg(
            Arg::new("approve-all")
                .long("approve-all")
                .action(ArgAction::SetTrue)
                .conflicts_with("approve")
                .help("Trusts all of the roster with the keys that are shown"),
        )
        .arg(output())
        .after_help(format!("Example:\n  {binary} envoy roster --config bengaluru.toml --approve Recife"))
}

/// A line of the roster.
#[derive(serde::Serialize)]
struct Line {
    name: String,
    key: String,
    trusted: bool,
}

impl From<RosterEntry> for Line {
    fn from(entry: RosterEntry) -> Self {
        Self { name: entry.name.to_string(), key: entry.key.to_string(), trusted: entry.trusted }
    }
}

pub(super) fn roster(matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    let Site { config, identity } = Site::of(matches)?;
    let pin = RosterPin::open(&config.state, &identity, config.additions)?;
    if let Some(roster) = taken(matches)? {
        pin.offer(&roster, SystemTime::now())?;
    }
    let named = matches.get_many::<String>("approve").map(|names| names.map(|name| Name::from(name.trim())));
    match named {
        Some(names) => drop(pin.approve(&names.collect::<Vec<_>>())?),
        None if matches.get_flag("approve-all") => drop(pin.approve(&[])?),
        None => {}
    }
    let lines: Vec<Line> = pin.entries()?.into_iter().map(Line::from).collect();
    console.print(&match shape(matches) {
        Shape::Json => json::pretty(&lines)?,
        Shape::Table => {
            let titles = ["Name", "Trusted", "Key"].map(str::to_owned).to_vec();
            let rows = lines
                .into_iter()
                .map(|line| vec![line.name, if line.trusted { "yes" } else { "waits" }.to_owned(), line.key]);
            table::outline(titles, rows, |_| false)
        }
    })
}
