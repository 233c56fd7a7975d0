//! What a site accepts, whatever the server asks for.

use serde::{Deserialize, Serialize};

use crate::security::Security;

/// A site's own limits. The plan comes from the server's side; this does not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientPolicy {
    min_cohort: usize,
    min_threshold: usize,
    min_security: Security,
    allow_remasking: bool,
    /// Not in any file: no deployment has a use for it.
    #[serde(skip)]
    allow_refused_plans: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_epsilon: Option<f64>,
}

impl Default for ClientPolicy {
    /// Cohorts of at least 3, thresholds of at least 2, a malicious server with a third of the enrolled on its side, no
    /// input masked twice.
    fn default() -> Self {
        Self {
            min_cohort: 3,
            min_threshold: 2,
            min_security: Security::default(),
            allow_remasking: false,
            allow_refused_plans: false,
            max_epsilon: None,
        }
    }
}

impl ClientPolicy {
    /// The smallest set of participants whose sum may be known. With 2, each of the two learns the other's update.
    #[must_use]
    pub fn with_min_cohort(mut self, min_cohort: usize) -> Self {
        self.min_cohort = min_cohort;
        self
    }

    /// The smallest number of participants that may be able to remove a mask together.
    #[must_use]
    pub fn with_min_threshold(mut self, min_threshold: usize) -> Self {
        self.min_threshold = min_threshold;
        self
    }

    /// The weakest setting in which this site takes part. [`SemiHonest`](Security::SemiHonest) accepts sessions
    /// without signatures, and with that trusts the server. Of two parts of adversaries, the plan's and this one, the
    /// larger counts.
    #[must_use]
    pub fn with_min_security(mut self, min_security: Security) -> Self {
        self.min_security = min_security;
        self
    }

    /// Whether an input may be masked again in *another* session. A server that sees two sums that differ by one
    /// participant knows that participant's input: leave this off.
    #[must_use]
    pub fn with_allow_remasking(mut self, allow: bool) -> Self {
        self.allow_remasking = allow;
        self
    }

    /// Whether a plan from [`plan_unchecked`](crate::Parameters::plan_unchecked) is followed, although it protects
    /// nobody. For benchmarks, on data that is no secret.
    #[must_use]
    pub fn with_allow_refused_plans(mut self, allow: bool) -> Self {
        self.allow_refused_plans = allow;
        self
    }

    /// What this site spends in privacy at most, in all sessions of its journal together: ε at the δ of the plan. With
    /// it the site takes part in sessions with [`Privacy`](crate::Privacy) only.
    #[must_use]
    pub fn with_max_epsilon(mut self, max_epsilon: f64) -> Self {
        self.max_epsilon = Some(max_epsilon);
        self
    }

    /// See [`with_min_cohort`](Self::with_min_cohort).
    pub fn min_cohort(&self) -> usize {
        self.min_cohort
    }

    /// See [`with_min_threshold`](Self::with_min_threshold).
    pub fn min_threshold(&self) -> usize {
        self.min_threshold
    }

    /// See [`with_min_security`](Self::with_min_security).
    pub fn min_security(&self) -> Security {
        self.min_security
    }

    /// See [`with_allow_remasking`](Self::with_allow_remasking).
    pub fn allow_remasking(&self) -> bool {
        self.allow_remasking
    }

    /// See [`with_allow_refused_plans`](Self::with_allow_refused_plans).
    pub fn allow_refused_plans(&self) -> bool {
        self.allow_refused_plans
    }

    /// See [`with_max_epsilon`](Self::with_max_epsilon).
    pub fn max_epsilon(&self) -> Option<f64> {
        self.max_epsilon
    }
}
