//! LocalRuntime: a whole flow in this process.

mod provisions;
mod resources;
mod sites;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use veilflow_secagg::{ClientPolicy, Identities, IdentityKey};
use veilflow_spec::graph::{Hidden, Value};
use veilflow_spec::{Device, Flow, Message, Name, Report, Result};

use self::provisions::{Places, Provisions};
use self::resources::Pool;
pub use self::resources::Resources;
use self::sites::Sites;
use crate::cancel::Canceller;
use crate::cohort;
use crate::dropouts::Dropouts;
use crate::error::RunError;
use crate::event::{EventKind, Observer, Stream};
use crate::interpreter::{Interpreter, Seat};
use crate::secure::SiteJournal;
use crate::site::{Build, State, Workplace};

/// Runs a flow in this process: collaborators at the same time on a bounded number of threads.
///
/// The same seed gives the same result to the last bit, whatever the timing and the number of threads.
pub struct LocalRuntime<A, C> {
    aggregator: A,
    collaborators: Vec<(Name, State<C>)>,
    resources: BTreeMap<Name, Resources>,
    dropouts: Vec<(Name, String)>,
    dropout_probability: f64,
    provisions: Provisions,
    seed: u64,
    threads: usize,
    device: Device,
    canceller: Canceller,
    run_observers: Vec<Arc<dyn Observer>>,
    site_observers: Vec<Arc<dyn Observer>>,
}

impl<C> LocalRuntime<(), C> {
    /// A runtime without participants. Its aggregator is `()` until [one is given](Self::aggregator).
    #[expect(clippy::new_without_default, reason = "`default()` would hide what is missing from it")]
    pub fn new() -> Self {
        Self {
            aggregator: (),
            collaborators: Vec::new(),
            resources: BTreeMap::new(),
            dropouts: Vec::new(),
            dropout_probability: 0.0,
            provisions: Provisions::default(),
            seed: 0,
            threads: thread::available_parallelism().map_or(1, usize::from),
            device: Device::Cpu,
            canceller: Canceller::new(),
            run_observers: Vec::new(),
            site_observers: Vec::new(),
        }
    }
}

impl<A, C> LocalRuntime<A, C> {
    /// The aggregator's state.
    pub fn aggregator<B>(self, aggregator: B) -> LocalRuntime<B, C> {
        LocalRuntime {
            aggregator,
            collaborators: self.collaborators,
            resources: self.resources,
            dropouts: self.dropouts,
            dropout_probability: self.dropout_probability,
            provisions: self.provisions,
            seed: self.seed,
            threads: self.threads,
            device: self.device,
            canceller: self.canceller,
            run_observers: self.run_observers,
            site_observers: self.site_observers,
        }
    }

    /// A collaborator and its private attributes.
    pub fn collaborator(mut self, name: impl Into<Name>, state: C) -> Self {
        self.collaborators.push((name.into(), State::Ready(state)));
        self
    }

    /// Collaborators whose private attributes are built when each first runs a step. One that cannot be built
    /// is missing, and is tried again at the next fan-out.
    pub fn collaborators<N: Into<Name>>(
        mut self,
        names: impl IntoIterator<Item = N>,
        build: impl Fn(&Name) -> Result<C> + Send + Sync + 'static,
    ) -> Self {
        let build: Build<C> = Arc::new(build);
        let unbuilt = |name: N| (name.into(), State::Unbuilt(Arc::clone(&build)));
        self.collaborators.extend(names.into_iter().map(unbuilt));
        self
    }

    /// What a collaborator needs to run a step: one processor, unless it is said.
    pub fn resources(mut self, name: impl Into<Name>, resources: Resources) -> Self {
        self.resources.insert(name.into(), resources);
        self
    }

    /// Simulates a dropout: whenever the collaborator reaches the step, it is missing instead.
    ///
    /// A step of a secure join's protocol is called like the join, a dot, and its own name: `average.mask`. Its own
    /// name alone, `mask`, means it in every secure join of the flow, unless a step of the flow's own has that name.
    pub fn drop_out(mut self, name: impl Into<Name>, step: impl Into<String>) -> Self {
        self.dropouts.push((name.into(), step.into()));
        self
    }

    /// Simulates dropouts at random: in each round (turn of an outermost loop) each collaborator drops out with this
    /// probability, in one of the round's tasks, and stays away for the rest of the round. The
    /// [seed](Self::seed) decides who and when.
    pub fn dropouts(mut self, probability: f64) -> Self {
        self.dropout_probability = probability;
        self
    }

    /// What every site asks of a secure join, whatever the flow says; the policy's own defaults, unless it is said.
    pub fn policy(mut self, policy: ClientPolicy) -> Self {
        self.provisions.policy = policy;
        self
    }

