//! Veilflow over a network: the same flow, run by a director, its envoys and a client.
//!
//! | part | where it runs | what it does |
//! |---|---|---|
//! | [`director`] | in the middle | registers envoys, queues experiments, hosts the aggregator of each |
//! | [`envoy`] | at each site | dials out, builds the collaborator from the site's own configuration, runs its tasks |
//! | [`client`] | anywhere | submits, follows, reads results |
//! | [`pki`] | on an administrator's machine, and at enrolment | the federation's own certificates and roster |
//! | [`wire`] | between them | messages in CBOR over gRPC, large contents in chunks addressed by hash |
//! | [`journal`] | at the director and at each site | what must outlast a process |
#![forbid(unsafe_code)]

pub mod client;
pub mod config;
mod deployed;
pub mod director;
pub mod envoy;
mod experiment;
pub mod journal;
mod level;
pub mod pki;
pub mod tls;
pub mod units;
pub mod wire;

pub use deployed::{Deployed, Registry};
pub use experiment::{ExperimentId, InvalidExperimentId, Outcome, State, Summary, Terms};
pub use level::Level;
