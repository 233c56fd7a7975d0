//! Flows on LocalRuntime: control, faults, limits and what is seen of them.

extern crate veilflow_spec as veilflow;

mod cancelling;
mod control;
mod events;
mod faults;
mod limits;
mod secure;
mod support;
