//! `flows`.

use clap::Command;

use crate::cohort::Cohort;
use crate::console::Console;
use crate::entry::Entry;
use crate::error::CliError;
use crate::registry::Registry;
use crate::{args, table};

/// How much of a fingerprint is enough to tell flows apart by eye.
const PREFIX: usize = 12;

pub(super) fn flows(registry: &Registry, console: &mut Console) -> Result<(), CliError> {
    let rows = registry.flows.iter().map(|flow| row(&**flow));
    let titles = ["Flow", "Version", "Steps", "Confidential", "Fingerprint", "About"];
    let right = |column| column == 1 || column == 2;
    console.print(&table::outline(titles.map(str::to_owned).to_vec(), rows, right))
}

/// A flow with its default options, as far as it has them.
fn row(flow: &dyn Entry) -> Vec<String> {
    let cohort = Cohort::new(flow.collaborators(), args::DEFAULT_SEED, 1);
    let command = flow.add_options(Command::new(flow.name()));
    let defaults = command.try_get_matches_from([flow.name()]);
    let described = defaults.ok().and_then(|matches| flow.describe(&matches, &cohort).ok());
    let (name, about) = (flow.name().to_owned(), flow.about().to_owned());
    let Some(flow) = described else {
        let unknown = || "—".to_owned();
        return vec![name, unknown(), unknown(), unknown(), unknown(), about];
    };
    let fingerprint = flow.fingerprint().to_string();
    vec![
        name,
        flow.version.to_string(),
        flow.steps().len().to_string(),
        if flow.confidential { "yes" } else { "no" }.to_owned(),
        fingerprint.chars().take(PREFIX).collect(),
        about,
    ]
}
