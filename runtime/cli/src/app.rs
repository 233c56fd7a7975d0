//! What makes a flow a command.

use veilflow_engine::Resources;
use veilflow_secagg::ClientPolicy;
use veilflow_spec::{Checkpoint, Device, Flow, Message, Name, Report, Result, StepError, Tensor};

use crate::cohort::Cohort;

/// A flow with what the command line needs to run it: a name, options, data and models.
///
/// The associated functions take the options as the user gave them. An error from [`flow`](Self::flow) or
/// [`setup`](Self::setup) is shown as a mistake in what the user gave, and nothing runs.
pub trait App: Send + Sync + Sized + 'static {
    /// What the flow is called on the command line: `veilflow run NAME`. Letters, digits, `-` and `_`.
    const NAME: &'static str;
    /// One line about it, for `--help` and `veilflow flows`.
    const ABOUT: &'static str;
    /// Flags and values for the example in the flow's `--help`.
    const EXAMPLE: &'static str = "--rounds 2 --output json";
    /// Flags of [`Options`](Self::Options), by their long names without dashes, that belong to the place where a part of
    /// the flow runs, such as the folder of its data. A client never sends them, and a director or an envoy takes them
    /// from `[flows.NAME]` of its own configuration only. Name every flag here that leads to a file or a secret, and give
    /// each a default or make it an `Option`: the flow is also built without them. [`flow`](Self::flow) must not need
    /// them, or its fingerprint would differ from place to place.
    const SITE_OPTIONS: &'static [&'static str] = &[];

    /// The flow's own flags; `()` for none. Their doc comments are the help, and the same keys work in
    /// `--config`. A flag that every flow has (`--seed`, `--threads`, …) is in the [`Cohort`] instead.
    type Options: clap::Args;
    /// The aggregator's state. A director saves it after each step: `Clone`, `Serialize` and `Deserialize` are enough.
    type Aggregator: Checkpoint + Send + 'static;
    /// A collaborator's private attributes.
    type Collaborator: Send + 'static;
    /// What the flow starts from.
    type Params: Message;
    /// What the flow ends in.
    type Report: Report;

    /// Who takes part unless `--collaborators` says otherwise.
    fn collaborators() -> Vec<Name> {
        vec![Name::from("Bengaluru"), Name::from("Portland")]
    }

    /// Whether the flow's steps can compute on `device`, which they are told by their [`Context`](veilflow_spec::Context):
    /// on the processor only, unless it is said. A run on another device does not start.
    ///
    /// # Errors
    /// Why they cannot, and what to do.
    fn check_device(device: Device) -> Result<()> {
        match device {
            Device::Cpu => Ok(()),
            device => {
                Err(StepError::msg(format!("it computes on the processor only: leave out --device {device}")))
            }
        }
    }

    /// The flow. Options may change its graph, data may not be needed: it is also built to be drawn.
    ///
    /// # Errors
    /// Options from which no flow can be made.
    fn flow(options: &Self::Options, cohort: &Cohort) -> Result<FlowOf<Self>>;

    /// The participants and the parameters of one run.
    ///
    /// # Errors
    /// Data that cannot be read, options that do not fit the cohort.
    fn setup(options: &Self::Options, cohort: &Cohort) -> Result<Setup<Self>>;

    /// The director's half of [`setup`](Self::setup): the aggregator and the parameters. A flow whose aggregator needs no
    /// data says so here, or the director would read data that only its sites need.
    ///
    /// # Errors
    /// As [`setup`](Self::setup).
    fn host(options: &Self::Options, cohort: &Cohort) -> Result<(Self::Aggregator, Self::Params)> {
        let setup = Self::setup(options, cohort)?;
        Ok((setup.aggregator, setup.params))
    }

    /// The model in a report, its tensors in a fixed order: what `--save` writes and `model_sha256` hashes.
    fn model(_report: &Self::Report) -> Vec<(String, Tensor)> {
        Vec::new()
    }
}

/// The flow of an app.
pub type FlowOf<A> =
    Flow<<A as App>::Aggregator, <A as App>::Collaborator, <A as App>::Params, <A as App>::Report>;

pub(crate) type Build<C> = Box<dyn Fn(&Name) -> Result<C> + Send + Sync>;

/// The participants and the parameters of one run.
pub struct Setup<A: App> {
    pub(crate) aggregator: A::Aggregator,
    pub(crate) params: A::Params,
    pub(crate) build: Build<A::Collaborator>,
    pub(crate) resources: Option<Resources>,
    pub(crate) policy: ClientPolicy,
}

impl<A: App> Setup<A> {
    /// The aggregator's state, the flow's parameters, and how a collaborator is built at its site when it first
    /// runs a step. A collaborator that cannot be built is missing from its fan-outs.
    pub fn new(
        aggregator: A::Aggregator,
        params: A::Params,
        build: impl Fn(&Name) -> Result<A::Collaborator> + Send + Sync + 'static,
    ) -> Self {
        let (build, policy) = (Box::new(build), ClientPolicy::default());
        Self { aggregator, params, build, resources: None, policy }
    }

    /// What every site asks of a secure join, whatever the flow says; the policy's own defaults, unless it is said.
    pub fn with_policy(mut self, policy: ClientPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// What each collaborator needs while it runs a step; what `--threads` and `--device-share` say, unless it is said.
    pub fn with_resources(mut self, resources: Resources) -> Self {
        self.resources = Some(resources);
        self
    }
}
