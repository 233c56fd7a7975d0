//! Flows on LocalRuntime: control, faults, limits and what is seen of them.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

extern crate veilflow_spec as veilflow;

mod cancelling;
mod control;
mod dropouts;
mod events;
mod faults;
mod limits;
mod secure;
#[path = "../suite/mod.rs"]
#[macro_use]
mod suite;
mod on_local;
mod support;
