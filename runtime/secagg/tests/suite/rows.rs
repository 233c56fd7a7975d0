//! The rows of `SECURITY.md` that hold already, attacked from outside: through messages and calls only.

use crate::common::{Cohort, Last, flip, identity_of, tamper};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use veilflow_secagg::*;

const STAY: [Last; 4] = [Last::Unmasks; 4];

fn four() -> Cohort {
    Cohort::of(4, 3)
}

type Clients = Vec<(usize, UnmaskClient)>;

/// Round 3.
fn confirm(
    cohort: &Cohort,
    (mut server, survivors): (ConsistencyCheckServer, SurvivorsMessage),
    clients: impl IntoIterator<Item = (usize, ConsistencyCheckClient)>,
) -> (UnmaskServer, Clients, SignaturesMessage) {
    let mut next = Vec::new();
    for (i, client) in clients {
        let (client, message) = client.check_consistency(&survivors).unwrap();
        server.receive(&cohort.names[i], message).unwrap();
        next.push((i, client));
    }
    let (server, signatures) = server.forward().unwrap();
    (server, next, signatures)
}

/// Round 4.
fn finish(
    cohort: &Cohort,
    mut server: UnmaskServer,
    clients: Clients,
    signatures: &SignaturesMessage,
) -> Result<Aggregate, Error> {
    for (i, client) in clients {
        server.receive(&cohort.names[i], client.unmask(signatures).unwrap()).unwrap();
    }
    server.aggregate()
}

/// What a server can forward: any words that it has.
fn signatures_of(cohort: &Cohort, words: Vec<(String, ConsistencyCheckMessage)>) -> SignaturesMessage {
    let signatures = words.into_iter().map(|(name, word)| (name, json!(word)["signature"].clone()));
    let signatures: serde_json::Map<_, _> = signatures.collect();
    serde_json::from_value(json!({ "session": cohort.session, "signatures": signatures })).unwrap()
}

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
        let (client, message) = client.check_consistency(&survivors).unwrap();
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
    let (_, clients, signatures) = cohort.checked(&last).unwrap();
    for (i, client) in clients {
        let answer = serde_json::to_value(client.unmask(&signatures).unwrap()).unwrap();
        let names = |kind: &str| answer[kind].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let mut arrived: Vec<String> = [0, 2, 3].map(|i| cohort.names[i].clone()).to_vec();
        arrived.sort();
        assert_eq!(names("seeds"), arrived);
        assert_eq!(names("masking_keys"), [cohort.names[1].clone()]);
        assert!(!names("masking_keys").contains(&cohort.names[i]));
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
    let error = clients.remove(&1).unwrap().check_consistency(&without).unwrap_err();
    assert_eq!(error, Error::NotASurvivor { client: name });
}

#[test]
fn row_02_survivors_who_never_shared_keys_are_refused() {
    let mut cohort = four();
    let (server, mut clients) = cohort.masked(&STAY).unwrap();
    let (_, survivors) = server.announce(cohort.model).unwrap();
    let padded = tamper(&survivors, |v| v["survivors"].as_array_mut().unwrap().push(json!("mallory")));
    let error = clients.remove(&0).unwrap().check_consistency(&padded).unwrap_err();
    assert_eq!(error, Error::SurvivorsNotInCohort { names: vec!["mallory".into()] });
}

