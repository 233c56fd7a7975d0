//! What an envoy tells its operator: the site's own log.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use veilflow_engine::remote::TaskKey;
use veilflow_engine::{Event, EventKind};
use veilflow_spec::{Cause, Name, Signal};

use crate::experiment::ExperimentId;
use crate::level::{Level, seconds};
use crate::pki::Renewal;

/// Something that an envoy tells its operator. It stays at the site.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Notice {
    /// It started.
    Started {
        /// Its name.
        name: Name,
        /// Where its director is.
        director: String,
        /// The flows that it offers.
        flows: Vec<String>,
    },
    /// The director has registered it.
    Attached,
    /// It has no connection to the director, and tries again.
    Detached {
        /// Why, in one word.
        code: String,
        /// Why.
        reason: String,
        /// When it tries again, from now.
        #[serde(rename = "retry_s", serialize_with = "seconds")]
        retry: Duration,
    },
    /// Its own certificate, which is renewed before it ends.
    Certificate(Renewal),
    /// A task came that it does not run.
    Declined {
        /// Of which experiment.
        experiment: ExperimentId,
        /// Which.
        task: TaskKey,
        /// Of which flow.
        flow: String,
        /// Why, in one word.
        code: String,
        /// Why.
        reason: String,
    },
    /// A task started.
    TaskStarted {
        /// Of which experiment.
        experiment: ExperimentId,
        /// Of which flow.
        flow: String,
        /// Which.
        task: TaskKey,
    },
    /// A task ended.
    TaskEnded {
        /// Of which experiment.
        experiment: ExperimentId,
        /// Which.
        task: TaskKey,
        /// How long it took.
        #[serde(rename = "took_s", serialize_with = "seconds")]
        took: Duration,
        /// Why there is no answer, where there is none.
        cause: Option<Cause>,
    },
    /// The message of a task has not arrived whole; it goes on when the director sends the task again.
    Interrupted {
        /// Of which experiment.
        experiment: ExperimentId,
        /// Which.
        task: TaskKey,
        /// Why.
        reason: String,
    },
    /// The flow's half at this site could not be built. The director is told no more than that in a confidential flow.
    NotBuilt {
        /// Of which experiment.
        experiment: ExperimentId,
        /// Why.
        reason: String,
    },
    /// Nobody waits for a task any more: it was told to stop.
    Cancelled {
        /// Of which experiment.
        experiment: ExperimentId,
        /// Which.
        task: TaskKey,
    },
    /// A secure session is over: its secrets are dropped.
    Closed {
        /// Of which experiment.
        experiment: ExperimentId,
        /// The path of its join.
        join: String,
    },
    /// An experiment is over: all that was kept for it is dropped.
    Ended {
        /// Which.
        experiment: ExperimentId,
    },
    /// Something happened inside a task.
    #[serde(rename = "task-event")]
    Event {
        /// Of which experiment.
        experiment: ExperimentId,
        /// What.
        #[serde(rename = "happened")]
        event: Event,
    },
    /// Events of this site are missing at the director: there were too many, one was too large, or the director was started
    /// again while they were on their way.
    EventsLost {
        /// How many.
        count: u64,
    },
    /// A newer roster of identities is pinned.
    RosterPinned {
        /// Its version.
        version: u64,
        /// Who is gone.
        removed: Vec<Name>,
        /// Who waits for this site's approval.
        waiting: Vec<Name>,
    },
    /// A roster of identities that the director sent was not taken.
    RosterRefused {
        /// Why, in one word.
        code: String,
        /// Why.
        reason: String,
    },
    /// A newer list of revoked certificates is in force.
    Revocations {
        /// Its version.
        version: u64,
        /// How many certificates are in it.
        revoked: usize,
    },
    /// A list of revoked certificates that the director sent, or that is in the state folder, was not taken.
    RevocationsRefused {
        /// Why, in one word.
        code: String,
        /// Why.
        reason: String,
    },
    /// It takes no new tasks and goes when the running ones are done.
    Draining,
    /// It is gone.
    Stopped {
        /// How many tasks did not end in time.
        left_behind: usize,
    },
}

impl Notice {
    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Notice::Event { .. } => Level::Debug,
            Notice::TaskEnded { cause: Some(cause), .. } if *cause != Cause::Cancelled => Level::Warn,
            Notice::Detached { .. }
            | Notice::Declined { .. }
            | Notice::Interrupted { .. }
            | Notice::EventsLost { .. }
            | Notice::RosterRefused { .. }
            | Notice::RevocationsRefused { .. } => Level::Warn,
            Notice::Certificate(renewal) => renewal.level(),
            Notice::NotBuilt { .. } => Level::Error,
            _ => Level::Info,
        }
    }
}

