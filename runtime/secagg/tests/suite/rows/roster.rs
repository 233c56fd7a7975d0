//! Rows 4 and 5: who takes part, and who is whose neighbour.

use serde_json::{Value, json};
use veilflow_secagg::*;

use super::{STAY, four};
use crate::common::{Cohort, Last, flip, identity_of, tamper};

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
            for key in ["commitment", "signature"] {
                v["members"][at][key] = json!(mine)[key].clone();
            }
            for key in ["sealing_key", "masking_key"] {
                v["members"][at][key] = compressed(&json!(mine)[key]);
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

/// An advertised key as it is in the roster (SEC 1, section 2.3.3): x, after 2 or 3 for an even or odd y.
fn compressed(advertised: &Value) -> Value {
    let bytes: Vec<u64> = advertised.as_array().unwrap().iter().map(|byte| byte.as_u64().unwrap()).collect();
    let mut key = bytes[..33].to_vec();
    key[0] = 2 + bytes[64] % 2;
    json!(key)
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
    let bad = tamper(&message, |v| v["masking_key"] = json!(vec![0; 65]));
    let error = server.receive(&cohort.names[0], bad).unwrap_err();
    assert_eq!(
        error,
        Error::InvalidPublicKey { from: cohort.names[0].clone(), owner: cohort.names[0].clone() }
    );
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

/// A server that knows every value may still leave some out: it gets no more than 2¹⁰ graphs to choose from, and where
/// the shares just hold in one graph, no second one.
#[test]
fn row_05_a_server_cannot_choose_the_graph_by_leaving_members_out() {
    let frozen = |clients: usize, adversaries: f64, dropouts: f64, shares: NumShares| {
        let parameters = Parameters::new().with_security(Security::Malicious { adversaries });
        let parameters = parameters.with_num_shares(shares).with_dropouts(dropouts);
        let mut cohort = Cohort::new(parameters.plan(clients, Layout::new(0, 1)).unwrap());
        cohort.names = (0..clients).map(|i| format!("{i:02}")).collect();
        cohort.keys = cohort.names.iter().map(|name| (name.clone(), identity_of(name))).collect();
        let (_, clients, frozen) = cohort.frozen(&vec![Last::Unmasks; clients]).unwrap();
        (clients, frozen)
    };
    let without = |frozen: &FrozenRosterMessage, names: &[&str]| {
        tamper(frozen, |v| v["reveals"].as_object_mut().unwrap().retain(|name, _| !names.contains(&&**name)))
    };
    // Nobody colludes, so that no graph is bad.
    let (mut clients, all) = frozen(60, 0.0, 0.0, NumShares::Count(4));
    clients.remove(&0).unwrap().share_keys(&without(&all, &["01"])).unwrap();
    let error = clients.remove(&2).unwrap().share_keys(&without(&all, &["01", "03"])).unwrap_err();
    assert_eq!(error, Error::TooManyWithheld { missing: vec!["01".into(), "03".into()] });
    let error = clients.remove(&4).unwrap().share_keys(&without(&all, &["04"])).unwrap_err();
    assert_eq!(error, Error::NotInRoster { client: "04".into() });
    // 34 neighbours and t = 30, with room for 5 graphs.
    let (mut clients, all) = frozen(88, 0.3, 0.05, NumShares::Auto);
    clients.remove(&0).unwrap().share_keys(&all).unwrap();
    let error = clients.remove(&2).unwrap().share_keys(&without(&all, &["01"])).unwrap_err();
    assert_eq!(error, Error::TooManyWithheld { missing: vec!["01".into()] });
}
