//! The builder where control is at the collaborators.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::at_aggregator::AtAggregator;
use super::node::{aggregator_node, collaborator_node, transition};
use crate::check::Problem;
use crate::error::Result;
use crate::graph::{self, Block, CollaboratorNode, Fan, Graph, Hidden, Part, Secure};
use crate::inputs::{Inputs, Missing};
use crate::message::Message;
use crate::name::Name;
use crate::quorum::Quorum;
use crate::schema::Schema;
use crate::secure::{Carried, SecureProtocol, SecureSum, Sum, Users, embed, prefix};
use crate::step::{AggregatorStep, CollaboratorStep};
use crate::transition::{Same, SendsOne, Transition};

/// Control is at the collaborators, each of which holds a `T`. `What` the fan-out sent them is the same for all, or not.
#[must_use = "a fan-out ends with `.join(step)`"]
pub struct AtCollaborators<A, C, Entry, T, What = Same> {
    pub(super) graph: Graph<A, C>,
    pub(super) prefix: String,
    pub(super) path: String,
    pub(super) address: fn(graph::Value) -> Result<graph::Addressed>,
    pub(super) carried: Carried,
    pub(super) gather: fn(BTreeMap<Name, graph::Value>, Vec<Missing>) -> Result<graph::Value>,
    pub(super) task: Vec<CollaboratorNode<C>>,
    pub(super) quorum: Quorum,
    pub(super) deadline: Option<Duration>,
    pub(super) types: PhantomData<fn(Entry) -> (T, What)>,
}

impl<A: 'static, C: 'static, Entry: 'static, T: Send + 'static, What> AtCollaborators<A, C, Entry, T, What> {
    /// A further step on the same collaborator. What passes between the two never leaves the site.
    pub fn then<O: Message, By>(
        mut self,
        step: impl CollaboratorStep<C, T, O, By>,
    ) -> AtCollaborators<A, C, Entry, O, What>
    where
        T: Message,
    {
        self.task.push(collaborator_node(format!("{}.{}", self.path, self.task.len()), step));
        self.holding(graph::gather::<O>)
    }

    /// The same place with another message at hand.
    fn holding<E, O, W>(
        self,
        gather: fn(BTreeMap<Name, graph::Value>, Vec<Missing>) -> Result<graph::Value>,
    ) -> AtCollaborators<A, C, E, O, W> {
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
        AtAggregator::at(self.graph, self.prefix, transition::<O>())
    }

    /// A join behind which the aggregator's step receives a [`Sum`] and nothing else: what the last step returned is
    /// summed by `protocol`, and never leaves its site in the plain.
    ///
    /// - The protocol's rounds become part of the graph. Its steps are called like the join, a dot, and their own
    ///   name: `average.mask`.
    /// - The flow becomes [confidential](crate::NamedFlow::confidential): metrics, notes, rows and error texts stay at the
    ///   sites, since a loss or a text that crosses would tell what the sum hides.
    /// - [`quorum`](Self::quorum) is how many must be in the sum; the protocol's own least numbers hold besides.
    ///   [`deadline`](Self::deadline) holds for each exchange of the protocol by itself.
    /// - The fan-out sends one message to all whom it addresses: behind a step that returns a `Foreach<_, Each>`, which
    ///   [`Foreach::each`](crate::Foreach::each) makes, it does not compile.
    pub fn secure_join<P: SecureProtocol<T>, O: Transition, By>(
        self,
        protocol: P,
        step: impl AggregatorStep<A, Sum<T>, O, By>,
    ) -> AtAggregator<A, C, Entry, O>
    where
        T: SecureSum,
        What: SendsOne,
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
        AtAggregator::at(graph, before, transition::<O>())
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
