//! What an aggregator's step may return: where control goes next.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::message::Message;
use crate::name::Name;
use crate::schema::{Schema, Schemas};

/// What an aggregator's step returns: a message for the next step, a fan-out, a loop's verdict or a branch.
#[diagnostic::on_unimplemented(
    message = "an aggregator's step cannot return `{Self}`",
    label = "neither a message nor a decision about where to go next",
    note = "return a message (`#[derive(Clone, Serialize, Deserialize, Message)]`), \
            `Foreach<message>`, `Loop<again, done>` or `Branch<yes, no>`",
    note = "what the aggregator keeps to itself stays in its own fields"
)]
pub trait Transition: Serialize + DeserializeOwned + Send + 'static {
    /// The shape of the value, for descriptions and the fingerprint.
    fn transition_schema(schemas: &mut Schemas) -> Schema;
}

#[diagnostic::do_not_recommend]
impl<T: Message> Transition for T {
    fn transition_schema(schemas: &mut Schemas) -> Schema {
        T::schema(schemas)
    }
}

/// A fan-out: which collaborators get which message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Foreach<M> {
    pub(crate) targets: Targets<M>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Targets<M> {
    All(M),
    Only(BTreeSet<Name>, M),
    Each(BTreeMap<Name, M>),
}

impl<M> Foreach<M> {
    /// The same message to every collaborator. In one process it is shared, not copied.
    pub fn all(message: M) -> Self {
        Self { targets: Targets::All(message) }
    }

    /// The same message to those named. A name that no collaborator has ends the run with an error.
    pub fn only<N: Into<Name>>(names: impl IntoIterator<Item = N>, message: M) -> Self {
        Self { targets: Targets::Only(names.into_iter().map(Into::into).collect(), message) }
    }

    /// A message of its own to each one named.
    pub fn each<N: Into<Name>>(messages: impl IntoIterator<Item = (N, M)>) -> Self {
        let messages = messages.into_iter().map(|(name, message)| (name.into(), message)).collect();
        Self { targets: Targets::Each(messages) }
    }
}

impl<M: Message> Transition for Foreach<M> {
    fn transition_schema(schemas: &mut Schemas) -> Schema {
        Schema::container("Foreach<", &[M::schema(schemas)], ">")
    }
}

/// The value that a `foreach` step follows: only [`Foreach`] fans out.
#[diagnostic::on_unimplemented(
    message = "`.foreach(..)` needs a `Foreach` from the step before it, and that step returns `{Self}`",
    label = "the step before returns no `Foreach`",
    note = "let it return `Foreach::all(message)`, `Foreach::only(names, message)` or `Foreach::each(map)`; \
            a step on the aggregator itself is added with `.then(..)`"
)]
pub trait FanOut: Transition {
    /// What each collaborator gets.
    type Item: Message;

    /// The fan-out itself.
    fn into_foreach(self) -> Foreach<Self::Item>;
}

impl<M: Message> FanOut for Foreach<M> {
    type Item = M;

    fn into_foreach(self) -> Foreach<M> {
        self
    }
}

/// The verdict of a loop's last step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Loop<Again, Done> {
    /// Run the body once more, with this value.
    Again(Again),
    /// Leave the loop, with this value.
    Done(Done),
}

impl<Again: Transition, Done: Transition> Transition for Loop<Again, Done> {
    fn transition_schema(schemas: &mut Schemas) -> Schema {
        let parts = [Again::transition_schema(schemas), Done::transition_schema(schemas)];
        Schema::container("Loop<", &parts, ">")
    }
}

/// The verdict that closes a loop whose body starts from an `Entry`.
#[diagnostic::on_unimplemented(
    message = "a loop that starts from `{Entry}` cannot end in `{Self}`",
    label = "the last step of this loop's body returns `{Self}`",
    note = "the last step of a body returns `Loop<{Entry}, T>`: `Loop::Again(..)` with what the body \
            starts from, or `Loop::Done(..)` with what follows the loop"
)]
pub trait Closes<Entry>: Transition {
    /// What follows the loop.
    type Done: Transition;

    /// The verdict itself.
    fn into_loop(self) -> Loop<Entry, Self::Done>;
}

impl<Entry: Transition, Done: Transition> Closes<Entry> for Loop<Entry, Done> {
    type Done = Done;

    fn into_loop(self) -> Loop<Entry, Done> {
        self
    }
}

/// A choice between two arms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Branch<Yes, No> {
    /// The first arm of `.branch(yes, no)`.
    Yes(Yes),
    /// The second arm of `.branch(yes, no)`.
    No(No),
}

impl<Yes: Transition, No: Transition> Transition for Branch<Yes, No> {
    fn transition_schema(schemas: &mut Schemas) -> Schema {
        let parts = [Yes::transition_schema(schemas), No::transition_schema(schemas)];
        Schema::container("Branch<", &parts, ">")
    }
}

/// The value that `.branch(yes, no)` follows.
#[diagnostic::on_unimplemented(
    message = "`.branch(..)` needs a `Branch` from the step before it, and that step returns `{Self}`",
    label = "the step before returns no `Branch`",
    note = "let it return `Branch::Yes(..)` or `Branch::No(..)`"
)]
pub trait Choice: Transition {
    /// What the first arm starts from.
    type Yes: Transition;
    /// What the second arm starts from.
    type No: Transition;

    /// The choice itself.
    fn into_branch(self) -> Branch<Self::Yes, Self::No>;
}

impl<Yes: Transition, No: Transition> Choice for Branch<Yes, No> {
    type Yes = Yes;
    type No = No;

    fn into_branch(self) -> Branch<Yes, No> {
        self
    }
}

/// What a flow may end in: a message, the flow's report.
#[diagnostic::on_unimplemented(
    message = "a flow cannot end in `{Self}`",
    label = "the last step returns `{Self}`, which is not the flow's report",
    note = "after a step that returns `Loop`, close the loop: `.repeat(|round| round…)` around its body",
    note = "after a step that returns `Foreach`, fan out: `.foreach(..)…join(..)`"
)]
pub trait Report: Message {}

#[diagnostic::do_not_recommend]
impl<T: Message> Report for T {}

/// The end of a branch's second arm, which must have the type of the first.
#[diagnostic::on_unimplemented(
    message = "the arms of a branch end in one type, and these end in `{First}` and in `{Self}`",
    label = "the first arm ends in `{First}`, the second in `{Self}`",
    note = "let the last steps of both arms return the same type; an enum can tell the two outcomes apart"
)]
pub trait SameEnd<First> {}

impl<T> SameEnd<T> for T {}
