//! The interpreter of Veilflow's step graphs, and LocalRuntime.
//!
//! One interpreter walks a graph, runs the aggregator's steps and talks to collaborators through a port; where
//! they are it does not know. [`LocalRuntime`] puts them in this process. What happens is one stream of
//! [`Event`]s.
#![forbid(unsafe_code)]

mod cancel;
mod error;
mod event;
mod interpreter;
mod local;
mod port;
mod steps;

pub use cancel::Canceller;
pub use error::RunError;
pub use event::{Event, EventKind, FanOrigin, Observer};
pub use local::{LocalRuntime, Resources};
pub use steps::silence_step_panics;
