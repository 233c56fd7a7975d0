//! The one interpreter of a graph.
//!
//! It walks the blocks, runs the aggregator's steps, and talks to collaborators through a [`Port`]. It does
//! not know where they are.

mod keeper;
mod session;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::sleep;
use veilflow_spec::graph::{Addressed, AggregatorNode, Block, Broadcast, Fan, Hidden, Part, Payload, Value};
use veilflow_spec::{Branch, Cancellation, Cause, Device, Loop, Missing, Name, Origin, Placement, Provided};

pub(crate) use self::keeper::{Keeper, Recorded};
pub(crate) use self::session::Group;
use crate::cancel::Canceller;
use crate::error::RunError;
use crate::event::{EventKind, FanOrigin, Stream};
use crate::port::{Arrived, Port, Task};
use crate::remote::TaskKey;
use crate::steps::{self, Ended, Surroundings};

/// What a walk needs beside the graph.
pub(crate) struct Interpreter<A, P> {
    /// The aggregator's state; absent only while one of its steps runs.
    pub(crate) aggregator: Option<Seat<A>>,
    /// The secure join that is being walked.
    pub(crate) group: Option<Group>,
    pub(crate) port: P,
    pub(crate) stream: Arc<Stream>,
    pub(crate) canceller: Canceller,
    pub(crate) seed: u64,
    pub(crate) device: Device,
    /// What the aggregator's place provides.
    pub(crate) provided: Provided,
    pub(crate) loops: Vec<u32>,
    /// Where the walk is: the position of the block at each level, outermost first, and between two of them the turn of the
    /// loop or the arm of the branch.
    pub(crate) place: Vec<u32>,
    /// Writes the run down; a run in one process is not.
    pub(crate) keeper: Option<Box<dyn Keeper<A>>>,
    pub(crate) started: Instant,
}

/// The aggregator, and the hidden participants beside it.
pub(crate) struct Seat<A> {
    pub(crate) aggregator: A,
    pub(crate) hidden: Hidden,
}

/// The arms of a branch in a [place](Interpreter::place).
const YES: u32 = 0;
const NO: u32 = 1;

type Walk<'a> = Pin<Box<dyn Future<Output = Result<Value, RunError>> + 'a>>;

