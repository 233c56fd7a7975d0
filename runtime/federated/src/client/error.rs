//! Why a client's call or a run did not end well.

use std::io;
use std::time::Duration;

use veilflow_spec::{InvalidFlow, Missing, Name, StepError};

use crate::experiment::{ExperimentId, Outcome, State};
use crate::pki::PkiError;
use crate::wire::{Refusal, WireError};

/// Why a client's call or a run did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The flow cannot run anywhere.
    #[error(transparent)]
    InvalidFlow(#[from] InvalidFlow),
    /// The client's identity does not do.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The director cannot be reached, or refused.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The director ends each connection and never answered.
    #[error(
        "the director {director} ends each connection before it answers: it does not accept this identity, or it is none \
         ({source})"
    )]
    NotLetIn {
        /// Its address.
        director: String,
        /// The last error.
        source: Box<WireError>,
    },
    /// The director was reached and then stayed away.
    #[error(
        "the director {director} has been away for {waited:.0?}: {source}. What was submitted goes on without its client"
    )]
    Away {
        /// Its address.
        director: String,
        /// For how long it was tried.
        waited: Duration,
        /// The last error.
        source: Box<WireError>,
    },
    /// Nobody who is online has the flow.
    #[error(
        "no envoy that is online offers the flow `{flow}`: start one that does, or name the participants"
    )]
    NobodyOffers {
        /// The flow.
        flow: String,
    },
    /// Parameters that cannot be written.
    #[error("the parameters cannot be encoded: {reason}")]
    Params {
        /// Why.
        reason: String,
    },
    /// A report of another type.
    #[error("the report is not what this program's build of the flow ends in: {reason}")]
    Report {
        /// Why.
        reason: String,
    },
    /// The experiment ended without a report.
    #[error("{}", ended(outcome))]
    Failed {
        /// Which.
        id: ExperimentId,
        /// How.
        outcome: Box<Outcome>,
    },
    /// It was cancelled before it was submitted.
    #[error("cancelled before anything was submitted")]
    NotSubmitted,
    /// An experiment that finished and has no report, which no director says.
    #[error("experiment {id} has no report")]
    NoReport {
        /// Which.
        id: ExperimentId,
    },
    /// The operating system gives no randomness for an experiment's id.
    #[error("the operating system gives no random numbers: {0}")]
    Randomness(io::Error),
}

fn ended(outcome: &Outcome) -> String {
    let mut text = match outcome.state {
        State::Cancelled if outcome.error.is_empty() => "the experiment was cancelled".to_owned(),
        _ => outcome.error.clone(),
    };
    // The run's own text has those that it knew of.
    for missing in &outcome.missing {
        let line = missing.to_string();
        if !text.contains(&line) {
            text.push_str(&format!("\n  {line}"));
        }
    }
    text
}

impl Error {
    /// A short name for programs that read it: of a failed run the run's own, as `RunError::code` gives it.
    pub fn code(&self) -> &str {
        match self {
            Error::InvalidFlow(_) => "invalid-flow",
            Error::Pki(error) => error.code(),
            Error::Wire(error) => error.code(),
            Error::NotLetIn { .. } => "not-let-in",
            Error::Away { .. } => "director-away",
            Error::NobodyOffers { .. } => "nobody-offers",
            Error::Params { .. } => "params",
            Error::Report { .. } => "report",
            Error::Failed { outcome, .. } if outcome.code.is_empty() => match outcome.state {
                State::Cancelled => StepError::CANCELLED_CODE,
                _ => "failed",
            },
            Error::Failed { outcome, .. } => &outcome.code,
            Error::NotSubmitted => StepError::CANCELLED_CODE,
            Error::NoReport { .. } => "no-report",
            Error::Randomness(_) => "randomness",
        }
    }

    /// Who was missing when the run failed, and why.
    pub fn missing(&self) -> &[Missing] {
        match self {
            Error::Failed { outcome, .. } => &outcome.missing,
            _ => &[],
        }
    }

    /// Who provably did not follow the protocol of a secure join, in the order of the names.
    pub fn culprits(&self) -> &[Name] {
        match self {
            Error::Failed { outcome, .. } => &outcome.culprits,
            _ => &[],
        }
    }

    /// Whether somebody cancelled.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Error::NotSubmitted => true,
            Error::Failed { outcome, .. } => outcome.state == State::Cancelled,
            _ => false,
        }
    }

    /// Whether it cannot be done in the state that things are in, such as cancelling what is over.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Error::Wire(WireError::Refused(Refusal::Conflict(_))))
    }

    /// The experiment that it is about.
    pub fn experiment(&self) -> Option<ExperimentId> {
        match self {
            Error::Failed { id, .. } | Error::NoReport { id } => Some(*id),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use veilflow_spec::Cause;

    use super::*;

    #[test]
    fn a_failed_run_is_told_with_its_code_who_was_missing_and_who_cheated() {
        let missing = |name: &str| Missing { participant: name.into(), cause: Cause::Offline };
        let outcome = Outcome {
            state: State::Failed,
            code: "below-quorum".to_owned(),
            error: format!("too few came back\n  {}", missing("a")),
            missing: vec![missing("a"), missing("b")],
            culprits: vec!["c".into()],
        };
        let id = ExperimentId::generate().unwrap();
        let error = Error::Failed { id, outcome: Box::new(outcome.clone()) };
        assert_eq!((error.code(), error.missing().len(), error.culprits().len()), ("below-quorum", 2, 1));
        let text = error.to_string();
        assert_eq!(text.matches("a: ").count(), 1, "{text}");
        assert!(text.contains("b: ") && !error.is_cancelled(), "{text}");
        let cancelled =
            Outcome { state: State::Cancelled, code: String::new(), error: String::new(), ..outcome };
        let cancelled = Error::Failed { id, outcome: Box::new(cancelled) };
        assert_eq!((cancelled.code(), cancelled.is_cancelled()), ("cancelled", true));
    }
}
