//! A flow of the registry, whatever its types are.

use std::marker::PhantomData;
use std::sync::Arc;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use veilflow_engine::{Canceller, LocalRuntime, Observer, Resources, RunError};
use veilflow_federated::Deployed;
use veilflow_spec::{FlowDescription, Name, Tensor, from_cbor};

use crate::app::App;
use crate::cohort::Cohort;
use crate::deployed::AppFlow;
use crate::error::CliError;

/// A flow of the registry. Where there are matches, its own options are read from them.
pub(crate) trait Entry: Send + Sync {
    fn name(&self) -> &'static str;
    fn about(&self) -> &'static str;
    fn example(&self) -> &'static str;
    fn collaborators(&self) -> Vec<Name>;
    /// The flow's own flags that belong to a place, without dashes.
    fn site_options(&self) -> &'static [&'static str];
    /// The flow for a director and for envoys.
    fn deployed(&self) -> Arc<dyn Deployed>;
    /// The model in a report that came in CBOR.
    fn model(&self, report: &[u8]) -> Result<Model, CliError>;
    /// Adds the flow's own flags.
    fn add_options(&self, command: Command) -> Command;
    fn describe(&self, matches: &ArgMatches, cohort: &Cohort) -> Result<FlowDescription, CliError>;
    /// Runs the flow to its model.
    fn run(&self, matches: &ArgMatches, cohort: &Cohort, run: Run<'_>) -> Result<Model, CliError>;
}

/// Named tensors in a fixed order.
pub(crate) type Model = Vec<(String, Tensor)>;

/// What a run needs beside the flow and its cohort.
pub(crate) struct Run<'a> {
    /// What each collaborator takes while it runs, unless the flow says.
    pub(crate) resources: Resources,
    pub(crate) dropouts: Vec<(Name, String)>,
    pub(crate) dropout_probability: f64,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) site_observer: Arc<dyn Observer>,
    /// Told how to cancel, before anything that takes time.
    pub(crate) cancellable: &'a dyn Fn(Canceller),
}

struct AppEntry<A>(PhantomData<fn() -> A>);

pub(crate) fn entry<A: App>(_: A) -> Box<dyn Entry> {
    Box::new(AppEntry::<A>(PhantomData))
}

impl<A: App> AppEntry<A> {
    fn options(matches: &ArgMatches) -> Result<A::Options, CliError> {
        A::Options::from_arg_matches(matches).map_err(|error| CliError::Usage(Box::new(error)))
    }
}

impl<A: App> Entry for AppEntry<A> {
    fn name(&self) -> &'static str {
        A::NAME
    }

    fn about(&self) -> &'static str {
        A::ABOUT
    }

    fn example(&self) -> &'static str {
        A::EXAMPLE
    }

    fn collaborators(&self) -> Vec<Name> {
        A::collaborators()
    }

    fn site_options(&self) -> &'static [&'static str] {
        A::SITE_OPTIONS
    }

    fn deployed(&self) -> Arc<dyn Deployed> {
        Arc::new(AppFlow::<A>::new())
    }

    fn model(&self, report: &[u8]) -> Result<Model, CliError> {
        let report = from_cbor::<A::Report>(report);
        let report = report.map_err(|error| CliError::Report { flow: A::NAME, reason: error.to_string() })?;
        Ok(A::model(&report))
    }

    fn add_options(&self, command: Command) -> Command {
        A::Options::augment_args(command)
    }

    fn describe(&self, matches: &ArgMatches, cohort: &Cohort) -> Result<FlowDescription, CliError> {
        let flow = A::flow(&Self::options(matches)?, cohort);
        let flow = flow.map_err(|error| CliError::Setup { flow: A::NAME, error })?;
        flow.check().map_err(RunError::from)?;
        Ok(flow.describe())
    }

    fn run(&self, matches: &ArgMatches, cohort: &Cohort, run: Run<'_>) -> Result<Model, CliError> {
        let options = Self::options(matches)?;
        let runtime = LocalRuntime::new()
            .seed(cohort.seed())
            .threads(cohort.threads())
            .device(cohort.device())
            .observe(run.observer)
            .observe_sites(run.site_observer);
        (run.cancellable)(runtime.canceller());
        let setup_error = |error| CliError::Setup { flow: A::NAME, error };
        A::check_device(cohort.device()).map_err(setup_error)?;
        let flow = A::flow(&options, cohort).map_err(setup_error)?;
        let setup = A::setup(&options, cohort).map_err(setup_error)?;
        let mut runtime = runtime.aggregator(setup.aggregator).collaborators(cohort.names(), setup.build);
        runtime = runtime.policy(setup.policy).dropouts(run.dropout_probability);
        let resources = setup.resources.unwrap_or(run.resources);
        runtime = cohort.names().iter().fold(runtime, |runtime, name| runtime.resources(name, resources));
        for (name, step) in run.dropouts {
            runtime = runtime.drop_out(name, step);
        }
        let report = runtime.run(&flow, setup.params)?;
        Ok(A::model(&report))
    }
}