impl<A: Send + 'static, P> Interpreter<A, P> {
    /// Walks `blocks` from `value`: from the first one, or from the [place](Self::place) of an earlier walk.
    pub(crate) fn walk<'a, C: Send + 'static>(
        &'a mut self,
        blocks: &'a [Block<A, C>],
        mut value: Value,
        from: &'a [u32],
    ) -> Walk<'a>
    where
        P: Port<C>,
    {
        let (first, mut inside) = match from {
            [] => (0, None),
            [next] => (*next, None),
            [block, which, rest @ ..] => (*block, Some((*which, rest))),
        };
        Box::pin(async move {
            for (position, block) in (0_u32..).zip(blocks).skip_while(|(position, _)| *position < first) {
                self.place.push(position);
                let inside = inside.take();
                value = match block {
                    Block::Step(node) => {
                        let output = self.step(node, value).await?;
                        self.checkpoint(node, output)?
                    }
                    Block::Fan(fan) => {
                        let output = self.fan(fan, value).await?;
                        self.checkpoint(fan.join(), output)?
                    }
                    Block::Secure(secure) => {
                        let output = self.secure(secure, value).await?;
                        self.checkpoint(secure.join(), output)?
                    }
                    Block::Repeat(repeat) => {
                        let (mut turn, mut from) = inside.unwrap_or_default();
                        self.loops.push(turn);
                        loop {
                            self.place.push(turn);
                            let last = self.walk(repeat.body(), value, std::mem::take(&mut from)).await?;
                            self.place.pop();
                            match repeat.close(last).map_err(internal)? {
                                Loop::Again(entry) => value = entry,
                                Loop::Done(done) => break value = done,
                            }
                            turn += 1;
                            if let Some(counter) = self.loops.last_mut() {
                                *counter = turn;
                            }
                        }
                        self.loops.pop();
                        value
                    }
                    Block::Branch(fork) => {
                        let (arm, value, from) = match inside {
                            Some((arm, from)) => (arm, value, from),
                            None => match fork.choose(value).map_err(internal)? {
                                Branch::Yes(value) => (YES, value, Default::default()),
                                Branch::No(value) => (NO, value, Default::default()),
                            },
                        };
                        self.place.push(arm);
                        let blocks = if arm == YES { fork.yes() } else { fork.no() };
                        let value = self.walk(blocks, value, from).await?;
                        self.place.pop();
                        value
                    }
                };
                self.place.pop();
            }
            Ok(value)
        })
    }

    /// Writes down that this step of the aggregator returned. Not inside a secure join: it is atomic.
    fn checkpoint(&self, node: &AggregatorNode<A>, output: Value) -> Result<Value, RunError> {
        if let (Some(keeper), None, Some(seat)) = (&self.keeper, &self.group, &self.aggregator) {
            let mut next = self.place.clone();
            if let Some(block) = next.last_mut() {
                *block += 1;
            }
            keeper.checkpoint(&next, seat, node.output().encode(&*output).map_err(internal)?)?;
        }
        Ok(output)
    }

    fn round(&self) -> u32 {
        self.loops.first().copied().unwrap_or(0)
    }

    fn cancelled(&self, step: &str) -> RunError {
        RunError::Cancelled { step: step.to_owned(), round: self.round(), elapsed: self.started.elapsed() }
    }

    /// Runs a step of the aggregator on a thread of its own, so that a run can be cancelled meanwhile.
    async fn step(&mut self, node: &AggregatorNode<A>, value: Value) -> Result<Value, RunError> {
        let info = node.info();
        if self.canceller.flag().is_cancelled() {
            return Err(self.cancelled(&info.name));
        }
        let Some(mut seat) = self.aggregator.take() else {
            return Err(RunError::Internal("the aggregator's state is gone".to_owned()));
        };
        let origin = Origin {
            participant: Name::from("aggregator"),
            placement: Placement::Aggregator,
            step: Arc::clone(&info.name),
            path: Arc::clone(&info.path),
            loops: self.loops.as_slice().into(),
        };
        let stream = Arc::clone(&self.stream);
        let (seed, device, provided) = (self.seed, self.device, self.provided.clone());
        let surroundings = Surroundings { seed, cpus: 1, device, provided };
        let flag = self.canceller.flag().clone();
        let step = node.clone();
        let running = tokio::task::spawn_blocking(move || {
            let ended = steps::run(origin, surroundings, &flag, &stream, |cx| {
                step.step()(&mut seat.aggregator, &mut seat.hidden, value, cx)
            });
            (seat, ended)
        });
        let (seat, ended) = tokio::select! {
            joined = running => joined.map_err(|error| RunError::Internal(error.to_string()))?,
            () = self.canceller.cancelled() => return Err(self.cancelled(&info.name)),
        };
        self.aggregator = Some(seat);
        let (step, round) = (info.name.to_string(), self.round());
        ended.map_err(|ended| match ended {
            Ended::Failed(_) if self.canceller.flag().is_cancelled() => self.cancelled(&step),
            Ended::Failed(error) => RunError::Aggregator { step, round, error },
            Ended::Panicked(message) => RunError::AggregatorPanicked { step, round, message },
        })
    }

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
    async fn fan<C: Send + 'static>(&mut self, fan: &Fan<A, C>, value: Value) -> Result<Value, RunError>
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
        let mut running: FuturesUnordered<_> = payloads
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
                answer = running.next() => {
                    let Some((name, result)) = answer else { break };
                    waiting.remove(&name);
                    self.keep(key, &name, &result)?;
                    self.count(origin, name, result.map(|arrived| arrived.value), answers);
                }
                () = &mut deadline => {
                    for (name, ()) in std::mem::take(&mut waiting) {
                        let result = Err(Cause::Deadline(limit.unwrap_or_default()));
                        self.keep(key, &name, &result)?;
                        self.count(origin, name, result.map(|arrived| arrived.value), answers);
                    }
                    break;
                }
                () = &mut cancelled => return Err(self.cancelled(&origin.steps)),
            }
        }
        Ok(())
    }

    /// Writes an answer down, before it counts.
    fn keep(&self, key: &TaskKey, name: &Name, answer: &Result<Arrived, Cause>) -> Result<(), RunError> {
        let Some(keeper) = &self.keeper else { return Ok(()) };
        let answer = answer.as_ref().map(|arrived| arrived.encoded.as_deref().unwrap_or_default());
        keeper.answer(key, name, answer.map_err(Clone::clone))
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
            if payloads.remove(&name).is_some()
                && let Some(last) = fan.task().last()
            {
                let outcome = match outcome {
                    Ok(bytes) => Ok(last.output().decode(&bytes).map_err(internal)?),
                    Err(cause) => Err(cause),
                };
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
    fn payloads<C>(&self, steps: &str, addressed: Addressed) -> Result<BTreeMap<Name, Payload>, RunError>
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

fn internal(error: veilflow_spec::StepError) -> RunError {
    RunError::Internal(error.to_string())
}
