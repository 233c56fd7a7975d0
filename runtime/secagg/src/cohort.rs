//! What both sides ask of every set of participants, and what a client carries from state to state.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    error::{Error, Stage},
    plan::Plan,
    policy::ClientPolicy,
    session::Session,
};

/// Who a client is and what it agreed to. No secret is in here.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) name: String,
    pub(crate) session: Session,
    pub(crate) plan: Plan,
    pub(crate) policy: ClientPolicy,
}

impl Site {
    /// The plan's threshold and the stricter of the two smallest cohorts.
    pub(crate) fn check_size<'a>(
        &self,
        stage: Stage,
        present: usize,
        missing: impl Iterator<Item = &'a String>,
    ) -> Result<(), Error> {
        let minimum = self.plan.min_cohort().max(self.policy.min_cohort());
        check_size(stage, present, self.plan.threshold(), minimum, missing)
    }
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
    if got < min_cohort {
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

/// Refuses a set of names that is not exactly the expected one.
pub(crate) fn check_names<'a>(
    from: &str,
    expected: impl Iterator<Item = &'a String>,
    got: impl Iterator<Item = &'a String>,
) -> Result<(), Error> {
    let (expected, got): (BTreeSet<_>, BTreeSet<_>) = (expected.collect(), got.collect());
    if expected == got {
        return Ok(());
    }
    let names = |set: &mut dyn Iterator<Item = &&'a String>| set.map(|name| (*name).clone()).collect();
    Err(Error::WrongShareSet {
        from: from.to_owned(),
        missing: names(&mut expected.difference(&got)),
        unexpected: names(&mut got.difference(&expected)),
    })
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
