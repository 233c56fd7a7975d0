use serde_bytes::ByteArray;

use super::*;
use crate::{Layout, NumShares, Parameters, Security, Threshold, keys::PrivateKey};

fn key() -> EncodedKey {
    PrivateKey::generate().unwrap().encoded_public_key().unwrap()
}

fn plan() -> Plan {
    Parameters::new().plan(3, Layout::new(0, 1)).unwrap()
}

fn roster(names: &[&str]) -> RosterMessage {
    let member = |name: &&str| RosterEntry {
        name: (*name).into(),
        sealing_key: key(),
        masking_key: key(),
        commitment: ByteArray::new([0; 32]),
        signature: None,
    };
    RosterMessage {
        session: Session::new([1; 32], 1),
        plan: ByteArray::new(plan().digest()),
        members: Arc::new(names.iter().map(member).collect()),
    }
}

fn check(message: &RosterMessage) -> Result<Roster, Error> {
    Roster::check(message, &Session::new([1; 32], 1), &plan(), None)
}

#[test]
fn indices_follow_the_names() {
    let message = roster(&["a", "b", "c"]);
    let roster = check(&message).unwrap();
    for (name, index) in [("a", 1), ("b", 2), ("c", 3)] {
        assert_eq!(message.index_of(name), Some(index));
        assert_eq!(roster.share_position("b", name).map(usize::from), Some(index));
    }
    assert_eq!(message.index_of("d"), None);
    let places = [0, 1, 2].map(|to| roster.place_among(1, to));
    assert_eq!(places, [Some(0), None, Some(1)]);
    assert_eq!(roster.neighbours("b").into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn row_04_duplicate_names_and_keys_are_refused() {
    assert_eq!(check(&roster(&["a", "a"])).err(), Some(Error::RosterNotSorted { name: "a".into() }));
    assert_eq!(check(&roster(&["b", "a"])).err(), Some(Error::RosterNotSorted { name: "a".into() }));
    let mut shared = roster(&["a", "b", "c"]);
    let key = shared.members[0].sealing_key;
    Arc::make_mut(&mut shared.members)[2].masking_key = key;
    let error = check(&shared).err().unwrap();
    assert_eq!(error, Error::DuplicateKey { first: "a".into(), second: "c".into() });
    let mut twice = roster(&["a"]);
    let key = twice.members[0].sealing_key;
    Arc::make_mut(&mut twice.members)[0].masking_key = key;
    assert_eq!(check(&twice).err(), Some(Error::DuplicateKey { first: "a".into(), second: "a".into() }));
}

#[test]
fn row_04_a_padded_roster_is_refused() {
    let error = check(&roster(&["a", "b", "c", "d"])).err();
    assert_eq!(error, Some(Error::RosterTooLarge { max: 3, got: 4 }));
}

#[test]
fn names_are_bounded() {
    let error = check(&roster(&[""])).err();
    assert_eq!(error, Some(Error::InvalidName { max: 255, got: 0 }));
    assert!(check_name(&"x".repeat(255)).is_ok());
    assert!(check_name(&"x".repeat(256)).is_err());
}

#[test]
fn row_07_a_roster_of_another_session_or_plan_is_refused() {
    let mut other = roster(&["a", "b", "c"]);
    other.session = other.session.with_attempt(1);
    assert_eq!(check(&other).err().unwrap().code(), "session-mismatch");
    let mut other = roster(&["a", "b", "c"]);
    other.plan = ByteArray::new([0; 32]);
    assert_eq!(check(&other).err().unwrap().code(), "plan-mismatch");
}

#[test]
fn a_malformed_key_names_who_passed_it_on() {
    let mut bad = roster(&["a", "b", "c"]);
    Arc::make_mut(&mut bad.members)[1].sealing_key = EncodedKey::from_bytes([0; 33]);
    assert_eq!(check(&bad).err(), Some(Error::InvalidPublicKey { from: SERVER.into(), owner: "b".into() }));
}

#[test]
fn digest_covers_every_key() {
    let message = roster(&["a", "b", "c"]);
    let mut swapped = message.clone();
    let entry = &mut Arc::make_mut(&mut swapped.members)[1];
    std::mem::swap(&mut entry.sealing_key, &mut entry.masking_key);
    assert_ne!(check(&message).unwrap().digest(), check(&swapped).unwrap().digest());
}

/// The graph's own rows, a client's and the server's tables of them say the same of every pair.
#[test]
fn all_know_the_same_neighbours_at_the_same_positions() {
    let parameters = Parameters::new()
        .with_security(Security::SemiHonest)
        .with_num_shares(NumShares::Count(6))
        .with_reconstruction_threshold(Threshold::Count(4));
    let plan = parameters.plan_unchecked(15, Layout::new(0, 1)).unwrap().0;
    let names: Vec<String> = (10..25).map(|i| i.to_string()).collect();
    let mut message = roster(&names.iter().map(String::as_str).collect::<Vec<_>>());
    message.plan = ByteArray::new(plan.digest());
    let roster = Roster::check(&message, &Session::new([1; 32], 1), &plan, None).unwrap();
    // Two of them are gone.
    let kept = names.iter().enumerate().filter(|(number, _)| ![0, 7].contains(number)).map(|(_, name)| name);
    let roster = roster.freeze([9; 32], &plan, kept);
    let server = roster.clone().seen_by_server();
    let numbers: Vec<u32> = roster.members().map(|(number, _)| number).collect();
    assert_eq!(numbers.len(), 13);
    for holder in &numbers {
        let client = roster.clone().seen_by(&names[*holder as usize]);
        let expected: Vec<(u32, u8)> = numbers
            .iter()
            .filter(|owner| roster.row(**owner).contains(holder))
            .map(|owner| (*owner, roster.position(*owner, *holder).unwrap()))
            .collect();
        assert_eq!(expected.len(), 6);
        for side in [&roster, &client, &server] {
            assert_eq!(side.positions_of(*holder), expected, "{holder}");
            assert_eq!((side.row_len(*holder), side.degree()), (6, 6));
        }
    }
}
