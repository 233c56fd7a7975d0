//! What both sides ask of every set of participants, and what a client carries from state to state.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    defences::{Defence, stands},
    error::{Error, Stage},
    identity::{Identities, Identity},
    known_cohorts::{KnownCohort, check_same},
    plan::Plan,
    policy::ClientPolicy,
    roster::Roster,
    session::Session,
};

/// Who a client is and what it agreed to. The one secret in here is the identity key, which shows itself nowhere.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) name: String,
    pub(crate) session: Session,
    pub(crate) plan: Plan,
    pub(crate) policy: ClientPolicy,
    /// Present where the server is not trusted, and only there.
    pub(crate) identity: Option<Identity>,
    /// How many of any roster may work for the server, by this site's own count.
    pub(crate) colluders: usize,
    /// The cohort that this site insists on.
    pub(crate) fixed: Option<KnownCohort>,
}

impl Site {
    /// Whom this site believes to be who; `None` where nothing is signed.
    pub(crate) fn trusted(&self) -> Option<&Arc<Identities>> {
        self.identity.as_ref().map(|identity| &identity.trusted)
    }

    /// Adversaries are a part of the enrolled, and a server can put all of them into a small roster: this site counts
    /// again with what it knows (`SECURITY.md`, rows 3 and 4). A plan that is refused protects nobody whatever their
    /// number, and is followed only where the policy says so.
    pub(crate) fn check_adversaries(&self, roster: &Roster) -> Result<(), Error> {
        let required = self.plan.required_threshold(roster.len(), self.colluders);
        let enough = self.plan.threshold() >= required || self.plan.is_refused();
        if self.identity.is_none() || enough || !stands(Defence::Majority) {
            return Ok(());
        }
        Err(Error::TooManyAdversaries {
            roster: roster.len(),
            colluders: self.colluders,
            required,
            threshold: self.plan.threshold(),
        })
    }

    /// Whether those who are left are still the cohort that this site insists on, so that it stops before its input is
    /// masked (`SECURITY.md`, row 18). What counts in the end is who is in the sum.
    pub(crate) fn check_fixed<'a>(&self, members: impl Iterator<Item = &'a String>) -> Result<(), Error> {
        match self.fixed.as_ref().filter(|_| stands(Defence::CohortDifference)) {
            Some(first) => check_same(first, &members.cloned().collect()),
            None => Ok(()),
        }
    }

    /// The plan's threshold and the strictest of the smallest cohorts: the plan's, the policy's, and two more than may
    /// work for the server.
    pub(crate) fn check_size<'a>(
        &self,
        stage: Stage,
        present: usize,
        missing: impl Iterator<Item = &'a String>,
    ) -> Result<(), Error> {
        let minimum =
            self.plan.min_cohort().max(self.policy.min_cohort()).max(self.colluders.saturating_add(2));
        check_size(stage, present, self.plan.threshold(), minimum, missing)
    }

    /// Whether so many survivors add as much noise as the plan promises, by this site's own count of those whose noise
    /// may be known. By the plan's count the smallest set of survivors does.
    pub(crate) fn check_noise<'a>(
        &self,
        stage: Stage,
        got: usize,
        missing: impl Iterator<Item = &'a String>,
    ) -> Result<(), Error> {
        let Some(noise) = self.plan.noise() else { return Ok(()) };
        let minimum = noise.sources().saturating_add(noise.colluders().max(self.colluders));
        if got < minimum {
            return Err(Error::TooLittleNoise { stage, minimum, got, missing: missing.cloned().collect() });
        }
        Ok(())
    }
}

/// Whether enough of those who hold shares of one member's secrets are present. On the complete graph they are the
/// cohort, which is counted elsewhere.
pub(crate) fn check_holders<'a>(
    stage: Stage,
    plan: &Plan,
    holders: impl Iterator<Item = &'a String>,
    is_present: impl Fn(&String) -> bool,
) -> Result<(), Error> {
    if plan.is_complete() {
        return Ok(());
    }
    let (present, absent): (Vec<&String>, Vec<&String>) = holders.partition(|name| is_present(name));
    check_size(stage, present.len(), plan.threshold(), 0, absent.into_iter())
}

/// Enough for the threshold, and enough to hide in.
pub(crate) fn check_size<'a>(
    stage: Stage,
    got: usize,
    threshold: usize,
    min_cohort: usize,
    missing: impl Iterator<Item = &'a String>,
) -> Result<(), Error> {
    if got < threshold {
        return Err(Error::BelowThreshold {
            stage,
            required: threshold,
            got,
            missing: missing.cloned().collect(),
        });
    }
    if got < min_cohort && stands(Defence::SmallestCohort) {
        return Err(Error::CohortTooSmall {
            stage,
            minimum: min_cohort,
            got,
            missing: missing.cloned().collect(),
        });
    }
    Ok(())
}

/// Those of `expected` who are not in `received`.
pub(crate) fn missing<'a, T>(
    expected: impl Iterator<Item = &'a String>,
    received: &BTreeMap<String, T>,
) -> Vec<&'a String> {
    expected.filter(|name| !received.contains_key(*name)).collect()
}

/// Refuses a list that has not one item for each of those whom it is about: both sides know who they are, and in which
/// order.
pub(crate) fn check_count(stage: Stage, from: &str, expected: usize, got: usize) -> Result<(), Error> {
    if expected == got {
        Ok(())
    } else {
        Err(Error::WrongShareCount { stage, from: from.to_owned(), expected, got })
    }
}

/// Takes one message of a sender that belongs to this round and has not sent one.
pub(crate) fn check_sender<T>(
    stage: Stage,
    from: &str,
    is_known: bool,
    received: &BTreeMap<String, T>,
) -> Result<(), Error> {
    if !is_known {
        return Err(Error::UnknownSender { stage, name: from.to_owned() });
    }
    if received.contains_key(from) {
        return Err(Error::DuplicateMessage { stage, name: from.to_owned() });
    }
    Ok(())
}