#[test]
fn row_02_the_server_takes_no_answer_about_the_wrong_kind() {
    let mut cohort = four();
    let (mut server, mut clients, signatures) = cohort.checked(&STAY).unwrap();
    let answer = clients.remove(&0).unwrap().unmask(&signatures).unwrap();
    let (me, other) = (cohort.names[0].clone(), cohort.names[1].clone());
    let both = tamper(&answer, |v| v["masking_keys"][&other] = v["seeds"][&other].clone());
    let error = server.receive(&me, both).unwrap_err();
    assert_eq!(
        error,
        Error::WrongShareSet { from: me.clone(), missing: vec![], unexpected: vec![other.clone()] }
    );
    assert_eq!(error.culprits(), [me.as_str()]);
    let fewer = tamper(&answer, |v| drop(v["seeds"].as_object_mut().unwrap().remove(&other)));
    let error = server.receive(&me, fewer).unwrap_err();
    assert_eq!(error, Error::WrongShareSet { from: me.clone(), missing: vec![other], unexpected: vec![] });
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
        let (client, word) = client.check_consistency([&survivors, &without][story]).unwrap();
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

// Row 4: substituted keys, Sybils, a padded roster.

#[test]
fn row_04_keys_that_their_owner_did_not_sign_are_refused_by_every_client() {
    let mut cohort = Cohort::malicious(4, 0);
    let (server, mut clients) = cohort.advertise(&STAY);
    let (_, roster) = server.freeze().unwrap();
    let other = {
        let mut earlier = Cohort::malicious(4, 0);
        earlier.session = earlier.session.with_round(0);
        json!(earlier.advertise(&STAY).0.freeze().unwrap().1)
    };
    let victim = roster.index_of(&cohort.names[1]).unwrap() - 1;
    let owner = cohort.names[1].clone();
    let expected =
        Error::BadSignature { stage: Stage::AdvertiseKeys, from: "the server".into(), signer: owner.clone() };
    // Its keys of an earlier session, with and without the signature of then; and no signature at all.
    let replayed = tamper(&roster, |v| v["members"][victim] = other["members"][victim].clone());
    let swapped = tamper(&roster, |v| {
        v["members"][victim]["masking_key"] = other["members"][victim]["masking_key"].clone();
    });
    let unsigned = tamper(&roster, |v| v["members"][victim]["signature"] = json!(null));
    for (i, bad) in [(0, replayed), (2, swapped), (3, unsigned)] {
        let error = clients.remove(&i).unwrap().freeze_roster(&bad).unwrap_err();
        assert_eq!(error, expected);
        assert_eq!(error.culprits(), ["the server"]);
    }
}

#[test]
fn row_04_a_sybil_whom_no_client_has_enrolled_is_refused() {
    let mut cohort = Cohort::malicious(4, 0);
    let name = cohort.names[1].clone();
    let (server, _) = cohort.advertise(&STAY);
    let (_, roster) = server.freeze().unwrap();
    // This site was told of three.
    let mut keys = cohort.keys.clone();
    keys.remove(&name);
    let trusted = Identities::new(keys.iter().map(|(name, key)| (name.as_str(), key.public())));
    let me = cohort.names[0].clone();
    let client = Client::new(me.as_str(), cohort.plan, cohort.policy).unwrap();
    let client = client.with_identity(cohort.keys[&me].clone(), trusted).unwrap();
    let (client, _) = client.advertise_keys(cohort.session, &mut MemoryJournal::new()).unwrap();
    let error = client.freeze_roster(&roster).unwrap_err();
    assert_eq!(error, Error::IdentityUnknown { from: "the server".into(), name });
}

/// 4 are invited of 40 who are enrolled: if a tenth works for the server, it may be these.
#[test]
fn row_04_a_site_counts_the_adversaries_among_all_who_are_enrolled() {
    let mut cohort = Cohort::malicious(10, 1);
    let (server, _) = cohort.advertise(&[Last::Unmasks; 10]);
    let (_, roster) = server.freeze().unwrap();
    for (enrolled, policy, refused) in [
        (10, 0.1, None),
        (19, 0.1, None),
        (20, 0.1, Some((2, 7))),
        (10, 0.3, Some((3, 7))),
        (40, 0.1, Some((4, 8))),
    ] {
        let me = cohort.names[0].clone();
        let policy = cohort.policy.with_min_security(Security::Malicious { adversaries: policy });
        let client = Client::new(me.as_str(), cohort.plan, policy).unwrap();
        let trusted = cohort.trusted().with_enrolled(enrolled);
        let client = client.with_identity(cohort.keys[&me].clone(), trusted).unwrap();
        let (client, mine) = client.advertise_keys(cohort.session, &mut MemoryJournal::new()).unwrap();
        let at = roster.index_of(&me).unwrap() - 1;
        let with_me = tamper(&roster, |v| {
            for key in ["sealing_key", "masking_key", "commitment", "signature"] {
                v["members"][at][key] = json!(mine)[key].clone();
            }
        });
        let result = client.freeze_roster(&with_me).map(drop);
        let error = refused.map(|(colluders, required)| Error::TooManyAdversaries {
            roster: 10,
            colluders,
            required,
            threshold: 6,
        });
        assert_eq!(result.err(), error, "{enrolled} enrolled");
    }
}

#[test]
fn row_04_the_server_names_who_signed_wrongly() {
    let cohort = Cohort::malicious(4, 0);
    let mut server = cohort.server();
    let advertise =
        |i: usize| cohort.client(i).advertise_keys(cohort.session, &mut MemoryJournal::new()).unwrap().1;
    // The keys of one under the name of another.
    let error = server.receive(&cohort.names[0], advertise(1)).unwrap_err();
    assert_eq!((error.code(), error.culprits()), ("bad-signature", vec![cohort.names[0].as_str()]));
    server.receive(&cohort.names[0], advertise(0)).unwrap();
}

#[test]
fn row_04_a_client_finds_its_own_keys_in_the_roster_or_stops() {
    let mut cohort = four();
    let (server, mut clients) = cohort.advertise(&STAY);
    let (_, roster) = server.freeze().unwrap();
    let at = roster.index_of(&cohort.names[0]).unwrap() - 1;
    let without = tamper(&roster, |v| drop(v["members"].as_array_mut().unwrap().remove(at)));
    let error = clients.remove(&0).unwrap().freeze_roster(&without).unwrap_err();
    assert_eq!(error, Error::NotInRoster { client: cohort.names[0].clone() });

    let at = roster.index_of(&cohort.names[1]).unwrap() - 1;
    let swapped = tamper(&roster, |v| {
        let member = &mut v["members"][at];
        let (sealing, masking) = (member["sealing_key"].clone(), member["masking_key"].clone());
        member["sealing_key"] = masking;
        member["masking_key"] = sealing;
    });
    let error = clients.remove(&1).unwrap().freeze_roster(&swapped).unwrap_err();
    assert_eq!(error, Error::OwnKeysReplaced { client: cohort.names[1].clone() });
}

#[test]
fn row_04_keys_off_the_curve_are_refused_on_receipt() {
    let cohort = four();
    let mut server = cohort.server();
    let (_, message) = cohort.client(0).advertise_keys(cohort.session, &mut MemoryJournal::new()).unwrap();
    let bad = tamper(&message, |v| v["masking_key"] = json!(vec![0; 33]));
    let error = server.receive(&cohort.names[0], bad).unwrap_err();
    assert_eq!(error, Error::InvalidPublicKey { owner: cohort.names[0].clone() });
    assert_eq!(error.culprits(), [cohort.names[0].as_str()]);
    server.receive(&cohort.names[0], message).unwrap();
}

/// The members sign one roster: a server with two finds that neither is signed by all who are in it.
#[test]
fn row_04_members_with_another_roster_are_not_gone_on_with() {
    let mut cohort = Cohort::malicious(4, 0);
    let (server, mut clients) = cohort.advertise(&STAY);
    let (mut server, roster) = server.freeze().unwrap();
    let gone = roster.index_of(&cohort.names[3]).unwrap() - 1;
    let other = tamper(&roster, |v| drop(v["members"].as_array_mut().unwrap().remove(gone)));
    let (me, _) = clients.remove(&0).unwrap().freeze_roster(&roster).unwrap();
    let (_, word) = clients.remove(&1).unwrap().freeze_roster(&other).unwrap();
    let name = cohort.names[1].clone();
    let error = server.receive(&name, word.clone()).unwrap_err();
    assert_eq!((error.code(), error.culprits()), ("bad-signature", vec![name.as_str()]));
    // A server that does not mind gets no further.
    let (_, _, frozen) = {
        cohort.journals = vec![MemoryJournal::new(); 4];
        cohort.frozen(&STAY).unwrap()
    };
    let padded = tamper(&frozen, |v| v["reveals"] = json!({ &name: word }));
    assert_eq!(me.share_keys(&padded).unwrap_err().culprits(), ["the server"]);
}

// Row 5: who is whose neighbour.

#[test]
fn row_05_a_value_that_was_not_committed_to_is_refused_on_both_sides() {
    let mut cohort = four();
    let (server, mut clients) = cohort.advertise(&STAY);
    let (mut server, roster) = server.freeze().unwrap();
    let (name, other) = (cohort.names[0].clone(), cohort.names[1].clone());
    let (client, reveal) = clients.remove(&0).unwrap().freeze_roster(&roster).unwrap();
    let chosen = tamper(&reveal, |v| flip(&mut v["randomness"]));
    let error = server.receive(&name, chosen).unwrap_err();
    assert_eq!(error, Error::WrongReveal { from: name.clone(), name: name.clone() });
    assert_eq!(error.culprits(), [name.as_str()]);
    server.receive(&name, reveal).unwrap();
    for (i, client) in clients {
        server.receive(&cohort.names[i], client.freeze_roster(&roster).unwrap().1).unwrap();
    }
    let (_, frozen) = server.reveal().unwrap();
    let steered = tamper(&frozen, |v| flip(&mut v["reveals"][&other]["randomness"]));
    let error = client.share_keys(&steered).unwrap_err();
    assert_eq!(error, Error::WrongReveal { from: "the server".into(), name: other });
}

/// A server that knows every value may still leave some out: it gets no more than 2¹⁰ graphs to choose from.
#[test]
fn row_05_a_server_cannot_choose_the_graph_by_leaving_members_out() {
    let security = Security::Malicious { adversaries: 0.0 };
    let parameters = Parameters::new()
        .with_security(security)
        .with_num_shares(NumShares::Count(4))
        .with_dropouts(0.0)
        .with_reconstruction_threshold(Threshold::Count(3));
    let mut cohort = Cohort::new(parameters.plan(60, Layout::new(0, 1)).unwrap());
    cohort.names = (0..60).map(|i| format!("{i:02}")).collect();
    cohort.keys = cohort.names.iter().map(|name| (name.clone(), identity_of(name))).collect();
    let (_, mut clients, frozen) = cohort.frozen(&[Last::Unmasks; 60]).unwrap();
    let without = |names: &[&str]| {
        tamper(&frozen, |v| v["reveals"].as_object_mut().unwrap().retain(|name, _| !names.contains(&&**name)))
    };
    clients.remove(&0).unwrap().share_keys(&without(&["01"])).unwrap();
    let error = clients.remove(&2).unwrap().share_keys(&without(&["01", "03"])).unwrap_err();
    assert_eq!(error, Error::TooManyWithheld { missing: vec!["01".into(), "03".into()] });
    let error = clients.remove(&4).unwrap().share_keys(&without(&["04"])).unwrap_err();
    assert_eq!(error, Error::NotInRoster { client: "04".into() });
}

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
fn row_07_messages_of_another_session_are_refused_in_each_round() {
    let mut old = four();
    let mut new = four();
    new.session = old.session.next_attempt().unwrap();
    let name = old.names[0].clone();

    let (mut server, _) = new.advertise(&[Last::Nothing; 4]);
    let (_, message) = old.client(0).advertise_keys(old.session, &mut MemoryJournal::new()).unwrap();
    let expected = Error::SessionMismatch { from: name.clone(), expected: new.session, got: old.session };
    assert_eq!(server.receive(&name, message), Err(expected.clone()));

    let (server, mut clients) = old.advertise(&STAY);
    let roster = server.freeze().unwrap().1;
    let (_, reveal) = clients.remove(&0).unwrap().freeze_roster(&roster).unwrap();
    new.journals = vec![MemoryJournal::new(); 4];
    let (server, mut clients) = new.advertise(&STAY);
    assert_eq!(clients.remove(&0).unwrap().freeze_roster(&roster).unwrap_err().code(), "session-mismatch");
    assert_eq!(server.freeze().unwrap().0.receive(&name, reveal), Err(expected.clone()));

    old.journals = vec![MemoryJournal::new(); 4];
    let (_, mut clients, frozen) = old.frozen(&STAY).unwrap();
    let (_, shares) = clients.remove(&0).unwrap().share_keys(&frozen).unwrap();
    new.journals = vec![MemoryJournal::new(); 4];
    let (mut server, mut clients, _) = new.frozen(&STAY).unwrap();
    assert_eq!(clients.remove(&0).unwrap().share_keys(&frozen).unwrap_err().code(), "session-mismatch");
    assert_eq!(server.receive(&name, shares), Err(expected.clone()));

    old.journals = vec![MemoryJournal::new(); 4];
    let (server, mut clients) = old.receive(&STAY).unwrap();
    let (client, input) = old.mask(0, clients.remove(&0).unwrap(), old.model).unwrap();
    drop(server);
    new.journals = vec![MemoryJournal::new(); 4];
    let (mut server, _) = new.receive(&STAY).unwrap();
    assert_eq!(server.receive(&name, input), Err(expected.clone()));

    new.journals = vec![MemoryJournal::new(); 4];
    let (server, mut clients) = new.masked(&STAY).unwrap();
    let (mut server, survivors) = server.announce(new.model).unwrap();
    assert_eq!(client.check_consistency(&survivors).unwrap_err().code(), "session-mismatch");
    let (_, word) = clients.remove(&0).unwrap().check_consistency(&survivors).unwrap();
    let replayed = tamper(&word, |v| v["session"]["attempt"] = json!(0));
    assert_eq!(server.receive(&name, replayed), Err(expected.clone()));

    new.journals = vec![MemoryJournal::new(); 4];
    let (mut server, mut clients, signatures) = new.checked(&STAY).unwrap();
    let old_signatures = tamper(&signatures, |v| v["session"]["attempt"] = json!(0));
    let error = clients.remove(&1).unwrap().unmask(&old_signatures).unwrap_err();
    assert_eq!(error.code(), "session-mismatch");
    let answer = clients.remove(&0).unwrap().unmask(&signatures).unwrap();
    let replayed = tamper(&answer, |v| v["session"]["attempt"] = json!(0));
    assert_eq!(server.receive(&name, replayed), Err(expected));
}

#[test]
fn row_07_a_second_message_in_a_round_is_refused() {
    let mut cohort = four();
    let name = cohort.names[0].clone();
    let sender = name.clone();
    let duplicate = |stage| Error::DuplicateMessage { stage, name: sender.clone() };
    let stages = [Stage::AdvertiseKeys, Stage::ShareKeys, Stage::MaskedInput, Stage::ConsistencyCheck];
    let expected = stages.map(duplicate);

    let (mut server, _) = cohort.advertise(&STAY);
    let (_, message) = cohort.client(0).advertise_keys(cohort.session, &mut MemoryJournal::new()).unwrap();
    assert_eq!(server.receive(&name, message).unwrap_err(), expected[0]);

    cohort.journals = vec![MemoryJournal::new(); 4];
    let (server, mut clients) = cohort.advertise(&STAY);
    let (mut server, roster) = server.freeze().unwrap();
    let (_, message) = clients.remove(&0).unwrap().freeze_roster(&roster).unwrap();
    server.receive(&name, message.clone()).unwrap();
    assert_eq!(server.receive(&name, message).unwrap_err(), duplicate(Stage::FreezeRoster));

    cohort.journals = vec![MemoryJournal::new(); 4];
    let (mut server, mut clients, roster) = cohort.frozen(&STAY).unwrap();
    let (_, message) = clients.remove(&0).unwrap().share_keys(&roster).unwrap();
    server.receive(&name, message.clone()).unwrap();
    assert_eq!(server.receive(&name, message).unwrap_err(), expected[1]);

    cohort.journals = vec![MemoryJournal::new(); 4];
    let (mut server, mut clients) = cohort.receive(&STAY).unwrap();
    let (_, message) = cohort.mask(0, clients.remove(&0).unwrap(), cohort.model).unwrap();
    server.receive(&name, message.clone()).unwrap();
    assert_eq!(server.receive(&name, message).unwrap_err(), expected[2]);

    cohort.journals = vec![MemoryJournal::new(); 4];
    let (server, mut clients) = cohort.masked(&STAY).unwrap();
    let (mut server, survivors) = server.announce(cohort.model).unwrap();
    let (_, message) = clients.remove(&0).unwrap().check_consistency(&survivors).unwrap();
    server.receive(&name, message.clone()).unwrap();
    assert_eq!(server.receive(&name, message).unwrap_err(), expected[3]);

    cohort.journals = vec![MemoryJournal::new(); 4];
    let (mut server, mut clients, signatures) = cohort.checked(&STAY).unwrap();
    let message = clients.remove(&0).unwrap().unmask(&signatures).unwrap();
    server.receive(&name, message.clone()).unwrap();
    assert_eq!(server.receive(&name, message).unwrap_err(), duplicate(Stage::Unmask));
}

#[test]
fn row_07_a_share_for_one_client_does_not_open_for_another() {
    let mut cohort = four();
    let (server, mut clients) = cohort.share(&STAY).unwrap();
    let (_, shares) = server.deliver().unwrap();
    let (me, other) = (&cohort.names[0], &cohort.names[1]);
    let third = cohort.names[2].clone();
    let swapped =
        tamper(&shares[me], |v| v["shares"][&third] = json!(shares[other])["shares"][&third].clone());
    let error = clients.remove(&0).unwrap().receive_shares(&swapped).unwrap_err();
    assert_eq!(error, Error::ShareNotOpened { from: third, to: me.clone(), kind: ShareKind::Seed });
}

// Row 10: small cohorts.

#[test]
fn row_10_a_site_refuses_a_plan_below_its_policy() {
    let plan = |threshold, clients| {
        let threshold = Threshold::Count(threshold);
        let parameters = Parameters::new().with_min_cohort(2).with_reconstruction_threshold(threshold);
        parameters.with_security(Security::SemiHonest).plan(clients, Layout::new(0, 1)).unwrap()
    };
    let policy = ClientPolicy::default().with_min_security(Security::SemiHonest);
    let error = Client::new("a", plan(2, 2), policy).unwrap_err();
    let stage = Stage::AdvertiseKeys;
    assert_eq!(error, Error::CohortTooSmall { stage, minimum: 3, got: 2, missing: vec![] });
    let error = Client::new("a", plan(2, 4), policy.with_min_threshold(3)).unwrap_err();
    assert_eq!(error, Error::ThresholdBelowPolicy { client: "a".into(), minimum: 3, got: 2 });
    Client::new("a", plan(2, 2), policy.with_min_cohort(2)).unwrap();
    assert_eq!(Client::new("", plan(2, 3), policy).unwrap_err().code(), "invalid-name");
}

/// The server's minimum is 2, the sites' is 4: whatever the server goes on with, they do not.
#[test]
fn row_10_clients_enforce_their_minimum_on_the_roster_on_u2_and_on_u3() {
    let cohort = |last: &[Last]| {
        let mut cohort = Cohort::of(4, 2);
        cohort.policy = cohort.policy.with_min_cohort(4);
        let missing = cohort.lost(last, Last::Nothing, Last::Unmasks);
        (cohort.run(last).unwrap_err(), missing)
    };
    let small = |stage, missing| Error::CohortTooSmall { stage, minimum: 4, got: 3, missing };
    for (leave, stage) in [
        (Last::Nothing, Stage::FreezeRoster),
        (Last::AdvertisesKeys, Stage::FreezeRoster),
        (Last::FreezesRoster, Stage::ShareKeys),
        (Last::SharesKeys, Stage::MaskedInput),
    ] {
        let (error, missing) = cohort(&[Last::Unmasks, leave, Last::Unmasks, Last::Unmasks]);
        // Who was never in the roster is nobody that a client could name.
        let missing = if leave == Last::Nothing { vec![] } else { missing };
        assert_eq!(error, small(stage, missing));
        assert!(error.culprits().is_empty());
    }
}

#[test]
fn row_10_a_client_counts_the_survivors_itself() {
    let mut cohort = four();
    let (server, mut clients) = cohort.masked(&STAY).unwrap();
    let (_, survivors) = server.announce(cohort.model).unwrap();
    let me = cohort.names[0].clone();
    let alone = tamper(&survivors, |v| v["survivors"] = json!([me]));
    let missing = cohort.names[1..].iter().cloned().collect::<std::collections::BTreeSet<_>>();
    let error = clients.remove(&0).unwrap().check_consistency(&alone).unwrap_err();
    let missing = missing.into_iter().collect();
    assert_eq!(error, Error::BelowThreshold { stage: Stage::MaskedInput, required: 3, got: 1, missing });
}

// Row 12: a late input.

/// The server has everything that a session gives it about a dropout (its masking key, hence all pair masks) and the
/// input that came too late. What is left is the input under PRG(b), and no answer contains a share of that `b`.
#[test]
fn row_12_no_answer_opens_the_seed_of_a_dropout() {
    let mut cohort = four();
    let (mut server, clients) = cohort.receive(&STAY).unwrap();
    let (mut late, mut unmaskers) = (None, Vec::new());
    for (i, client) in clients {
        let (client, message) = cohort.mask(i, client, cohort.model).unwrap();
        if i == 1 {
            late = Some((client, message));
        } else {
            server.receive(&cohort.names[i], message).unwrap();
            unmaskers.push((i, client));
        }
    }
    let (server, survivors) = server.announce(cohort.model).unwrap();
    let dropped = cohort.names[1].clone();
    assert_eq!(server.dropped().collect::<Vec<_>>(), [dropped.as_str()]);
    let (mut server, unmaskers, signatures) = confirm(&cohort, (server, survivors.clone()), unmaskers);
    for (i, client) in unmaskers {
        let answer = client.unmask(&signatures).unwrap();
        assert!(serde_json::to_value(&answer).unwrap()["seeds"].get(&dropped).is_none());
        server.receive(&cohort.names[i], answer).unwrap();
    }
    // Nor does the late client itself help, with its answer or with anything else.
    let (client, _) = late.unwrap();
    let error = client.check_consistency(&survivors).unwrap_err();
    assert_eq!(error, Error::NotASurvivor { client: dropped.clone() });
    let last = [Last::Unmasks, Last::SharesKeys, Last::Unmasks, Last::Unmasks];
    assert_eq!(server.aggregate().unwrap(), cohort.plain(&last));
}

// Row 13: corrupted shares and ciphertexts, and who is to blame.

/// Nobody knows whether sharer or relay changed it, where nothing is signed.
#[test]
fn row_13_a_changed_ciphertext_is_found_before_round_2_and_accuses_nobody() {
    for (field, code) in [
        ("seed", "share-not-opened"),
        ("masking_key", "share-not-opened"),
        ("seed_commitment", "disputed-pair"),
        ("masking_key_commitment", "disputed-pair"),
    ] {
        let mut cohort = four();
        let (server, mut clients) = cohort.share(&STAY).unwrap();
        let (_, shares) = server.deliver().unwrap();
        let (me, from) = (cohort.names[0].clone(), cohort.names[1].clone());
        let changed = tamper(&shares[&me], |v| flip(&mut v["shares"][&from]["sealed"][field]));
        let error = clients.remove(&0).unwrap().receive_shares(&changed).unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.culprits().is_empty());
    }
}

