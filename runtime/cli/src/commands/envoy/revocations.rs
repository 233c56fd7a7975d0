//! `envoy revocations`: whose certificates this site takes for none, and a newer list by hand.

use clap::{ArgMatches, Command};
use veilflow_federated::envoy::site_revocations;
use veilflow_federated::pki::Date;

use super::super::part::{output, shape};
use super::{Site, site_file, take, taken};
use crate::args::Shape;
use crate::console::Console;
use crate::error::CliError;
use crate::{json, table};

pub(super) fn command(binary: &str) -> Command {
    Command::new("revocations")
        .about("Shows whose certificates are revoked, as far as this site knows")
        .arg(site_file())
        .arg(take(
            "Takes this list of the authority, `revocations.cbor` of its folder, where it is a newer one",
        ))
        .arg(output())
        .after_help(format!(
            "A running envoy takes newer lists from its director, and within seconds from here.\n\n\
             Example:\n  {binary} envoy revocations --config bengaluru.toml --take revocations.cbor"
        ))
}

/// The list.
#[derive(serde::Serialize)]
struct List {
    version: u64,
    revoked: Vec<Line>,
}

#[derive(serde::Serialize)]
struct Line {
    name: String,
    serial: String,
    /// Seconds since 1970.
    at: u64,
}

pub(super) fn revocations(matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    let Site { config, identity } = Site::of(matches)?;
    let revocations = site_revocations(&config.state, &identity)?;
    if let Some(list) = taken(matches)? {
        revocations.update(&list)?;
    }
    let current = revocations.current();
    let line = |(serial, revoked): (&[u8], &veilflow_federated::pki::Revoked)| Line {
        name: revoked.name.to_string(),
        serial: serial.iter().map(|byte| format!("{byte:02x}")).collect(),
        at: revoked.at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs(),
    };
    let list = List { version: current.version(), revoked: current.revoked().map(line).collect() };
    console.print(&match shape(matches) {
        Shape::Json => json::pretty(&list)?,
        Shape::Table => {
            let titles = ["Name", "Revoked", "Serial number"].map(str::to_owned).to_vec();
            let rows =
                list.revoked.into_iter().map(|line| vec![line.name, Date(line.at).to_string(), line.serial]);
            format!(
                "{}List of revoked certificates: version {}\n",
                table::outline(titles, rows, |_| false),
                list.version
            )
        }
    })
}
