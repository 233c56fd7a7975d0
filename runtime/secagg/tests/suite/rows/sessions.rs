//! Rows 6 and 7: inputs, keys and messages that are used again.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use veilflow_secagg::*;

use super::{STAY, four};
use crate::common::tamper;

// Row 6: differencing by restart.

#[test]
fn row_06_an_input_is_not_masked_again_in_another_session() {
    let mut cohort = four();
    let first = cohort.session;
    cohort.run(&STAY).unwrap();
    cohort.session = Session::generate(1).unwrap();
    let (_, mut clients) = cohort.receive(&STAY).unwrap();
    let error = cohort.mask(0, clients.remove(&0).unwrap(), cohort.model).unwrap_err();
    let (input, now) = (cohort.input_id(0), cohort.session);
    assert_eq!(error, Error::InputAlreadyMasked { input, first: Box::new(first), now });
}

#[test]
fn row_06_the_policy_of_a_site_can_allow_it() {
    let mut cohort = four();
    cohort.policy = cohort.policy.with_allow_remasking(true);
    cohort.run(&STAY).unwrap();
    cohort.session = cohort.session.next_attempt().unwrap();
    assert_eq!(cohort.run(&STAY).unwrap(), cohort.plain(&STAY));
}

#[test]
fn row_06_a_restart_before_round_2_is_a_new_attempt() {
    let mut cohort = four();
    cohort.receive(&STAY).unwrap();
    let again = cohort.client(0).advertise_keys(cohort.session, &mut cohort.journals[0]).unwrap_err();
    assert_eq!(again, Error::SessionNotNewer { last: cohort.session, got: cohort.session });
    cohort.session = cohort.session.next_attempt().unwrap();
    assert_eq!(cohort.run(&STAY).unwrap(), cohort.plain(&STAY));
}

#[test]
fn row_06_the_journal_is_written_before_the_message_exists() {
    use std::{cell::RefCell, io, rc::Rc};
    struct Spy(Rc<RefCell<Vec<(InputId, Session)>>>);
    impl InputJournal for Spy {
        fn begin(&mut self, _: &Session) -> io::Result<Option<Session>> {
            Ok(None)
        }
        fn record(&mut self, input: &InputId, session: &Session) -> io::Result<Vec<Session>> {
            self.0.borrow_mut().push((*input, *session));
            Err(io::ErrorKind::StorageFull.into())
        }
        fn unfinished(&mut self) -> io::Result<u64> {
            Ok(0)
        }
        fn rounds(&mut self) -> io::Result<u64> {
            Ok(0)
        }
        fn confirm(&mut self, _: &KnownCohort) -> io::Result<()> {
            Ok(())
        }
        fn cohorts(&mut self) -> io::Result<Vec<KnownCohort>> {
            Ok(Vec::new())
        }
        fn spent(&mut self) -> io::Result<PrivacyAccountant> {
            Ok(PrivacyAccountant::new())
        }
        fn charge(&mut self, _: &Session, _: &PrivacyCost) -> io::Result<()> {
            Ok(())
        }
    }
    let mut cohort = four();
    let (_, mut clients) = cohort.receive(&STAY).unwrap();
    let seen = Rc::default();
    let result = clients.remove(&0).unwrap().mask_input(
        cohort.model,
        cohort.input_id(0),
        &cohort.data[0].input(),
        &mut ChaCha8Rng::seed_from_u64(0),
        &mut Spy(Rc::clone(&seen)),
    );
    assert_eq!(result.unwrap_err(), Error::JournalUnavailable { kind: io::ErrorKind::StorageFull });
    assert_eq!(*seen.borrow(), [(cohort.input_id(0), cohort.session)]);
}

#[test]
fn row_06_a_refused_input_is_not_journalled() {
    let mut cohort = four();
    cohort.data[0].weight = 0;
    let (_, mut clients) = cohort.receive(&STAY).unwrap();
    let error = cohort.mask(0, clients.remove(&0).unwrap(), cohort.model).unwrap_err();
    assert_eq!(error, Error::Input(InputError::WeightZero));
    cohort.data[0].weight = 1;
    cohort.session = cohort.session.next_attempt().unwrap();
    cohort.run(&STAY).unwrap();
}

// Row 7: replays, and keys or masks used again.

#[test]
fn row_07_two_sessions_share_no_key_no_share_and_no_mask() {
    let messages = |session| {
        let mut cohort = four();
        cohort.session = session;
        let (mut server, clients, roster) = cohort.frozen(&STAY).unwrap();
        let mut seen = vec![serde_json::to_value(&roster).unwrap()["reveals"].clone()];
        let mut next = Vec::new();
        for (i, client) in clients {
            let (client, message) = client.share_keys(&roster).unwrap();
            seen.push(serde_json::to_value(&message).unwrap()["shares"].clone());
            server.receive(&cohort.names[i], message).unwrap();
            next.push((i, client));
        }
        let (_, shares) = server.deliver().unwrap();
        for (i, client) in next {
            let client = client.receive_shares(&shares[&cohort.names[i]]).unwrap();
            let (_, message) = cohort.mask(i, client, cohort.model).unwrap();
            seen.push(serde_json::to_value(&message).unwrap()["entries"].clone());
        }
        seen
    };
    // Even under the same session name: everything hangs on fresh randomness.
    let session = Session::new([7; 32], 1);
    for (one, other) in messages(session).iter().zip(&messages(session)) {
        assert_ne!(one, other);
    }
}

#[test]
fn row_07_a_share_for_one_client_does_not_open_for_another() {
    let mut cohort = four();
    let (server, mut clients) = cohort.share(&STAY).unwrap();
    let (_, shares) = server.deliver().unwrap();
    let (me, other) = (&cohort.names[0], &cohort.names[1]);
    let third = cohort.names[2].clone();
    let [here, there] = [0, 1].map(|of| cohort.place(of, 2, &[0, 1, 2, 3]));
    let swapped = tamper(&shares[me], |v| v["shares"][here] = json!(shares[other])["shares"][there].clone());
    let error = clients.remove(&0).unwrap().receive_shares(&swapped).unwrap_err();
    assert_eq!(error, Error::ShareNotOpened { from: third, to: me.clone(), kind: ShareKind::Seed });
}
