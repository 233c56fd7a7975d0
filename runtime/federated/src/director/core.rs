//! What a director does, whatever carries the calls to it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::{Notify, watch};
use veilflow_spec::{Device, FlowDescription, Name};

use super::envoys::{Envoys, Live, Readiness, now_ms};
use super::experiment::{self, Experiment};
use super::log::{Line, Log};
use super::run;
use crate::deployed::{Deployed, Registry};
use crate::experiment::{ExperimentId, State, Summary, Terms};
use crate::journal::{JournalError, StateDir};
use crate::pki::{Peer, Role};
use crate::wire::messages::{EnvoyStatus, Follow, PROTOCOL, Submit, Told};
use crate::wire::{Outgoing, Party, Refusal};

/// How the aggregators of secure joins learn whose keys they may trust.
pub(super) type Identities =
    Arc<dyn Fn() -> veilflow_spec::Result<Arc<veilflow_secagg::Identities>> + Send + Sync>;

/// What a director is made of.
pub(super) struct Parts {
    pub(super) registry: Registry,
    /// The director's own settings for each flow.
    pub(super) places: BTreeMap<String, BTreeMap<String, String>>,
    /// The most experiments that run at once.
    pub(super) slots: usize,
    /// The most experiments that wait.
    pub(super) queue: usize,
    /// The device of the aggregators' steps.
    pub(super) device: Device,
    pub(super) state: StateDir,
    pub(super) envoys: Arc<Envoys>,
    /// Told when an experiment may be able to start.
    pub(super) wake: Arc<Notify>,
    pub(super) identities: Identities,
    pub(super) log: Log,
}

/// A director.
pub(super) struct Core {
    pub(super) parts: Parts,
    experiments: Mutex<BTreeMap<ExperimentId, Arc<Experiment>>>,
    queue: Mutex<Vec<Queued>>,
    /// How many run.
    running: watch::Sender<usize>,
    /// Set when the director goes.
    closing: watch::Sender<bool>,
    /// One submission at a time, so that an id is one experiment.
    submitting: tokio::sync::Mutex<()>,
}

struct Queued {
    experiment: Arc<Experiment>,
    /// The flow's version.
    version: u32,
}

impl Core {
    /// A director with the experiments of its state directory. Those that ran go on at once. Blocks.
    ///
    /// # Errors
    /// A state directory that cannot be read.
    pub(super) fn new(parts: Parts) -> Result<Arc<Self>, JournalError> {
        let found = parts.state.experiments()?;
        for problem in &found.problems {
            (parts.log)(Line::Problem(format!("an experiment is left out: {problem}")));
        }
        let core = Arc::new(Self {
            parts,
            experiments: Mutex::default(),
            queue: Mutex::default(),
            running: watch::Sender::new(0),
            closing: watch::Sender::new(false),
            submitting: tokio::sync::Mutex::default(),
        });
        for journal in found.journals {
            let experiment = Experiment::new(journal, Arc::clone(&core.parts.log));
            core.experiments().insert(experiment.id, Arc::clone(&experiment));
            match experiment.state() {
                State::Pending => core.queue_again(experiment),
                State::Running => core.start(experiment, "resumed after a restart of the director"),
                State::Finished | State::Failed | State::Cancelled => {}
            }
        }
        Ok(core)
    }

    fn experiments(&self) -> MutexGuard<'_, BTreeMap<ExperimentId, Arc<Experiment>>> {
        self.experiments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Vec<Queued>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Returns when the director goes.
    pub(super) async fn closed(&self) {
        let mut closing = self.closing.subscribe();
        // The sender lives as long as `self`.
        let _ = closing.wait_for(|closing| *closing).await;
    }

    /// The flow of these terms, as it is compiled into this program.
    pub(super) fn flow(&self, terms: &Terms) -> Result<&Arc<dyn Deployed>, Refusal> {
        self.parts.registry.get(&terms.flow).ok_or_else(|| {
            let known: Vec<String> = self.parts.registry.flows().map(|flow| flow.name().to_owned()).collect();
            let text = crate::config::unknown("flow", &terms.flow, &known);
            Refusal::Unknown(format!("this director's program: {text}"))
        })
    }

    fn describe(&self, terms: &Terms) -> Result<FlowDescription, Refusal> {
        let flow = self.flow(terms)?;
        flow.describe(terms).map_err(|error| Refusal::Invalid(format!("the flow `{}`: {error}", terms.flow)))
    }

    /// An experiment that waited when an earlier process ended.
    fn queue_again(&self, experiment: Arc<Experiment>) {
        let summary = experiment.summary();
        let described = self.describe(&summary.terms);
        let outcome = match described {
            Ok(description) if description.fingerprint() == summary.fingerprint => {
                self.queue().push(Queued { experiment, version: description.version });
                return;
            }
            Ok(description) => Refusal::FlowMismatch {
                flow: summary.terms.flow.clone(),
                director: description.fingerprint(),
                yours: summary.fingerprint,
            },
            Err(refusal) => refusal,
        };
        run::fail(&experiment, outcome.code(), outcome.to_string());
    }

