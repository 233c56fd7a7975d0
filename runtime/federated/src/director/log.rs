//! What a director tells its operator.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::ser::{SerializeStruct as _, Serializer};
use veilflow_engine::remote::TaskKey;
use veilflow_spec::Name;

use crate::experiment::{ExperimentId, State};
use crate::level::Level;
use crate::pki::Renewal;
use crate::wire::LogLine;

/// Takes the director's lines, on whatever thread they come up: it must not block.
pub type Log = Arc<dyn Fn(Line) + Send + Sync>;

/// A line of the director's log.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Line {
    /// It takes connections.
    Listening {
        /// Where.
        address: SocketAddr,
    },
    /// A peer was turned away, or a connection ended badly.
    #[serde(serialize_with = "peer")]
    Peer(LogLine),
    /// An envoy is connected.
    Online {
        /// Who.
        envoy: Name,
        /// The flows that it offers.
        flows: Vec<String>,
    },
    /// An envoy is no longer connected.
    Offline {
        /// Who.
        envoy: Name,
        /// Why.
        why: String,
    },
    /// An experiment went on to a state.
    Experiment {
        /// Which.
        #[serde(rename = "experiment")]
        id: ExperimentId,
        /// The state.
        state: State,
        /// Why.
        reason: String,
    },
    /// Something that an envoy sent was not used.
    Ignored {
        /// Who sent it.
        envoy: Name,
        /// Of which experiment.
        experiment: ExperimentId,
        /// Of which task, where it is about one.
        task: Option<TaskKey>,
        /// Why.
        why: &'static str,
    },
    /// The director's own certificate.
    Certificate(Renewal),
    /// A list of revoked certificates is in force, and goes to the envoys.
    Revocations {
        /// Its version.
        version: u64,
        /// How many certificates are in it.
        revoked: usize,
    },
    /// An operator has to look at this.
    #[serde(serialize_with = "problem")]
    Problem(String),
    /// It takes no connections any more, and what it knows is written down.
    Stopped,
}

/// The incident's own name, so that a program can tell one from another.
fn peer<S: Serializer>(line: &LogLine, serializer: S) -> Result<S::Ok, S::Error> {
    let mut fields = serializer.serialize_struct("LogLine", 4)?;
    fields.serialize_field("incident", line.incident.code())?;
    fields.serialize_field("address", &line.address)?;
    fields.serialize_field("role", &line.party.as_ref().map(|party| party.role.to_string()))?;
    fields.serialize_field("name", &line.party.as_ref().map(|party| &party.name))?;
    fields.end()
}

/// Its text is the line.
fn problem<S: Serializer>(_: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_struct("Problem", 0)?.end()
}

impl Line {
    /// A short name of the kind of line, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Line::Listening { .. } => "listening",
            Line::Peer(line) => line.incident.code(),
            Line::Online { .. } => "online",
            Line::Offline { .. } => "offline",
            Line::Experiment { .. } => "experiment",
            Line::Ignored { .. } => "ignored",
            Line::Certificate(renewal) => renewal.code(),
            Line::Revocations { .. } => "revocations",
            Line::Problem(_) => "problem",
            Line::Stopped => "stopped",
        }
    }

    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Line::Listening { .. } | Line::Online { .. } | Line::Revocations { .. } | Line::Stopped => {
                Level::Info
            }
            Line::Certificate(renewal) => renewal.level(),
            Line::Experiment { state: State::Failed, .. } => Level::Warn,
            Line::Experiment { .. } => Level::Info,
            Line::Peer(_) | Line::Offline { .. } | Line::Ignored { .. } => Level::Warn,
            Line::Problem(_) => Level::Error,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Listening { address } => write!(f, "listening on {address}"),
            Line::Peer(line) => line.fmt(f),
            Line::Online { envoy, flows } if flows.is_empty() => {
                write!(f, "{envoy} is online and offers no flow")
            }
            Line::Online { envoy, flows } => write!(f, "{envoy} is online and offers {}", flows.join(", ")),
            Line::Offline { envoy, why } => write!(f, "{envoy} is offline: {why}"),
            Line::Experiment { id, state, reason } => write!(f, "experiment {id} is {state}: {reason}"),
            Line::Ignored { envoy, experiment, task, why } => {
                write!(f, "ignored from {envoy}, of experiment {experiment}")?;
                if let Some(task) = task {
                    write!(f, ", task {} {:?} (attempt {})", task.path, task.loops, task.attempt)?;
                }
                write!(f, ": {why}")
            }
            Line::Certificate(renewal) => renewal.fmt(f),
            Line::Revocations { version, revoked } => {
                write!(f, "list {version} of revoked certificates is in force, with {revoked} of them")
            }
            Line::Problem(text) => f.write_str(text),
            Line::Stopped => f.write_str("stopped"),
        }
    }
}