/// What its sharer did not sign comes from the relay.
#[test]
fn row_13_a_relay_that_changes_what_is_signed_is_named() {
    let fields = ["seed", "masking_key", "seed_commitment", "masking_key_commitment", "signature", "path"];
    for field in fields {
        let mut cohort = Cohort::malicious(4, 0);
        let (server, mut clients) = cohort.share(&STAY).unwrap();
        let (_, shares) = server.deliver().unwrap();
        let (me, from) = (cohort.names[0].clone(), cohort.names[1].clone());
        let changed = tamper(&shares[&me], |v| {
            let dealt = &mut v["shares"][&from];
            match field {
                "signature" => flip(&mut dealt["signature"]),
                "path" => drop(dealt["path"].as_array_mut().unwrap().pop()),
                field => flip(&mut dealt["sealed"][field]),
            }
        });
        let error = clients.remove(&0).unwrap().receive_shares(&changed).unwrap_err();
        let stage = Stage::ShareKeys;
        assert_eq!(error, Error::BadSignature { stage, from: "the server".into(), signer: from });
        assert_eq!(error.culprits(), ["the server"]);
    }
}

/// The server verifies before it passes on, so that it is not the one who is named.
#[test]
fn row_13_a_sharer_that_signs_something_else_is_named_by_the_server() {
    let mut cohort = Cohort::malicious(4, 0);
    let (mut server, mut clients, roster) = cohort.frozen(&STAY).unwrap();
    let (_, message) = clients.remove(&0).unwrap().share_keys(&roster).unwrap();
    let (me, other) = (cohort.names[0].clone(), cohort.names[1].clone());
    let changed = tamper(&message, |v| flip(&mut v["shares"][&other]["seed_commitment"]));
    let error = server.receive(&me, changed).unwrap_err();
    assert_eq!(error, Error::BadSignature { stage: Stage::ShareKeys, from: me.clone(), signer: me.clone() });
    server.receive(&me, message).unwrap();
}