    /// Takes a new experiment. The same one again is the same experiment.
    pub(super) async fn submit(self: &Arc<Self>, by: &Peer, submit: Submit) -> Result<Summary, Refusal> {
        if submit.protocol != PROTOCOL {
            return Err(Refusal::Protocol { director: PROTOCOL, yours: submit.protocol });
        }
        check(&submit.terms)?;
        let _one = self.submitting.lock().await;
        if self.is_closing() {
            return Err(Refusal::Leaving);
        }
        if let Some(known) = self.experiments().get(&submit.id) {
            let summary = known.summary();
            let same = summary.terms == submit.terms && summary.fingerprint == submit.fingerprint;
            return if same && summary.owner == by.name {
                Ok(Summary::clone(&summary))
            } else {
                Err(Refusal::Conflict(format!("experiment {} is another one: choose a new id", submit.id)))
            };
        }
        if self.queue().len() >= self.parts.queue {
            return Err(Refusal::Busy(format!(
                "{} experiments wait already: try again later, or cancel one",
                self.parts.queue
            )));
        }
        let params = match submit.params.clone() {
            Some(content) => Some(self.parts.envoys.chunks().take(&Party::from(by), content)?.into_bytes()),
            None => None,
        };
        let (core, owner) = (Arc::clone(self), by.name.clone());
        blocking(move || core.accept(submit, owner, params.as_deref())).await?
    }

    /// Builds the flow, compares, and writes the experiment down. Blocks.
    fn accept(&self, submit: Submit, owner: Name, params: Option<&[u8]>) -> Result<Summary, Refusal> {
        let description = self.describe(&submit.terms)?;
        if description.fingerprint() != submit.fingerprint {
            return Err(Refusal::FlowMismatch {
                flow: submit.terms.flow,
                director: description.fingerprint(),
                yours: submit.fingerprint,
            });
        }
        let summary = Summary {
            id: submit.id,
            terms: submit.terms.clone(),
            fingerprint: submit.fingerprint,
            owner,
            state: State::Pending,
            reason: "submitted".to_owned(),
            submitted_ms: now_ms(),
            started_ms: None,
            ended_ms: None,
        };
        let journal = self.parts.state.create(submit, summary, params);
        let journal = journal.map_err(|error| Refusal::Internal(error.to_string()))?;
        let experiment = Experiment::new(journal, Arc::clone(&self.parts.log));
        let summary = Summary::clone(&experiment.summary());
        let (id, state, reason) = (summary.id, summary.state, summary.reason.clone());
        (self.parts.log)(Line::Experiment { id, state, reason });
        if let Entry::Vacant(place) = self.experiments().entry(experiment.id) {
            place.insert(Arc::clone(&experiment));
        }
        self.queue().push(Queued { experiment, version: description.version });
        self.parts.wake.notify_one();
        Ok(summary)
    }

    /// Starts experiments whenever some can, until the director goes.
    pub(super) async fn schedule(self: Arc<Self>) {
        loop {
            self.start_ready();
            tokio::select! {
                () = self.parts.wake.notified() => {}
                () = self.closed() => return,
            }
        }
    }

    /// Starts those that can, the first one first. One that waits for its participants holds up no other.
    fn start_ready(self: &Arc<Self>) {
        let mut queue = self.queue();
        if self.is_closing() {
            return;
        }
        let mut ready = Vec::new();
        queue.retain(|queued| {
            let summary = queued.experiment.summary();
            if summary.state != State::Pending {
                return false;
            }
            let running = *self.running.borrow();
            match self.parts.envoys.readiness(&summary.terms, queued.version) {
                Readiness::Ready if running < self.parts.slots => {
                    self.running.send_modify(|running| *running += 1);
                    ready.push(Arc::clone(&queued.experiment));
                    false
                }
                Readiness::Ready => {
                    queued.experiment.waits(format!("waits for one of {running} running experiments to end"));
                    true
                }
                Readiness::Waits(reason) => {
                    queued.experiment.waits(reason);
                    true
                }
            }
        });
        drop(queue);
        for experiment in ready {
            self.spawn(experiment, "all participants are online");
        }
    }

    /// Runs an experiment that an earlier process began: it has its slot already.
    fn start(self: &Arc<Self>, experiment: Arc<Experiment>, reason: &'static str) {
        self.running.send_modify(|running| *running += 1);
        self.spawn(experiment, reason);
    }

