//! Why a run did not end with its report.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use veilflow_spec::{Cause, InvalidFlow, InvalidName, Missing, Name, Quorum, StepError};

/// Why a run did not end with its report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The flow cannot run anywhere.
    #[error(transparent)]
    InvalidFlow(#[from] InvalidFlow),
    /// A participant's name cannot be one.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// Two collaborators of one name.
    #[error("two collaborators are called {name}: a name stands for one site")]
    DuplicateCollaborator {
        /// The name.
        name: Name,
    },
    /// No collaborator at all.
    #[error("the runtime has no collaborators: add at least one with `.collaborator(name, state)`")]
    NoCollaborators,
    /// Resources or a dropout of somebody who is not there.
    #[error("{what} names the collaborator {name}, but there are only {}", list(known))]
    UnknownCollaborator {
        /// Where it was named.
        what: String,
        /// The name.
        name: Name,
        /// Who is there.
        known: Vec<Name>,
    },
    /// A simulated dropout at a step that the flow does not have.
    #[error("a simulated dropout names step `{step}`, but the collaborators' steps are {}", list(known))]
    UnknownStep {
        /// The step.
        step: String,
        /// The steps that collaborators have.
        known: Vec<String>,
    },
    /// A probability of simulated dropouts that is none.
    #[error(
        "dropouts with a probability of {probability}: it is from 0 (nobody) to 1 (everybody, in each round)"
    )]
    InvalidDropouts {
        /// The probability.
        probability: f64,
    },
    /// A participant that can never start.
    #[error(
        "{name} asks for {asked} of {resource}, and the runtime has {available}: lower the participant's \
         `Resources` or give the runtime more"
    )]
    TooFewResources {
        /// Who asks.
        name: Name,
        /// What for.
        resource: &'static str,
        /// How much.
        asked: f64,
        /// How much there is.
        available: f64,
    },
    /// A quorum above the number of collaborators.
    #[error(
        "the fan-out at {path} needs {quorum} to come back, but there are only {collaborators} collaborators"
    )]
    QuorumAboveCohort {
        /// Where the fan-out stands.
        path: String,
        /// Its quorum.
        quorum: Quorum,
        /// How many collaborators there are.
        collaborators: usize,
    },
    /// A fan-out to nobody.
    #[error("round {round}: the fan-out to `{step}` addresses nobody")]
    NobodyAddressed {
        /// The first step of the fan-out.
        step: String,
        /// The counter of the outermost loop, from 0.
        round: u32,
    },
    /// A secure join that cannot start: its parameters do not fit those whom the fan-out addresses, or the fan-out
    /// addresses them with different messages.
    #[error("round {round}: the secure join `{join}` cannot start: {error}")]
    SecureJoin {
        /// The join.
        join: String,
        /// The counter of the outermost loop, from 0.
        round: u32,
        /// Why.
        error: StepError,
    },
    /// A fan-out of which too few came back. In a secure join, those count whom it lost so far.
    #[error(
        "round {round}: too few came back from `{step}`: {arrived} of {addressed}, {needed} are \
         needed.{}",
        missing_lines(missing)
    )]
    BelowQuorum {
        /// The collaborator's steps.
        step: String,
        /// The counter of the outermost loop, from 0.
        round: u32,
        /// How many came back before it was clear.
        arrived: usize,
        /// How many were addressed.
        addressed: usize,
        /// How many had to come back.
        needed: usize,
        /// Who is missing, and why.
        missing: Vec<Missing>,
    },
    /// A secure session that the protocol ended: too few were left, or what came out cannot be right. Nothing of the
    /// sum is known.
    #[error("round {round}: the secure session ended at `{step}`: {error}.{}", missing_lines(missing))]
    SecureSession {
        /// The aggregator's step of the protocol.
        step: String,
        /// The counter of the outermost loop, from 0.
        round: u32,
        /// The protocol's error.
        error: StepError,
        /// Whom the session had lost by then, and why.
        missing: Vec<Missing>,
    },
    /// A step of the aggregator returned an error.
    #[error("round {round}: the aggregator's step `{step}` failed: {error}")]
    Aggregator {
        /// The step.
        step: String,
        /// The counter of the outermost loop, from 0.
        round: u32,
        /// Its error.
        error: StepError,
    },
    /// A step of the aggregator panicked.
    #[error("round {round}: the aggregator's step `{step}` panicked: {message}")]
    AggregatorPanicked {
        /// The step.
        step: String,
        /// The counter of the outermost loop, from 0.
        round: u32,
        /// The panic's message.
        message: String,
    },
    /// The run was cancelled.
    #[error("cancelled after {elapsed:.1?}, at `{step}` in round {round}")]
    Cancelled {
        /// The step that ran, or was next.
        step: String,
        /// The counter of the outermost loop, from 0.
        round: u32,
        /// The time since the run started.
        elapsed: Duration,
    },
    /// A transition that could not be written down. The run ends, because a later process could not go on with it.
    #[error("the run's log could not be written: {0}")]
    Log(#[source] std::io::Error),
    /// What an earlier process wrote down does not fit the flow.
    #[error("the run cannot go on: its saved {what} does not fit this build of the flow: {error}")]
    NotResumed {
        /// What of it.
        what: &'static str,
        /// Why.
        error: StepError,
    },
    /// The threads of the runtime could not be started.
    #[error("the runtime's threads could not be started: {0}")]
    Threads(#[from] std::io::Error),
    /// Something that a flow cannot cause.
    #[error("internal error, please report it: {0}")]
    Internal(String),
}

impl RunError {
    pub(crate) fn unknown(what: &str, name: &Name, known: &[Name]) -> Self {
        Self::UnknownCollaborator { what: what.to_owned(), name: name.clone(), known: known.to_vec() }
    }

    /// A short name of the variant for programs that read it.
    pub fn code(&self) -> &'static str {
        match self {
            RunError::InvalidFlow(_) => "invalid-flow",
            RunError::InvalidName(_) => "invalid-name",
            RunError::DuplicateCollaborator { .. } => "duplicate-collaborator",
            RunError::NoCollaborators => "no-collaborators",
            RunError::UnknownCollaborator { .. } => "unknown-collaborator",
            RunError::UnknownStep { .. } => "unknown-step",
            RunError::InvalidDropouts { .. } => "invalid-dropouts",
            RunError::TooFewResources { .. } => "too-few-resources",
            RunError::QuorumAboveCohort { .. } => "quorum-above-cohort",
            RunError::NobodyAddressed { .. } => "nobody-addressed",
            RunError::SecureJoin { error, .. } => error.code(),
            RunError::BelowQuorum { .. } => "below-quorum",
            RunError::SecureSession { error, .. } | RunError::Aggregator { error, .. } => error.code(),
            RunError::AggregatorPanicked { .. } => "aggregator-panicked",
            RunError::Cancelled { .. } => StepError::CANCELLED_CODE,
            RunError::Log(_) => "log",
            RunError::NotResumed { .. } => "not-resumed",
            RunError::Threads(_) => "threads",
            RunError::Internal(_) => "internal",
        }
    }

    /// Who was missing when it ended, and why; nobody where that did not end it.
    pub fn missing(&self) -> &[Missing] {
        match self {
            RunError::BelowQuorum { missing, .. } | RunError::SecureSession { missing, .. } => missing,
            _ => &[],
        }
    }

    /// Who provably did not follow the protocol of a secure join, in the order of the names. Empty where nobody did, or
    /// where the evidence does not tell one party from another.
    pub fn culprits(&self) -> Vec<Name> {
        let (missing, error): (&[Missing], _) = match self {
            RunError::BelowQuorum { missing, .. } => (missing, None),
            RunError::SecureSession { missing, error, .. } => (missing, Some(error)),
            RunError::SecureJoin { error, .. } | RunError::Aggregator { error, .. } => (&[], Some(error)),
            _ => (&[], None),
        };
        let at_fault = |missing: &&Missing| matches!(missing.cause, Cause::Refused { at_fault: true, .. });
        let refused = missing.iter().filter(at_fault).map(|missing| missing.participant.clone());
        let protocol = error.and_then(|error| error.get_ref().downcast_ref::<veilflow_secagg::Error>());
        let named = protocol.map(veilflow_secagg::Error::culprits).unwrap_or_default();
        let culprits: BTreeSet<Name> = refused.chain(named.into_iter().map(Name::from)).collect();
        culprits.into_iter().collect()
    }
}

fn list<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The most who are listed by name in an error's text; the rest is counted.
const LISTED: usize = 20;

fn missing_lines(missing: &[Missing]) -> String {
    if missing.is_empty() {
        return " Nobody is missing.".to_owned();
    }
    let mut lines = String::from(" Missing:");
    for who in missing.iter().take(LISTED) {
        // Writing to a `String` cannot fail.
        let _ = write!(lines, "\n  - {who}");
    }
    if missing.len() > LISTED {
        let _ = write!(lines, "\n  - and {} more", missing.len() - LISTED);
    }
    lines
}