/// A wrong share is refused when it comes, its giver is named, and the others finish without it.
#[test]
fn row_13_a_wrong_share_in_round_4_names_its_giver_and_spoils_nothing() {
    for (kind, of) in [("masking_keys", 1), ("seeds", 2), ("seeds", 0)] {
        let mut cohort = Cohort::of(4, 2);
        let last = [Last::Unmasks, Last::SharesKeys, Last::Unmasks, Last::Unmasks];
        let (mut server, clients, signatures) = cohort.checked(&last).unwrap();
        for (i, client) in clients {
            let answer = client.unmask(&signatures).unwrap();
            let (me, client) = (cohort.names[i].clone(), cohort.names[of].clone());
            if i != 0 {
                server.receive(&me, answer).unwrap();
                continue;
            }
            let wrong = tamper(&answer, |v| flip(&mut v[kind][&client]));
            let kind = if kind == "seeds" { ShareKind::Seed } else { ShareKind::MaskingKey };
            let error = server.receive(&me, wrong).unwrap_err();
            assert_eq!(error, Error::WrongOpening { from: me.clone(), client, kind });
            assert_eq!(error.culprits(), [me.as_str()]);
        }
        assert_eq!(server.aggregate().unwrap(), cohort.plain(&last));
    }
}

/// A seed commitment that is not to the seed that was dealt: rebuilt, compared, and never silent.
#[test]
fn row_13_a_seed_is_checked_against_its_commitment() {
    let mut cohort = four();
    let (mut server, clients, roster) = cohort.frozen(&STAY).unwrap();
    let mut sharing = Vec::new();
    for (i, client) in clients {
        let (client, mut message) = client.share_keys(&roster).unwrap();
        if i == 1 {
            message = tamper(&message, |v| flip(&mut v["seed_commitment"]));
        }
        server.receive(&cohort.names[i], message).unwrap();
        sharing.push((i, client));
    }
    let (mut server, shares) = server.deliver().unwrap();
    let mut masked = Vec::new();
    for (i, client) in sharing {
        let client = client.receive_shares(&shares[&cohort.names[i]]).unwrap();
        let (client, message) = cohort.mask(i, client, cohort.model).unwrap();
        server.receive(&cohort.names[i], message).unwrap();
        masked.push((i, client));
    }
    let (server, clients, signatures) = confirm(&cohort, server.announce(cohort.model).unwrap(), masked);
    let error = finish(&cohort, server, clients, &signatures).unwrap_err();
    assert_eq!(error, Error::WrongSeed { client: cohort.names[1].clone() });
    assert_eq!(error.culprits(), [cohort.names[1].as_str()]);
}

