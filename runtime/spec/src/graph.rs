//! The graph that a builder leaves behind: blocks of steps whose types are erased, for a runtime to walk.
//!
//! The builder checked every edge, so each value here has the type that its node opens; should it ever not,
//! that is an error of ours and is reported as one, not a panic.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::check::Problem;
use crate::codec::Codec;
use crate::context::{Context, Placement};
use crate::error::{Result, StepError};
use crate::inputs::{Inputs, Missing};
use crate::name::Name;
use crate::quorum::Quorum;
use crate::schema::Schema;
pub use crate::secure::{Close, Given, Hidden, Needs, Refused, Secure};
use crate::step::Received;
use crate::transition::{Branch, Choice, Closes, FanOut, Loop, Targets};

/// A value on its way to the next step of the aggregator, or of one collaborator.
pub type Value = Box<dyn Any + Send>;

/// A broadcast: one value for everybody addressed.
pub type Broadcast = Arc<dyn Any + Send + Sync>;

/// What a task is given.
pub enum Payload {
    /// A value of its own.
    Owned(Value),
    /// Its part in a broadcast.
    Shared(Broadcast),
    /// What a protocol's setup has for it, and the message that the user's steps start from.
    Entering {
        /// What the protocol's step receives.
        setup: Box<Payload>,
        /// The message of the fan-out.
        message: Given,
    },
}

/// Whom a fan-out addresses, and with what.
pub enum Addressed {
    /// Every collaborator.
    All(Broadcast),
    /// Those named.
    Only(BTreeSet<Name>, Broadcast),
    /// Those named, each with its own.
    Each(BTreeMap<Name, Value>),
}

/// What is known of a step without running it.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    /// The last segment of the method's path, or the name it was given: a label.
    pub name: Arc<str>,
    /// Where it stands in the graph: its identity.
    pub path: Arc<str>,
    /// On which side it runs.
    pub placement: Placement,
    /// What it receives.
    pub input: Schema,
    /// What it returns.
    pub output: Schema,
    /// The size of what a closure captured; 0 for methods and functions.
    pub captured_bytes: usize,
    /// Whether it is a step of a secure join's protocol. Its name is the join's, a dot, and its own.
    pub hidden: bool,
}

/// A step whose types are erased.
pub struct Node<F: ?Sized> {
    info: Arc<NodeInfo>,
    /// None where what it receives never travels: what a join gathered.
    input: Option<Codec>,
    output: Codec,
    run: Arc<F>,
}

/// A step of the aggregator. A step of a protocol uses what is [`Hidden`], one of the user's the state `A`.
pub type AggregatorNode<A> =
    Node<dyn Fn(&mut A, &mut Hidden, Value, &Context) -> Result<Value> + Send + Sync>;

/// A step of a collaborator. A step of a protocol uses what is [`Hidden`], one of the user's the state `C`.
pub type CollaboratorNode<C> =
    Node<dyn Fn(&mut C, &mut Hidden, Payload, &Context) -> Result<Value> + Send + Sync>;

impl<F: ?Sized> Node<F> {
    pub(crate) fn new(info: NodeInfo, (input, output): (Option<Codec>, Codec), run: Arc<F>) -> Self {
        Self { info: Arc::new(info), input, output, run }
    }

    /// How what it receives travels; none for a step of the aggregator, which receives nothing from elsewhere.
    pub fn input(&self) -> Option<&Codec> {
        self.input.as_ref()
    }

    /// How what it returns travels, and is kept in a checkpoint.
    pub fn output(&self) -> &Codec {
        &self.output
    }

    /// What is known of the step.
    pub fn info(&self) -> &NodeInfo {
        &self.info
    }

    /// The step itself.
    pub fn step(&self) -> &F {
        &self.run
    }

    /// The same step, run in another way.
    pub(crate) fn with_run<G: ?Sized>(&self, run: Arc<G>) -> Node<G> {
        Node { info: Arc::clone(&self.info), input: self.input, output: self.output, run }
    }

    pub(crate) fn info_mut(&mut self) -> &mut NodeInfo {
        Arc::make_mut(&mut self.info)
    }

    pub(crate) fn rename(&mut self, name: &str) {
        self.info_mut().name = name.into();
    }
}

impl<F: ?Sized> Clone for Node<F> {
    fn clone(&self) -> Self {
        self.with_run(Arc::clone(&self.run))
    }
}

/// A block of a flow.
pub enum Block<A, C> {
    /// A step of the aggregator.
    Step(AggregatorNode<A>),
    /// A fan-out to collaborators and the join that follows.
    Fan(Fan<A, C>),
    /// A loop.
    Repeat(Repeat<A, C>),
    /// A choice between two arms.
    Branch(Fork<A, C>),
    /// A fan-out to collaborators and the secure join that follows.
    Secure(Secure<A, C>),
}

/// What a fan-out is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The user's flow.
    Flow,
    /// A secure join, before the collaborators have an input.
    Setup,
    /// A secure join: the user's steps, and what the protocol does with the input that they end in.
    Inputs,
    /// A secure join, when it is settled whose inputs are in the sum.
    Unmasking,
}

/// A fan-out to collaborators and the join that follows.
pub struct Fan<A, C> {
    pub(crate) path: Arc<str>,
    pub(crate) part: Part,
    pub(crate) address: fn(Value) -> Result<Addressed>,
    pub(crate) task: Arc<[CollaboratorNode<C>]>,
    pub(crate) quorum: Quorum,
    pub(crate) deadline: Option<Duration>,
    pub(crate) gather: fn(BTreeMap<Name, Value>, Vec<Missing>) -> Result<Value>,
    pub(crate) join: AggregatorNode<A>,
}

