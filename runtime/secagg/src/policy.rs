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
    #[serde(skip_serializing_if = "Option::is_none")]
    max_epsilon: Option<f64>,
    min_cohort_difference: usize,
    fixed_cohort: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_rounds: Option<u64>,
    max_unfinished: u64,
    /// Not in any file: no deployment has a use for it.
    #[serde(skip)]
    allow_refused_plans: bool,
}

impl Default for ClientPolicy {
    /// Cohorts of at least 3, thresholds of at least 2, a malicious server with a third of the enrolled on its side, no
    /// input masked twice, 1,000 sessions in a row that come to no masked input. No limit on rounds or on the
    /// differences of cohorts: a participant that drops out changes the cohort by one, and a training of many rounds
    /// would end there.
    fn default() -> Self {
        Self {
            min_cohort: 3,
            min_threshold: 2,
            min_security: Security::default(),
            allow_remasking: false,
            max_epsilon: None,
            min_cohort_difference: 0,
            fixed_cohort: false,
            max_rounds: None,
            max_unfinished: 1000,
            allow_refused_plans: false,
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

    /// What this site spends in privacy at most, in all sessions of its journal together: ε at the δ of the plan. With
    /// it the site takes part in sessions with [`Privacy`](crate::Privacy) only.
    #[must_use]
    pub fn with_max_epsilon(mut self, max_epsilon: f64) -> Self {
        self.max_epsilon = Some(max_epsilon);
        self
    }

    /// By how many members two cohorts that this site takes part in must differ, if they differ: the sum of those few
    /// is what a server learns from the difference. 0 and 1 set no limit. With one, the larger of it and two more than
    /// may work for the server counts.
    ///
    /// Cohorts are known when the inputs are masked already, so a round that ends here is lost. Where inputs change
    /// little from round to round (statistics, evaluation), that is the price; else see
    /// [`with_fixed_cohort`](Self::with_fixed_cohort), which refuses before.
    #[must_use]
    pub fn with_min_cohort_difference(mut self, members: usize) -> Self {
        self.min_cohort_difference = members;
        self
    }

    /// Whether every sum that this site takes part in must be over the same participants as the first one. No sums
    /// can be combined to one over fewer then; a participant that is lost ends it for all.
    #[must_use]
    pub fn with_fixed_cohort(mut self, fixed: bool) -> Self {
        self.fixed_cohort = fixed;
        self
    }

    /// In how many sessions this site masks an input at most; `None` for any number.
    #[must_use]
    pub fn with_max_rounds(mut self, max_rounds: impl Into<Option<u64>>) -> Self {
        self.max_rounds = max_rounds.into();
        self
    }

    /// How many sessions, or attempts at one, this site begins in a row that end before it masks an input. In each of
    /// them a server draws another neighbour graph, learns who is there, and has the site work for nothing; a masked
    /// input starts the count again.
    #[must_use]
    pub fn with_max_unfinished(mut self, sessions: u64) -> Self {
        self.max_unfinished = sessions;
        self
    }

    /// Whether a plan from [`plan_unchecked`](crate::Parameters::plan_unchecked) is followed, although it protects
    /// nobody. For benchmarks, on data that is no secret.
    #[must_use]
    pub fn with_allow_refused_plans(mut self, allow: bool) -> Self {
        self.allow_refused_plans = allow;
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

    /// See [`with_min_cohort_difference`](Self::with_min_cohort_difference).
    pub fn min_cohort_difference(&self) -> usize {
        self.min_cohort_difference
    }

    /// See [`with_fixed_cohort`](Self::with_fixed_cohort).
    pub fn fixed_cohort(&self) -> bool {
        self.fixed_cohort
    }

    /// See [`with_max_rounds`](Self::with_max_rounds).
    pub fn max_rounds(&self) -> Option<u64> {
        self.max_rounds
    }

    /// See [`with_max_unfinished`](Self::with_max_unfinished).
    pub fn max_unfinished(&self) -> u64 {
        self.max_unfinished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_writes_what_it_wants_and_no_more() {
        let read = |text| serde_json::from_str::<ClientPolicy>(text);
        assert_eq!(read("{}").unwrap(), ClientPolicy::default());
        let policy = r#"{"min_cohort_difference": 4, "fixed_cohort": true, "max_rounds": 20}"#;
        let expected = ClientPolicy::default().with_min_cohort_difference(4).with_fixed_cohort(true);
        assert_eq!(read(policy).unwrap(), expected.with_max_rounds(20));
        let unknown = read(r#"{"max_round": 20}"#).unwrap_err().to_string();
        assert!(unknown.contains("max_rounds"), "{unknown}");
        for policy in [ClientPolicy::default(), expected.with_max_rounds(20)] {
            let text = serde_json::to_string(&policy).unwrap();
            assert_eq!(serde_json::from_str::<ClientPolicy>(&text).unwrap(), policy);
        }
    }
}
