//! `experiment submit FLOW`.

use clap::ArgMatches;
use veilflow_federated::Terms;
use veilflow_federated::client::Experiment;

use super::parsed;
use crate::args::{Shape, SubmitArgs};
use crate::cohort::Cohort;
use crate::commands::run;
use crate::console::Console;
use crate::entry::Entry;
use crate::error::CliError;
use crate::remote::Remote;
use crate::{json, travel};

pub(in crate::commands) fn submit(
    flow: &dyn Entry,
    matches: &ArgMatches,
    console: &mut Console,
) -> Result<(), CliError> {
    let args: SubmitArgs = parsed(matches)?;
    travel::refuse_of_the_place(flow, matches)?;
    let options = travel::given(flow, matches)?;
    let remote = Remote::connect(&args.connection)?;
    let named = args.collaborators.is_some();
    let participants = match args.collaborators {
        Some(named) => named.0,
        None => remote.offering(flow.name())?,
    };
    let cohort = Cohort::new(participants.clone(), args.seed, 1);
    let description = flow.describe(matches, &cohort);
    let description = description.map_err(|error| if named { error } else { error.among(&participants) })?;
    let drop = run::dropouts(args.drop, &cohort, &description)?;
    let terms = Terms {
        flow: flow.name().to_owned(),
        options,
        participants,
        seed: args.seed,
        drop,
        dropouts: args.dropouts,
    };
    let fingerprint = run::describe(flow, &terms)?;
    let experiment = Experiment { terms, fingerprint, params: None };
    let summary = remote.wait(remote.client().submit(experiment))?;
    console.print(&match args.output {
        Shape::Table => format!("{}\n", summary.id),
        Shape::Json => json::pretty(&summary)?,
    })
}
