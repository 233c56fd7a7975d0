//! The flows on LocalRuntime, on real digits.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod confidentiality;
mod dropouts;
mod golden_files;
mod same_model;
mod secure_join;
mod support;
