//! What holds in every configuration: whole sessions with and without dropouts, what may not be used again, and who is
//! named when something is wrong.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::json;
use veilflow_secagg::*;

use crate::common::{ALL, CONFIGURATIONS, Cohort, Last, flip, in_each_configuration, tamper};

#[test]
fn the_secure_sum_is_the_plain_sum() {
    in_each_configuration(|_, mut cohort| {
        for round in 1..=2 {
            cohort.session = cohort.session.with_round(round);
            cohort.encode = round == 2;
            cohort.forget();
            let stay = cohort.stay();
            let got = cohort.run(&stay);
            cohort.assert_plain(got, &stay);
        }
    });
}

#[test]
fn one_may_leave_after_each_round() {
    in_each_configuration(|configuration, _| {
        for last in ALL {
            let mut cohort = configuration.cohort();
            let last = cohort.without(2, last);
            let got = cohort.run(&last);
            cohort.assert_plain(got, &last);
        }
    });
}

/// All but one leave: there is no sum in any round, and those who are called missing are.
#[test]
fn row_14_too_few_are_a_typed_error_in_each_round() {
    in_each_configuration(|configuration, _| {
        for leave in &ALL[..ALL.len() - 1] {
            let mut cohort = configuration.cohort();
            let mut last = vec![*leave; cohort.names.len()];
            last[0] = Last::Unmasks;
            let error = cohort.run(&last).unwrap_err();
            assert_eq!((error.code(), error.culprits()), ("below-threshold", vec![]), "{error}");
            let Error::BelowThreshold { missing, .. } = error else { unreachable!() };
            let gone: BTreeSet<&String> = cohort.names[1..].iter().collect();
            assert!(!missing.is_empty() && missing.iter().all(|name| gone.contains(name)), "{missing:?}");
        }
    });
}

/// Under a malicious server the sites that were given another model do not find a majority, and give no share.
#[test]
fn row_01_two_models_give_no_sum() {
    in_each_configuration(|configuration, mut cohort| {
        let (mut server, clients) = cohort.receive(&cohort.stay()).unwrap();
        let other = ModelDigest::of_f32(&[3.0]);
        let mut masked = Vec::new();
        for (i, client) in clients {
            let model = if i % 2 == 0 { other } else { cohort.model };
            let (client, message) = cohort.mask(i, client, model).unwrap();
            server.receive(&cohort.names[i], message).unwrap();
            masked.push((i, client));
        }
        let (mut server, survivors) = server.announce(cohort.model).unwrap();
        let mut confirmed = Vec::new();
        for (i, client) in masked {
            let (client, word) = client.check_consistency(&survivors, &mut cohort.journals[i]).unwrap();
            if server.receive(&cohort.names[i], word).is_ok() {
                confirmed.push((i, client));
            }
        }
        if configuration.colluders.is_some() {
            assert!(confirmed.iter().all(|(i, _)| i % 2 == 1));
            assert!(
                ["below-threshold", "too-few-signatures"].contains(&server.forward().unwrap_err().code())
            );
            return;
        }
        let (mut server, signatures) = server.forward().unwrap();
        for (i, client) in confirmed {
            server.receive(&cohort.names[i], client.unmask(&signatures).unwrap()).unwrap();
        }
        assert_eq!(server.aggregate().unwrap_err().code(), "implausible-sum");
    });
}

#[test]
fn row_06_no_input_is_masked_in_two_sessions() {
    in_each_configuration(|_, mut cohort| {
        let stay = cohort.stay();
        cohort.run(&stay).unwrap();
        cohort.session = cohort.session.next_attempt().unwrap();
        assert_eq!(cohort.run(&stay).unwrap_err().code(), "input-already-masked");
    });
}

#[test]
fn row_07_messages_of_another_session_are_refused_in_each_round() {
    in_each_configuration(|configuration, old| replays(old, configuration.cohort()));
}

