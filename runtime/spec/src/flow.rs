//! The flow: a value, built by methods whose types say where control is.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::check::{self, InvalidFlow, Problem};
use crate::codec::Codec;
use crate::context::Placement;
use crate::description::FlowDescription;
use crate::error::Result;
use crate::fingerprint::Fingerprint;
use crate::graph::{
    self, Block, CollaboratorNode, Fan, Fork, Graph, Hidden, Node, NodeInfo, Part, Repeat, Secure,
};
use crate::inputs::{Inputs, Missing};
use crate::message::Message;
use crate::name::Name;
use crate::quorum::Quorum;
use crate::schema::Schema;
use crate::secure::{Carried, SecureProtocol, SecureSum, Sum, Users, embed, prefix};
use crate::step::{AggregatorStep, CollaboratorStep};
use crate::transition::{Choice, Closes, FanOut, Report, SameEnd, Transition};

/// A flow between the aggregator `A` and collaborators `C`, from `Params` to `Report`.
///
/// Building one executes nothing, and describing one needs no data and no keys. Clones share the graph.
pub struct Flow<A, C, P, R> {
    graph: Arc<Graph<A, C>>,
    types: PhantomData<fn(P) -> R>,
}

impl Flow<(), (), (), ()> {
    /// Names a flow. The version is raised with each change that an older build must not take part in.
    #[expect(clippy::new_ret_no_self, reason = "the first step gives the flow its types")]
    pub fn new(name: impl Into<String>, version: u32) -> NamedFlow {
        NamedFlow { name: name.into(), version, confidential: false }
    }
}

impl<A, C, P, R> Flow<A, C, P, R> {
    /// The flow's name.
    pub fn name(&self) -> &str {
        &self.graph.name
    }

    /// Names, placements, edges, loops and policies.
    pub fn describe(&self) -> FlowDescription {
        FlowDescription::of(&self.graph)
    }

    /// What two builds of the flow compare to know that they mean the same.
    pub fn fingerprint(&self) -> Fingerprint {
        self.describe().fingerprint()
    }

    /// Finds what the types cannot: names used twice or not at all, quorums that nobody can meet, deadlines
    /// of nothing, closures that captured values. Every runtime checks before it runs.
    ///
    /// # Errors
    /// [`InvalidFlow`] with everything that was found.
    pub fn check(&self) -> Result<(), InvalidFlow> {
        check::check(&self.graph)
    }

    /// The graph, for a runtime to walk.
    pub fn graph(&self) -> &Arc<Graph<A, C>> {
        &self.graph
    }
}

impl<A, C, P, R> Clone for Flow<A, C, P, R> {
    fn clone(&self) -> Self {
        Self { graph: Arc::clone(&self.graph), types: PhantomData }
    }
}

impl<A, C, P, R> fmt::Debug for Flow<A, C, P, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flow({} {})", self.graph.name, self.graph.version)
    }
}

/// A flow that has a name and no step yet.
#[derive(Debug, Clone)]
#[must_use = "a flow starts with `.start(step)`"]
pub struct NamedFlow {
    name: String,
    version: u32,
    confidential: bool,
}

impl NamedFlow {
    /// Keeps the metrics, notes, result rows and error texts of collaborators at their sites: only the
    /// return values of their steps and the codes of their errors cross.
    pub fn confidential(mut self) -> Self {
        self.confidential = true;
        self
    }

    /// The first step, on the aggregator. It receives the flow's parameters.
    pub fn start<A: 'static, C: 'static, P: Message, O: Transition, By>(
        self,
        step: impl AggregatorStep<A, P, O, By>,
    ) -> AtAggregator<A, C, P, O> {
        let params = Schema::of::<P>();
        let mut graph = Graph::empty(self.name, self.version, params.clone());
        graph.confidential = self.confidential;
        AtAggregator::<A, C, P, P>::at(graph, String::new(), params).then(step)
    }
}

/// Control is at the aggregator, which holds a `Now`; the blocks so far started from an `Entry`.
#[must_use = "a flow ends with `.end()`, a loop's body with its last step"]
pub struct AtAggregator<A, C, Entry, Now> {
    graph: Graph<A, C>,
    /// The path of the block around this one, with its dot.
    prefix: String,
    now: Schema,
    types: PhantomData<fn(Entry) -> Now>,
}

