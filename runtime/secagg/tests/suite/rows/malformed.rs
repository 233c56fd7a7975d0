//! Round by round: malformed messages of right shape.

use serde_json::json;
use veilflow_secagg::*;

use super::{STAY, confirm, finish, four};
use crate::common::{Cohort, tamper};

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
fn shares_for_fewer_or_more_than_the_neighbours_are_refused() {
    let mut cohort = four();
    let (mut server, mut clients, roster) = cohort.frozen(&STAY).unwrap();
    let (_, message) = clients.remove(&0).unwrap().share_keys(&roster).unwrap();
    let (stage, from) = (Stage::ShareKeys, cohort.names[0].clone());
    let fewer = tamper(&message, |v| drop(v["shares"].as_array_mut().unwrap().pop()));
    let more = tamper(&message, |v| {
        let one = v["shares"][0].clone();
        v["shares"].as_array_mut().unwrap().push(one);
    });
    for (changed, got) in [(fewer, 2), (more, 4)] {
        let error = server.receive(&from, changed).unwrap_err();
        assert_eq!(error, Error::WrongShareCount { stage, from: from.clone(), expected: 3, got });
        assert_eq!(error.culprits(), [from.as_str()]);
    }
    server.receive(&from, message).unwrap();
}

/// Shares that are exchanged on their way are opened by nobody.
#[test]
fn shares_for_another_recipient_do_not_open() {
    let mut cohort = four();
    let (server, mut clients) = cohort.share(&STAY).unwrap();
    let (_, shares) = server.deliver().unwrap();
    let exchanged = tamper(&shares[&cohort.names[0]], |v| v["shares"].as_array_mut().unwrap().swap(0, 2));
    let error = clients.remove(&0).unwrap().receive_shares(&exchanged).unwrap_err();
    assert_eq!((error.code(), error.culprits()), ("share-not-opened", vec![]));
}

#[test]
fn a_server_that_passes_on_fewer_or_more_shares_than_neighbours_is_named() {
    for got in [2, 4] {
        let mut cohort = four();
        let (server, mut clients) = cohort.share(&STAY).unwrap();
        let (_, shares) = server.deliver().unwrap();
        let changed = tamper(&shares[&cohort.names[0]], |v| {
            let one = v["shares"][0].clone();
            v["shares"].as_array_mut().unwrap().resize(got, one);
        });
        let error = clients.remove(&0).unwrap().receive_shares(&changed).unwrap_err();
        let (stage, from) = (Stage::ShareKeys, "the server".to_owned());
        assert_eq!(error, Error::WrongShareCount { stage, from, expected: 3, got });
        assert_eq!(error.culprits(), ["the server"]);
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
