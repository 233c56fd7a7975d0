//! Why a site does not run a task that the director sent.

use veilflow_spec::{Cause, Fingerprint, Name};

use crate::config::unknown;

use super::hours::Hours;

/// Why a site does not run a task. It is about the site's configuration and the director's request, never about data, so
/// it is told to the director in full.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A flow that is not compiled in.
    #[error("{}", unknown("flow", flow, known))]
    UnknownFlow {
        /// Which.
        flow: String,
        /// Those that are, and are allowed.
        known: Vec<String>,
    },
    /// A flow that the site's configuration does not name.
    #[error("the flow `{flow}` is not among this site's `policy.allowed-flows`")]
    NotAllowed {
        /// Which.
        flow: String,
    },
    /// A flow whose results the aggregator sees one by one.
    #[error(
        "the flow `{flow}` is not confidential with these options: this site's update would be seen alone; it needs a \
         secure join, or `policy.allow-plain = true` at this site"
    )]
    NotConfidential {
        /// Which.
        flow: String,
    },
    /// The site is not among the participants.
    #[error("{site} is not among the experiment's participants")]
    NotInvited {
        /// The site.
        site: Name,
    },
    /// Too few participants.
    #[error("{got} participants are fewer than this site's `policy.min-cohort` of {min}")]
    CohortTooSmall {
        /// How many there are.
        got: usize,
        /// How many there must be.
        min: usize,
    },
    /// Another time of the day.
    #[error("this site works in its `policy.hours` only: {}", hours.iter().map(Hours::to_string).collect::<Vec<_>>().join(", "))]
    OutsideHours {
        /// Those hours.
        hours: Vec<Hours>,
    },
    /// Another flow of the same name, or other options.
    #[error(
        "the flow `{flow}` has the fingerprint {director} at the director and {site} at this site: build both from the \
         same sources"
    )]
    FlowMismatch {
        /// Which.
        flow: String,
        /// What the director says.
        director: Fingerprint,
        /// What the site's build of it has.
        site: Fingerprint,
    },
    /// Terms from which no flow can be made.
    #[error("the flow `{flow}` cannot be made from these options: {reason}")]
    InvalidTerms {
        /// Which.
        flow: String,
        /// Why.
        reason: String,
    },
    /// An experiment that changed under way.
    #[error("the experiment began with other terms: start a new one")]
    TermsChanged,
    /// More at once than the site allows.
    #[error("this site holds {max} experiments already, its `resources.max-experiments`")]
    TooManyExperiments {
        /// How many it allows.
        max: usize,
    },
    /// The site's process is going down.
    #[error("this site is shutting down")]
    Leaving,
    /// A message that could not be fetched.
    #[error("the message of the task cannot be taken: {reason}")]
    Message {
        /// The error in one word.
        code: &'static str,
        /// Why.
        reason: String,
    },
}

impl Refusal {
    /// The refusal in one word.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::UnknownFlow { .. } => "flow-unknown",
            Refusal::NotAllowed { .. } => "flow-not-allowed",
            Refusal::NotConfidential { .. } => "flow-not-confidential",
            Refusal::NotInvited { .. } => "not-invited",
            Refusal::CohortTooSmall { .. } => "cohort-too-small",
            Refusal::OutsideHours { .. } => "outside-hours",
            Refusal::FlowMismatch { .. } => "flow-mismatch",
            Refusal::InvalidTerms { .. } => "flow-invalid",
            Refusal::TermsChanged => "terms-changed",
            Refusal::TooManyExperiments { .. } => "too-many-experiments",
            Refusal::Leaving => "leaving",
            Refusal::Message { code, .. } => code,
        }
    }
}

impl From<Refusal> for Cause {
    fn from(refusal: Refusal) -> Self {
        Cause::Declined { code: refusal.code().to_owned(), text: refusal.to_string() }
    }
}
