//! Tasks that envoys were given, and their answers.
//!
//! A task is open from its delivery until its answer is written down or nobody waits for it. In between it may be sent
//! several times, always with the same key; its answer counts once.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;
use veilflow_engine::remote::TaskKey;
use veilflow_spec::{Cause, Name};

use super::super::log::Line;
use super::{Envoy, Envoys, Presence};
use crate::experiment::ExperimentId;
use crate::wire::messages::{Content, ToEnvoy};
use crate::wire::{Party, Served};

/// An envoy's open tasks.
#[derive(Default)]
pub(super) struct Tasks(BTreeMap<(ExperimentId, TaskKey), Task>);

type Answer = Result<Content, Cause>;

struct Task {
    /// Which opening of it: the same key may be opened again.
    number: u64,
    message: Arc<ToEnvoy>,
    /// To which process of the envoy it was sent.
    sent_to: Option<[u8; 16]>,
    /// Who waits; nobody once it is answered.
    waits: Option<oneshot::Sender<Answer>>,
}

impl Tasks {
    pub(super) fn is_empty(&self) -> bool {
        self.0.values().all(|task| task.waits.is_none())
    }

    pub(super) fn works_on(&self, id: &ExperimentId) -> bool {
        self.0.iter().any(|((of, _), task)| of == id && task.waits.is_some())
    }

    /// Drops those of an experiment that is over. Who still waits for one learns that it is cancelled.
    pub(super) fn end(&mut self, id: &ExperimentId) {
        for task in self.0.extract_if(.., |(of, _), _| of == id).map(|(_, task)| task) {
            task.finish(Err(Cause::Cancelled));
        }
    }

    /// The message of a task that is still waited for; it counts as sent to this process of the envoy.
    pub(super) fn send(
        &mut self,
        id: ExperimentId,
        task: TaskKey,
        incarnation: Option<[u8; 16]>,
    ) -> Option<Arc<ToEnvoy>> {
        let open = self.0.get_mut(&(id, task)).filter(|open| open.waits.is_some())?;
        open.sent_to = incarnation;
        Some(Arc::clone(&open.message))
    }

    /// Ends what another process of the envoy was given, and returns the tasks that this one has to be sent.
    pub(super) fn attached(&mut self, incarnation: [u8; 16]) -> Vec<(ExperimentId, TaskKey)> {
        let lost = |task: &Task| task.sent_to.is_some_and(|other| other != incarnation);
        for (_, task) in self.0.extract_if(.., |_, task| lost(task)) {
            task.finish(Err(Cause::Restarted));
        }
        self.0.iter().filter(|(_, task)| task.waits.is_some()).map(|(key, _)| key.clone()).collect()
    }

    /// Ends those that were not sent, or all.
    fn offline(&mut self, unsent_only: bool) {
        let gone = |task: &Task| task.waits.is_some() && (!unsent_only || task.sent_to.is_none());
        for (_, task) in self.0.extract_if(.., |_, task| gone(task)) {
            task.finish(Err(Cause::Offline));
        }
    }
}

impl Task {
    fn finish(self, answer: Answer) {
        if let Some(waits) = self.waits {
            // Who no longer waits needs no answer.
            waits.send(answer).ok();
        }
    }
}

/// What became of an answer that came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was waited for.
    Counted,
    /// It is not used, and the envoy need not repeat it.
    Settled,
    /// Its experiment does not run.
    Over,
    /// It is not used; what the envoy has to know of it comes by itself.
    Ignored,
}

impl Envoys {
    /// Gives an envoy a task. `served` is what it fetches for it.
    ///
    /// # Errors
    /// [`Cause::Offline`] where it has been away for too long.
    pub(in super::super) fn open(
        self: &Arc<Self>,
        to: &Name,
        (experiment, task): (ExperimentId, TaskKey),
        message: ToEnvoy,
        served: Vec<Served>,
    ) -> Result<OpenTask, Cause> {
        let mut state = self.lock();
        let number = state.number();
        let draining = state.draining;
        let envoy = self.envoy(&mut state, to).map_err(|_| Cause::Offline)?;
        let absent = envoy.absent_since();
        if !draining && absent.is_some_and(|since| Instant::now() >= since + self.limits.grace) {
            return Err(Cause::Offline);
        }
        // A site works on one task of an experiment at a time: those before it are settled.
        let before = envoy.tasks.0.extract_if(.., |(of, _), open| *of == experiment && open.waits.is_none());
        for (id, task) in before.map(|(key, _)| key).collect::<Vec<_>>() {
            envoy.outbox.acknowledged(id, task);
        }
        let (waits, answer) = oneshot::channel();
        let open = Task { number, message: Arc::new(message), sent_to: None, waits: Some(waits) };
        envoy.tasks.0.insert((experiment, task.clone()), open);
        if absent.is_none() {
            envoy.outbox.task(experiment, task.clone());
        }
        drop(state);
        let envoys = Arc::clone(self);
        Ok(OpenTask { envoys, to: to.clone(), experiment, task, number, answer, _served: served })
    }