/// Takes what an envoy tells. Called on whatever thread it happens on: be quick, do not block.
pub trait SiteLog: Send + Sync {
    /// Takes a notice.
    fn notice(&self, notice: &Notice);
}

impl<F: Fn(&Notice) + Send + Sync> SiteLog for F {
    fn notice(&self, notice: &Notice) {
        self(notice);
    }
}

/// A task's path, with its loops.
struct Place<'a>(&'a TaskKey);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.path)?;
        self.0.loops.iter().try_for_each(|turn| write!(f, "[{turn}]"))?;
        match self.0.attempt {
            0 => Ok(()),
            attempt => write!(f, " (attempt {attempt})"),
        }
    }
}

fn names(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ")
}

/// One line.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::Started { name, director, flows } => {
                write!(f, "{name} started with {}; its director is {director}", flows.join(", "))
            }
            Notice::Attached => f.write_str("attached to the director"),
            Notice::Detached { reason, retry, .. } => {
                write!(f, "not attached to the director: {reason}; again in {:.1} s", retry.as_secs_f64())
            }
            Notice::Certificate(renewal) => renewal.fmt(f),
            Notice::Declined { experiment, task, flow, code, reason } => {
                write!(f, "{experiment}: declined {} of {flow}: {code}: {}", Place(task), line(reason))
            }
            Notice::TaskStarted { experiment, flow, task } => {
                write!(f, "{experiment}: started {} of {flow}", Place(task))
            }
            Notice::TaskEnded { experiment, task, took, cause } => {
                write!(f, "{experiment}: ended {} after {:.3} s", Place(task), took.as_secs_f64())?;
                cause
                    .as_ref()
                    .map_or(Ok(()), |cause| write!(f, " without an answer: {}", line(&cause.to_string())))
            }
            Notice::Interrupted { experiment, task, reason } => {
                write!(f, "{experiment}: the message of {} has not arrived: {}", Place(task), line(reason))
            }
            Notice::NotBuilt { experiment, reason } => {
                write!(f, "{experiment}: this site's half of the flow cannot be built: {}", line(reason))
            }
            Notice::Cancelled { experiment, task } => write!(f, "{experiment}: cancelled {}", Place(task)),
            Notice::Closed { experiment, join } => write!(f, "{experiment}: the session at {join} is closed"),
            Notice::Ended { experiment } => write!(f, "{experiment}: over"),
            Notice::Event { experiment, event } => {
                write!(f, "{experiment}: ")?;
                happened(f, &event.kind)
            }
            Notice::EventsLost { count } => write!(f, "{count} events did not reach the director"),
            Notice::RosterPinned { version, removed, waiting } => {
                write!(f, "roster {version} is pinned")?;
                if !removed.is_empty() {
                    write!(f, "; gone: {}", names(removed))?;
                }
                if !waiting.is_empty() {
                    write!(f, "; approve with `veilflow envoy roster`: {}", names(waiting))?;
                }
                Ok(())
            }
            Notice::RosterRefused { code, reason } => {
                write!(f, "a roster was refused: {code}: {}", line(reason))
            }
            Notice::Revocations { version, revoked } => {
                write!(f, "list {version} of revoked certificates is in force, with {revoked} of them")
            }
            Notice::RevocationsRefused { code, reason } => {
                write!(f, "a list of revoked certificates was refused: {code}: {}", line(reason))
            }
            Notice::Draining => f.write_str("shutting down: no new tasks"),
            Notice::Stopped { left_behind: 0 } => f.write_str("stopped"),
            Notice::Stopped { left_behind } => write!(f, "stopped; {left_behind} tasks did not end in time"),
        }
    }
}

/// A text that others wrote, on one line.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn happened(f: &mut fmt::Formatter<'_>, kind: &EventKind) -> fmt::Result {
    match kind {
        EventKind::StepStarted { origin } => write!(f, "step {} started", origin.step),
        EventKind::StepFinished { origin, took } => {
            write!(f, "step {} finished after {:.3} s", origin.step, took.as_secs_f64())
        }
        EventKind::Signal { origin, signal } => match signal {
            Signal::Metric { name, value } => write!(f, "{}: {} = {value}", origin.step, line(name)),
            Signal::Progress { done, total, unit } => write!(f, "{}: {done} of {total} {unit}", origin.step),
            Signal::Note(text) => write!(f, "{}: {}", origin.step, line(text)),
            Signal::Row(row) => {
                write!(f, "{}:", origin.step)?;
                row.0
                    .iter()
                    .try_for_each(|(title, cell)| write!(f, " {}={}", line(title), line(&cell.to_string())))
            }
        },
        // The others happen at the aggregator.
        other => write!(f, "{other:?}"),
    }
}
