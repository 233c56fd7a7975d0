//! `envoy renew`: asks for this site's next certificate now. A running envoy does so by itself, in time.

use clap::{Arg, ArgMatches, Command};
use veilflow_federated::envoy::site_revocations;
use veilflow_federated::pki::{Date, enrolment};
use veilflow_federated::wire::Dialing;

use super::super::part::{output, shape};
use super::enroll::granted;
use super::{Site, site_file};
use crate::args::Shape;
use crate::console::Console;
use crate::error::CliError;
use crate::json;

pub(super) fn command(binary: &str) -> Command {
    Command::new("renew")
        .about("Asks for this site's next certificate; a running envoy does so by itself when a third of its time is left")
        .arg(site_file())
        .arg(
            Arg::new("director")
                .long("director")
                .value_name("URL")
                .help("Where the director is, which relays the request [default: the configuration's]"),
        )
        .arg(output())
        .after_help(format!("Example:\n  {binary} envoy renew --config bengaluru.toml"))
}

/// What was renewed.
#[derive(serde::Serialize)]
struct Renewed {
    name: String,
    /// Seconds since 1970.
    not_after: u64,
}

pub(super) fn renew(matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    let Site { config, identity } = Site::of(matches)?;
    let director = matches.get_one::<String>("director").unwrap_or(&config.director);
    let dialing = Dialing::with(&identity, site_revocations(&config.state, &identity)?)?;
    let request = enrolment::renewal(&identity)?;
    let granted = granted(director, &dialing, &request, console.log())?;
    let renewed = identity.install(&granted.certificate)?;
    let not_after =
        renewed.peer().not_after.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let renewed = Renewed { name: renewed.name().to_string(), not_after };
    console.print(&match shape(matches) {
        Shape::Json => json::pretty(&renewed)?,
        Shape::Table => format!("{} is valid until {}\n", renewed.name, Date(not_after)),
    })
}