// Here and below, a bound stands at the method that needs it: with a bound on the whole block, one step that
// returns the wrong type would bring an error for every method after it.
impl<A: 'static, C: 'static, Entry: 'static, Now: Send + 'static> AtAggregator<A, C, Entry, Now> {
    fn at(graph: Graph<A, C>, prefix: String, now: Schema) -> Self {
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
    pub fn foreach<O: Message, By>(
        self,
        step: impl CollaboratorStep<C, Now::Item, O, By>,
    ) -> AtCollaborators<A, C, Entry, O>
    where
        Now: FanOut,
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

/// Control is at the collaborators, each of which holds a `T`.
#[must_use = "a fan-out ends with `.join(step)`"]
pub struct AtCollaborators<A, C, Entry, T> {
    graph: Graph<A, C>,
    prefix: String,
    path: String,
    address: fn(graph::Value) -> Result<graph::Addressed>,
    carried: Carried,
    gather: fn(BTreeMap<Name, graph::Value>, Vec<Missing>) -> Result<graph::Value>,
    task: Vec<CollaboratorNode<C>>,
    quorum: Quorum,
    deadline: Option<Duration>,
    types: PhantomData<fn(Entry) -> T>,
}

impl<A: 'static, C: 'static, Entry: 'static, T: Send + 'static> AtCollaborators<A, C, Entry, T> {
    /// A further step on the same collaborator. What passes between the two never leaves the site.
    pub fn then<O: Message, By>(
        mut self,
        step: impl CollaboratorStep<C, T, O, By>,
    ) -> AtCollaborators<A, C, Entry, O>
    where
        T: Message,
    {
        self.task.push(collaborator_node(format!("{}.{}", self.path, self.task.len()), step));
        self.holding(graph::gather::<O>)
    }

    /// The same place with another message at hand.
    fn holding<E, O>(
        self,
        gather: fn(BTreeMap<Name, graph::Value>, Vec<Missing>) -> Result<graph::Value>,
    ) -> AtCollaborators<A, C, E, O> {
        AtCollaborators {
            graph: self.graph,
            prefix: self.prefix,
            path: self.path,
            address: self.address,
            carried: self.carried,
            gather,
            task: self.task,
            quorum: self.quorum,
            deadline: self.deadline,
            types: PhantomData,
        }
    }

    /// How many of those addressed must come back; all, unless it is said. Below the quorum the run ends with
    /// an error that names who is missing.
    pub fn quorum(mut self, quorum: impl Into<Quorum>) -> Self {
        self.quorum = quorum.into();
        self
    }

    /// How long the collaborators have, from the start of the fan-out. Who is later is missing.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Names the step just added, where its method's name is none (a closure) or is used twice.
    pub fn named(mut self, name: &str) -> Self {
        if let Some(node) = self.task.last_mut() {
            node.rename(name);
        }
        self
    }

    /// The join: the aggregator's step receives what came back, and who is missing.
    pub fn join<O: Transition, By>(
        mut self,
        step: impl AggregatorStep<A, Inputs<T>, O, By>,
    ) -> AtAggregator<A, C, Entry, O> {
        let returned: Vec<_> = self.task.last().map(|node| node.info().output.clone()).into_iter().collect();
        let input = Schema::container("Inputs<", &returned, ">");
        let join = aggregator_node(format!("{}.join", self.path), input, step);
        self.graph.blocks.push(Block::Fan(Fan {
            path: self.path.into(),
            part: Part::Flow,
            address: self.address,
            task: self.task.into(),
            quorum: self.quorum,
            deadline: self.deadline,
            gather: self.gather,
            join,
        }));
        AtAggregator { graph: self.graph, prefix: self.prefix, now: transition::<O>(), types: PhantomData }
    }

    /// A join behind which the aggregator's step receives a [`Sum`] and nothing else: what the last step returned is
    /// summed by `protocol`, and never leaves its site in the plain.
    ///
    /// - The protocol's rounds become part of the graph. Its steps are called like the join, a dot, and their own
    ///   name: `average.mask`.
    /// - The flow becomes [confidential](NamedFlow::confidential): metrics, notes, rows and error texts stay at the
    ///   sites, since a loss or a text that crosses would tell what the sum hides.
    /// - [`quorum`](Self::quorum) is how many must be in the sum; the protocol's own least numbers hold besides.
    ///   [`deadline`](Self::deadline) holds for each exchange of the protocol by itself.
    /// - The fan-out sends one message to all whom it addresses: a run in which [`Foreach::each`](crate::Foreach::each)
    ///   sends different ones ends with an error before anything is sent.
    pub fn secure_join<P: SecureProtocol<T>, O: Transition, By>(
        self,
        protocol: P,
        step: impl AggregatorStep<A, Sum<T>, O, By>,
    ) -> AtAggregator<A, C, Entry, O>
    where
        T: SecureSum,
    {
        let Self { mut graph, prefix: before, path, address, carried, task, quorum, deadline, .. } = self;
        let protocol = Arc::new(protocol);
        let message: Vec<_> = task.first().map(|node| node.info().input.clone()).into_iter().collect();
        let start = AtAggregator::at(
            Graph::empty(graph.name.clone(), graph.version, graph.params.clone()),
            format!("{path}.secure."),
            Schema::container("Opening<", &message, ">"),
        );
        // The protocol's flow is built as one: where its setup has come to the collaborators, its rounds go on.
        let setup = protocol.setup(start);
        let (inputs, boundary) = (setup.graph.blocks.len(), setup.task.len());
        let rounds = protocol.rounds(setup.holding(graph::gather::<T>)).graph;
        graph.problems.extend(rounds.problems);
        graph.confidential = true;

        let path: Arc<str> = path.into();
        let join = aggregator_node(format!("{path}.join"), transition::<Sum<T>>(), step);
        let users = Users { task, quorum, deadline };
        let blocks = embed::<A, C, T, P>(rounds.blocks, (inputs, boundary), &path, &protocol, users);
        let mut blocks = blocks.unwrap_or_else(|| {
            graph.problems.push(Problem::Protocol { path: Arc::clone(&path), protocol: protocol.name() });
            Vec::new()
        });
        prefix(&mut blocks, &join.info().name);
        let mut parameters = vec![("layout", T::layout().to_string())];
        parameters.extend(protocol.parameters());
        let attempts = protocol.attempts().max(1);
        if attempts > 1 {
            parameters.push(("attempts", attempts.to_string()));
        }
        let (refused, server, client) = (Arc::clone(&path), Arc::clone(&path), Arc::clone(&path));
        graph.blocks.push(Block::Secure(Secure {
            protocol: protocol.name(),
            parameters: parameters.into(),
            path,
            address,
            carried,
            needs: Arc::new(move |invited| protocol.needs(invited)),
            attempts,
            blocks,
            inputs,
            refused: Arc::new(move |hidden: &Hidden| hidden.refused(&refused)),
            close_server: Arc::new(move |hidden: &mut Hidden| hidden.close::<P::Server>(&server)),
            close_client: Arc::new(move |hidden: &mut Hidden| hidden.close::<P::Client>(&client)),
            join,
        }));
        AtAggregator { graph, prefix: before, now: transition::<O>(), types: PhantomData }
    }

    /// Exists for what the compiler says about it: a flow ends at the aggregator, after a join.
    #[doc(hidden)]
    pub fn end<F>(self) -> F
    where
        Self: Joined<F>,
    {
        self.end_joined()
    }
}

/// A fan-out that has been joined: none. Its message is what a flow without its last join is told.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a flow ends at the aggregator, and this one ends at the collaborators",
    label = "the join is missing before this",
    note = "take in what the collaborators return: `.foreach(..).join(..).end()`"
)]
pub trait Joined<F> {
    #[doc(hidden)]
    fn end_joined(self) -> F;
}

