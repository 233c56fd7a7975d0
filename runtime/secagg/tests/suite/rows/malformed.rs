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
        let (stage, from) = (Stage::ShareKeys, "the server".to_owned());
        assert_eq!(error, Error::StrangerPassedOn { stage, from, name: stranger.into() });
        assert_eq!(error.culprits(), ["the server"], "not the stranger, who may be innocent");
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
