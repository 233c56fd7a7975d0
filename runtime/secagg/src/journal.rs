//! What a site remembers between sessions, so that no server can have one input summed twice (`SECURITY.md`, row 6).

use std::{collections::BTreeMap, io};

use crate::{
    defences::{Defence, stands},
    digest::InputId,
    error::Error,
    policy::ClientPolicy,
    privacy::{PrivacyAccountant, PrivacyCost},
    session::Session,
};

/// A site's memory of the sessions it began and the inputs it masked. One per site, kept for as long as the site's
/// data may be trained on; a durable site writes it to disk before each call returns.
///
/// Each method returns what was there **before** it wrote, and writes in the same transaction.
pub trait InputJournal {
    /// Records that `session` began, unless a later one with its id is on record.
    /// Returns the latest session with this id before the call.
    fn begin(&mut self, session: &Session) -> io::Result<Option<Session>>;

    /// Records that `input` is masked in `session`. Returns the sessions it was masked in before, oldest first.
    fn record(&mut self, input: &InputId, session: &Session) -> io::Result<Vec<Session>>;

    /// What this site has spent in privacy. A journal that keeps no account has no site take part under
    /// [`Privacy`](crate::Privacy).
    fn spent(&self) -> io::Result<PrivacyAccountant> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Adds what `session` costs. It is called before the masked input exists, whether the session ends well or not.
    fn charge(&mut self, _session: &Session, _cost: &PrivacyCost) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A journal that lasts as long as the process: for tests, simulation, and sites that never restart within a run.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal {
    latest: BTreeMap<[u8; 32], Session>,
    masked: BTreeMap<InputId, Vec<Session>>,
    spent: PrivacyAccountant,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new() -> Self {
        Self::default()
    }

    /// What this site has spent in privacy: every session in which it sent a masked input.
    pub fn privacy(&self) -> &PrivacyAccountant {
        &self.spent
    }
}

impl InputJournal for MemoryJournal {
    fn begin(&mut self, session: &Session) -> io::Result<Option<Session>> {
        let before = self.latest.get(session.id()).copied();
        if before.is_none_or(|last| last < *session) {
            self.latest.insert(*session.id(), *session);
        }
        Ok(before)
    }

    fn record(&mut self, input: &InputId, session: &Session) -> io::Result<Vec<Session>> {
        let sessions = self.masked.entry(*input).or_default();
        let before = sessions.clone();
        if !sessions.contains(session) {
            sessions.push(*session);
        }
        Ok(before)
    }

    fn spent(&self) -> io::Result<PrivacyAccountant> {
        Ok(self.spent)
    }

    fn charge(&mut self, _session: &Session, cost: &PrivacyCost) -> io::Result<()> {
        self.spent.charge(cost);
        Ok(())
    }
}

/// Takes part in `session`, if it is newer than every session of its id before.
pub(crate) fn begin<J: InputJournal + ?Sized>(journal: &mut J, session: &Session) -> Result<(), Error> {
    match journal.begin(session).map_err(unavailable)? {
        Some(last) if last >= *session => Err(Error::SessionNotNewer { last, got: *session }),
        _ => Ok(()),
    }
}

/// Takes note that `input` is about to be masked, if the policy allows it.
pub(crate) fn record<J: InputJournal + ?Sized>(
    journal: &mut J,
    policy: &ClientPolicy,
    input: &InputId,
    session: &Session,
) -> Result<(), Error> {
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
    journal: &J,
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

fn unavailable(error: io::Error) -> Error {
    Error::JournalUnavailable { kind: error.kind() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: [u8; 32] = [1; 32];

    #[test]
    fn row_06_attempts_are_monotonic() {
        let mut journal = MemoryJournal::new();
        let first = Session::new(SESSION, 1);
        begin(&mut journal, &first).unwrap();
        assert_eq!(begin(&mut journal, &first), Err(Error::SessionNotNewer { last: first, got: first }));
        let second = first.next_attempt().unwrap();
        begin(&mut journal, &second).unwrap();
        assert_eq!(begin(&mut journal, &first), Err(Error::SessionNotNewer { last: second, got: first }));
        let older = Session::new(SESSION, 0).with_attempt(9);
        assert_eq!(begin(&mut journal, &older), Err(Error::SessionNotNewer { last: second, got: older }));
        begin(&mut journal, &Session::new([2; 32], 0)).unwrap();
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
            check_budget(&journal, &policy, &cost).unwrap();
            charge(&mut journal, &session, &cost).unwrap();
        }
        let error = check_budget(&journal, &policy, &cost).unwrap_err();
        let Error::PrivacyBudgetSpent { max, epsilon, delta } = error else { panic!("{error}") };
        assert_eq!((max, delta), (0.7, 1e-6));
        assert!(epsilon > 0.7 && epsilon < 0.8, "{epsilon}");
        assert_eq!((journal.privacy().sessions(), journal.privacy().rho()), (2, 0.01));
        check_budget(&journal, &ClientPolicy::default(), &cost).unwrap();
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
        }
        let session = Session::new(SESSION, 1);
        let error = Err(Error::JournalUnavailable { kind: io::ErrorKind::StorageFull });
        assert_eq!(begin(&mut Broken, &session), error);
        let input = InputId::from_bytes([0; 32]);
        assert_eq!(record(&mut Broken, &ClientPolicy::default(), &input, &session), error);
        // It keeps no account either, and says so.
        let error = Error::JournalUnavailable { kind: io::ErrorKind::Unsupported };
        let cost = PrivacyCost::new(0.0, 1e-6);
        assert_eq!(check_budget(&Broken, &ClientPolicy::default(), &cost), Err(error.clone()));
        assert_eq!(charge(&mut Broken, &session, &cost), Err(error));
    }
}
