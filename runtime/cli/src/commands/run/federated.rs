//! `run FLOW --runtime federated`.

use std::sync::{Arc, Mutex, PoisonError};

use clap::ArgMatches;
use veilflow_federated::client::Experiment;
use veilflow_federated::wire::messages::Told;
use veilflow_federated::{State, Terms};
use veilflow_spec::Name;

use super::Show;
use crate::args::{Output, RunArgs, Runtime};
use crate::cohort::Cohort;
use crate::ended::Ended;
use crate::entry::Entry;
use crate::error::CliError;
use crate::interrupt::{self, Interruptible};
use crate::remote::{Remote, RunningExperiment};
use crate::results::Timeline;
use crate::travel;
use crate::usage::Meter;

/// A federation that a flow is run at.
pub(super) struct Federation {
    remote: Remote,
    options: Vec<String>,
}

impl Federation {
    /// Connects, where the run is one of a federation.
    pub(super) fn of(
        flow: &dyn Entry,
        matches: &ArgMatches,
        args: &RunArgs,
    ) -> Result<Option<Self>, CliError> {
        let place = &args.place;
        match (place.runtime, args.output) {
            (Runtime::Local, _) => {
                let given = [
                    ("director", place.connection.director.is_some()),
                    ("identity", place.connection.identity.is_some()),
                    ("insecure-loopback", place.connection.insecure_loopback),
                ];
                return match given.into_iter().find(|(_, given)| *given) {
                    Some((flag, _)) => Err(CliError::LocalOnly { flag }),
                    None => Ok(None),
                };
            }
            (Runtime::Both, Output::Csv) => return Err(CliError::TwoInCsv),
            // What belongs to a place is this one's where the flow runs here too.
            (Runtime::Both, _) => {}
            (Runtime::Federated, _) => travel::refuse_of_the_place(flow, matches)?,
        }
        let options = travel::given(flow, matches)?;
        Ok(Some(Self { remote: Remote::connect(&place.connection)?, options }))
    }

    /// Who is online and offers the flow.
    pub(super) fn offering(&self, flow: &str) -> Result<Vec<Name>, CliError> {
        self.remote.offering(flow)
    }

    /// Runs the flow there, to its results.
    pub(super) fn run(
        self,
        flow: &dyn Entry,
        cohort: &Cohort,
        (dropped, dropouts): (Vec<(Name, String)>, f64),
        show: &Show<'_>,
    ) -> Result<Ended, CliError> {
        let terms = Terms {
            flow: flow.name().to_owned(),
            options: self.options,
            participants: cohort.names().to_vec(),
            seed: cohort.seed(),
            drop: dropped,
            dropouts,
        };
        let fingerprint = describe(flow, &terms)?;
        let meter = Meter::start();
        let progress = show.progress();
        let timeline = Arc::new(Mutex::new(Timeline::default()));
        let (gather, shown) = (Arc::clone(&timeline), progress.clone());
        let mut told = move |told: &Told| match told {
            Told::State(summary) => {
                let (id, state) = (summary.id.to_string(), summary.state);
                match state {
                    // Why follows as the error.
                    State::Failed => shown.line(format_args!("experiment {id:.8} {state}")),
                    _ => shown.line(format_args!("experiment {id:.8} {state}: {}", summary.reason)),
                }
            }
            Told::Event(event) => {
                gather.lock().unwrap_or_else(PoisonError::into_inner).event(event);
                shown.run_event(event);
            }
            Told::Over(_) => {}
        };
        let client = self.remote.client();
        let running = RunningExperiment::new(progress.clone(), client.canceller());
        let guard = interrupt::while_running(running as Arc<dyn Interruptible>);
        let experiment = Experiment { terms, fingerprint, params: None };
        let outcome = self.remote.wait(client.execute(experiment, &mut told));
        drop(guard);
        progress.clear();
        let usage = meter.usage();
        let results = timeline.lock().unwrap_or_else(PoisonError::into_inner).results();
        let report = outcome.inspect_err(|_| show.so_far(&results))?;
        Ok(Ended {
            flow: flow.name().to_owned(),
            fingerprint,
            seed: cohort.seed(),
            participants: cohort.names().to_vec(),
            results,
            model: flow.model(&report)?,
            usage,
        })
    }
}

/// The fingerprint of the flow that these terms make in this program.
pub(in crate::commands) fn describe(
    flow: &dyn Entry,
    terms: &Terms,
) -> Result<veilflow_spec::Fingerprint, CliError> {
    let described = flow.deployed().describe(terms);
    let described = described.map_err(|error| CliError::Setup { flow: flow.name(), error })?;
    Ok(described.fingerprint())
}
