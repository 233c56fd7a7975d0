//! What an aggregator's step may return: where control goes next.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

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
///
/// A step says in its signature whether all get the same: `Foreach<M>` is made by [`all`](Self::all) and
/// [`only`](Self::only), `Foreach<M, Each>` by [`each`](Foreach::each). In front of a
/// [secure join](crate::AtCollaborators::secure_join) only the first compiles. A step that does now this, now that, returns
/// the second:
///
/// ```
/// # extern crate veilflow_spec as veilflow;
/// # use veilflow::prelude::*;
/// fn next(halves: Option<[f64; 2]>) -> Foreach<f64, Each> {
///     match halves {
///         Some([one, other]) => Foreach::each([("Bengaluru", one), ("Portland", other)]),
///         None => Foreach::all(0.5).into(),
///     }
/// }
/// # assert_ne!(next(None), next(Some([0.25, 0.75])));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Foreach<M, What = Same> {
    pub(crate) targets: Targets<M>,
    #[serde(skip)]
    what: PhantomData<fn() -> What>,
}

/// Whether a fan-out sends one message or several: [`Same`] or [`Each`].
pub trait Sends: sealed::Sends + 'static {}

/// A fan-out that sends the same message to all whom it addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {}

/// A fan-out that may send each one a message of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Each {}

impl Sends for Same {}
impl Sends for Each {}

mod sealed {
    pub trait Sends {}

    impl Sends for super::Same {}
    impl Sends for super::Each {}
}

/// A fan-out that a secure join may follow: one that sends the same message to all.
#[diagnostic::on_unimplemented(
    message = "a secure join sums what was made from one message, and the step before its `foreach` may send several",
    label = "that step returns a `Foreach<_, {Self}>`",
    note = "let it return `Foreach<message>`, made by `Foreach::all(message)` or `Foreach::only(names, message)`: a sum of what \
            was trained from different models tells them apart",
    note = "where the aggregator may see each collaborator's own value, use `.join(step)`"
)]
pub trait SendsOne: Sends {}

impl SendsOne for Same {}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Targets<M> {
    All(M),
    Only(BTreeSet<Name>, M),
    Each(BTreeMap<Name, M>),
}

impl<M> Foreach<M> {
    /// The same message to every collaborator. In one process it is shared, not copied.
    pub fn all(message: M) -> Self {
        Self::new(Targets::All(message))
    }

    /// The same message to those named. A name that no collaborator has ends the run with an error.
    pub fn only<N: Into<Name>>(names: impl IntoIterator<Item = N>, message: M) -> Self {
        Self::new(Targets::Only(names.into_iter().map(Into::into).collect(), message))
    }
}

impl<M> Foreach<M, Each> {
    /// A message of its own to each one named.
    pub fn each<N: Into<Name>>(messages: impl IntoIterator<Item = (N, M)>) -> Self {
        let messages = messages.into_iter().map(|(name, message)| (name.into(), message)).collect();
        Self::new(Targets::Each(messages))
    }
}

impl<M, What> Foreach<M, What> {
    fn new(targets: Targets<M>) -> Self {
        Self { targets, what: PhantomData }
    }
}

impl<M> From<Foreach<M>> for Foreach<M, Each> {
    fn from(one: Foreach<M>) -> Self {
        Self::new(one.targets)
    }
}

impl<M: Message, What: Sends> Transition for Foreach<M, What> {
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

    /// Whether all get the same.
    type What: Sends;

    /// The fan-out itself.
    fn into_foreach(self) -> Foreach<Self::Item, Self::What>;
}

impl<M: Message, What: Sends> FanOut for Foreach<M, What> {
    type Item = M;
    type What = What;

    fn into_foreach(self) -> Foreach<M, What> {
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