fn replays(mut old: Cohort, mut new: Cohort) {
    new.session = old.session.next_attempt().unwrap();
    let name = old.names[0].clone();

    let (mut server, _) = new.advertise(&vec![Last::Nothing; new.names.len()]);
    let (_, message) = old.client(0).advertise_keys(old.session, &mut MemoryJournal::new()).unwrap();
    let expected = Error::SessionMismatch { from: name.clone(), expected: new.session, got: old.session };
    assert_eq!(server.receive(&name, message), Err(expected.clone()));

    let (server, mut clients) = old.advertise(&old.stay());
    let roster = server.freeze().unwrap().1;
    let (_, reveal) = clients.remove(&0).unwrap().freeze_roster(&roster).unwrap();
    new.forget();
    let (server, mut clients) = new.advertise(&new.stay());
    assert_eq!(clients.remove(&0).unwrap().freeze_roster(&roster).unwrap_err().code(), "session-mismatch");
    assert_eq!(server.freeze().unwrap().0.receive(&name, reveal), Err(expected.clone()));

    old.forget();
    let (_, mut clients, frozen) = old.frozen(&old.stay()).unwrap();
    let (_, shares) = clients.remove(&0).unwrap().share_keys(&frozen).unwrap();
    new.forget();
    let (mut server, mut clients, _) = new.frozen(&new.stay()).unwrap();
    assert_eq!(clients.remove(&0).unwrap().share_keys(&frozen).unwrap_err().code(), "session-mismatch");
    assert_eq!(server.receive(&name, shares), Err(expected.clone()));

    old.forget();
    let (server, mut clients) = old.receive(&old.stay()).unwrap();
    let (client, input) = old.mask(0, clients.remove(&0).unwrap(), old.model).unwrap();
    drop(server);
    new.forget();
    let (mut server, _) = new.receive(&new.stay()).unwrap();
    assert_eq!(server.receive(&name, input), Err(expected.clone()));

    new.forget();
    let (server, mut clients) = new.masked(&new.stay()).unwrap();
    let (mut server, survivors) = server.announce(new.model).unwrap();
    assert_eq!(
        client.check_consistency(&survivors, &mut MemoryJournal::new()).unwrap_err().code(),
        "session-mismatch"
    );
    let (_, word) =
        clients.remove(&0).unwrap().check_consistency(&survivors, &mut MemoryJournal::new()).unwrap();
    let replayed = tamper(&word, |v| v["session"]["attempt"] = json!(0));
    assert_eq!(server.receive(&name, replayed), Err(expected.clone()));

    new.forget();
    let (mut server, mut clients, signatures) = new.checked(&new.stay()).unwrap();
    let old_signatures = tamper(&signatures, |v| v["session"]["attempt"] = json!(0));
    let error = clients.remove(&1).unwrap().unmask(&old_signatures).unwrap_err();
    assert_eq!(error.code(), "session-mismatch");
    let answer = clients.remove(&0).unwrap().unmask(&signatures).unwrap();
    let replayed = tamper(&answer, |v| v["session"]["attempt"] = json!(0));
    assert_eq!(server.receive(&name, replayed), Err(expected));
}

#[test]
fn row_07_a_second_message_in_a_round_is_refused() {
    in_each_configuration(|_, cohort| duplicates(cohort));
}

fn duplicates(mut cohort: Cohort) {
    let name = cohort.names[0].clone();
    let sender = name.clone();
    let duplicate = |stage| Error::DuplicateMessage { stage, name: sender.clone() };
    let stages = [Stage::AdvertiseKeys, Stage::ShareKeys, Stage::MaskedInput, Stage::ConsistencyCheck];
    let expected = stages.map(duplicate);

    let (mut server, _) = cohort.advertise(&cohort.stay());
    let (_, message) = cohort.client(0).advertise_keys(cohort.session, &mut MemoryJournal::new()).unwrap();
    assert_eq!(server.receive(&name, message).unwrap_err(), expected[0]);

    cohort.forget();
    let (server, mut clients) = cohort.advertise(&cohort.stay());
    let (mut server, roster) = server.freeze().unwrap();
    let (_, message) = clients.remove(&0).unwrap().freeze_roster(&roster).unwrap();
    server.receive(&name, message.clone()).unwrap();
    assert_eq!(server.receive(&name, message).unwrap_err(), duplicate(Stage::FreezeRoster));

    cohort.forget();
    let (mut server, mut clients, roster) = cohort.frozen(&cohort.stay()).unwrap();
    let (_, message) = clients.remove(&0).unwrap().share_keys(&roster).unwrap();
    server.receive(&name, message.clone()).unwrap();
    assert_eq!(server.receive(&name, message).unwrap_err(), expected[1]);

    cohort.forget();
    let (mut server, mut clients) = cohort.receive(&cohort.stay()).unwrap();
    let (_, message) = cohort.mask(0, clients.remove(&0).unwrap(), cohort.model).unwrap();
    server.receive(&name, message.clone()).unwrap();
    assert_eq!(server.receive(&name, message).unwrap_err(), expected[2]);

    cohort.forget();
    let (server, mut clients) = cohort.masked(&cohort.stay()).unwrap();
    let (mut server, survivors) = server.announce(cohort.model).unwrap();
    let (_, message) =
        clients.remove(&0).unwrap().check_consistency(&survivors, &mut MemoryJournal::new()).unwrap();
    server.receive(&name, message.clone()).unwrap();
    assert_eq!(server.receive(&name, message).unwrap_err(), expected[3]);

    cohort.forget();
    let (mut server, mut clients, signatures) = cohort.checked(&cohort.stay()).unwrap();
    let message = clients.remove(&0).unwrap().unmask(&signatures).unwrap();
    server.receive(&name, message.clone()).unwrap();
    assert_eq!(server.receive(&name, message).unwrap_err(), duplicate(Stage::Unmask));
}

#[test]
fn row_10_the_smallest_cohort_is_the_sites_own() {
    in_each_configuration(|configuration, mut cohort| {
        cohort.policy = cohort.policy.with_min_cohort(configuration.clients);
        let stay = cohort.stay();
        cohort.run(&stay).unwrap();
        for last in &ALL[..4] {
            let mut cohort = configuration.cohort();
            cohort.policy = cohort.policy.with_min_cohort(configuration.clients);
            let last = cohort.without(1, *last);
            assert_eq!(cohort.run(&last).unwrap_err().code(), "cohort-too-small", "{last:?}");
        }
    });
}

