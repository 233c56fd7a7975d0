//! Fan-outs in a walk: who is addressed, who comes back, and when waiting ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::sleep;
use veilflow_spec::graph::{Addressed, Broadcast, Fan, Part, Payload, Value};
use veilflow_spec::{Cancellation, Cause, Missing, Name};

use super::keeper::Recorded;
use super::{Interpreter, internal};
use crate::error::RunError;
use crate::event::{EventKind, FanOrigin};
use crate::port::{Arrived, Port, Task};
use crate::remote::TaskKey;

impl<A: Send + 'static, P> Interpreter<A, P> {
    /// How many of `addressed` must come back.
    fn needed<C>(&self, fan: &Fan<A, C>, addressed: usize) -> usize {
        match (&self.group, fan.part()) {
            (None, _) | (_, Part::Flow) => fan.quorum().of(addressed),
            // The quorum is of those whom the user addressed; the protocol has already lost some of them.
            (Some(group), Part::Setup | Part::Inputs) => {
                fan.quorum().of(group.invited).max(group.needs.inputs)
            }
            (Some(group), Part::Unmasking) => group.needs.unmasking,
        }
    }

    /// Runs a fan-out and its join.
    pub(super) async fn fan<C: Send + 'static>(
        &mut self,
        fan: &Fan<A, C>,
        value: Value,
    ) -> Result<Value, RunError>
    where
        P: Port<C>,
    {
        let origin = FanOrigin {
            path: Arc::clone(fan.path()),
            steps: fan.task().iter().map(|node| &*node.info().name).collect::<Vec<_>>().join(" → ").into(),
            paths: fan.task().iter().map(|node| Arc::clone(&node.info().path)).collect(),
            loops: self.loops.as_slice().into(),
        };
        if self.canceller.flag().is_cancelled() {
            return Err(self.cancelled(&origin.steps));
        }
        let mut payloads = self.payloads(&origin.steps, fan.address(value).map_err(internal)?)?;
        if let (Part::Inputs, Some(group)) = (fan.part(), &self.group) {
            let enter = |setup| Payload::Entering { setup: Box::new(setup), message: group.message.clone() };
            payloads = payloads.into_iter().map(|(name, setup)| (name, enter(setup))).collect();
        }
        let (addressed, needed) = (payloads.len(), self.needed(fan, payloads.len()));
        self.stream.emit(|| EventKind::Sent {
            fan: origin.clone(),
            to: payloads.keys().cloned().collect(),
            needed,
        });
        let nobody_waits = self.canceller.flag().child();
        // Among whom a setup can be started again is only known when all have answered.
        let to_the_end =
            fan.part() == Part::Setup && self.group.as_ref().is_some_and(|group| group.attempts_left);
        let mut answers = Answers { needed, to_the_end, pending: addressed, ..Answers::default() };
        let attempt = self.group.as_ref().map_or(0, |group| group.attempt);
        let key = TaskKey { path: Arc::clone(fan.path()), loops: Arc::clone(&origin.loops), attempt };
        let mut complete = Ok(());
        if !self.recall(fan, &origin, &key, &mut payloads, &mut answers)? {
            complete = self.collect(fan, (&origin, &key), payloads, &nobody_waits, &mut answers).await;
        }
        // Whoever still works is told that nobody waits for it.
        nobody_waits.cancel();
        complete?;
        if let Some(keeper) = &self.keeper {
            keeper.closed(&key)?;
        }
        // Steps that saw the cancellation may have answered before this task did: they are not what ended the run.
        if self.canceller.flag().is_cancelled() {
            return Err(self.cancelled(&origin.steps));
        }
        let mut addressed = addressed;
        let mut missing = answers.missing.clone();
        if let Some(group) = &mut self.group {
            group.lost.append(&mut missing);
            missing.clone_from(&group.lost);
            addressed = group.invited;
        }
        if answers.arrived.len() < needed {
            return Err(RunError::BelowQuorum {
                step: origin.steps.to_string(),
                round: self.round(),
                arrived: answers.arrived.len(),
                addressed,
                needed,
                missing: missing.into_values().collect(),
            });
        }
        let missing = answers.missing.into_values().collect();
        let inputs = fan.gather(answers.arrived, missing).map_err(internal)?;
        let joined = self.step(fan.join(), inputs).await;
        if let (Some(group), Some(seat)) = (&mut self.group, &self.aggregator) {
            let refused = (group.refused)(&seat.hidden).into_iter();
            group.lost.extend(refused.map(|missing| (missing.participant.clone(), missing)));
        }
        joined
    }

    /// Waits for those addressed: until all have answered, the quorum is out of reach, or the deadline has
    /// passed.
    async fn collect<C: Send + 'static>(
        &self,
        fan: &Fan<A, C>,
        (origin, key): (&FanOrigin, &TaskKey),
        payloads: BTreeMap<Name, Payload>,
        nobody_waits: &Cancellation,
        answers: &mut Answers,
    ) -> Result<(), RunError>
    where
        P: Port<C>,
    {
        let mut waiting: BTreeMap<Name, ()> = payloads.keys().map(|name| (name.clone(), ())).collect();
        let running: FuturesUnordered<_> = payloads
            .into_iter()
            .map(|(name, payload)| {
                let task = Task {
                    name: name.clone(),
                    key: key.clone(),
                    steps: Arc::clone(fan.task()),
                    payload,
                    cancellation: nobody_waits.child(),
                };
                async { (name, self.port.perform(task).await) }
            })
            .collect();
        let mut running = running.ready_chunks(TOGETHER);
        let limit = fan.deadline();
        let deadline = async {
            match limit {
                Some(limit) => sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let mut deadline = std::pin::pin!(deadline);
        let mut cancelled = std::pin::pin!(self.canceller.cancelled());
        while answers.are_worth_waiting_for() {
            tokio::select! {
                came = running.next() => {
                    let Some(came) = came else { break };
                    self.keep(key, &came)?;
                    for (name, result) in came {
                        waiting.remove(&name);
                        self.count(origin, name, result.and_then(|arrived| open(fan, arrived)), answers);
                    }
                }
                () = &mut deadline => {
                    let late = |(name, ())| (name, Err(Cause::Deadline(limit.unwrap_or_default())));
                    let late: Vec<_> = std::mem::take(&mut waiting).into_iter().map(late).collect();
                    self.keep(key, &late)?;
                    for (name, result) in late {
                        self.count(origin, name, result.and_then(|arrived| open(fan, arrived)), answers);
                    }
                    break;
                }
                () = &mut cancelled => return Err(self.cancelled(&origin.steps)),
            }
        }
        Ok(())
    }

    /// Writes answers down, before they count: what came, whatever it is.
    fn keep(&self, key: &TaskKey, came: &[(Name, Result<Arrived, Cause>)]) -> Result<(), RunError> {
        let Some(keeper) = &self.keeper else { return Ok(()) };
        let answer = |(name, result): &(Name, Result<Arrived, Cause>)| match result {
            Ok(Arrived::Encoded(pieces)) => Ok((name.clone(), Ok(pieces.clone()))),
            Ok(Arrived::Value(_)) => Err(RunError::Internal("an answer without its bytes".to_owned())),
            Err(cause) => Ok((name.clone(), Err(cause.clone()))),
        };
        keeper.answers(key, came.iter().map(answer).collect::<Result<_, _>>()?)
    }

    /// Counts what an earlier process wrote down of this fan-out, and takes out whoever answered then. Whether it was over.
    fn recall<C>(
        &self,
        fan: &Fan<A, C>,
        origin: &FanOrigin,
        key: &TaskKey,
        payloads: &mut BTreeMap<Name, Payload>,
        answers: &mut Answers,
    ) -> Result<bool, RunError> {
        let recorded = self.keeper.as_ref().and_then(|keeper| keeper.recorded(key));
        let Some(Recorded { answers: recorded, closed }) = recorded else { return Ok(false) };
        for (name, outcome) in recorded {
            if payloads.remove(&name).is_some() {
                let outcome = outcome.and_then(|pieces| open(fan, Arrived::Encoded(pieces)));
                self.count(origin, name, outcome, answers);
            }
        }
        Ok(closed)
    }

    fn count(&self, fan: &FanOrigin, name: Name, result: Result<Value, Cause>, answers: &mut Answers) {
        answers.pending -= 1;
        let fan = || fan.clone();
        match result {
            Ok(value) => {
                self.stream.emit(|| EventKind::Received { fan: fan(), from: name.clone() });
                answers.arrived.insert(name, value);
            }
            Err(cause) => {
                let missing = Missing { participant: name.clone(), cause };
                self.stream.emit(|| EventKind::Dropped { fan: fan(), missing: missing.clone() });
                answers.missing.insert(name, missing);
            }
        }
    }

    /// Who gets what.
    pub(super) fn payloads<C>(
        &self,
        steps: &str,
        addressed: Addressed,
    ) -> Result<BTreeMap<Name, Payload>, RunError>
    where
        P: Port<C>,
    {
        let names = self.port.names();
        let known = |name: Name| match names.binary_search(&name) {
            Ok(_) => Ok(name),
            Err(_) => {
                let what = format!("round {}: the `Foreach` before `{steps}`", self.round());
                Err(RunError::UnknownCollaborator { what, name, known: names.to_vec() })
            }
        };
        let share = |broadcast: &Broadcast| Payload::Shared(Arc::clone(broadcast));
        let payloads: BTreeMap<_, _> = match addressed {
            Addressed::All(broadcast) => names.iter().map(|name| (name.clone(), share(&broadcast))).collect(),
            Addressed::Only(names, broadcast) => names
                .into_iter()
                .map(|name| Ok((known(name)?, share(&broadcast))))
                .collect::<Result<_, RunError>>()?,
            Addressed::Each(values) => values
                .into_iter()
                .map(|(name, value)| Ok((known(name)?, Payload::Owned(value))))
                .collect::<Result<_, RunError>>()?,
        };
        if payloads.is_empty() {
            return Err(RunError::NobodyAddressed { step: steps.to_owned(), round: self.round() });
        }
        Ok(payloads)
    }
}

/// How many answers that came at once are written down at once: to make them durable is what takes time.
const TOGETHER: usize = 64;

/// What arrived as what it is. Nothing that a site sends ends a run: what is no answer is as if it had not come.
fn open<A, C>(fan: &Fan<A, C>, arrived: Arrived) -> Result<Value, Cause> {
    match arrived {
        Arrived::Value(value) => Ok(value),
        Arrived::Encoded(pieces) => {
            let last = fan.task().last().ok_or(Cause::Cancelled)?;
            last.output().decode(pieces).map_err(|error| Cause::Refused {
                step: last.info().name.to_string(),
                code: error.code().to_owned(),
                at_fault: false,
            })
        }
    }
}

/// What a fan-out has brought so far.
#[derive(Default)]
struct Answers {
    arrived: BTreeMap<Name, Value>,
    missing: BTreeMap<Name, Missing>,
    pending: usize,
    needed: usize,
    /// Whether all are waited for, although the quorum is out of reach.
    to_the_end: bool,
}

impl Answers {
    fn are_worth_waiting_for(&self) -> bool {
        self.to_the_end || self.arrived.len() + self.pending >= self.needed
    }
}
