//! `pki roster`.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Command};
use serde_json::json;
use veilflow_federated::pki::{Authority, Issued, Roster, Validity};

use super::director::{Director, MaybeDirectorArgs};
use super::sign::lists;
use super::{AuthorityArgs, Format, date, example, seconds};
use crate::console::Console;
use crate::error::CliError;
use crate::files::Target;
use crate::table;

#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct RosterArgs {
    #[command(flatten)]
    authority: AuthorityArgs,
    /// Signs a new version, valid for so long: a number and s, m, h, d, w or y
    #[arg(long, value_name = "TIME")]
    sign: Option<Validity>,
    /// Writes the signed roster
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How it is printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    director: MaybeDirectorArgs,
}

pub(super) fn command(binary: &str) -> Command {
    RosterArgs::augment_args(Command::new("roster"))
        .about("Lists the federation's identities, and signs the list that sites trust")
        .after_help(example(binary, "roster --sign 90d --output json"))
}

pub(super) fn roster(args: &RosterArgs, console: &mut Console) -> Result<(), CliError> {
    let mut authority = args.authority.open()?;
    let now = SystemTime::now();
    let signed = match args.sign {
        Some(valid) => authority.sign_roster(valid, now)?,
        None => authority.roster()?,
    };
    let roster = signed.read(authority.trust())?;
    if let Some(path) = &args.out {
        Target::check(path)?.write(signed.to_bytes())?;
    }
    if let Some(args) = args.director.given() {
        let publication = lists(&authority)?;
        let director = Director::connect(&args)?;
        director.call(|connection| async move { connection.publish(publication).await })?;
    }
    console.print(&match args.output {
        Format::Table => text(&authority, &roster, now),
        Format::Json => super::json(&object(&authority, &roster, now)),
    })
}

/// Whether a certificate holds.
fn state(issued: &Issued, now: SystemTime) -> &'static str {
    match issued.revoked {
        Some(_) => "revoked",
        None if issued.not_after < now => "expired",
        None => "valid",
    }
}

fn text(authority: &Authority, roster: &Roster, now: SystemTime) -> String {
    let titles = ["Name", "Role", "Until", "State", "Key (SHA-256)"];
    let rows = authority.issued().map(|issued| {
        vec![
            issued.name.to_string(),
            issued.role.to_string(),
            date(issued.not_after),
            state(&issued, now).to_owned(),
            issued.thumbprint.to_string(),
        ]
    });
    let table = table::outline(titles.map(str::to_owned).to_vec(), rows, |_| false);
    let ends = if roster.not_after() < now { "ended" } else { "valid until" };
    format!(
        "{table}Roster of {}: version {}, {} identities, {ends} {}\n",
        authority.federation(),
        roster.version(),
        roster.members().len(),
        date(roster.not_after())
    )
}

fn object(authority: &Authority, roster: &Roster, now: SystemTime) -> serde_json::Value {
    let certificates: Vec<_> = authority
        .issued()
        .map(|issued| {
            json!({
                "name": issued.name,
                "role": issued.role,
                "not_after": seconds(issued.not_after),
                "state": state(&issued, now),
                "serial": issued.serial.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
                "key": issued.thumbprint.to_string(),
            })
        })
        .collect();
    let members: Vec<_> = roster
        .members()
        .map(|(name, member)| {
            json!({ "name": name, "role": member.role, "key": member.thumbprint().to_string() })
        })
        .collect();
    json!({
        "federation": authority.federation(),
        "authority": authority.trust().thumbprint().to_string(),
        "certificates": certificates,
        "roster": {
            "version": roster.version(),
            "issued": seconds(roster.issued()),
            "not_after": seconds(roster.not_after()),
            "members": members,
        },
    })
}
