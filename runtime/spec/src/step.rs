//! Steps: plain methods of a participant.
//!
//! A step is `fn(&mut Participant, Input, &Context) -> Result<Output>`, and its input may be written
//! `&Input`. Where it runs is the type of its receiver, so a step cannot be put on the wrong side.

use std::sync::Arc;

use crate::context::Context;
use crate::error::Result;
use crate::message::Message;

/// A step takes its input by value.
#[derive(Debug)]
pub enum ByValue {}

/// A step takes its input by reference: a broadcast is then shared, not cloned.
#[derive(Debug)]
pub enum ByReference {}

/// A step of the aggregator `A` from `In` to `Out`. `By` is how the input is taken; the compiler finds it.
#[diagnostic::on_unimplemented(
    message = "this step does not fit: here it runs on the aggregator `{A}` and receives `{In}`",
    label = "not of the form `fn(&mut {A}, {In}, &Context) -> Result<..>`",
    note = "compare its parts: a method of `{A}`; then `{In}` or `&{In}`, which is what the step before gives; \
            then `&Context`; it returns a `Result`",
    note = "a step of a collaborator is added with `.foreach(..)`, and the next one on the same collaborator \
            with `.then(..)` behind it"
)]
pub trait AggregatorStep<A, In, Out, By>: Send + Sync + 'static {
    /// Runs the step.
    ///
    /// # Errors
    /// Whatever the step returns.
    fn run(&self, aggregator: &mut A, input: In, cx: &Context) -> Result<Out>;
}

#[diagnostic::do_not_recommend]
impl<F, A, In, Out> AggregatorStep<A, In, Out, ByValue> for F
where
    F: Fn(&mut A, In, &Context) -> Result<Out> + Send + Sync + 'static,
    In: 'static,
{
    fn run(&self, aggregator: &mut A, input: In, cx: &Context) -> Result<Out> {
        self(aggregator, input, cx)
    }
}

#[diagnostic::do_not_recommend]
impl<F, A, In, Out> AggregatorStep<A, In, Out, ByReference> for F
where
    F: Fn(&mut A, &In, &Context) -> Result<Out> + Send + Sync + 'static,
    In: 'static,
{
    fn run(&self, aggregator: &mut A, input: In, cx: &Context) -> Result<Out> {
        self(aggregator, &input, cx)
    }
}

/// What a collaborator's step is given: its own value, or its part in a broadcast.
#[derive(Debug)]
pub enum Received<In> {
    /// Nobody else has it.
    Owned(In),
    /// Everybody addressed has it.
    Shared(Arc<In>),
}

/// A step of the collaborator `C` from `In` to `Out`. `By` is how the input is taken; the compiler finds it.
#[diagnostic::on_unimplemented(
    message = "this step does not fit: here it runs on each collaborator and receives `{In}`",
    label = "not of the form `fn(&mut Collaborator, {In}, &Context) -> Result<..>`",
    note = "compare its parts: a method of the collaborator, the second type of the `Flow`; then `{In}` or \
            `&{In}`, which is what the step before gives; then `&Context`; it returns a `Result`",
    note = "a step of the aggregator takes what the collaborators return with `.join(..)`"
)]
pub trait CollaboratorStep<C, In, Out, By>: Send + Sync + 'static {
    /// Runs the step.
    ///
    /// # Errors
    /// Whatever the step returns.
    fn run(&self, collaborator: &mut C, input: Received<In>, cx: &Context) -> Result<Out>;
}

#[diagnostic::do_not_recommend]
impl<F, C, In, Out> CollaboratorStep<C, In, Out, ByValue> for F
where
    F: Fn(&mut C, In, &Context) -> Result<Out> + Send + Sync + 'static,
    In: Message,
{
    fn run(&self, collaborator: &mut C, input: Received<In>, cx: &Context) -> Result<Out> {
        let input = match input {
            Received::Owned(input) => input,
            // The last one that the broadcast reaches need not copy it.
            Received::Shared(input) => Arc::unwrap_or_clone(input),
        };
        self(collaborator, input, cx)
    }
}

#[diagnostic::do_not_recommend]
impl<F, C, In, Out> CollaboratorStep<C, In, Out, ByReference> for F
where
    F: Fn(&mut C, &In, &Context) -> Result<Out> + Send + Sync + 'static,
    In: Message,
{
    fn run(&self, collaborator: &mut C, input: Received<In>, cx: &Context) -> Result<Out> {
        match &input {
            Received::Owned(input) => self(collaborator, input, cx),
            Received::Shared(input) => self(collaborator, input, cx),
        }
    }
}
