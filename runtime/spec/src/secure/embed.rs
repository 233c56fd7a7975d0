//! How a protocol's flow over its hidden roles becomes a part of the user's graph.
//!
//! A step of a protocol becomes a node of the user's graph that leaves the user's participant alone and works on the
//! hidden role of its join. So an interpreter walks it like every other node.

use std::sync::Arc;
use std::time::Duration;

use crate::context::Context;
use crate::error::{Result, StepError};
use crate::graph::{AggregatorNode, Block, CollaboratorNode, Fan, Fork, Hidden, Part, Payload, Repeat};
use crate::quorum::Quorum;
use crate::secure::hidden::HiddenRole;
use crate::secure::layout::SecureSum;
use crate::secure::protocol::SecureProtocol;

/// The user's part of a secure join.
pub(crate) struct Users<C> {
    pub(crate) task: Vec<CollaboratorNode<C>>,
    pub(crate) quorum: Quorum,
    pub(crate) deadline: Option<Duration>,
}

/// Puts a protocol into the user's graph: the fan-out at position `inputs` of `blocks` is the one whose task is the
/// protocol's setup up to `boundary`, then the user's steps, then the rest.
///
/// `None` where that fan-out is not there, or the protocol has a secure join itself.
pub(crate) fn embed<A: 'static, C: 'static, T: SecureSum, P: SecureProtocol<T>>(
    blocks: Vec<Block<P::Server, P::Client>>,
    (inputs, boundary): (usize, usize),
    path: &Arc<str>,
    protocol: &Arc<P>,
    users: Users<C>,
) -> Option<Vec<Block<A, C>>> {
    let make = Arc::clone(protocol);
    let server: Make<P::Server> = Arc::new(move |cx: &Context| make.server(cx));
    let make = Arc::clone(protocol);
    let client: Make<P::Client> = Arc::new(move |cx: &Context| make.client(cx));
    let hidden =
        Embedding { path: Arc::clone(path), server, client, quorum: users.quorum, deadline: users.deadline };
    let mut embedded = Vec::with_capacity(blocks.len());
    let mut task = Some(users.task);
    for (position, block) in blocks.into_iter().enumerate() {
        let part = match position.cmp(&inputs) {
            std::cmp::Ordering::Less => Part::Setup,
            std::cmp::Ordering::Equal => Part::Inputs,
            std::cmp::Ordering::Greater => Part::Unmasking,
        };
        let mut block = hidden.block(block, part)?;
        if part == Part::Inputs {
            let (Block::Fan(fan), Some(task)) = (&mut block, task.take()) else { return None };
            fan.task = insert::<T, P, C>(&fan.task, boundary, task, path, &hidden.client)?.into();
        }
        embedded.push(block);
    }
    // The user's steps have found their place.
    task.is_none().then_some(embedded)
}

type Make<R> = Arc<dyn Fn(&Context) -> Result<R> + Send + Sync>;

struct Embedding<S, K> {
    path: Arc<str>,
    server: Make<S>,
    client: Make<K>,
    quorum: Quorum,
    deadline: Option<Duration>,
}

impl<S: HiddenRole, K: HiddenRole> Embedding<S, K> {
    fn block<A: 'static, C: 'static>(&self, block: Block<S, K>, part: Part) -> Option<Block<A, C>> {
        let all = |blocks: Vec<_>| {
            blocks.into_iter().map(|block| self.block(block, part)).collect::<Option<Vec<_>>>()
        };
        Some(match block {
            Block::Step(node) => Block::Step(self.aggregator(&node)),
            Block::Fan(fan) => Block::Fan(Fan {
                path: fan.path,
                part,
                address: fan.address,
                task: fan.task.iter().map(|node| self.collaborator(node)).collect(),
                quorum: self.quorum,
                deadline: self.deadline,
                gather: fan.gather,
                join: self.aggregator(&fan.join),
            }),
            Block::Repeat(Repeat { path, body, close }) => {
                Block::Repeat(Repeat { path, body: all(body)?, close })
            }
            Block::Branch(Fork { path, choose, yes, no }) => {
                Block::Branch(Fork { path, choose, yes: all(yes)?, no: all(no)? })
            }
            Block::Secure(_) => return None,
        })
    }

    fn aggregator<A: 'static>(&self, node: &AggregatorNode<S>) -> AggregatorNode<A> {
        let (path, make, inner) = (Arc::clone(&self.path), Arc::clone(&self.server), node.clone());
        let mut node: AggregatorNode<A> =
            node.with_run(Arc::new(move |_: &mut A, hidden: &mut Hidden, value, cx: &Context| {
                let server = hidden.role(&path, || make(cx))?;
                inner.step()(server, &mut Hidden::default(), value, cx)
            }));
        node.info_mut().hidden = true;
        node
    }

    fn collaborator<C: 'static>(&self, node: &CollaboratorNode<K>) -> CollaboratorNode<C> {
        let (path, make, inner) = (Arc::clone(&self.path), Arc::clone(&self.client), node.clone());
        let mut node: CollaboratorNode<C> =
            node.with_run(Arc::new(move |_: &mut C, hidden: &mut Hidden, payload, cx: &Context| {
                let client = hidden.role(&path, || make(cx))?;
                inner.step()(client, &mut Hidden::default(), payload, cx)
            }));
        node.info_mut().hidden = true;
        node
    }
}

/// Puts the user's steps between those of the protocol. `None` where it has no step before them.
fn insert<T: SecureSum, P: SecureProtocol<T>, C: 'static>(
    protocol: &[CollaboratorNode<C>],
    boundary: usize,
    users: Vec<CollaboratorNode<C>>,
    path: &Arc<str>,
    make: &Make<P::Client>,
) -> Option<Vec<CollaboratorNode<C>>> {
    let (before, after) = protocol.split_at_checked(boundary)?;
    let (mut before, mut users) = (before.to_vec(), users);
    // The message comes with what the setup has for the site...
    let first = before.first_mut()?;
    let (inner, at, make) = (first.clone(), Arc::clone(path), Arc::clone(make));
    *first = first.with_run(Arc::new(move |site: &mut C, hidden: &mut Hidden, payload, cx: &Context| {
        let Payload::Entering { setup, message } = payload else { return Err(no_message()) };
        P::bind(hidden.role(&at, || make(cx))?, message.digest()?);
        hidden.keep_message(&at, message.message());
        inner.step()(site, hidden, *setup, cx)
    }));
    // ...and waits there for the user's first step.
    let first = users.first_mut()?;
    let (inner, at) = (first.clone(), Arc::clone(path));
    *first = first.with_run(Arc::new(move |site: &mut C, hidden: &mut Hidden, _, cx: &_| {
        let message = hidden.take_message(&at).ok_or_else(no_message)?;
        inner.step()(site, hidden, Payload::Shared(message), cx)
    }));
    before.append(&mut users);
    before.extend_from_slice(after);
    Some(before)
}

fn no_message() -> StepError {
    StepError::with_code(
        "internal-no-message",
        "a secure join's task was given no message: please report this",
    )
}
