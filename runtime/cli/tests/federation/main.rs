//! Faults, with real processes over mutual TLS: what is killed, cut off, slow, strange.
//!
//! The binary is three things: the command line with the flows of [`flows`], where a scenario starts it as that; a swarm
//! of envoys in one process; and the scenarios' runner. A scenario waits for what happens, never for time to pass.
//!
//! `cargo test -p veilflow-cli --test federation -- NAME` runs those with `NAME` in their name.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "it has a runner of its own")]

extern crate veilflow_spec as veilflow;

mod federation;
mod flows;
mod gate;
mod process;
mod proxy;
mod runner;
mod scenarios;
mod swarm;
mod wait;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::var_os(process::AS_PROGRAM).is_some() {
        return veilflow_cli::main(flows::registry());
    }
    if let Some(directory) = std::env::var_os(swarm::SWARM) {
        swarm::run(directory.as_ref());
    }
    runner::run(&scenarios::all())
}