/// Where it is signed, the relay is named; where not, nobody is. It is found before an input is masked.
#[test]
fn row_13_a_changed_ciphertext_names_the_relay_or_nobody() {
    in_each_configuration(|configuration, mut cohort| {
        let (server, mut clients) = cohort.share(&cohort.stay()).unwrap();
        let (_, shares) = server.deliver().unwrap();
        let message = &shares[&cohort.names[0]];
        let changed = tamper(message, |v| flip(&mut v["shares"][0]["sealed"]));
        let error = clients.remove(&0).unwrap().receive_shares(&changed).unwrap_err();
        let named: &[&str] = if configuration.colluders.is_some() { &["the server"] } else { &[] };
        assert_eq!(error.culprits(), named, "{error}");
    });
}

#[test]
fn row_13_a_wrong_answer_names_its_giver_and_spoils_nothing() {
    in_each_configuration(|_, mut cohort| {
        let stay = cohort.stay();
        let (mut server, clients, signatures) = cohort.checked(&stay).unwrap();
        for (i, client) in clients {
            let answer = client.unmask(&signatures).unwrap();
            let name = cohort.names[i].clone();
            if i != 0 {
                server.receive(&name, answer).unwrap();
                continue;
            }
            let wrong = tamper(&answer, |v| {
                v["seeds"].as_array_mut().unwrap().iter_mut().for_each(flip);
            });
            let error = server.receive(&name, wrong).unwrap_err();
            assert_eq!((error.code(), error.culprits()), ("wrong-opening", vec![name.as_str()]));
        }
        cohort.assert_plain(server.aggregate(), &stay);
    });
}

/// Another input in another session with a name of its own, for which the site keeps the same journal.
fn next_round(cohort: &mut Cohort) {
    cohort.session = Session::generate(0).unwrap();
    cohort.inputs += 1;
}

#[test]
fn row_18_a_cohort_with_one_less_is_refused_where_the_policy_says_so() {
    in_each_configuration(|_, mut cohort| {
        cohort.policy = cohort.policy.with_min_cohort_difference(2);
        let (stay, first) = (cohort.stay(), cohort.session);
        cohort.run(&stay).unwrap();
        next_round(&mut cohort);
        let error = cohort.run(&cohort.without(1, Last::SharesKeys)).unwrap_err();
        let (Error::CohortDifferenceTooSmall { differing, earlier, .. }, name) = (error, &cohort.names[1])
        else {
            panic!("another error")
        };
        assert_eq!((*earlier, differing), (first, vec![name.clone()]));
        next_round(&mut cohort);
        let got = cohort.run(&stay);
        cohort.assert_plain(got, &stay);
    });
}

/// On the roster, on the frozen roster and on U2 the input is not masked yet: it can be summed with the right cohort.
#[test]
fn row_18_a_fixed_cohort_is_insisted_on_from_the_roster_on() {
    in_each_configuration(|configuration, mut cohort| {
        cohort.policy = cohort.policy.with_fixed_cohort(true);
        let stay = cohort.stay();
        cohort.run(&stay).unwrap();
        for last in [Last::Nothing, Last::AdvertisesKeys, Last::FreezesRoster, Last::SharesKeys] {
            next_round(&mut cohort);
            let error = cohort.run(&cohort.without(1, last)).unwrap_err();
            let Error::CohortChanged { missing, unexpected, .. } = error else { panic!("{error}") };
            assert_eq!((missing, unexpected), (vec![cohort.names[1].clone()], vec![]), "{last:?}");
            let is_early = last <= Last::AdvertisesKeys
                || last == Last::FreezesRoster && configuration.neighbours.is_none();
            if is_early {
                cohort.session = cohort.session.next_attempt().unwrap();
                let got = cohort.run(&stay);
                cohort.assert_plain(got, &stay);
            }
        }
    });
}

#[test]
fn a_site_stops_after_as_many_rounds_as_its_policy_says() {
    in_each_configuration(|_, mut cohort| {
        cohort.policy = cohort.policy.with_max_rounds(2);
        let stay = cohort.stay();
        for _ in 0..2 {
            cohort.run(&stay).unwrap();
            next_round(&mut cohort);
        }
        let client = cohort.client(0);
        let error = client.advertise_keys(cohort.session, &mut cohort.journals[0]).unwrap_err();
        assert_eq!(error, Error::TooManyRounds { max: 2 });
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_dropouts_give_the_plain_sum_or_a_typed_error(
        configuration in select(CONFIGURATIONS.to_vec()),
        last in vec(prop_oneof![8 => Just(Last::Unmasks), 1 => select(ALL.to_vec())], 16),
    ) {
        let mut cohort = configuration.cohort();
        let last = &last[..cohort.names.len()];
        match cohort.run(last) {
            Ok(aggregate) => cohort.assert_plain(Ok(aggregate), last),
            Err(error) => {
                prop_assert!(["below-threshold", "too-few-signatures"].contains(&error.code()), "{}", error);
                prop_assert!(error.culprits().is_empty());
            }
        }
    }
}
