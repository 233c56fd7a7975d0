//! What a site holds of its experiments, and what it does about each thing that the director says.
//!
//! A task is done once. Its answer is kept until the director has written it down and sent the next task of its experiment,
//! so that a director that lost it, or was started again, gets the same bytes. None of this depends on a connection: while there is none, tasks
//! go on and answers wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use veilflow_engine::remote::TaskKey;
use veilflow_spec::{Cause, Fingerprint};

use crate::experiment::{ExperimentId, Terms};

use super::notice::Notice;
use super::refusal::Refusal;
use super::site::Site;
use super::task::{Contents, Half, Order, Outcome, Stop, perform};

/// An answer that the director is to get.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) experiment: ExperimentId,
    pub(super) task: TaskKey,
    pub(super) outcome: Result<Bytes, Cause>,
}

/// What a site holds of its experiments.
pub(super) struct Office {
    site: Arc<Site>,
    experiments: BTreeMap<ExperimentId, Experiment>,
    tasks: JoinSet<Outcome>,
    leaving: bool,
}

struct Experiment {
    terms: Arc<Terms>,
    fingerprint: Fingerprint,
    half: Half,
    running: Option<Running>,
    /// The last task that was done.
    answered: Option<Answered>,
    /// It is over, but for a task that has not returned.
    over: bool,
}

struct Running {
    key: TaskKey,
    id: Id,
    stop: Stop,
    from: watch::Sender<Arc<dyn Contents>>,
    since: Instant,
    /// Sessions that ended meanwhile.
    closed: BTreeSet<String>,
}

struct Answered {
    key: TaskKey,
    outcome: Result<Bytes, Cause>,
    acknowledged: bool,
}

/// How many sessions a director may close while one task runs. A flow has a few joins.
const MAX_CLOSED: usize = 64;

impl Office {
    pub(super) fn new(site: Arc<Site>) -> Self {
        Self { site, experiments: BTreeMap::new(), tasks: JoinSet::new(), leaving: false }
    }

    /// Registered again: what the director does not know any more is dropped, and answers that it may not have are
    /// returned.
    pub(super) fn welcome(&mut self, known: &[ExperimentId]) -> Vec<Answer> {
        let known: BTreeSet<_> = known.iter().copied().collect();
        let gone: Vec<_> = self.experiments.keys().filter(|id| !known.contains(id)).copied().collect();
        gone.into_iter().for_each(|id| self.end(id));
        self.site.crossing.keep(|id| known.contains(&id));
        let unacknowledged =
            |(id, experiment): (&ExperimentId, &Experiment)| {
                experiment.answered.as_ref().filter(|answered| !answered.acknowledged).map(|answered| {
                    Answer { experiment: *id, task: answered.key.clone(), outcome: answered.outcome.clone() }
                })
            };
        self.experiments.iter().filter_map(unacknowledged).collect()
    }

    /// A task, for the first time or again. Returns what there is to say at once.
    pub(super) fn task(&mut self, order: Order, contents: Arc<dyn Contents>) -> Option<Answer> {
        match self.take(&order, contents) {
            Ok(outcome) => {
                let Order { experiment, task, .. } = order;
                outcome.map(|outcome| Answer { experiment, task, outcome })
            }
            Err(refusal) => {
                let Order { experiment, task, terms, .. } = order;
                Some(self.decline(experiment, task, &terms, refusal))
            }
        }
    }

    fn take(
        &mut self,
        order: &Order,
        contents: Arc<dyn Contents>,
    ) -> Result<Option<Result<Bytes, Cause>>, Refusal> {
        if let Some(experiment) = self.experiments.get_mut(&order.experiment) {
            if experiment.terms != order.terms || experiment.fingerprint != order.fingerprint {
                return Err(Refusal::TermsChanged);
            }
            match &experiment.running {
                Some(_) if experiment.over => return Ok(Some(Err(Cause::Busy))),
                Some(running) if running.key == order.task => {
                    // It goes on with its message over the new connection, where it waits for one.
                    running.from.send_replace(contents);
                    return Ok(None);
                }
                Some(_) => return Ok(Some(Err(Cause::Busy))),
                None => {}
            }
            if let Some(answered) = experiment.answered.as_ref().filter(|answered| answered.key == order.task)
            {
                return Ok(Some(answered.outcome.clone()));
            }
        }
        if self.leaving {
            return Err(Refusal::Leaving);
        }
        let (max, held) = (self.site.config.resources.max_experiments, self.experiments.len());
        let full = held >= max && !self.experiments.contains_key(&order.experiment);
        if full {
            return Err(Refusal::TooManyExperiments { max });
        }
        let experiment = self.experiments.entry(order.experiment).or_insert_with(|| Experiment {
            terms: Arc::clone(&order.terms),
            fingerprint: order.fingerprint,
            half: Half::default(),
            running: None,
            answered: None,
            over: false,
        });
        // The director has it, and has gone on. An answer may be as large as the model that this task begins with.
        experiment.answered.take_if(|answered| answered.acknowledged);
        let (stop, (from, contents)) = (Stop::new(), watch::channel(contents));
        let half = Arc::clone(&experiment.half);
        let work = perform(Arc::clone(&self.site), order.clone(), half, stop.clone(), contents);
        let id = self.tasks.spawn(work).id();
        let (key, since) = (order.task.clone(), Instant::now());
        experiment.running = Some(Running { key, id, stop, from, since, closed: BTreeSet::new() });
        Ok(None)
    }

