//! The one interpreter of a graph.
//!
//! It walks the blocks, runs the aggregator's steps, and talks to collaborators through a [`Port`]. It does
//! not know where they are.

mod fan;
mod keeper;
mod session;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use veilflow_spec::graph::{AggregatorNode, Block, Hidden, Value};
use veilflow_spec::{Branch, Device, Loop, Name, Origin, Placement, Provided};

pub(crate) use self::keeper::{Keeper, Recorded};
pub(crate) use self::session::Group;
use crate::cancel::Canceller;
use crate::error::RunError;
use crate::event::Stream;
use crate::port::Port;
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
    /// The processors that the aggregator's steps may use. They run while no collaborator is waited for.
    pub(crate) cpus: usize,
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
            keeper.checkpoint(&next, seat, &output, node.output())?;
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
        let (seed, cpus, device) = (self.seed, self.cpus, self.device);
        let surroundings = Surroundings { seed, cpus, device, provided: self.provided.clone() };
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
}

fn internal(error: veilflow_spec::StepError) -> RunError {
    RunError::Internal(error.to_string())
}
