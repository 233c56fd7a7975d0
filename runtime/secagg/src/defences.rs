//! The defences that a test can take away, to show that the attack succeeds without.
//!
//! In every other build they all stand: there is nothing to switch, here or from outside.

/// One row of `SECURITY.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defence {
    /// Row 1: masks and signatures are bound to the model.
    ModelBinding,
    /// Row 2: one share of each member, of one kind.
    OneKind,
    /// Row 3: thresholds above, and signatures of, a majority.
    Majority,
    /// Row 4: keys and rosters are signed.
    Signatures,
    /// Row 5: random values are committed to.
    CommittedRandomness,
    /// Row 6: the journal of masked inputs.
    Journal,
    /// Row 7: keys are fresh in each session.
    #[cfg(test)]
    FreshKeys,
    /// Row 7: everything is bound to its session.
    SessionBinding,
    /// Row 8: plans whose sum fits the modulus.
    NoOverflow,
    /// Row 9: inputs within the plan's bounds.
    InputBounds,
    /// Row 10: the smallest cohort that a site accepts.
    SmallestCohort,
    /// Row 11: the weight, the clip count and the scalars are masked.
    #[cfg(test)]
    MaskedCounts,
    /// Row 12: the mask of a client's own.
    SelfMask,
    /// Row 13: shares are committed to.
    Openings,
    /// Row 13: shares are checked when they come.
    CheckedOnReceipt,
    /// Row 14: a threshold's worth of shares.
    Threshold,
    /// Row 18: cohorts that are equal or far apart.
    CohortDifference,
}

#[cfg(not(test))]
pub(crate) const fn stands(_: Defence) -> bool {
    true
}

#[cfg(test)]
pub(crate) use switch::{stands, without};

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    use super::Defence;

    thread_local! {
        static REMOVED: Cell<Option<Defence>> = const { Cell::new(None) };
    }

    pub(crate) fn stands(defence: Defence) -> bool {
        REMOVED.get() != Some(defence)
    }

    /// Runs an attack, in this thread, against a build without one defence.
    pub(crate) fn without<T>(defence: Defence, attack: impl FnOnce() -> T) -> T {
        struct Restore;
        impl Drop for Restore {
            fn drop(&mut self) {
                REMOVED.set(None);
            }
        }
        let _restore = Restore;
        REMOVED.set(Some(defence));
        attack()
    }
}
