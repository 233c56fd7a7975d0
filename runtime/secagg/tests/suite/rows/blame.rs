//! Row 13: corrupted shares and ciphertexts, and who is to blame.

use std::num::NonZeroUsize;

use veilflow_secagg::*;

use super::{STAY, confirm, finish, four};
use crate::common::{Cohort, Last, flip, flip_at, tamper};

/// Nobody knows whether sharer or relay changed it, where nothing is signed.
#[test]
fn row_13_a_changed_ciphertext_is_found_before_round_2_and_accuses_nobody() {
    // In either ciphertext, and in either commitment.
    for (at, code) in
        [(0, "share-not-opened"), (159, "share-not-opened"), (160, "disputed-pair"), (223, "disputed-pair")]
    {
        let mut cohort = four();
        let (server, mut clients) = cohort.share(&STAY).unwrap();
        let (_, shares) = server.deliver().unwrap();
        let changed = tamper(&shares[&cohort.names[0]], |v| flip_at(&mut v["shares"][1]["sealed"], at));
        let error = clients.remove(&0).unwrap().receive_shares(&changed).unwrap_err();
        assert_eq!(error.code(), code);
        assert!(error.culprits().is_empty());
    }
}

/// What its sharer did not sign comes from the relay.
#[test]
fn row_13_a_relay_that_changes_what_is_signed_is_named() {
    // Two ciphertexts of 80 bytes and two commitments of 32.
    let sealed = [0, 79, 80, 159, 160, 191, 192, 223];
    for field in sealed.map(Ok).into_iter().chain(["signature", "path"].map(Err)) {
        let mut cohort = Cohort::malicious(4, 0);
        let (server, mut clients) = cohort.share(&STAY).unwrap();
        let (_, shares) = server.deliver().unwrap();
        let (me, from) = (cohort.names[0].clone(), cohort.names[1].clone());
        let changed = tamper(&shares[&me], |v| {
            let dealt = &mut v["shares"][cohort.place(0, 1, &[1, 2, 3])];
            match field {
                Ok(at) => flip_at(&mut dealt["sealed"], at),
                Err("signature") => flip(&mut dealt["proof"]["signature"]),
                Err(_) => drop(dealt["proof"]["path"].as_array_mut().unwrap().pop()),
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
    let me = cohort.names[0].clone();
    let changed = tamper(&message, |v| flip(&mut v["shares"][1]));
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
            let place = if kind == "seeds" { cohort.place(i, of, &[0, 2, 3]) } else { 0 };
            let wrong = tamper(&answer, |v| flip(&mut v[kind][place]));
            let kind = if kind == "seeds" { ShareKind::Seed } else { ShareKind::MaskingKey };
            let error = server.receive(&me, wrong).unwrap_err();
            assert_eq!(error, Error::WrongOpening { from: me.clone(), client, kind });
            assert_eq!(error.culprits(), [me.as_str()]);
        }
        assert_eq!(server.aggregate().unwrap(), cohort.plain(&last));
    }
}

/// Answers that came together are looked at one by one where what they rebuild is wrong, and only there: a share that is
/// not needed spoils nothing.
#[test]
fn row_13_a_wrong_share_among_many_answers_names_its_giver_and_spoils_nothing() {
    for (kind, of) in [("masking_keys", 1), ("seeds", 2), ("seeds", 0)] {
        for (giver, is_needed) in [(0, true), (3, false)] {
            let mut cohort = Cohort::of(4, 2);
            let last = [Last::Unmasks, Last::SharesKeys, Last::Unmasks, Last::Unmasks];
            let (mut server, clients, signatures) = cohort.checked(&last).unwrap();
            let client = cohort.names[of].clone();
            let answer = |(i, client_state): (usize, UnmaskClient)| {
                let answer = client_state.unmask(&signatures).unwrap();
                let place = if kind == "seeds" { cohort.place(i, of, &[0, 2, 3]) } else { 0 };
                let wrong = || tamper(&answer, |v| flip(&mut v[kind][place]));
                (cohort.names[i].clone(), if i == giver { wrong() } else { answer })
            };
            let answers: Vec<_> = clients.into_iter().map(answer).collect();
            let refused = server.receive_all(answers, NonZeroUsize::MIN);
            let from = cohort.names[giver].clone();
            let kind = if kind == "seeds" { ShareKind::Seed } else { ShareKind::MaskingKey };
            let named = (from.clone(), Error::WrongOpening { from, client: client.clone(), kind });
            assert_eq!(refused, if is_needed { vec![named] } else { vec![] });
            assert_eq!(server.aggregate().unwrap(), cohort.plain(&last));
        }
    }
}

/// Signatures that came together are looked at together, and one that does not hold is found among them.
#[test]
fn row_13_one_that_signs_something_else_is_found_among_many() {
    let mut cohort = Cohort::malicious(4, 0);
    let (mut server, clients, roster) = cohort.frozen(&STAY).unwrap();
    let me = cohort.names[2].clone();
    let mut messages: Vec<(String, ShareKeysMessage)> = clients
        .into_iter()
        .map(|(i, client)| (cohort.names[i].clone(), client.share_keys(&roster).unwrap().1))
        .collect();
    let honest = messages[2].1.clone();
    messages[2].1 = tamper(&honest, |v| flip(&mut v["shares"][1]));
    messages.push(("nobody".to_owned(), honest.clone()));
    let refused = server.receive_all(messages);
    let stage = Stage::ShareKeys;
    let stranger = Error::UnknownSender { stage, name: "nobody".into() };
    let bad = Error::BadSignature { stage, from: me.clone(), signer: me.clone() };
    assert_eq!(refused, [("nobody".to_owned(), stranger), (me.clone(), bad)]);
    assert_eq!(server.missing().collect::<Vec<_>>(), [me.as_str()]);
    server.receive(&me, honest).unwrap();
    server.deliver().unwrap();
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