    /// Says no. It is not kept: the same task again may find another hour, or more room.
    fn decline(&self, experiment: ExperimentId, task: TaskKey, terms: &Terms, refusal: Refusal) -> Answer {
        let (code, reason, flow) = (refusal.code().to_owned(), refusal.to_string(), terms.flow.clone());
        self.site.tell(Notice::Declined { experiment, task: task.clone(), flow, code, reason });
        Answer { experiment, task, outcome: Err(refusal.into()) }
    }

    /// Nobody waits for this task any more.
    pub(super) fn cancel(&mut self, id: ExperimentId, task: &TaskKey) {
        let running = self.experiments.get(&id).and_then(|experiment| experiment.running.as_ref());
        if let Some(running) = running.filter(|running| running.key == *task) {
            running.stop.stop();
            self.site.tell(Notice::Cancelled { experiment: id, task: task.clone() });
        }
    }

    /// The director has this answer.
    pub(super) fn acknowledged(&mut self, id: ExperimentId, task: &TaskKey) {
        let answered = self.experiments.get_mut(&id).and_then(|experiment| experiment.answered.as_mut());
        if let Some(answered) = answered.filter(|answered| answered.key == *task) {
            answered.acknowledged = true;
        }
    }

    /// The session of the secure join at this path is over.
    pub(super) fn close(&mut self, id: ExperimentId, join: String) {
        let Some(experiment) = self.experiments.get_mut(&id) else { return };
        if let Some(half) = experiment.half.get() {
            half.close(&join);
        } else if let Some(running) = &mut experiment.running
            && running.closed.len() < MAX_CLOSED
        {
            // Its half is being built: it may begin the session that has ended by now.
            running.closed.insert(join.clone());
        }
        self.site.tell(Notice::Closed { experiment: id, join });
    }

    /// An experiment is over: its task is told to stop, and all that was kept goes, at the latest when that returns.
    pub(super) fn end(&mut self, id: ExperimentId) {
        // Also where nothing else is held: a task may have told something when its experiment was over.
        self.site.crossing.forget(id);
        let Some(experiment) = self.experiments.get_mut(&id) else { return };
        if experiment.over {
            return;
        }
        self.site.tell(Notice::Ended { experiment: id });
        match &experiment.running {
            Some(running) => {
                running.stop.stop();
                experiment.over = true;
                experiment.answered = None;
            }
            None => self.remove(id),
        }
    }

    /// Drops what was kept. A site's private attributes may be much, so not on the thread that calls.
    fn remove(&mut self, id: ExperimentId) {
        if let Some(experiment) = self.experiments.remove(&id) {
            tokio::task::spawn_blocking(move || drop(experiment));
        }
    }

    /// Returns when a task has returned, with its answer where somebody waits for it. Never, while none runs.
    pub(super) async fn returned(&mut self) -> Option<Answer> {
        let Some(ended) = self.tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let (task, outcome) = match ended {
            Ok((task, outcome)) => (task, outcome),
            Err(error) => {
                // Only a defect of this program gets here.
                let step = "task".to_owned();
                (error.id(), Outcome::Answered(Err(Cause::Panicked { step, text: None })))
            }
        };
        let mut all = self.experiments.iter();
        let ran =
            |experiment: &Experiment| experiment.running.as_ref().is_some_and(|running| running.id == task);
        let id = *all.find(|(_, experiment)| ran(experiment))?.0;
        self.settle(id, outcome)
    }

    fn settle(&mut self, id: ExperimentId, outcome: Outcome) -> Option<Answer> {
        let experiment = self.experiments.get_mut(&id)?;
        let running = experiment.running.take()?;
        if let Some(half) = experiment.half.get() {
            running.closed.iter().for_each(|join| half.close(join));
        }
        let over = experiment.over;
        let answer = match outcome {
            Outcome::Answered(outcome) => {
                let (task, took) = (running.key.clone(), running.since.elapsed());
                let cause = outcome.as_ref().err().cloned();
                self.site.tell(Notice::TaskEnded { experiment: id, task, took, cause });
                let key = running.key.clone();
                experiment.answered = Some(Answered { key, outcome: outcome.clone(), acknowledged: false });
                Answer { experiment: id, task: running.key, outcome }
            }
            Outcome::Refused(refusal) => {
                let terms = Arc::clone(&experiment.terms);
                // What the site never took part in takes no room.
                if experiment.half.get().is_none() && experiment.answered.is_none() {
                    self.remove(id);
                }
                self.decline(id, running.key, &terms, refusal)
            }
        };
        if over {
            self.remove(id);
            return None;
        }
        Some(answer)
    }

    /// No new tasks from now on.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
    }

    /// Tells all tasks to stop.
    pub(super) fn stop(&mut self) {
        for (id, experiment) in &self.experiments {
            if let Some(running) = &experiment.running {
                running.stop.stop();
                self.site.tell(Notice::Cancelled { experiment: *id, task: running.key.clone() });
            }
        }
    }

    /// How many tasks run.
    pub(super) fn running(&self) -> usize {
        self.tasks.len()
    }

    /// Whether nothing runs, and the director has every answer.
    pub(super) fn is_done(&self) -> bool {
        let unacknowledged = |experiment: &Experiment| {
            experiment.answered.as_ref().is_some_and(|answered| !answered.acknowledged)
        };
        self.tasks.is_empty() && !self.experiments.values().any(unacknowledged)
    }
}
