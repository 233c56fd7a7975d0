//! Flows over the two halves of a remote run: the same reports as on LocalRuntime, wherever the director's process dies.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

extern crate veilflow_spec as veilflow;

mod plain;
mod secure;
#[path = "../suite/mod.rs"]
#[macro_use]
mod suite;
mod support;

suite!(support::Halves);
