//! Whose inputs the sums were over that a site took part in, so that two of them tell nothing by their difference
//! (`SECURITY.md`, row 18).
//!
//! **What leaks.** Of two sums over U and V the server computes the difference. What the members of both gave cancels
//! where it did not change: numbers of examples never do, losses and updates hardly do at the end of a training. What
//! is left is a sum over U △ V, the members of one of them only, with a sign. So U △ V is a cohort like any other: it
//! must be empty (then nothing cancels but noise) or large enough to hide in.
//!
//! **Who checks.** A member of U △ V may know one of the two sums only and cannot see the attack. Those in U ∩ V can:
//! each refuses its shares for the second sum, and with them goes the threshold. So the limit protects as far as it
//! is the policy of so many sites that the rest are fewer than t.
//!
//! **What is compared.** All cohorts of one journal, whatever the server calls the sessions: a session's id is the
//! server's choice, and the data are the same. Two cohorts at a time: the difference of S(abcdef) and S(abc) is that
//! of d, e and f, and with S(de) of a third session f is alone, though any two differ by three or more. Against that
//! there is the fixed cohort: all sums are over the same set then, and no sum of them is over another one.
//!
//! A cohort goes on record when this site signs it, before a share leaves; one that it refused does not.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    cohort::Site,
    defences::{Defence, stands},
    error::Error,
    journal::{InputJournal, unavailable},
    session::Session,
};

/// The members of one sum that this site took part in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownCohort {
    /// Where it was summed.
    pub session: Session,
    /// Whose inputs.
    pub members: BTreeSet<String>,
}

/// Takes note that this site gives its word on `members`, if the policy allows it. Nothing is read or written where
/// the policy sets no limit.
pub(crate) fn confirm<J: InputJournal + ?Sized>(
    journal: &mut J,
    site: &Site,
    members: &BTreeSet<String>,
) -> Result<(), Error> {
    let limit = minimum_difference(site);
    if !stands(Defence::CohortDifference) || (limit.is_none() && !site.policy.fixed_cohort()) {
        return Ok(());
    }
    let known = journal.cohorts().map_err(unavailable)?;
    if let Some(first) = known.first().filter(|_| site.policy.fixed_cohort()) {
        check_same(first, members)?;
    }
    if let Some(minimum) = limit {
        known.iter().try_for_each(|earlier| check_difference(earlier, members, minimum))?;
    }
    let cohort = KnownCohort { session: site.session, members: members.clone() };
    journal.confirm(&cohort).map_err(unavailable)
}

/// The fewest members by which cohorts may differ, if they do: the policy's number, and two more than may work for the
/// server, since what those gave it can subtract. `None` without a limit; a difference is never smaller than 1.
fn minimum_difference(site: &Site) -> Option<usize> {
    let policy = site.policy.min_cohort_difference();
    (policy > 1).then(|| policy.max(site.colluders.saturating_add(2)))
}

fn check_difference(earlier: &KnownCohort, members: &BTreeSet<String>, minimum: usize) -> Result<(), Error> {
    // As many as it takes to see that there are enough.
    let differing: Vec<&String> = earlier.members.symmetric_difference(members).take(minimum).collect();
    if differing.is_empty() || differing.len() >= minimum {
        return Ok(());
    }
    Err(Error::CohortDifferenceTooSmall {
        earlier: Box::new(earlier.session),
        minimum,
        differing: differing.into_iter().cloned().collect(),
    })
}

