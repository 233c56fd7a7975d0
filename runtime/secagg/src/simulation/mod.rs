//! A whole session in one process, with every client and the server for real: to measure what it costs, and to compare
//! that with the least it can cost on the same machine.
//!
//! Nothing is left out but the network and the encoding of messages: clients and server are this crate's own, their
//! keys and shares come from the operating system, and the result is compared with the plain sum of the survivors'
//! inputs, which is kept beside.
//!
//! **Memory.** Inputs are made from seeds when they are masked, and masked vectors are added as they come, short ones a
//! few together, so at any moment there is one client's vector per thread, the server's sum, the plain sum, and the two
//! vectors that the unit of an addition is measured with. The states of all clients are in this process too: they grow
//! with N·k, not with the vector. A share that is dealt lies in memory once, for its sharer, the server and its holder.
//!
//! This crate reads no clock and knows no encoding; the caller brings both as [`Instruments`].

mod cast;
mod ledger;
mod report;
mod session;
#[cfg(test)]
mod tests;
mod units;

use std::{num::NonZeroUsize, time::Duration};

use serde::Serialize;

pub use self::{
    report::{Phase, Report},
    units::Units,
};
use crate::{error::Error, plan::Plan};

/// What the caller measures with.
pub trait Instruments: Sync {
    /// The processor time that the calling thread has used so far.
    fn thread_cpu(&self) -> Duration;

    /// The processor time that all threads of the process have used so far.
    fn process_cpu(&self) -> Duration;

    /// How many bytes a message takes on the wire.
    fn wire_bytes<M: Serialize>(&self, message: &M) -> u64;

    /// A phase begins.
    fn entered(&self, phase: &str);
}

/// When the clients that drop out do so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leaving {
    /// After they shared their keys and before they send a masked input: the dearest time, because every mask that
    /// they share has to be taken off again.
    #[default]
    BeforeMaskedInput,
    /// After any of the rounds, in equal parts.
    AnyRound,
}

/// A session to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Simulation {
    plan: Plan,
    dropouts: f64,
    leaving: Leaving,
    seed: u64,
    threads: NonZeroUsize,
}

impl Simulation {
    /// A session of as many clients as the plan is for, none of whom drops out, in one thread.
    pub fn new(plan: Plan) -> Self {
        Self { plan, dropouts: 0.0, leaving: Leaving::default(), seed: 42, threads: NonZeroUsize::MIN }
    }

    /// The part of the clients that drops out, in [0, 1), rounded down. Who it is follows from the seed.
    #[must_use]
    pub fn with_dropouts(mut self, part: f64, leaving: Leaving) -> Self {
        self.dropouts = part;
        self.leaving = leaving;
        self
    }

    /// Where inputs, weights and the choice of who drops out start; default 42. Nothing secret follows from it.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How many threads run the clients, each with a vector of its own; default 1. The server unmasks with as many.
    #[must_use]
    pub fn with_threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = threads;
        self
    }

    /// Runs the session.
    ///
    /// # Errors
    ///
    /// Those of the session itself, for example [`BelowThreshold`](Error::BelowThreshold) when more drop out than the
    /// threshold allows.
    pub fn run<I: Instruments>(&self, instruments: &I) -> Result<Report, Error> {
        session::run(self, instruments)
    }
}