    /// Runs an experiment on a thread of its own.
    fn spawn(self: &Arc<Self>, experiment: Arc<Experiment>, reason: &'static str) {
        // Before any envoy is welcomed: one that is told of no such experiment drops what it has of it.
        let terms = Arc::new(experiment.summary().terms.clone());
        self.parts.envoys.begin(experiment.id, Live::new(terms, experiment.site_events.clone()));
        let (core, own) = (Arc::clone(self), Arc::clone(&experiment));
        let thread = thread::Builder::new().name(format!("experiment-{}", experiment.id));
        let spawned = thread.spawn(move || {
            run::run(&core, &own, reason);
            core.ended();
        });
        if let Err(error) = spawned {
            run::fail(&experiment, "threads", format!("its thread could not be started: {error}"));
            self.parts.envoys.end(&experiment.id);
            self.ended();
        }
    }

    fn ended(&self) {
        self.running.send_modify(|running| *running -= 1);
        self.parts.wake.notify_one();
    }

    /// All experiments, the one that was submitted first at the head.
    pub(super) fn list(&self) -> Vec<Summary> {
        let mut all: Vec<_> = self.experiments().values().map(|one| Summary::clone(&one.summary())).collect();
        all.sort_by_key(|summary| (summary.submitted_ms, summary.id));
        all
    }

    pub(super) fn envoys(&self) -> Vec<EnvoyStatus> {
        self.parts.envoys.statuses()
    }

    /// An experiment that the peer may look into and cancel.
    pub(super) fn experiment(&self, by: &Peer, id: ExperimentId) -> Result<Arc<Experiment>, Refusal> {
        let found = self.experiments().get(&id).map(Arc::clone);
        let unknown = || {
            Refusal::Unknown(format!(
                "experiment {id}: `veilflow experiment list` shows those that there are"
            ))
        };
        let experiment = found.ok_or_else(unknown)?;
        let owner = experiment.summary().owner.clone();
        if by.role != Role::Admin && by.name != owner {
            return Err(Refusal::Denied(format!(
                "experiment {id} is {owner}'s: only {owner} and admins may do this"
            )));
        }
        Ok(experiment)
    }

    /// Tells of an experiment until it is over, the reader goes, or the director does.
    pub(super) async fn follow(
        &self,
        by: &Peer,
        ask: Follow,
        outgoing: &Outgoing<Told>,
    ) -> Result<(), Refusal> {
        let experiment = self.experiment(by, ask.id)?;
        tokio::select! {
            over = experiment::follow(&experiment, ask.from, ask.follow, outgoing) => over,
            () = outgoing.closed() => Ok(()),
            () = self.closed() => Err(Refusal::Leaving),
        }
    }

    /// Cancels an experiment, wherever it is in its life. It is cancelled when this returns.
    pub(super) async fn cancel(&self, by: &Peer, id: ExperimentId) -> Result<Summary, Refusal> {
        let experiment = self.experiment(by, id)?;
        let (own, name) = (Arc::clone(&experiment), by.name.clone());
        let cancelled = blocking(move || own.cancel(&name)).await?;
        let summary = Summary::clone(&experiment.summary());
        if !cancelled {
            return Err(Refusal::Conflict(format!("experiment {id} is {} already", summary.state)));
        }
        self.parts.envoys.end(&id);
        experiment.canceller().cancel();
        self.parts.wake.notify_one();
        Ok(summary)
    }

    /// Starts nothing more, and has what runs stop where it is. The next process of the director goes on with it.
    pub(super) fn close(&self) {
        // Under the lock, so that nothing is started after it.
        let queue = self.queue();
        self.closing.send_replace(true);
        drop(queue);
        self.parts.envoys.drain();
        let running = self.experiments();
        for experiment in running.values().filter(|experiment| !experiment.state().is_over()) {
            experiment.shut();
            experiment.canceller().cancel();
        }
    }

    /// Returns when nothing runs.
    pub(super) async fn idle(&self) {
        let mut running = self.running.subscribe();
        // The sender lives as long as `self`.
        let _ = running.wait_for(|running| *running == 0).await;
    }

    /// What a run needs of the director, beside what is its own.
    pub(super) fn place(&self, flow: &str) -> BTreeMap<String, String> {
        self.parts.places.get(flow).cloned().unwrap_or_default()
    }
}

/// Who an experiment's participants can be.
fn check(terms: &Terms) -> Result<(), Refusal> {
    let mut names: Vec<&Name> = terms.participants.iter().collect();
    names.sort_unstable();
    if names.is_empty() {
        return Err(Refusal::Invalid(
            "the experiment has no participants: name at least one envoy".to_owned(),
        ));
    }
    for name in &names {
        name.validate().map_err(|error| Refusal::Invalid(error.to_string()))?;
    }
    if let Some([name, _]) = names.array_windows().find(|[one, other]| one == other) {
        return Err(Refusal::Invalid(format!("{name} is named twice among the participants")));
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Refusal::Internal(error.to_string()))
}
