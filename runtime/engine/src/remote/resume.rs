//! What an earlier process wrote down, and where a walk goes on from it.

use std::collections::BTreeMap;

use veilflow_spec::graph::{Block, Hidden, Value};
use veilflow_spec::{Checkpoint, Codec, Flow, StepError, read_cbor};

use super::courier::TaskKey;
use super::pieces::Pieces;
use super::record::Record;
use crate::error::RunError;
use crate::interpreter::{Recorded, Seat};

/// Where a walk starts.
pub(super) struct Start<A> {
    pub(super) seat: Seat<A>,
    pub(super) place: Vec<u32>,
    pub(super) value: Value,
}

impl<A: Checkpoint> Start<A> {
    /// Where an earlier process came to.
    pub(super) fn resume<C, P, R>(
        &mut self,
        flow: &Flow<A, C, P, R>,
        reached: Reached,
    ) -> Result<(), RunError> {
        let unfit = |what: &'static str| move |error: StepError| RunError::NotResumed { what, error };
        self.place = read_cbor(reached.position).map_err(unfit("position"))?;
        let codec = returned(flow.graph().blocks(), &self.place);
        let codec = codec.ok_or_else(|| unfit("position")(StepError::msg("the flow has no such step")))?;
        self.value = codec.decode(reached.value).map_err(unfit("value of the last step"))?;
        let saved = read_cbor(reached.aggregator).map_err(unfit("aggregator"))?;
        self.seat.aggregator.restore(saved).map_err(unfit("aggregator"))?;
        let hidden = read_cbor(reached.hidden).map_err(unfit("state of its secure joins"))?;
        self.seat.hidden = Hidden::restored(hidden);
        Ok(())
    }
}

/// How the value is written that the step before this place returned.
fn returned<A, C>(blocks: &[Block<A, C>], place: &[u32]) -> Option<Codec> {
    let at = |position: u32| blocks.get(usize::try_from(position).ok()?);
    match place {
        [] => None,
        [next] => match at(next.checked_sub(1)?)? {
            Block::Step(node) => Some(*node.output()),
            Block::Fan(fan) => Some(*fan.join().output()),
            Block::Secure(secure) => Some(*secure.join().output()),
            Block::Repeat(_) | Block::Branch(_) => None,
        },
        [block, which, rest @ ..] => match at(*block)? {
            Block::Repeat(repeat) => returned(repeat.body(), rest),
            Block::Branch(fork) => returned(if *which == 0 { fork.yes() } else { fork.no() }, rest),
            Block::Step(_) | Block::Fan(_) | Block::Secure(_) => None,
        },
    }
}

/// What an earlier process wrote down.
pub(super) struct Past {
    pub(super) reached: Option<Reached>,
    /// The fan-outs since then.
    pub(super) fans: BTreeMap<TaskKey, Recorded>,
}

pub(super) struct Reached {
    position: Pieces,
    aggregator: Pieces,
    hidden: Pieces,
    value: Pieces,
    pub(super) events: u64,
}

impl Past {
    pub(super) fn read(history: Vec<Record>) -> Self {
        let mut past = Self { reached: None, fans: BTreeMap::new() };
        for record in history {
            match record {
                Record::Checkpoint { position, aggregator, hidden, value, events } => {
                    past.fans.clear();
                    past.reached = Some(Reached { position, aggregator, hidden, value, events });
                }
                Record::Answer { task, from, outcome } => {
                    // The first one counted.
                    past.fans.entry(task).or_default().answers.entry(from).or_insert(outcome);
                }
                Record::Closed { task } => past.fans.entry(task).or_default().closed = true,
            }
        }
        past
    }
}