/// Refuses any cohort but the first one.
pub(crate) fn check_same(first: &KnownCohort, members: &BTreeSet<String>) -> Result<(), Error> {
    if first.members == *members {
        return Ok(());
    }
    Err(Error::CohortChanged {
        first: Box::new(first.session),
        missing: first.members.difference(members).cloned().collect(),
        unexpected: members.difference(&first.members).cloned().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientPolicy, Layout, MemoryJournal, Parameters, Security};

    fn names(text: &str) -> BTreeSet<String> {
        text.chars().map(String::from).collect()
    }

    fn site(policy: ClientPolicy, colluders: usize) -> Site {
        let plan = Parameters::new().with_security(Security::SemiHonest).plan(6, Layout::new(0, 1)).unwrap();
        let session = Session::new([1; 32], 1);
        Site { name: "a".into(), session, plan, policy, identity: None, colluders, fixed: None }
    }

    /// One session after the other; the names of those that were refused.
    fn refused(policy: ClientPolicy, colluders: usize, cohorts: &[&str]) -> Vec<String> {
        let (mut site, mut journal) = (site(policy, colluders), MemoryJournal::new());
        let mut refused = Vec::new();
        for cohort in cohorts {
            // Another id each time: it changes nothing.
            site.session = Session::generate(1).unwrap();
            if let Err(error) = confirm(&mut journal, &site, &names(cohort)) {
                assert!(error.culprits().is_empty());
                refused.push(format!("{cohort}: {}", error.code()));
            }
        }
        refused
    }

    #[test]
    fn row_18_cohorts_are_equal_or_differ_by_enough() {
        let limit = ClientPolicy::default().with_min_cohort_difference(3);
        let few = |cohort: &str| vec![format!("{cohort}: cohort-difference-too-small")];
        assert_eq!(refused(limit, 0, &["abcdef", "abcde", "abcdef", "abc"]), few("abcde"));
        assert_eq!(refused(limit, 0, &["abcd", "abce", "abef"]), few("abce"), "one in, one out are two");
        // With every cohort before, not with the last one only.
        assert_eq!(refused(limit, 0, &["abcdef", "abc", "abcdeg"]), few("abcdeg"));
        assert_eq!(refused(ClientPolicy::default(), 0, &["abcdef", "abcde"]), [""; 0], "no limit set");
        assert_eq!(refused(limit.with_min_cohort_difference(1), 0, &["abcdef", "abcde"]), [""; 0]);
    }

    /// Of three who differ one may tell the server its input.
    #[test]
    fn row_18_colluders_do_not_hide_anybody() {
        let limit = ClientPolicy::default().with_min_cohort_difference(2);
        assert_eq!(refused(limit, 0, &["abcdef", "abcd"]), [""; 0]);
        assert_eq!(refused(limit, 1, &["abcdef", "abcd"]), ["abcd: cohort-difference-too-small"]);
        assert_eq!(refused(limit, 1, &["abcdef", "abc"]), [""; 0]);
    }

    #[test]
    fn row_18_a_fixed_cohort_is_the_first_one() {
        let fixed = ClientPolicy::default().with_fixed_cohort(true);
        let changed = |cohort: &str| format!("{cohort}: cohort-changed");
        assert_eq!(
            refused(fixed, 0, &["abcde", "abcdef", "abcde", "ab", "fghij"]),
            ["abcdef", "ab", "fghij"].map(changed)
        );
    }

    #[test]
    fn row_18_errors_name_who_makes_the_difference() {
        let (mut site, mut journal) =
            (site(ClientPolicy::default().with_min_cohort_difference(4), 0), MemoryJournal::new());
        confirm(&mut journal, &site, &names("abcde")).unwrap();
        let first = site.session;
        site.session = first.with_round(2);
        let error = confirm(&mut journal, &site, &names("abcxy")).err();
        assert_eq!(error, None, "d and e out, x and y in");
        let error = confirm(&mut journal, &site, &names("abcdx")).unwrap_err();
        let differing = vec!["e".to_owned(), "x".to_owned()];
        assert_eq!(
            error,
            Error::CohortDifferenceTooSmall { earlier: Box::new(first), minimum: 4, differing }
        );
        let fixed = KnownCohort { session: first, members: names("abc") };
        let error = check_same(&fixed, &names("abd")).unwrap_err();
        let (missing, unexpected) = (vec!["c".to_owned()], vec!["d".to_owned()]);
        assert_eq!(error, Error::CohortChanged { first: Box::new(first), missing, unexpected });
    }
}
