//! What a site remembers between sessions, so that no server can have one input summed twice (`SECURITY.md`, row 6) or
//! subtract two sums (row 18), and so that a site stops after as many rounds as it agreed to.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use serde::{Deserialize, Serialize};

use crate::{
    defences::{Defence, stands},
    digest::InputId,
    error::Error,
    known_cohorts::KnownCohort,
    policy::ClientPolicy,
    privacy::{PrivacyAccountant, PrivacyCost},
    session::Session,
};

/// A site's memory of the sessions it began, the inputs it masked and the cohorts it was in. One per site, kept for as
/// long as the site's data may be trained on; a durable site writes it to disk before each call returns.
///
/// **The journal is the scope of a policy's limits**: everything in one journal is compared and counted, whatever ids a
/// server gives to its sessions. One session at a time uses it.
///
/// [`begin`](Self::begin) and [`record`](Self::record) return what was there **before** they wrote, and write in the
/// same transaction.
pub trait InputJournal {
    /// Records that `session` began, unless a later one with its id is on record.
    /// Returns the latest session with this id before the call.
    fn begin(&mut self, session: &Session) -> io::Result<Option<Session>>;

    /// Records that `input` is masked in `session`. Returns the sessions it was masked in before, oldest first.
    fn record(&mut self, input: &InputId, session: &Session) -> io::Result<Vec<Session>>;

    /// How many sessions, each attempt counted, began since an input was last masked.
    fn unfinished(&mut self) -> io::Result<u64>;

    /// In how many sessions an input was masked.
    fn rounds(&mut self) -> io::Result<u64>;

    /// Records whose inputs are in a sum that this site took part in. A cohort that is on record already may be left
    /// out. Called only where the policy sets a limit on cohorts.
    fn confirm(&mut self, cohort: &KnownCohort) -> io::Result<()>;

    /// The cohorts on record, the first one first.
    fn cohorts(&mut self) -> io::Result<Vec<KnownCohort>>;

    /// What this site has spent in privacy.
    fn spent(&mut self) -> io::Result<PrivacyAccountant>;

    /// Adds what `session` costs. It is called before the masked input exists, whether the session ends well or not.
    fn charge(&mut self, session: &Session, cost: &PrivacyCost) -> io::Result<()>;
}

/// A journal that lasts as long as the process: for tests, simulation, and sites that never restart within a run. A
/// durable journal keeps one beside its file, and its snapshots are this, serialized.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryJournal {
    latest: BTreeMap<[u8; 32], Session>,
    unfinished: u64,
    masked: BTreeMap<InputId, Vec<Session>>,
    sessions: BTreeSet<Session>,
    cohorts: Vec<KnownCohort>,
    spent: PrivacyAccountant,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new() -> Self {
        Self::default()
    }

    /// The latest session with this id.
    pub fn latest(&self, id: &[u8; 32]) -> Option<Session> {
        self.latest.get(id).copied()
    }

    /// The sessions in which this input was masked, oldest first.
    pub fn masked(&self, input: &InputId) -> &[Session] {
        self.masked.get(input).map_or(&[], Vec::as_slice)
    }

    /// Whether this cohort is on record.
    pub fn knows(&self, members: &BTreeSet<String>) -> bool {
        self.cohorts.iter().any(|known| known.members == *members)
    }

    /// What this site has spent in privacy: every session in which it sent a masked input.
    pub fn privacy(&self) -> &PrivacyAccountant {
        &self.spent
    }
}

impl InputJournal for MemoryJournal {
    fn begin(&mut self, session: &Session) -> io::Result<Option<Session>> {
        let before = self.latest(session.id());
        if before.is_none_or(|last| last < *session) {
            self.latest.insert(*session.id(), *session);
            self.unfinished = self.unfinished.saturating_add(1);
        }
        Ok(before)
    }

    fn record(&mut self, input: &InputId, session: &Session) -> io::Result<Vec<Session>> {
        let sessions = self.masked.entry(*input).or_default();
        let before = sessions.clone();
        if !sessions.contains(session) {
            sessions.push(*session);
            // The same again is refused, and masks nothing.
            self.unfinished = 0;
        }
        self.sessions.insert(*session);
        Ok(before)
    }

    fn unfinished(&mut self) -> io::Result<u64> {
        Ok(self.unfinished)
    }

    fn rounds(&mut self) -> io::Result<u64> {
        Ok(self.sessions.len() as u64)
    }

    fn confirm(&mut self, cohort: &KnownCohort) -> io::Result<()> {
        if !self.knows(&cohort.members) {
            self.cohorts.push(cohort.clone());
        }
        Ok(())
    }

    fn cohorts(&mut self) -> io::Result<Vec<KnownCohort>> {
        Ok(self.cohorts.clone())
    }

    fn spent(&mut self) -> io::Result<PrivacyAccountant> {
        Ok(self.spent)
    }

