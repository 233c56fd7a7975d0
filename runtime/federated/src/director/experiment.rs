//! One experiment: where it is in its life, and what is told of it.
//!
//! Each transition is in the journal before anybody is told. Whoever follows reads the events from the journal, at its own
//! pace: a slow reader holds up nobody and misses nothing.

use std::io;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use tokio::sync::watch;
use veilflow_engine::remote::{Record, RunLog, SiteEvents};
use veilflow_engine::{Canceller, Event, EventKind, Observer};
use veilflow_spec::Name;

use super::envoys::{Envoys, now_ms};
use super::log::{Line, Log};
use crate::experiment::{ExperimentId, Outcome, State, Summary};
use crate::journal::{ExperimentJournal, JournalError};
use crate::wire::messages::Told;
use crate::wire::{Outgoing, Refusal};

/// One experiment.
pub(super) struct Experiment {
    pub(super) id: ExperimentId,
    pub(super) journal: ExperimentJournal,
    view: watch::Sender<View>,
    /// Held from before a transition is written until it is told.
    transition: Mutex<()>,
    /// Whether its run may still write. Closed before its end is written, so that nothing comes after.
    open: RwLock<bool>,
    /// From which event on this process tells again what an earlier one told.
    resumed: OnceLock<u64>,
    /// Where the events of its sites' tasks come in.
    pub(super) site_events: SiteEvents,
    canceller: Canceller,
    log: Log,
}

/// What is told of an experiment, as of now.
#[derive(Clone)]
pub(super) struct View {
    /// Its transitions, each with what was said then; the last one is where it is.
    states: Vec<Arc<Summary>>,
    /// The number of its next event.
    events: u64,
    outcome: Option<Arc<Outcome>>,
}

impl Experiment {
    pub(super) fn new(journal: ExperimentJournal, log: Log) -> Arc<Self> {
        let summary = journal.summary();
        let view = View {
            states: vec![Arc::new(summary)],
            events: journal.events().next(),
            outcome: journal.outcome().map(Arc::new),
        };
        Arc::new(Self {
            id: journal.id(),
            journal,
            view: watch::Sender::new(view),
            transition: Mutex::new(()),
            open: RwLock::new(false),
            resumed: OnceLock::new(),
            site_events: SiteEvents::default(),
            canceller: Canceller::new(),
            log,
        })
    }

    /// Where it is.
    pub(super) fn summary(&self) -> Arc<Summary> {
        let view = self.view.borrow();
        // There is one from the start.
        view.states.last().map(Arc::clone).unwrap_or_else(|| Arc::new(self.journal.summary()))
    }

    pub(super) fn state(&self) -> State {
        self.summary().state
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.view.borrow().outcome.as_deref().cloned()
    }

    pub(super) fn canceller(&self) -> &Canceller {
        &self.canceller
    }

    /// Says what a queued experiment waits for. That is no transition, and is not written down.
    pub(super) fn waits(&self, reason: String) {
        self.view.send_if_modified(|view| {
            let Some(last) = view.states.last_mut().filter(|last| last.state == State::Pending) else {
                return false;
            };
            if last.reason == reason {
                return false;
            }
            *last = Arc::new(Summary { reason, ..Summary::clone(last) });
            true
        });
    }

    fn transition(&self) -> MutexGuard<'_, ()> {
        self.transition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self, summary: Summary, outcome: Option<Outcome>) {
        let (id, state, reason) = (self.id, summary.state, summary.reason.clone());
        self.view.send_modify(|view| {
            view.states.push(Arc::new(summary));
            view.outcome = outcome.map(Arc::new);
        });
        (self.log)(Line::Experiment { id, state, reason });
    }

    /// It runs from now on; `false` where it is over. Blocks.
    ///
    /// # Errors
    /// What the journal reports.
    pub(super) fn run(&self, reason: &str) -> Result<bool, JournalError> {
        let _transition = self.transition();
        if self.state().is_over() {
            return Ok(false);
        }
        let summary = self.journal.update(|summary| {
            summary.state = State::Running;
            reason.clone_into(&mut summary.reason);
            summary.started_ms.get_or_insert_with(now_ms);
        })?;
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = true;
        self.told(summary, None);
        Ok(true)
    }

    /// It is over; `false` where it was before. Blocks.
    pub(super) fn finish(&self, outcome: Outcome, reason: &str, report: Option<&[u8]>) -> bool {
        let _transition = self.transition();
        if self.state().is_over() {
            return false;
        }
        self.shut();
        let ended = |summary: &mut Summary| {
            reason.clone_into(&mut summary.reason);
            summary.ended_ms = Some(now_ms());
        };
        let summary = self.journal.finish(outcome.clone(), report, ended);
        let (summary, outcome) = match summary {
            Ok(summary) => (summary, outcome),
            Err(error) => {
                // It is not in the journal, so a later process of the director runs it again.
                (self.log)(Line::Problem(format!(
                    "experiment {}: its end is not written down: {error}",
                    self.id
                )));
                let outcome = Outcome {
                    state: State::Failed,
                    code: error.code().to_owned(),
                    error: error.to_string(),
                    missing: Vec::new(),
                    culprits: Vec::new(),
                };
                let mut summary = Summary::clone(&self.summary());
                ended(&mut summary);
                (summary.state, summary.reason) = (State::Failed, error.to_string());
                (summary, outcome)
            }
        };
        self.told(summary, Some(outcome));
        true
    }

    /// Somebody cancels it: that is written down before its run is told to end. `false` where it is over. Blocks.
    pub(super) fn cancel(&self, by: &Name) -> bool {
        let reason = format!("cancelled by {by}");
        let outcome = Outcome {
            state: State::Cancelled,
            code: veilflow_spec::StepError::CANCELLED_CODE.to_owned(),
            error: reason.clone(),
            missing: Vec::new(),
            culprits: Vec::new(),
        };
        self.finish(outcome, &reason, None)
    }

    /// What an earlier process wrote down of the run: its last checkpoint and what followed. Blocks.
    ///
    /// # Errors
    /// What the journal reports.
    pub(super) fn history(&self) -> Result<Vec<Record>, JournalError> {
        let history = self.journal.resume()?;
        let next = self.journal.events().next();
        // The first of its states is what an earlier process left.
        if self.view.borrow().states.first().is_some_and(|first| first.state == State::Running) {
            self.resumed.get_or_init(|| next);
        }
        self.view.send_modify(|view| view.events = next);
        Ok(history)
    }

    /// Its run writes nothing any more: neither transitions nor events.
    pub(super) fn shut(&self) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = false;
    }
}