fn transition<T: Transition>() -> Schema {
    T::transition_schema(&mut Default::default())
}

fn aggregator_node<A: 'static, In: Send + 'static, O: Transition, By, S: AggregatorStep<A, In, O, By>>(
    path: String,
    input: Schema,
    step: S,
) -> graph::AggregatorNode<A> {
    let info = info::<S>(path, Placement::Aggregator, input, transition::<O>());
    Node::new(
        info,
        (None, Codec::of::<O>()),
        Arc::new(move |aggregator: &mut A, _: &mut Hidden, value, cx: &_| {
            let output = step.run(aggregator, graph::open(value)?, cx)?;
            Ok(Box::new(output) as graph::Value)
        }),
    )
}

fn collaborator_node<C: 'static, In: Message, O: Message, By, S: CollaboratorStep<C, In, O, By>>(
    path: String,
    step: S,
) -> CollaboratorNode<C> {
    let info = info::<S>(path, Placement::Collaborator, Schema::of::<In>(), Schema::of::<O>());
    Node::new(
        info,
        (Some(Codec::of::<In>()), Codec::of::<O>()),
        Arc::new(move |collaborator: &mut C, _: &mut Hidden, payload, cx: &_| {
            let output = step.run(collaborator, graph::received(payload)?, cx)?;
            Ok(Box::new(output) as graph::Value)
        }),
    )
}

fn info<S>(path: String, placement: Placement, input: Schema, output: Schema) -> NodeInfo {
    let name = last_segment(std::any::type_name::<S>()).into();
    NodeInfo {
        name,
        path: path.into(),
        placement,
        input,
        output,
        captured_bytes: size_of::<S>(),
        hidden: false,
    }
}

/// The last segment of a type's path, without its generic arguments: `a::Server::start` gives `start`.
fn last_segment(path: &str) -> &str {
    let path = match path.strip_suffix('>') {
        // Walk back to the `<` that the last `>` closes; `->` of a function type closes nothing.
        Some(_) => {
            let mut depth = 0usize;
            let mut previous = ' ';
            let open = path.char_indices().rev().find(|(_, c)| {
                match c {
                    '>' => depth += 1,
                    '<' => depth = depth.saturating_sub(1),
                    '-' if previous == '>' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                previous = *c;
                depth == 0
            });
            open.and_then(|(at, _)| path.get(..at)).unwrap_or(path)
        }
        None => path,
    };
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::last_segment;

    #[test]
    fn a_step_is_called_by_the_last_segment_of_its_path() {
        for (path, name) in [
            ("a::Server::start", "start"),
            ("a::train<alloc::vec::Vec<f32>>", "train"),
            ("<a::Site as a::Trains>::train", "train"),
            ("a::Site<a::B>::train", "train"),
            ("a::f<fn(u32) -> u32>", "f"),
            ("a::main::{{closure}}", "{{closure}}"),
        ] {
            assert_eq!(last_segment(path), name, "{path}");
        }
    }
}