// Row 14 is in session.rs. Here: nothing partial comes out, and a strange sender changes nothing.

#[test]
fn row_14_only_those_of_a_round_are_heard_in_it() {
    let mut cohort = four();
    let unknown = |stage, name: &str| Error::UnknownSender { stage, name: name.into() };
    let (mut server, clients) =
        cohort.advertise(&[Last::Unmasks, Last::Nothing, Last::Unmasks, Last::Unmasks]);
    assert_eq!(server.missing().collect::<Vec<_>>(), [cohort.names[1].as_str()]);
    let (_, message) = cohort.client(0).advertise_keys(cohort.session, &mut MemoryJournal::new()).unwrap();
    assert_eq!(server.receive("mallory", message), Err(unknown(Stage::AdvertiseKeys, "mallory")));
    let (mut server, roster) = server.freeze().unwrap();
    let absent = cohort.names[1].clone();
    for (_, client) in clients {
        let (_, message) = client.freeze_roster(&roster).unwrap();
        assert_eq!(server.receive(&absent, message), Err(unknown(Stage::FreezeRoster, &absent)));
    }
    assert_eq!(server.received().count(), 0);
    assert_eq!(server.missing().count(), 3);
}

// Round by round: malformed messages of right shape.

#[test]
fn vectors_of_wrong_length_or_range_change_nothing() {
    // Four entries of 25 bits: 13 bytes, and 4 bits of padding.
    let parameters =
        Parameters::new().with_security(Security::SemiHonest).with_quantization_range((1 << 22) + 1);
    let mut cohort = Cohort::new(parameters.plan(4, Layout::new(0, 2)).unwrap());
    let (mut server, clients) = cohort.receive(&STAY).unwrap();
    let mut unmaskers = Vec::new();
    for (i, client) in clients {
        let name = cohort.names[i].clone();
        let (client, message) = cohort.mask(i, client, cohort.model).unwrap();
        let longer = tamper(&message, |v| v["entries"].as_array_mut().unwrap().push(json!(0)));
        let error = server.receive(&name, longer).unwrap_err();
        assert_eq!(error, Error::WrongVectorLength { from: name.clone(), expected: 13, got: 14 });
        let shorter = tamper(&message, |v| v["entries"] = json!([]));
        let error = server.receive(&name, shorter).unwrap_err();
        assert_eq!(error, Error::WrongVectorLength { from: name.clone(), expected: 13, got: 0 });
        let beyond = tamper(&message, |v| v["entries"][12] = json!(0x10));
        let error = server.receive(&name, beyond).unwrap_err();
        assert_eq!(error, Error::PaddingNotZero { from: name.clone() });
        assert_eq!(error.culprits(), [name.as_str()]);
        server.receive(&name, message).unwrap();
        unmaskers.push((i, client));
    }
    let (server, clients, signatures) = confirm(&cohort, server.announce(cohort.model).unwrap(), unmaskers);
    assert_eq!(finish(&cohort, server, clients, &signatures).unwrap(), cohort.plain(&STAY));
}

