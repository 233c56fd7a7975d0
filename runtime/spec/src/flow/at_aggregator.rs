//! The builder where control is at the aggregator.

use std::marker::PhantomData;
use std::sync::Arc;

use super::Flow;
use super::at_collaborators::AtCollaborators;
use super::node::{aggregator_node, collaborator_node, transition};
use crate::check::Problem;
use crate::graph::{self, Block, Fork, Graph, Repeat};
use crate::message::Message;
use crate::quorum::Quorum;
use crate::schema::Schema;
use crate::secure::Carried;
use crate::step::{AggregatorStep, CollaboratorStep};
use crate::transition::{Choice, Closes, FanOut, Report, SameEnd, Sends, Transition};

/// Control is at the aggregator, which holds a `Now`; the blocks so far started from an `Entry`.
#[must_use = "a flow ends with `.end()`, a loop's body with its last step"]
pub struct AtAggregator<A, C, Entry, Now> {
    pub(super) graph: Graph<A, C>,
    /// The path of the block around this one, with its dot.
    prefix: String,
    now: Schema,
    types: PhantomData<fn(Entry) -> Now>,
}

// Here and below, a bound stands at the method that needs it: with a bound on the whole block, one step that
// returns the wrong type would bring an error for every method after it.
impl<A: 'static, C: 'static, Entry: 'static, Now: Send + 'static> AtAggregator<A, C, Entry, Now> {
    pub(super) fn at(graph: Graph<A, C>, prefix: String, now: Schema) -> Self {
        Self { graph, prefix, now, types: PhantomData }
    }

    fn next<O: Transition>(self) -> AtAggregator<A, C, Entry, O> {
        AtAggregator { graph: self.graph, prefix: self.prefix, now: transition::<O>(), types: PhantomData }
    }

    fn path(&self) -> String {
        format!("{}{}", self.prefix, self.graph.blocks.len())
    }

    /// A further step on the aggregator.
    pub fn then<O: Transition, By>(
        mut self,
        step: impl AggregatorStep<A, Now, O, By>,
    ) -> AtAggregator<A, C, Entry, O> {
        let node = aggregator_node(self.path(), self.now.clone(), step);
        self.graph.blocks.push(Block::Step(node));
        self.next()
    }

    /// Fans out: the step runs on each collaborator that the step before addressed.
    pub fn foreach<O: Message, By, What: Sends>(
        self,
        step: impl CollaboratorStep<C, Now::Item, O, By>,
    ) -> AtCollaborators<A, C, Entry, O, What>
    where
        Now: FanOut<What = What>,
    {
        let node = collaborator_node(format!("{}.0", self.path()), step);
        AtCollaborators {
            path: self.path(),
            graph: self.graph,
            prefix: self.prefix,
            address: graph::address::<Now>,
            carried: Carried::of::<Now::Item>(),
            gather: graph::gather::<O>,
            task: vec![node],
            quorum: Quorum::ALL,
            deadline: None,
            types: PhantomData,
        }
    }

    /// A loop. `body` is built once and runs until its last step says [`Loop::Done`](crate::Loop::Done); what
    /// that step gives to [`Loop::Again`](crate::Loop::Again) is what the body starts from.
    pub fn repeat<B>(
        mut self,
        body: impl FnOnce(AtAggregator<A, C, Now, Now>) -> B,
    ) -> AtAggregator<A, C, Entry, <B::Last as Closes<Now>>::Done>
    where
        B: Body<A, C, Now>,
        B::Last: Closes<Now>,
    {
        let path = self.path();
        let now = self.now.clone();
        let blocks = self.inner(format!("{path}."), now, body);
        let close = graph::close::<Now, B::Last>;
        self.graph.blocks.push(Block::Repeat(Repeat { path: path.into(), body: blocks, close }));
        self.next()
    }

    /// A choice: `yes` goes on from what the step before gave to [`Branch::Yes`](crate::Branch::Yes), `no`
    /// from what it gave to [`Branch::No`](crate::Branch::No). Both arms end in the same type.
    pub fn branch<O, Y, N>(
        mut self,
        yes: impl FnOnce(AtAggregator<A, C, Now::Yes, Now::Yes>) -> Y,
        no: impl FnOnce(AtAggregator<A, C, Now::No, Now::No>) -> N,
    ) -> AtAggregator<A, C, Entry, O>
    where
        Now: Choice,
        Y: Body<A, C, Now::Yes, Last = O>,
        N: Body<A, C, Now::No>,
        N::Last: SameEnd<O>,
        O: Transition,
    {
        let path = self.path();
        let yes = self.inner(format!("{path}.yes."), transition::<Now::Yes>(), yes);
        let no = self.inner(format!("{path}.no."), transition::<Now::No>(), no);
        self.graph.blocks.push(Block::Branch(Fork {
            path: path.into(),
            choose: graph::choose::<Now>,
            yes,
            no,
        }));
        self.next()
    }

    fn inner<From: Send + 'static, B: Body<A, C, From>>(
        &mut self,
        prefix: String,
        from: Schema,
        body: impl FnOnce(AtAggregator<A, C, From, From>) -> B,
    ) -> Vec<Block<A, C>> {
        let outer = &mut self.graph;
        let empty = Graph::empty(outer.name.clone(), outer.version, outer.params.clone());
        let inner = body(AtAggregator::at(empty, prefix, from)).into_builder().graph;
        outer.confidential |= inner.confidential;
        outer.problems.extend(inner.problems);
        inner.blocks
    }

    /// Names the step just added, where its method's name is none (a closure) or is used twice.
    pub fn named(mut self, name: &str) -> Self {
        match self.graph.blocks.last_mut() {
            Some(Block::Step(node)) => node.rename(name),
            Some(Block::Fan(fan)) => fan.join.rename(name),
            Some(Block::Secure(secure)) => secure.rename(name),
            _ => self.graph.problems.push(Problem::NameWithoutStep { name: name.to_owned() }),
        }
        self
    }

    /// The end of the flow. What the last step returned is its report.
    pub fn end(mut self) -> Flow<A, C, Entry, Now>
    where
        Now: Report,
    {
        self.graph.report = Schema::of::<Now>();
        Flow { graph: Arc::new(self.graph), types: PhantomData }
    }
}

/// The body of a loop or the arm of a branch: it must end at the aggregator.
#[diagnostic::on_unimplemented(
    message = "the body of a loop and the arms of a branch end at the aggregator",
    label = "these steps end in `{Self}`",
    note = "close a `foreach` with its join: `.foreach(..).join(..)`"
)]
pub trait Body<A, C, From> {
    /// What the last step returns.
    type Last: Transition;

    #[doc(hidden)]
    fn into_builder(self) -> AtAggregator<A, C, From, Self::Last>;
}

impl<A, C, From, Last: Transition> Body<A, C, From> for AtAggregator<A, C, From, Last> {
    type Last = Last;

    fn into_builder(self) -> Self {
        self
    }
}