    fn charge(&mut self, _session: &Session, cost: &PrivacyCost) -> io::Result<()> {
        self.spent.charge(cost);
        Ok(())
    }
}

/// Takes part in `session`, if it is newer than every session of its id before, and not one too many. Returns the
/// cohort that this site insists on, where it does.
pub(crate) fn begin<J: InputJournal + ?Sized>(
    journal: &mut J,
    policy: &ClientPolicy,
    session: &Session,
) -> Result<Option<KnownCohort>, Error> {
    check_rounds(journal, policy)?;
    let max = policy.max_unfinished();
    if journal.unfinished().map_err(unavailable)? >= max && stands(Defence::Journal) {
        return Err(Error::TooManyUnfinished { max });
    }
    match journal.begin(session).map_err(unavailable)? {
        Some(last) if last >= *session => return Err(Error::SessionNotNewer { last, got: *session }),
        _ => {}
    }
    if !policy.fixed_cohort() {
        return Ok(None);
    }
    Ok(journal.cohorts().map_err(unavailable)?.into_iter().next())
}

/// Counted are masked inputs: a session that failed before tells nothing.
fn check_rounds<J: InputJournal + ?Sized>(journal: &mut J, policy: &ClientPolicy) -> Result<(), Error> {
    let Some(max) = policy.max_rounds() else { return Ok(()) };
    if journal.rounds().map_err(unavailable)? >= max { Err(Error::TooManyRounds { max }) } else { Ok(()) }
}

/// Takes note that `input` is about to be masked, if the policy allows it.
pub(crate) fn record<J: InputJournal + ?Sized>(
    journal: &mut J,
    policy: &ClientPolicy,
    input: &InputId,
    session: &Session,
) -> Result<(), Error> {
    // Again: between its keys and its input a site may have taken part in another session.
    check_rounds(journal, policy)?;
    let before = journal.record(input, session).map_err(unavailable)?;
    // Never twice in one session, whatever the policy: a retransmission is the stored bytes, not a new message.
    let refused = before.iter().find(|earlier| !policy.allow_remasking() || *earlier == session);
    match refused.filter(|_| stands(Defence::Journal)) {
        Some(first) => {
            Err(Error::InputAlreadyMasked { input: *input, first: Box::new(*first), now: *session })
        }
        None => Ok(()),
    }
}

/// Whether the site's budget has room for one more session of this cost.
pub(crate) fn check_budget<J: InputJournal + ?Sized>(
    journal: &mut J,
    policy: &ClientPolicy,
    cost: &PrivacyCost,
) -> Result<(), Error> {
    let mut total = journal.spent().map_err(unavailable)?;
    total.charge(cost);
    let (epsilon, delta) = (total.total(cost.delta()).epsilon(), cost.delta());
    match policy.max_epsilon() {
        Some(max) if epsilon > max => Err(Error::PrivacyBudgetSpent { max, epsilon, delta }),
        _ => Ok(()),
    }
}

/// Takes note of what a masked input costs.
pub(crate) fn charge<J: InputJournal + ?Sized>(
    journal: &mut J,
    session: &Session,
    cost: &PrivacyCost,
) -> Result<(), Error> {
    journal.charge(session, cost).map_err(unavailable)
}

