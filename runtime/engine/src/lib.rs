//! The interpreter of Veilflow's step graphs, and LocalRuntime.
//!
//! One interpreter walks a graph, runs the aggregator's steps and talks to collaborators through a port; where
//! they are it does not know. [`LocalRuntime`] puts them in this process. What happens is one stream of
//! [`Event`]s.
//!
//! A [secure join](veilflow_spec::AtCollaborators::secure_join) is walked like everything else: its protocol's rounds
//! are blocks of the graph. [`SecAgg`] is the protocol that comes with the engine.
#![forbid(unsafe_code)]

// The derive macros name the facade.
extern crate veilflow_spec as veilflow;

mod cancel;
mod cohort;
mod dropouts;
mod error;
mod event;
mod interpreter;
mod local;
mod port;
pub mod remote;
mod secure;
mod site;
mod steps;

pub use cancel::Canceller;
pub use error::RunError;
pub use event::{Event, EventKind, FanOrigin, Observer};
pub use local::{LocalRuntime, Resources};
pub use secure::{
    SecAgg, SecAggClient, SecAggServer, SecureAggregator, SecureSite, SiteIdentity, SiteJournal,
    messages as secagg_messages,
};
pub use steps::silence_step_panics;
