//! `graph FLOW`.

use clap::{ArgMatches, FromArgMatches};

use crate::args::{DEFAULT_SEED, GraphArgs};
use crate::cohort::Cohort;
use crate::console::Console;
use crate::entry::Entry;
use crate::error::CliError;

pub(super) fn graph(flow: &dyn Entry, matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    let args = GraphArgs::from_arg_matches(matches).map_err(|error| CliError::Usage(Box::new(error)))?;
    let names = args.collaborators.map_or_else(|| flow.collaborators(), |named| named.0);
    let flow = flow.describe(matches, &Cohort::new(names, DEFAULT_SEED, 1))?;
    let mut drawing = flow.draw(args.format);
    if !drawing.ends_with('\n') {
        drawing.push('\n');
    }
    console.print(&drawing)
}
