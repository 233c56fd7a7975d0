//! Everything that happens in a run, as one stream.
//!
//! Progress bars, log lines and tables of results are views of it. What happens *inside* a collaborator's
//! task (its steps, metrics, notes, progress) happens at its site: in a plain flow it crosses and is part of
//! the run's stream, in a confidential flow it stays at the site, where a [site's
//! observer](crate::LocalRuntime::observe_sites) may look at it. Progress never crosses.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use veilflow_spec::{Fingerprint, Missing, Name, Origin, Placement, Signal, SignalSink};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// Its number in the stream, from 0.
    pub sequence: u64,
    /// The time since the run started.
    pub elapsed: Duration,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EventKind {
    /// The run started.
    RunStarted {
        /// The flow's name.
        flow: String,
        /// The flow's version.
        version: u32,
        /// The flow's fingerprint.
        fingerprint: Fingerprint,
        /// The run's seed.
        seed: u64,
        /// The collaborators, in the order of their names.
        collaborators: Vec<Name>,
    },
    /// A later process goes on with the run, from its last checkpoint: events from this number on are told again.
    Resumed {
        /// The number. This event has it too.
        from: u64,
    },
    /// A step started.
    StepStarted {
        /// Which, where.
        origin: Origin,
    },
    /// A step returned.
    StepFinished {
        /// Which, where.
        origin: Origin,
        /// How long it took.
        took: Duration,
    },
    /// A fan-out was sent.
    Sent {
        /// Which.
        fan: FanOrigin,
        /// To whom.
        to: Vec<Name>,
        /// How many must come back.
        needed: usize,
    },
    /// A collaborator came back.
    Received {
        /// From which fan-out.
        fan: FanOrigin,
        /// Who.
        from: Name,
    },
    /// A collaborator will not come back.
    Dropped {
        /// From which fan-out.
        fan: FanOrigin,
        /// Who, and why.
        missing: Missing,
    },
    /// The setup of a secure join failed, while nothing was masked yet, and is started again with fresh keys among those
    /// who are still there.
    Restarted {
        /// The join.
        join: String,
        /// The counters of the loops around it, outermost first, from 0.
        loops: Arc<[u32]>,
        /// Which attempt starts now; the first one was 0.
        attempt: u32,
        /// Whom the session has lost so far, and why.
        missing: Vec<Missing>,
        /// Why the attempt before failed.
        error: String,
    },
    /// A step reported something.
    Signal {
        /// The step.
        origin: Origin,
        /// What it reported.
        signal: Signal,
    },
    /// The run ended with its report.
    RunFinished,
    /// The run ended with an error.
    RunFailed {
        /// The error's text.
        error: String,
    },
}

/// A fan-out at one turn of its loops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FanOrigin {
    /// Its path in the graph.
    pub path: Arc<str>,
    /// The names of the collaborator's steps, joined by ` → `.
    pub steps: Arc<str>,
    /// Their paths, in the same order. In a secure join the flow's own steps stand among the protocol's.
    pub paths: Arc<[Arc<str>]>,
    /// The counters of the loops around it, outermost first, from 0.
    pub loops: Arc<[u32]>,
}

/// Looks at events. Called one after the other, in the order of their numbers, on whatever thread they happen on: be
/// quick, do not block, do not run a step.
pub trait Observer: Send + Sync {
    /// Takes an event.
    fn event(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync> Observer for F {
    fn event(&self, event: &Event) {
        self(event);
    }
}

/// Names no observer.
impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("confidential", &self.confidential).finish_non_exhaustive()
    }
}

/// The stream of a run, and that of its sites.
pub(crate) struct Stream {
    confidential: bool,
    started: Instant,
    /// The number of the next event. Held while observers look, so that they see events in the order of their numbers.
    next: Mutex<u64>,
    run: Vec<Arc<dyn Observer>>,
    sites: Vec<Arc<dyn Observer>>,
}

impl Stream {
    pub(crate) fn new(
        confidential: bool,
        run: Vec<Arc<dyn Observer>>,
        sites: Vec<Arc<dyn Observer>>,
    ) -> Self {
        Self { confidential, started: Instant::now(), next: Mutex::new(0), run, sites }
    }

    /// The number of the next event.
    pub(crate) fn next(&self) -> u64 {
        *self.numbers()
    }

    /// Goes on from this number: an earlier process emitted the events before it.
    pub(crate) fn go_on_from(&self, next: u64) {
        *self.numbers() = next;
    }

    /// Whether what a site writes stays there.
    pub(crate) fn confidential(&self) -> bool {
        self.confidential
    }

    /// Something that happened at the aggregator. The event is only made if somebody looks.
    pub(crate) fn emit(&self, kind: impl FnOnce() -> EventKind) {
        if !self.run.is_empty() {
            self.send(kind(), &self.run, &[]);
        }
    }

    /// Something that happened on the side of `placement`: a site's own business in a confidential flow.
    pub(crate) fn emit_at(&self, placement: Placement, kind: impl FnOnce() -> EventKind) {
        let (run, sites): (&[_], &[_]) = match placement {
            Placement::Aggregator => (&self.run, &[]),
            Placement::Collaborator if self.confidential => (&[], &self.sites),
            Placement::Collaborator => (&self.run, &self.sites),
        };
        if !(run.is_empty() && sites.is_empty()) {
            self.send(kind(), run, sites);
        }
    }

    fn send(&self, kind: EventKind, run: &[Arc<dyn Observer>], sites: &[Arc<dyn Observer>]) {
        let mut next = self.numbers();
        let event = Event { sequence: *next, elapsed: self.started.elapsed(), kind };
        *next = next.saturating_add(1);
        run.iter().chain(sites).for_each(|observer| observer.event(&event));
    }

    fn numbers(&self) -> MutexGuard<'_, u64> {
        // An observer that panicked has seen its event.
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SignalSink for Stream {
    fn signal(&self, origin: &Origin, signal: Signal) {
        let collaborator = origin.placement == Placement::Collaborator;
        let kind = || EventKind::Signal { origin: origin.clone(), signal: signal.clone() };
        if collaborator && matches!(signal, Signal::Progress { .. }) {
            if !self.sites.is_empty() {
                self.send(kind(), &[], &self.sites);
            }
        } else {
            self.emit_at(origin.placement, kind);
        }
    }
}