    /// The identity key of a site that has one. The others get throw-away keys when the first session is signed.
    pub fn identity(mut self, name: impl Into<Name>, key: IdentityKey) -> Self {
        self.provisions.keys.insert(name.into(), key);
        self
    }

    /// Whose keys the sites and the aggregator have pinned; those of the collaborators' own keys, unless it is said.
    pub fn identities(mut self, trusted: Identities) -> Self {
        self.provisions.trusted = Some(trusted);
        self
    }

    /// A site's journal of what it masked, which then outlasts the run; a fresh one, unless it is said.
    pub fn journal(mut self, name: impl Into<Name>, journal: SiteJournal) -> Self {
        self.provisions.journals.insert(name.into(), journal);
        self
    }

    /// The seed of the run; 0, unless it is said.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The number of processors that collaborators share, and that the aggregator's steps may use; as many as there are,
    /// unless it is said. At least one.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// The device that collaborators share.
    pub fn device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }

    /// Shows the run's events to `observer`: what the aggregator may know.
    pub fn observe(mut self, observer: Arc<dyn Observer>) -> Self {
        self.run_observers.push(observer);
        self
    }

    /// Shows to `observer` what happens inside the collaborators' tasks, as it would be seen at their sites.
    pub fn observe_sites(mut self, observer: Arc<dyn Observer>) -> Self {
        self.site_observers.push(observer);
        self
    }

    /// A handle that cancels the run from another thread.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }
}

impl<A: Send + 'static, C: Send + 'static> LocalRuntime<A, C> {
    /// Runs the flow to its report.
    ///
    /// A step that returns an error or panics makes its collaborator missing; a step that outlasts its
    /// deadline or a cancellation is told to stop and not waited for.
    ///
    /// # Errors
    /// [`RunError`]: what is wrong with the flow or the participants before anything runs, and what ended the
    /// run after that, with step, round, participants and causes.
    pub fn run<P: Message, R: Report>(self, flow: &Flow<A, C, P, R>, params: P) -> Result<R, RunError> {
        flow.check()?;
        let confidential = flow.graph().confidential();
        let stream = Stream::new(confidential, self.run_observers.clone(), self.site_observers.clone());
        let stream = Arc::new(stream);
        let outcome = self.run_observed(flow, params, &stream);
        stream.emit(|| match &outcome {
            Ok(_) => EventKind::RunFinished,
            Err(error) => EventKind::RunFailed { error: error.to_string() },
        });
        outcome
    }

    fn run_observed<P: Message, R: Report>(
        self,
        flow: &Flow<A, C, P, R>,
        params: P,
        stream: &Arc<Stream>,
    ) -> Result<R, RunError> {
        let pool = Pool::new(self.threads);
        let shared = |names: &[Name]| {
            let random = (self.dropout_probability, self.seed);
            let flow = (&flow.describe(), flow.graph().blocks());
            let workplace = Workplace {
                dropouts: Dropouts::new(names, self.dropouts, random, flow)?,
                seed: self.seed,
                device: self.device,
                stream: Arc::clone(stream),
            };
            Ok((workplace, Places::new(self.provisions, names)?))
        };
        let sites = Sites::new(self.collaborators, &self.resources, pool, shared)?;
        cohort::check_quorums(flow.graph().blocks(), sites.len())?;
        stream.emit(|| EventKind::RunStarted {
            flow: flow.name().to_owned(),
            version: flow.graph().version(),
            fingerprint: flow.fingerprint(),
            seed: self.seed,
            collaborators: sites.all().to_vec(),
        });
        // A task that was cut off keeps its thread, so there is one for every collaborator and the aggregator.
        let threads = sites.len() + 1;
        let mut interpreter = Interpreter {
            aggregator: Some(Seat { aggregator: self.aggregator, hidden: Hidden::default() }),
            group: None,
            provided: sites.aggregator_place(),
            port: sites,
            stream: Arc::clone(stream),
            canceller: self.canceller,
            seed: self.seed,
            device: self.device,
            cpus: self.threads,
            loops: Vec::new(),
            place: Vec::new(),
            keeper: None,
            started: Instant::now(),
        };
        // A thread of its own, so that a run may be started from inside an asynchronous runtime too.
        let graph = flow.graph();
        let value = thread::scope(|scope| {
            let walk = move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .max_blocking_threads(threads)
                    .build()?;
                let value =
                    runtime.block_on(interpreter.walk(graph.blocks(), Box::new(params) as Value, &[]));
                // A step that ignores its cancellation is left behind, not waited for.
                runtime.shutdown_background();
                value
            };
            let running = scope.spawn(walk);
            running.join().unwrap_or_else(|panic| Err(RunError::Internal(crate::steps::panic_text(&*panic))))
        })?;
        let report = value.downcast::<R>();
        report.map(|report| *report).map_err(|_| RunError::Internal("the report has another type".to_owned()))
    }
}