pub(crate) fn unavailable(error: io::Error) -> Error {
    Error::JournalUnavailable { kind: error.kind() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: [u8; 32] = [1; 32];

    #[test]
    fn row_06_attempts_are_monotonic() {
        let mut journal = MemoryJournal::new();
        let mut begin = |session: &Session| begin(&mut journal, &ClientPolicy::default(), session);
        let first = Session::new(SESSION, 1);
        begin(&first).unwrap();
        assert_eq!(begin(&first), Err(Error::SessionNotNewer { last: first, got: first }));
        let second = first.next_attempt().unwrap();
        begin(&second).unwrap();
        assert_eq!(begin(&first), Err(Error::SessionNotNewer { last: second, got: first }));
        let older = Session::new(SESSION, 0).with_attempt(9);
        assert_eq!(begin(&older), Err(Error::SessionNotNewer { last: second, got: older }));
        begin(&Session::new([2; 32], 0)).unwrap();
    }

    /// Under whatever ids, and whether they are new sessions or attempts at one.
    #[test]
    fn row_06_sessions_that_come_to_nothing_are_bounded() {
        let (mut journal, policy) = (MemoryJournal::new(), ClientPolicy::default().with_max_unfinished(3));
        let named = |id: u8| Session::new([id; 32], 0);
        for begun in [named(1), named(1).with_attempt(1), named(2)] {
            begin(&mut journal, &policy, &begun).unwrap();
        }
        let refused = Err(Error::TooManyUnfinished { max: 3 });
        assert_eq!(begin(&mut journal, &policy, &named(3)), refused);
        assert_eq!(begin(&mut journal, &policy, &named(2).with_attempt(1)), refused);
        record(&mut journal, &policy, &InputId::from_bytes([9; 32]), &named(2)).unwrap();
        begin(&mut journal, &policy, &named(3)).unwrap();
        let default = ClientPolicy::default();
        let begun = (1..=u64::from(u16::MAX))
            .take_while(|round| begin(&mut journal, &default, &named(4).with_round(*round)).is_ok());
        assert_eq!(begun.count() as u64, default.max_unfinished() - 1);
    }

    #[test]
    fn row_06_an_input_is_masked_in_one_session_unless_the_policy_allows_more() {
        let mut journal = MemoryJournal::new();
        let (strict, lax) = (ClientPolicy::default(), ClientPolicy::default().with_allow_remasking(true));
        let input = InputId::from_bytes([9; 32]);
        let (first, now) = (Session::new(SESSION, 1), Session::new(SESSION, 2));
        record(&mut journal, &strict, &input, &first).unwrap();
        let refused = Err(Error::InputAlreadyMasked { input, first: Box::new(first), now });
        assert_eq!(record(&mut journal, &strict, &input, &now), refused);
        let third = Session::new(SESSION, 3);
        record(&mut journal, &lax, &input, &third).unwrap();
        let again = Err(Error::InputAlreadyMasked { input, first: Box::new(third), now: third });
        assert_eq!(record(&mut journal, &lax, &input, &third), again);
    }

    #[test]
    fn a_budget_is_for_all_sessions_together() {
        let (mut journal, session) = (MemoryJournal::new(), Session::new(SESSION, 1));
        let cost = PrivacyCost::new(0.005, 1e-6);
        // ε of 0.005 is 0.43, of 0.01 0.62, and of 0.015 0.76.
        let policy = ClientPolicy::default().with_max_epsilon(0.7);
        for _ in 0..2 {
            check_budget(&mut journal, &policy, &cost).unwrap();
            charge(&mut journal, &session, &cost).unwrap();
        }
        let error = check_budget(&mut journal, &policy, &cost).unwrap_err();
        let Error::PrivacyBudgetSpent { max, epsilon, delta } = error else { panic!("{error}") };
        assert_eq!((max, delta), (0.7, 1e-6));
        assert!(epsilon > 0.7 && epsilon < 0.8, "{epsilon}");
        assert_eq!((journal.privacy().sessions(), journal.privacy().rho()), (2, 0.01));
        check_budget(&mut journal, &ClientPolicy::default(), &cost).unwrap();
    }

    #[test]
    fn row_06_without_a_working_journal_nothing_is_masked() {
        struct Broken;
        impl InputJournal for Broken {
            fn begin(&mut self, _: &Session) -> io::Result<Option<Session>> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn record(&mut self, _: &InputId, _: &Session) -> io::Result<Vec<Session>> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn unfinished(&mut self) -> io::Result<u64> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn rounds(&mut self) -> io::Result<u64> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn confirm(&mut self, _: &KnownCohort) -> io::Result<()> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn cohorts(&mut self) -> io::Result<Vec<KnownCohort>> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn spent(&mut self) -> io::Result<PrivacyAccountant> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn charge(&mut self, _: &Session, _: &PrivacyCost) -> io::Result<()> {
                Err(io::ErrorKind::StorageFull.into())
            }
        }
        let (session, policy) = (Session::new(SESSION, 1), ClientPolicy::default());
        let error = Error::JournalUnavailable { kind: io::ErrorKind::StorageFull };
        assert_eq!(begin(&mut Broken, &policy, &session), Err(error.clone()));
        let input = InputId::from_bytes([0; 32]);
        assert_eq!(record(&mut Broken, &policy, &input, &session), Err(error.clone()));
        let cost = PrivacyCost::new(0.0, 1e-6);
        assert_eq!(check_budget(&mut Broken, &policy, &cost), Err(error.clone()));
        assert_eq!(charge(&mut Broken, &session, &cost), Err(error));
    }

    /// A server that names its sessions anew gets no more of them.
    #[test]
    fn a_site_takes_part_in_as_many_rounds_as_its_policy_says() {
        let (mut journal, two) = (MemoryJournal::new(), ClientPolicy::default().with_max_rounds(Some(2)));
        let id = |round: u8| (InputId::from_bytes([round; 32]), Session::new([round; 32], 0));
        for round in 1..=2 {
            let (input, session) = id(round);
            // An attempt that masks nothing is not counted.
            begin(&mut journal, &two, &session).unwrap();
            begin(&mut journal, &two, &session.with_attempt(1)).unwrap();
            record(&mut journal, &two, &input, &session.with_attempt(1)).unwrap();
        }
        let (input, session) = id(3);
        let refused = Error::TooManyRounds { max: 2 };
        assert_eq!(begin(&mut journal, &two, &session), Err(refused.clone()));
        assert_eq!(record(&mut journal, &two, &input, &session), Err(refused));
        begin(&mut journal, &ClientPolicy::default(), &session).unwrap();
        record(&mut journal, &two.with_max_rounds(None), &input, &session).unwrap();
    }
}
