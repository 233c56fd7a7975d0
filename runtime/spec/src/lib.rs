//! The typed step graph of Veilflow: messages, steps, placements, descriptions and fingerprints.
//!
//! A [`Flow`] is a value. It is built by methods whose types say where control is, it can be described,
//! checked and drawn without running it, and a runtime walks its [`graph`]. This crate does no I/O and knows
//! nothing of threads, networks or time.
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing)]

mod cancellation;
mod check;
mod checkpoint;
mod codec;
mod context;
mod description;
mod device;
mod draw;
mod error;
mod fingerprint;
mod flow;
pub mod graph;
mod inputs;
mod message;
mod name;
pub mod prelude;
mod provided;
mod quorum;
mod schema;
mod secure;
mod signal;
mod step;
mod tensor;
mod transition;

pub use cancellation::Cancellation;
pub use check::{InvalidFlow, Problem};
pub use checkpoint::Checkpoint;
pub use codec::{Codec, from_cbor, read_cbor, to_cbor};
pub use context::{Context, Origin, Placement};
pub use description::{BlockDescription, FlowDescription, StepDescription};
pub use device::{Device, UnknownDevice};
pub use draw::{Format, UnknownFormat};
pub use error::{Result, StepError};
pub use fingerprint::Fingerprint;
pub use flow::{AtAggregator, AtCollaborators, Body, Flow, NamedFlow};
pub use inputs::{Cause, Inputs, Missing};
pub use message::Message;
pub use name::{InvalidName, MAX_NAME_BYTES, Name};
pub use provided::Provided;
pub use quorum::{InvalidQuorum, Quorum};
pub use schema::{Schema, Schemas};
pub use secure::{
    Averaged, HiddenRole, Means, MessageDigest, Needs, Opening, Parts, SecureProtocol, SecureSum, Sum,
    SumLayout,
};
pub use signal::{Cell, Row, Signal, SignalSink};
pub use step::{AggregatorStep, ByReference, ByValue, CollaboratorStep, Received};
pub use tensor::{Count, ShapeMismatch, Tensor};
pub use transition::{
    Branch, Choice, Closes, Each, FanOut, Foreach, Loop, Report, Same, SameEnd, Sends, SendsOne, Transition,
};
/// Derives [`Averaged`](trait@Averaged).
pub use veilflow_derive::Averaged;
/// Derives [`Message`](trait@Message).
pub use veilflow_derive::Message;
/// Derives [`SecureSum`](trait@SecureSum).
pub use veilflow_derive::SecureSum;

/// What the derive macros write out; not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use crate::error::Result;
    pub use crate::message::Message;
    pub use crate::schema::{Schema, Schemas};
    pub use crate::secure::{Averaged, Means, Parts, SecureSum, SumLayout, check_clipping_range};
}