/// Where an experiment's run writes.
pub(super) struct ExperimentLog {
    pub(super) experiment: Arc<Experiment>,
    pub(super) envoys: Arc<Envoys>,
}

impl RunLog for ExperimentLog {
    fn append(&self, record: &Record) -> io::Result<()> {
        self.append_all(slice::from_ref(record))
    }

    fn append_all(&self, records: &[Record]) -> io::Result<()> {
        let experiment = &self.experiment;
        let open = experiment.open.read().unwrap_or_else(PoisonError::into_inner);
        if !*open {
            return Err(io::Error::other("the run is ended from outside"));
        }
        experiment.journal.append_all(records)?;
        drop(open);
        for record in records {
            if let Record::Answer { task, from, .. } = record {
                self.envoys.acknowledge(experiment.id, task, from);
            }
        }
        Ok(())
    }
}

impl Observer for ExperimentLog {
    fn event(&self, event: &Event) {
        let experiment = &self.experiment;
        let open = experiment.open.read().unwrap_or_else(PoisonError::into_inner);
        if !*open {
            return;
        }
        match experiment.journal.events().append(event) {
            Ok(()) => experiment.view.send_modify(|view| view.events = event.sequence + 1),
            Err(error) => {
                let (id, number) = (experiment.id, event.sequence);
                (experiment.log)(Line::Problem(format!("experiment {id}: event {number} is lost: {error}")));
            }
        }
    }
}

/// How much of the events is read at once: a number and bytes.
const PAGE: (usize, u64) = (256, 1024 * 1024);

/// Tells somebody of an experiment, from the event of this number on: what happened, and with `follow` what happens until
/// it is over.
pub(super) async fn follow(
    experiment: &Arc<Experiment>,
    from: u64,
    follow: bool,
    outgoing: &Outgoing<Told>,
) -> Result<(), Refusal> {
    let gone = |_| Refusal::Leaving;
    let mut watch = experiment.view.subscribe();
    let mut next = first(experiment, from).await?;
    let (mut told, mut last) = (0, None);
    loop {
        let view = watch.borrow_and_update().clone();
        // How it ended comes after the last event.
        let ends = view.states.len() - usize::from(view.outcome.is_some() && view.states.len() > 1);
        for summary in view.states.iter().take(ends).skip(told) {
            outgoing.send(Told::State(Summary::clone(summary))).await.map_err(gone)?;
        }
        if told == ends
            && let Some(summary) = view.states.get(ends - 1)
            && last.as_ref().is_some_and(|last| !Arc::ptr_eq(last, summary))
        {
            outgoing.send(Told::State(Summary::clone(summary))).await.map_err(gone)?;
        }
        told = ends;
        last = view.states.get(ends - 1).map(Arc::clone);
        while next < view.events {
            let page = read(experiment, next).await?;
            for event in page.events {
                outgoing.send(Told::Event(event)).await.map_err(gone)?;
            }
            next = if page.complete { page.next.max(view.events) } else { page.next };
        }
        if let Some(outcome) = &view.outcome {
            if let Some(summary) = view.states.get(ends) {
                outgoing.send(Told::State(Summary::clone(summary))).await.map_err(gone)?;
            }
            outgoing.send(Told::Over(Outcome::clone(outcome))).await.map_err(gone)?;
            return Ok(());
        }
        if !follow {
            return Ok(());
        }
        // The sender lives as long as the experiment.
        watch.changed().await.map_err(|_| Refusal::Leaving)?;
    }
}

/// The event to begin with. A reader that read further than where a later process of the director took the run up again
/// is told of that, and of what follows.
async fn first(experiment: &Arc<Experiment>, from: u64) -> Result<u64, Refusal> {
    let resumed = experiment.resumed.get().copied().unwrap_or(u64::MAX);
    let (mut next, end) = (0, from.min(resumed).min(experiment.journal.events().next()));
    while next < end {
        let page = read(experiment, next).await?;
        let resumed = page.events.iter().find(|event| matches!(event.kind, EventKind::Resumed { .. }));
        if let Some(event) = resumed {
            return Ok(event.sequence.min(end));
        }
        next = if page.complete { end } else { page.next };
    }
    Ok(end)
}

async fn read(experiment: &Arc<Experiment>, from: u64) -> Result<crate::journal::Page, Refusal> {
    let experiment = Arc::clone(experiment);
    let read = move || experiment.journal.events().read(from, PAGE.0, PAGE.1);
    let page =
        tokio::task::spawn_blocking(read).await.map_err(|error| Refusal::Internal(error.to_string()))?;
    page.map_err(|error| Refusal::Internal(error.to_string()))
}
