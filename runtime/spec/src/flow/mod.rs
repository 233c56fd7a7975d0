//! The flow: a value, built by methods whose types say where control is.

mod at_aggregator;
mod at_collaborators;
mod node;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

pub use self::at_aggregator::{AtAggregator, Body};
pub use self::at_collaborators::AtCollaborators;
use crate::check::{self, InvalidFlow};
use crate::description::FlowDescription;
use crate::error::Result;
use crate::fingerprint::Fingerprint;
use crate::graph::Graph;
use crate::message::Message;
use crate::schema::Schema;
use crate::step::AggregatorStep;
use crate::transition::Transition;

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