impl<A, C> Fan<A, C> {
    /// Where it stands in the graph.
    pub fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// What it is part of.
    pub fn part(&self) -> Part {
        self.part
    }

    /// Reads the `Foreach` that the step before returned.
    ///
    /// # Errors
    /// An internal one only.
    pub fn address(&self, value: Value) -> Result<Addressed> {
        (self.address)(value)
    }

    /// The collaborator's steps. They are one task: what passes between them never leaves the site.
    pub fn task(&self) -> &Arc<[CollaboratorNode<C>]> {
        &self.task
    }

    /// How many must come back.
    pub fn quorum(&self) -> Quorum {
        self.quorum
    }

    /// How long they have, from the start of the fan-out.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Makes the join's `Inputs` of what came back.
    ///
    /// # Errors
    /// An internal one only.
    pub fn gather(&self, arrived: BTreeMap<Name, Value>, missing: Vec<Missing>) -> Result<Value> {
        (self.gather)(arrived, missing)
    }

    /// The join.
    pub fn join(&self) -> &AggregatorNode<A> {
        &self.join
    }
}

/// A loop: its body runs until its last step says `Done`.
pub struct Repeat<A, C> {
    pub(crate) path: Arc<str>,
    pub(crate) body: Vec<Block<A, C>>,
    pub(crate) close: fn(Value) -> Result<Loop<Value, Value>>,
}

impl<A, C> Repeat<A, C> {
    /// Where it stands in the graph.
    pub fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// Its body.
    pub fn body(&self) -> &[Block<A, C>] {
        &self.body
    }

    /// Reads the verdict of the body's last step.
    ///
    /// # Errors
    /// An internal one only.
    pub fn close(&self, value: Value) -> Result<Loop<Value, Value>> {
        (self.close)(value)
    }
}

/// A choice between two arms.
pub struct Fork<A, C> {
    pub(crate) path: Arc<str>,
    pub(crate) choose: fn(Value) -> Result<Branch<Value, Value>>,
    pub(crate) yes: Vec<Block<A, C>>,
    pub(crate) no: Vec<Block<A, C>>,
}

impl<A, C> Fork<A, C> {
    /// Where it stands in the graph.
    pub fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// Reads the choice of the step before.
    ///
    /// # Errors
    /// An internal one only.
    pub fn choose(&self, value: Value) -> Result<Branch<Value, Value>> {
        (self.choose)(value)
    }

    /// The first arm.
    pub fn yes(&self) -> &[Block<A, C>] {
        &self.yes
    }

    /// The second arm.
    pub fn no(&self) -> &[Block<A, C>] {
        &self.no
    }
}

/// A whole flow.
pub struct Graph<A, C> {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) confidential: bool,
    pub(crate) params: Schema,
    pub(crate) report: Schema,
    pub(crate) blocks: Vec<Block<A, C>>,
    pub(crate) problems: Vec<Problem>,
}

impl<A, C> Graph<A, C> {
    pub(crate) fn empty(name: String, version: u32, params: Schema) -> Self {
        Self {
            name,
            version,
            confidential: false,
            params,
            report: Schema::of::<()>(),
            blocks: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// The flow's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The flow's version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Whether a site's metrics, notes and error texts stay at the site.
    pub fn confidential(&self) -> bool {
        self.confidential
    }

    /// The blocks, in order.
    pub fn blocks(&self) -> &[Block<A, C>] {
        &self.blocks
    }
}

impl<A, C> fmt::Debug for Graph<A, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Graph({} {})", self.name, self.version)
    }
}

pub(crate) fn open<T: 'static>(value: Value) -> Result<T> {
    value.downcast().map(|value| *value).map_err(|_| wrong_type::<T>())
}

pub(crate) fn wrong_type<T>() -> StepError {
    let text =
        format!("an edge carries something other than {}: please report this", std::any::type_name::<T>());
    StepError::with_code("internal-wrong-type", text)
}

pub(crate) fn received<In: Send + Sync + 'static>(payload: Payload) -> Result<Received<In>> {
    match payload {
        Payload::Owned(value) => open(value).map(Received::Owned),
        Payload::Shared(value) => value.downcast().map(Received::Shared).map_err(|_| wrong_type::<In>()),
        Payload::Entering { .. } => Err(wrong_type::<In>()),
    }
}

pub(crate) fn address<F: FanOut>(value: Value) -> Result<Addressed> {
    Ok(match open::<F>(value)?.into_foreach().targets {
        Targets::All(message) => Addressed::All(Arc::new(message)),
        Targets::Only(names, message) => Addressed::Only(names, Arc::new(message)),
        Targets::Each(messages) => Addressed::Each(
            messages.into_iter().map(|(name, message)| (name, Box::new(message) as Value)).collect(),
        ),
    })
}

pub(crate) fn gather<T: Send + 'static>(
    arrived: BTreeMap<Name, Value>,
    missing: Vec<Missing>,
) -> Result<Value> {
    let arrived: Result<BTreeMap<Name, T>> =
        arrived.into_iter().map(|(name, value)| Ok((name, open(value)?))).collect();
    Ok(Box::new(Inputs::new(arrived?, missing)))
}

pub(crate) fn close<Entry: Send + 'static, L: Closes<Entry>>(value: Value) -> Result<Loop<Value, Value>> {
    Ok(match open::<L>(value)?.into_loop() {
        Loop::Again(entry) => Loop::Again(Box::new(entry)),
        Loop::Done(done) => Loop::Done(Box::new(done)),
    })
}

pub(crate) fn choose<B: Choice>(value: Value) -> Result<Branch<Value, Value>> {
    Ok(match open::<B>(value)?.into_branch() {
        Branch::Yes(yes) => Branch::Yes(Box::new(yes)),
        Branch::No(no) => Branch::No(Box::new(no)),
    })
}
