//! Benchmarks that a program brings.

use std::fmt;
use std::time::Duration;

use clap::{ArgMatches, Command, FromArgMatches};
use veilflow_spec::{Result, StepError};

use crate::console::Log;
use crate::usage;

/// A benchmark of the program's own: `veilflow bench NAME`.
#[derive(Clone, Copy, Debug)]
pub struct Benchmark {
    /// Its name on the command line.
    pub name: &'static str,
    /// One line about it: what is measured, against what.
    pub about: &'static str,
    /// Adds its own flags, beside `--output`: `Options::augment_args`, where [`Bench::options`] reads `Options`; `<()>::augment_args` for
    /// none.
    pub flags: fn(Command) -> Command,
    /// Measures.
    pub measure: fn(&Bench) -> Result<Vec<Measured>>,
}

/// One number that was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Its key in `--output json`, with the unit: `train_b32_img_per_cpu_s`.
    pub key: &'static str,
    /// What it is, for the table.
    pub what: &'static str,
    /// The number.
    pub value: f64,
}

/// One call of a benchmark.
pub struct Bench {
    log: Log,
    matches: ArgMatches,
}

impl Bench {
    pub(crate) fn new(log: Log, matches: ArgMatches) -> Self {
        Self { log, matches }
    }

    /// What the benchmark's own flags were given.
    ///
    /// # Errors
    /// Only if they are not those of [`Benchmark::flags`].
    pub fn options<O: FromArgMatches>(&self) -> Result<O> {
        O::from_arg_matches(&self.matches).map_err(StepError::from)
    }

    /// The processor time that this process has used so far, in all its threads.
    pub fn cpu(&self) -> Duration {
        usage::process_cpu()
    }

    /// Says what is measured next.
    pub fn note(&self, text: &str) {
        self.log.line(format_args!("{text} …"));
    }
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench").finish_non_exhaustive()
    }
}
