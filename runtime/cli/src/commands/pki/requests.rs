//! `pki requests`.

use std::time::SystemTime;

use clap::{Args, Command};
use serde_json::json;
use veilflow_federated::pki::{Authority, Date, PendingRequest, PkiError, Reviewed};

use super::director::{Director, DirectorArgs};
use super::{AuthorityArgs, Format, example};
use crate::console::Console;
use crate::error::CliError;
use crate::table;

#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct RequestsArgs {
    #[command(flatten)]
    authority: AuthorityArgs,
    #[command(flatten)]
    director: DirectorArgs,
    /// How they are printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    output: Format,
}

pub(super) fn command(binary: &str) -> Command {
    RequestsArgs::augment_args(Command::new("requests"))
        .about("Lists the requests for certificates that wait at the director")
        .after_help(example(binary, "requests --director https://director.example:50050 --identity admin"))
}

/// A request, and what this machine, which does not take the director's word, finds it to be.
pub(super) struct Waiting {
    pub(super) pending: PendingRequest,
    pub(super) found: Result<Reviewed, PkiError>,
}

impl Waiting {
    pub(super) fn review(authority: &mut Authority, pending: PendingRequest, now: SystemTime) -> Self {
        Self { found: authority.review(&pending.request, now), pending }
    }
}

pub(super) fn requests(args: &RequestsArgs, console: &mut Console) -> Result<(), CliError> {
    let mut authority = args.authority.open()?;
    let director = Director::connect(&args.director)?;
    let pending = director.call(|connection| async move { connection.pending().await })?;
    let now = SystemTime::now();
    let waiting: Vec<_> =
        pending.into_iter().map(|pending| Waiting::review(&mut authority, pending, now)).collect();
    match args.output {
        Format::Table => console.print(&text(&waiting)),
        Format::Json => {
            let all: Vec<_> = waiting.iter().map(object).collect();
            console.print(&super::json(&json!(all)))
        }
    }
}

fn text(waiting: &[Waiting]) -> String {
    let titles = ["Request", "Received", "Name", "Role", "Kind", "Key (SHA-256)"];
    let rows = waiting.iter().map(|waiting| {
        let came = vec![
            waiting.pending.request.id().to_string(),
            Date(waiting.pending.received_ms / 1000).to_string(),
        ];
        let found = match &waiting.found {
            Ok(found) => [
                found.name.to_string(),
                found.role.to_string(),
                kind(found).to_owned(),
                found.thumbprint.to_string(),
            ],
            Err(error) => [String::new(), String::new(), "not in order".to_owned(), error.to_string()],
        };
        came.into_iter().chain(found).collect()
    });
    table::outline(titles.map(str::to_owned).to_vec(), rows, |_| false)
}

fn object(waiting: &Waiting) -> serde_json::Value {
    let (id, received_ms) = (waiting.pending.request.id().to_string(), waiting.pending.received_ms);
    match &waiting.found {
        Ok(found) => json!({
            "request": id,
            "received_ms": received_ms,
            "name": found.name,
            "role": found.role,
            "renewal": found.renewal,
            "key": found.thumbprint.to_string(),
        }),
        Err(error) => json!({
            "request": id,
            "received_ms": received_ms,
            "error": { "code": error.code(), "text": error.to_string() },
        }),
    }
}

/// A token's, or a renewal.
pub(super) fn kind(found: &Reviewed) -> &'static str {
    if found.renewal { "renewal" } else { "new" }
}
