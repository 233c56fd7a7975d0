//! Rows 1 to 3: different models, different questions and different survivors for different clients.

use serde_json::json;
use veilflow_secagg::*;

use super::{STAY, confirm, finish, four, signatures_of};
use crate::common::{Cohort, Last, tamper};

// Row 1: different models for different clients.

/// A curious server would not; without signatures the masks are what stops it.
#[test]
fn row_01_masks_of_different_models_do_not_cancel() {
    let mut cohort = four();
    let (mut server, clients) = cohort.receive(&STAY).unwrap();
    let other = ModelDigest::of_f32(&[1.0, 2.1]);
    let mut masked = Vec::new();
    for (i, client) in clients {
        let model = if i == 2 { other } else { cohort.model };
        let (client, message) = cohort.mask(i, client, model).unwrap();
        server.receive(&cohort.names[i], message).unwrap();
        masked.push((i, client));
    }
    let (server, clients, signatures) = confirm(&cohort, server.announce(cohort.model).unwrap(), masked);
    assert_eq!(finish(&cohort, server, clients, &signatures).unwrap_err().code(), "implausible-sum");
}

#[test]
fn row_01_a_server_with_another_model_cannot_remove_a_dropout() {
    let mut cohort = four();
    let (server, clients) =
        cohort.masked(&[Last::Unmasks, Last::SharesKeys, Last::Unmasks, Last::Unmasks]).unwrap();
    let announced = server.announce(ModelDigest::of_f32(&[])).unwrap();
    let (server, clients, signatures) = confirm(&cohort, announced, clients);
    assert_eq!(finish(&cohort, server, clients, &signatures).unwrap_err().code(), "implausible-sum");
}

/// Whoever was given another model signs another binding: its word does not count, and its sum is not opened.
#[test]
fn row_01_against_a_malicious_server_no_share_leaves() {
    let mut cohort = Cohort::malicious(4, 0);
    let (mut server, clients) = cohort.receive(&STAY).unwrap();
    let other = ModelDigest::of_f32(&[1.0, 2.1]);
    let mut masked = Vec::new();
    for (i, client) in clients {
        let model = if i % 2 == 0 { other } else { cohort.model };
        let (client, message) = cohort.mask(i, client, model).unwrap();
        server.receive(&cohort.names[i], message).unwrap();
        masked.push((i, client));
    }
    let (mut server, survivors) = server.announce(cohort.model).unwrap();
    let (mut clients, mut words) = (Vec::new(), Vec::new());
    for (i, client) in masked {
        let (client, message) = client.check_consistency(&survivors, &mut MemoryJournal::new()).unwrap();
        let result = server.receive(&cohort.names[i], message.clone());
        let from = cohort.names[i].clone();
        let stage = Stage::ConsistencyCheck;
        let refused = Error::BadSignature { stage, from: from.clone(), signer: from };
        assert_eq!(result, if i % 2 == 0 { Err(refused) } else { Ok(()) });
        words.push((cohort.names[i].clone(), message));
        clients.push(client);
    }
    assert_eq!(server.forward().unwrap_err().code(), "below-threshold");
    // A server that forwards them all the same convinces nobody.
    let all = signatures_of(&cohort, words);
    for client in clients {
        let error = client.unmask(&all).unwrap_err();
        assert!(matches!(error, Error::TooFewSignatures { required: 3, got: 2, .. }), "{error}");
    }
}

// Row 2: both shares of one client.

#[test]
fn row_02_an_answer_has_one_share_per_member_and_its_own_seed_only() {
    let mut cohort = four();
    let last = [Last::Unmasks, Last::SharesKeys, Last::Unmasks, Last::Unmasks];
    let (mut server, clients, signatures) = cohort.checked(&last).unwrap();
    for (i, client) in clients {
        let message = client.unmask(&signatures).unwrap();
        let answer = serde_json::to_value(&message).unwrap();
        let count = |kind: &str| answer[kind].as_array().unwrap().len();
        assert_eq!(
            (count("seeds"), count("masking_keys")),
            (3, 1),
            "of three that arrived, and one that did not"
        );
        // Each is the share that it is to be: the server looks at each commitment.
        server.receive(&cohort.names[i], message).unwrap();
    }
}

#[test]
fn row_02_a_client_that_is_called_dropped_answers_nothing() {
    let mut cohort = four();
    let (server, mut clients) = cohort.masked(&STAY).unwrap();
    let (_, survivors) = server.announce(cohort.model).unwrap();
    let name = cohort.names[1].clone();
    let without =
        tamper(&survivors, |v| v["survivors"].as_array_mut().unwrap().retain(|n| *n != json!(name)));
    let error =
        clients.remove(&1).unwrap().check_consistency(&without, &mut MemoryJournal::new()).unwrap_err();
    assert_eq!(error, Error::NotASurvivor { client: name });
}

#[test]
fn row_02_survivors_who_never_shared_keys_are_refused() {
    let mut cohort = four();
    let (server, mut clients) = cohort.masked(&STAY).unwrap();
    let (_, survivors) = server.announce(cohort.model).unwrap();
    let padded = tamper(&survivors, |v| v["survivors"].as_array_mut().unwrap().push(json!("mallory")));
    let error =
        clients.remove(&0).unwrap().check_consistency(&padded, &mut MemoryJournal::new()).unwrap_err();
    assert_eq!(error, Error::SurvivorsNotInCohort { names: vec!["mallory".into()] });
}

