//! Row 13: corrupted shares and ciphertexts, blame put on the innocent.

use std::num::NonZeroUsize;

use super::world::{Masked, World};
use crate::{
    defences::{Defence, without},
    share_keys::DealtShares,
    *,
};

/// A member gives a wrong share, so that the owner of the secret is blamed, whether the server takes the answers one by
/// one or together.
#[test]
fn row_13_attack_on_the_name_of_another() {
    fn attack(together: bool) -> Error {
        let mut world = World::curious(3, 3);
        let Masked { server, survivors, clients, .. } = world.masked().unwrap();
        let clients = world.names.iter().cloned().zip(clients).collect();
        let (mut server, clients, signatures) = world.confirm(server, &survivors, clients).unwrap();
        let answer = |(name, client): (String, UnmaskClient)| {
            let mut answer = client.unmask(&signatures).unwrap();
            if name == "site 0" {
                // Of site 1, site 2 and itself, in that order.
                answer.seeds[0] = answer.seeds[2].clone();
            }
            (name, answer)
        };
        let answers: Vec<(String, UnmaskMessage)> = clients.into_iter().map(answer).collect();
        let refused = if together {
            server.receive_all(answers, NonZeroUsize::MIN).into_iter().next()
        } else {
            let receive =
                |(name, answer): (String, _)| server.receive(&name, answer).err().map(|e| (name, e));
            answers.into_iter().find_map(receive)
        };
        refused.map_or_else(|| server.aggregate().unwrap_err(), |(_, error)| error)
    }
    for together in [false, true] {
        let blamed = without(Defence::Openings, || attack(together));
        assert_eq!(blamed.culprits(), ["site 1"], "the innocent");
        assert_eq!(attack(together).culprits(), ["site 0"]);
    }
}

/// A sharer commits to another share than it seals, so that whoever gives it in round 4 is blamed.
#[test]
fn row_13_attack_with_a_share_that_is_to_be_given_by_another() {
    fn attack() -> Error {
        let mut world = World::curious(3, 3);
        let (server, roster, clients) = world.roster().unwrap();
        let (server, shares, clients) = world
            .deal(server, &roster, clients, |from, message| {
                if from == "site 0" {
                    // For site 1.
                    message.shares[0].seed_commitment = Commitment::to_seed(&message.session, from, &[0; 32]);
                }
            })
            .unwrap();
        match world.open(&shares, clients) {
            Ok(ready) => world.sum(server, ready, &[]).unwrap_err(),
            Err(error) => error,
        }
    }
    assert_eq!(without(Defence::CheckedOnReceipt, attack).culprits(), ["site 1"], "the innocent");
    let error = attack();
    assert_eq!((error.code(), error.culprits()), ("disputed-pair", vec![]));
}

/// A relay changes a ciphertext, so that sharer and recipient dispute.
#[test]
fn row_13_attack_by_a_relay_that_wants_to_stay_unnamed() {
    fn attack() -> Error {
        let mut world = World::malicious(0, 3, 2);
        let (server, roster, clients) = world.roster().unwrap();
        let (_, mut shares, clients) = world.deal(server, &roster, clients, |_, _| {}).unwrap();
        // From site 0.
        let delivery = &mut shares.get_mut("site 1").unwrap().shares;
        let passed = |dealt: Option<DealtShares>| dealt.map(|dealt| dealt.passed().unwrap());
        let mut passed: Vec<_> = delivery.to_vec().into_iter().map(passed).collect();
        let sealed = &mut passed[0].as_mut().unwrap().sealed;
        let mut bytes = *sealed.seed.as_bytes();
        bytes[20] ^= 1;
        sealed.seed = SealedShare::from_bytes(bytes);
        *delivery = passed.into();
        world.open(&shares, clients).unwrap_err()
    }
    let unnamed = without(Defence::Signatures, attack);
    assert_eq!((unnamed.code(), unnamed.culprits()), ("disputed-pair", vec![]));
    let named = attack();
    assert_eq!((named.code(), named.culprits()), ("bad-signature", vec!["the server"]));
}
