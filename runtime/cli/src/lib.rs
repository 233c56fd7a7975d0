//! Veilflow's command line, as a library that takes a registry of flows.
//!
//! A flow becomes a command by an [`App`]: its name, its options as a [`clap::Args`], and how its participants are
//! built. A program is one line, and has `run`, `flows`, `graph`, `data fetch` and `completions`, progress,
//! tables, JSON, CSV, plots and saved models for its flows:
//!
//! ```ignore
//! fn main() -> std::process::ExitCode {
//!     veilflow::cli::main(Registry::new().app(MyFlow))
//! }
//! ```
//!
//! Results go to standard output, everything else to standard error. The exit code is 0 for a run that ended
//! well, 2 for a mistake in what was given, 1 for a run that failed and 130 for one that was cancelled.
#![forbid(unsafe_code)]

mod app;
mod args;
mod benchmark;
mod clock;
mod cohort;
mod commands;
mod config;
mod console;
mod csv;
mod dataset;
mod deployed;
mod ended;
mod entry;
mod error;
mod files;
mod interrupt;
mod json;
mod plot;
mod progress;
mod registry;
mod remote;
mod results;
mod save;
mod serving;
mod settings;
mod suggest;
mod table;
mod travel;
mod usage;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

pub use app::{App, FlowOf, Setup};
pub use benchmark::{Bench, Benchmark, Measured};
pub use clap;
pub use cohort::Cohort;
pub use console::Console;
pub use dataset::{Dataset, Fetch, cache_dir};
pub use registry::Registry;

/// Runs the command line that the process was started with.
pub fn main(registry: Registry) -> ExitCode {
    veilflow_engine::silence_step_panics();
    interrupt::install();
    ExitCode::from(run_from(&registry, std::env::args_os(), Console::standard()))
}

/// Runs a command line, whose first argument is the program's name, and returns its exit code.
///
/// Unlike [`main`] it leaves the process alone: it takes no signals and does not touch its panics.
pub fn run_from<S: Into<OsString>>(
    registry: &Registry,
    arguments: impl IntoIterator<Item = S>,
    mut console: Console,
) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let binary = arguments.first().and_then(|first| Path::new(first).file_stem()?.to_str());
    let binary = binary.unwrap_or("veilflow").to_owned();
    match commands::dispatch(registry, &binary, arguments, &mut console) {
        Ok(()) => 0,
        Err(error) => commands::report(&error, &mut console),
    }
}