#[test]
fn row_02_the_server_takes_no_answer_about_the_wrong_kind() {
    let mut cohort = four();
    let (mut server, mut clients, signatures) = cohort.checked(&STAY).unwrap();
    let answer = clients.remove(&0).unwrap().unmask(&signatures).unwrap();
    let (me, stage) = (cohort.names[0].clone(), Stage::Unmask);
    let both = tamper(&answer, |v| v["masking_keys"] = json!([v["seeds"][0]]));
    let error = server.receive(&me, both).unwrap_err();
    assert_eq!(error, Error::WrongShareCount { stage, from: me.clone(), expected: 0, got: 1 });
    assert_eq!(error.culprits(), [me.as_str()]);
    let fewer = tamper(&answer, |v| drop(v["seeds"].as_array_mut().unwrap().pop()));
    let error = server.receive(&me, fewer).unwrap_err();
    assert_eq!(error, Error::WrongShareCount { stage, from: me.clone(), expected: 4, got: 3 });
    server.receive(&me, answer).unwrap();
}

// Row 3: different survivors for different clients.

/// The server shows one client another set; whoever signs, one story at most finds a majority.
#[test]
fn row_03_two_stories_do_not_both_find_a_majority() {
    let mut cohort = Cohort::malicious(7, 2);
    let (server, clients) = cohort.masked(&[Last::Unmasks; 7]).unwrap();
    let (_, survivors) = server.announce(cohort.model).unwrap();
    let without = tamper(&survivors, |v| {
        v["survivors"].as_array_mut().unwrap().retain(|n| *n != json!(cohort.names[6]))
    });
    let mut sides = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
    for (i, client) in clients.into_iter().filter(|(i, _)| *i != 6) {
        let story = usize::from(i >= 3);
        let (client, word) =
            client.check_consistency([&survivors, &without][story], &mut MemoryJournal::new()).unwrap();
        sides[story].0.push(client);
        sides[story].1.push((cohort.names[i].clone(), word));
    }
    for (clients, words) in sides {
        let own = signatures_of(&cohort, words);
        for client in clients {
            let error = client.unmask(&own).unwrap_err();
            assert!(matches!(error, Error::TooFewSignatures { required: 5, got: 3, .. }), "{error}");
            assert!(error.culprits().is_empty());
        }
    }
}

/// Signatures of one story, of another session, or under another name do not count for this one.
#[test]
fn row_03_signatures_count_for_what_they_say() {
    let mut cohort = Cohort::malicious(4, 0);
    let (_, mut clients, signatures) = cohort.checked(&STAY).unwrap();
    let mut earlier = Cohort::malicious(4, 0);
    earlier.session = earlier.session.with_round(0);
    let (_, _, old) = earlier.checked(&STAY).unwrap();
    let replayed = tamper(&signatures, |v| v["signatures"] = json!(old)["signatures"].clone());
    let error = clients.remove(&0).unwrap().unmask(&replayed).unwrap_err();
    assert_eq!((error.code(), error.culprits().len()), ("too-few-signatures", 0));
    let one = json!(signatures)["signatures"][&cohort.names[1]].clone();
    let copied = tamper(&signatures, |v| {
        v["signatures"].as_object_mut().unwrap().values_mut().for_each(|s| *s = one.clone())
    });
    let error = clients.remove(&1).unwrap().unmask(&copied).unwrap_err();
    assert!(matches!(error, Error::TooFewSignatures { required: 3, got: 1, .. }), "{error}");
    let stripped = tamper(&signatures, |v| v["signatures"] = json!({}));
    let error = clients.remove(&2).unwrap().unmask(&stripped).unwrap_err();
    assert!(matches!(error, Error::TooFewSignatures { required: 3, got: 0, .. }), "{error}");
    // Strangers add nothing, and three good ones do.
    let padded = tamper(&signatures, |v| {
        let first = cohort.names[0].clone();
        v["signatures"].as_object_mut().unwrap().remove(&first);
        v["signatures"]["mallory"] = one;
    });
    clients.remove(&3).unwrap().unmask(&padded).unwrap();
}

/// A server cannot turn signatures off: the site's policy decides, and the plan's digest is in everything.
#[test]
fn row_03_a_session_without_signatures_needs_the_sites_policy() {
    let curious = four();
    let error = Client::new("a", curious.plan, ClientPolicy::default()).unwrap_err();
    let (required, got) = (Security::default(), Security::SemiHonest);
    assert_eq!(error, Error::SecurityBelowPolicy { client: "a".into(), required, got });
    let malicious = Cohort::malicious(4, 0);
    let client = Client::new("a", malicious.plan, malicious.policy).unwrap();
    let error = client.advertise_keys(malicious.session, &mut MemoryJournal::new()).unwrap_err();
    assert_eq!(error, Error::IdentityRequired { name: "a".into() });
    let mut server =
        AdvertiseKeysServer::new(malicious.session, malicious.plan, malicious.names.clone()).unwrap();
    let (_, message) =
        malicious.client(0).advertise_keys(malicious.session, &mut MemoryJournal::new()).unwrap();
    assert_eq!(server.receive(&malicious.names[0], message).unwrap_err().code(), "identity-required");
}