#[test]
fn shares_for_the_wrong_recipients_are_refused() {
    let mut cohort = four();
    let (mut server, mut clients, roster) = cohort.frozen(&STAY).unwrap();
    let (_, message) = clients.remove(&0).unwrap().share_keys(&roster).unwrap();
    let (me, other) = (cohort.names[0].clone(), cohort.names[1].clone());
    let misdirected = tamper(&message, |v| {
        let shares = v["shares"].as_object_mut().unwrap();
        let moved = shares.remove(&other).unwrap();
        shares.insert("mallory".into(), moved);
    });
    let error = server.receive(&me, misdirected).unwrap_err();
    let (missing, unexpected) = (vec![other], vec!["mallory".into()]);
    assert_eq!(error, Error::WrongShareSet { from: me, missing, unexpected });
}

#[test]
fn a_share_from_nobody_in_the_roster_is_refused() {
    // A share that a client is to have sent itself is one, too.
    for stranger in ["mallory", four().names[0].as_str()] {
        let mut cohort = four();
        let (server, mut clients) = cohort.share(&STAY).unwrap();
        let (_, shares) = server.deliver().unwrap();
        let other = &cohort.names[1];
        let padded =
            tamper(&shares[&cohort.names[0]], |v| v["shares"][stranger] = v["shares"][other].clone());
        let error = clients.remove(&0).unwrap().receive_shares(&padded).unwrap_err();
        assert_eq!(error, Error::UnknownSender { stage: Stage::ShareKeys, name: stranger.into() });
    }
}

#[test]
fn participants_with_different_plans_find_out_in_round_0() {
    let cohort = four();
    let other = Cohort::of(4, 2);
    let mut server = cohort.server();
    let (_, message) = other.client(0).advertise_keys(cohort.session, &mut MemoryJournal::new()).unwrap();
    let error = server.receive(&cohort.names[0], message).unwrap_err();
    let (expected, got) = (cohort.plan.digest(), other.plan.digest());
    assert_eq!(error, Error::PlanMismatch { from: cohort.names[0].clone(), expected, got });
}

#[test]
fn as_many_are_invited_as_the_plan_is_for() {
    let cohort = four();
    let invite = |names: &[&str]| {
        AdvertiseKeysServer::new(cohort.session, cohort.plan, names.to_vec()).map(|_| ()).unwrap_err()
    };
    assert_eq!(invite(&["a", "b", "c"]), Error::WrongInvitation { expected: 4, got: 3 });
    assert_eq!(invite(&["a", "b", "c", "c"]), Error::WrongInvitation { expected: 4, got: 3 });
    assert_eq!(invite(&["a", "b", "c", ""]).code(), "invalid-name");
}