    /// An answer of the envoy of this name.
    pub(super) fn answered(
        &self,
        from: &Name,
        experiment: ExperimentId,
        task: TaskKey,
        outcome: Result<Content, Cause>,
    ) -> Taken {
        let mut state = self.lock();
        let runs = state.live.get(&experiment).is_some_and(|live| live.terms.participants.contains(from));
        let Some(envoy) = state.envoys.get_mut(from) else { return Taken::Ignored };
        let open = envoy.tasks.0.get_mut(&(experiment, task.clone()));
        let known = open.is_some();
        if let Some(waits) = open.and_then(|open| open.waits.take()) {
            // It may be answered before it was sent: by a site that an earlier process of the director gave it.
            let late = waits.send(outcome.map_err(bounded)).is_err();
            return if late { Taken::Settled } else { Taken::Counted };
        }
        // What nobody takes must not stay for ever.
        if envoy.tasks.is_empty() {
            self.chunks.forget(&Party::envoy(from.clone()));
        }
        drop(state);
        let (taken, why) = match (known, runs) {
            (true, _) => (Taken::Ignored, "it was answered before"),
            (false, true) => (Taken::Settled, "nobody waits for it: it is late, or was answered before"),
            (false, false) => (Taken::Over, "the experiment does not run here"),
        };
        (self.log)(Line::Ignored { envoy: from.clone(), experiment, task: Some(task), why });
        taken
    }

    /// An answer is written down: its envoy need not repeat it.
    pub(in super::super) fn acknowledge(&self, experiment: ExperimentId, task: &TaskKey, from: &Name) {
        let mut state = self.lock();
        let Some(envoy) = state.envoys.get_mut(from) else { return };
        let key = (experiment, task.clone());
        if envoy.tasks.0.get(&key).is_some_and(|open| open.waits.is_none()) {
            envoy.tasks.0.remove(&key);
            envoy.outbox.acknowledged(experiment, task.clone());
        }
    }

    /// The session of a secure join is over.
    pub(in super::super) fn close(&self, experiment: &ExperimentId, join: &str) {
        let mut state = self.lock();
        let Some(live) = state.live.get(experiment) else { return };
        let terms = Arc::clone(&live.terms);
        for name in &terms.participants {
            if let Some(envoy) = state.envoys.get_mut(name) {
                envoy.outbox.close(*experiment, join);
            }
        }
    }

    /// The envoy has been away for too long.
    pub(super) fn expire(&self, name: &Name) {
        let mut state = self.lock();
        if state.draining {
            return;
        }
        let Some(envoy) = state.envoys.get_mut(name) else { return };
        if envoy.absent_since().is_some_and(|since| Instant::now() >= since + self.limits.grace) {
            let here = matches!(envoy.presence, Presence::Here { .. });
            envoy.tasks.offline(here);
        }
    }

    /// Nobody waits for the task any more.
    fn abandon(&self, to: &Name, key: (ExperimentId, TaskKey), number: u64) {
        let mut state = self.lock();
        let draining = state.draining;
        let Some(envoy) = state.envoys.get_mut(to) else { return };
        let Envoy { tasks, outbox, incarnation, .. } = envoy;
        // One that is answered stays until its answer is written down.
        if tasks.0.get(&key).is_none_or(|open| open.number != number || open.waits.is_none()) {
            return;
        }
        let Some(open) = tasks.0.remove(&key) else { return };
        if !draining {
            let sent = open.sent_to.is_some() && open.sent_to == *incarnation;
            outbox.cancel(key.0, key.1, sent);
        }
    }
}

/// The most bytes of a text that a site says about an error.
const TEXT_BYTES: usize = 4096;

/// A cause as a site may tell it.
fn bounded(mut cause: Cause) -> Cause {
    let texts: [Option<&mut String>; 3] = match &mut cause {
        Cause::Failed { step, code, text } => [Some(step), Some(code), text.as_mut()],
        Cause::Panicked { step, text } => [Some(step), text.as_mut(), None],
        Cause::NotBuilt { text } => [text.as_mut(), None, None],
        Cause::Refused { step, code, .. } => [Some(step), Some(code), None],
        Cause::DroppedOut { step } => [Some(step), None, None],
        Cause::Declined { code, text } => [Some(code), Some(text), None],
        _ => [None, None, None],
    };
    for text in texts.into_iter().flatten() {
        text.truncate(text.floor_char_boundary(TEXT_BYTES));
    }
    cause
}

/// A task that somebody waits for. Dropped, the envoy is told that nobody does.
pub(in super::super) struct OpenTask {
    envoys: Arc<Envoys>,
    to: Name,
    experiment: ExperimentId,
    task: TaskKey,
    number: u64,
    answer: oneshot::Receiver<Answer>,
    _served: Vec<Served>,
}

impl OpenTask {
    /// What the envoy answers. Where it named chunks, they are still in the store.
    pub(in super::super) async fn answer(&mut self) -> Answer {
        let answered = (&mut self.answer).await;
        // The other end goes only with the task itself.
        answered.unwrap_or(Err(Cause::Cancelled))
    }

    /// Has the envoy say its answer again, because chunks of it are not here. Whether it can still be asked.
    pub(in super::super) fn ask_again(&mut self) -> bool {
        let mut state = self.envoys.lock();
        let Some(envoy) = state.envoys.get_mut(&self.to) else { return false };
        let here = envoy.absent_since().is_none();
        let Some(open) = envoy.tasks.0.get_mut(&(self.experiment, self.task.clone())) else { return false };
        let (waits, answer) = oneshot::channel();
        drop(mem::replace(&mut self.answer, answer));
        open.waits = Some(waits);
        if here {
            envoy.outbox.task(self.experiment, self.task.clone());
        }
        true
    }
}

impl Drop for OpenTask {
    fn drop(&mut self) {
        self.envoys.abandon(&self.to, (self.experiment, self.task.clone()), self.number);
    }
}
