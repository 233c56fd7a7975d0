//! A secure join in the graph.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use crate::error::{Result, StepError};
use crate::graph::{Addressed, AggregatorNode, Block, Payload, Value};
use crate::inputs::Missing;
use crate::name::Name;
use crate::secure::given::{Carried, DifferentMessages, Given};
use crate::secure::hidden::Hidden;
use crate::secure::protocol::Opening;

/// How many collaborators a protocol needs at the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Those whose inputs are in the sum.
    pub inputs: usize,
    /// Those of them that still answer when the sum is unmasked.
    pub unmasking: usize,
}

/// Closes the role of a secure join at one place.
pub type Close = Arc<dyn Fn(&mut Hidden) + Send + Sync>;

/// Asks the role of a secure join at the aggregator whom it left out because of what they sent.
pub type Refused = Arc<dyn Fn(&Hidden) -> Vec<Missing> + Send + Sync>;

/// A fan-out to collaborators and the secure join that follows: the protocol's blocks, with the user's steps among
/// them, and the aggregator's step. It is atomic.
pub struct Secure<A, C> {
    pub(crate) path: Arc<str>,
    pub(crate) protocol: &'static str,
    pub(crate) parameters: Arc<[(&'static str, String)]>,
    pub(crate) address: fn(Value) -> Result<Addressed>,
    pub(crate) carried: Carried,
    pub(crate) needs: Arc<dyn Fn(usize) -> Result<Needs> + Send + Sync>,
    pub(crate) attempts: u32,
    pub(crate) blocks: Vec<Block<A, C>>,
    /// The position among the blocks of the fan-out in which the inputs are made.
    pub(crate) inputs: usize,
    pub(crate) refused: Refused,
    pub(crate) close_server: Close,
    pub(crate) close_client: Close,
    pub(crate) join: AggregatorNode<A>,
}

impl<A, C> Secure<A, C> {
    /// Where it stands in the graph.
    pub fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// The protocol's name.
    pub fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// The protocol's parameters.
    pub fn parameters(&self) -> &Arc<[(&'static str, String)]> {
        &self.parameters
    }

    /// Reads the `Foreach` that the step before returned.
    ///
    /// # Errors
    /// An internal one only.
    pub fn address(&self, value: Value) -> Result<Addressed> {
        (self.address)(value)
    }

    /// The one message of the fan-out.
    ///
    /// # Errors
    /// `different-messages` where there are several. The types of the builder forbid it; a checkpoint that somebody
    /// altered may hold it all the same.
    pub fn message(&self, addressed: BTreeMap<Name, Payload>) -> Result<Given> {
        match addressed.into_values().next() {
            Some(Payload::Shared(message)) => Ok(Given::new(message, self.carried)),
            Some(_) => Err(StepError::with_code(DifferentMessages::CODE, DifferentMessages)),
            None => Err(StepError::msg("a secure join that addresses nobody")),
        }
    }

    /// The message that reached a site as these bytes.
    ///
    /// # Errors
    /// Bytes that are no such message.
    pub fn decode_message(&self, bytes: impl Read) -> Result<Given> {
        Given::decode(bytes, self.carried)
    }

    /// What the first of the [blocks](Self::blocks) starts from: who is invited to the attempt of this number, from 0,
    /// and who was lost before it.
    ///
    /// # Errors
    /// What the message's `Serialize` reports.
    pub fn opening(
        &self,
        given: &Given,
        invited: Vec<Name>,
        attempt: u32,
        missing: Vec<Missing>,
    ) -> Result<Value> {
        Ok(Box::new(Opening::new(invited, given.digest()?, attempt, missing)))
    }

    /// How often its setup is started at most.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How many of `invited` collaborators the protocol needs.
    ///
    /// # Errors
    /// Parameters under which so many cannot be summed at all.
    pub fn needs(&self, invited: usize) -> Result<Needs> {
        (self.needs)(invited)
    }

    /// The protocol's blocks, with the user's steps among them. The last one gives the sum.
    pub fn blocks(&self) -> &[Block<A, C>] {
        &self.blocks
    }

    /// Those of the [blocks](Self::blocks) that come before any input is made. They may be walked again, from another
    /// [opening](Self::opening).
    pub fn setup(&self) -> &[Block<A, C>] {
        self.blocks.get(..self.inputs).unwrap_or_default()
    }

    /// The others, from the fan-out on in which the inputs are made. They are walked once.
    pub fn rounds(&self) -> &[Block<A, C>] {
        self.blocks.get(self.inputs..).unwrap_or_default()
    }

    /// Asks whom the role at the aggregator left out because of what they sent.
    pub fn refused(&self) -> &Refused {
        &self.refused
    }

    /// Drops the session's secrets at the aggregator.
    pub fn close_server(&self) -> &Close {
        &self.close_server
    }

    /// Drops the session's secrets at a site.
    pub fn close_client(&self) -> &Close {
        &self.close_client
    }

    /// The aggregator's step, which receives the sum.
    pub fn join(&self) -> &AggregatorNode<A> {
        &self.join
    }

    /// Names the join, and after it the protocol's steps.
    pub(crate) fn rename(&mut self, name: &str) {
        self.join.rename(name);
        prefix(&mut self.blocks, name);
    }
}

/// Puts the join's name in front of the protocol's steps.
pub(crate) fn prefix<A, C>(blocks: &mut [Block<A, C>], join: &str) {
    let name = |name: &str| format!("{join}.{}", name.rsplit('.').next().unwrap_or(name));
    for block in blocks {
        match block {
            Block::Step(node) => {
                let renamed = name(&node.info().name);
                node.rename(&renamed);
            }
            Block::Fan(fan) => {
                let mut task = fan.task.to_vec();
                for node in task.iter_mut().filter(|node| node.info().hidden) {
                    let renamed = name(&node.info().name);
                    node.rename(&renamed);
                }
                fan.task = task.into();
                let renamed = name(&fan.join.info().name);
                fan.join.rename(&renamed);
            }
            Block::Repeat(repeat) => prefix(&mut repeat.body, join),
            Block::Branch(fork) => {
                prefix(&mut fork.yes, join);
                prefix(&mut fork.no, join);
            }
            // A protocol has none; `check` says so.
            Block::Secure(_) => {}
        }
    }
}
