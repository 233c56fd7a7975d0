//! Attacks of a server, alone or with members that tell it all they know.

use std::{collections::BTreeMap, sync::Arc};

use rand::SeedableRng as _;

use super::world::{Masked, World, confirm, weight};
use crate::{
    defences::{Defence, stands, without},
    derive::{pair_mask_key, self_mask_key},
    keys::PrivateKey,
    mask::{self, Sign},
    shamir::{Share, combine},
    *,
};

/// Pasquini et al., CCS 2022: one site gets a model of its own, and the sum tells its reaction.
#[test]
fn row_01_attack_with_a_model_for_one_site() {
    fn attack() -> Result<u64, Error> {
        let mut world = World::malicious(0, 4, 3);
        let (mut server, ready) = world.ready()?;
        let mut clients = Vec::new();
        for (site, client) in ready.into_iter().enumerate() {
            let model = if site == 0 { ModelDigest::of_f32(&[9.0]) } else { world.model };
            let (client, message) = world.mask(site, client, model)?;
            server.receive(&world.names[site], message)?;
            clients.push(client);
        }
        let (server, survivors) = server.announce(world.model)?;
        // Three of four signatures are a majority: the server goes on with those that it likes.
        let clients = world.names.iter().cloned().zip(clients).collect();
        let (mut server, clients, signatures) = confirm(server, &survivors, clients)?;
        for (name, client) in clients {
            server.receive(&name, client.unmask(&signatures)?)?;
        }
        Ok(server.aggregate()?.total_weight())
    }
    assert_eq!(without(Defence::ModelBinding, attack), Ok(15));
    assert_eq!(attack().unwrap_err().code(), "implausible-sum");
}

/// One that arrived, asked about as if it had dropped out too.
#[test]
fn row_02_attack_for_both_shares_of_one_site() {
    fn attack() -> Option<u64> {
        let mut world = World::curious(4, 3);
        let Masked { server, survivors, clients, vectors } = world.masked().unwrap();
        let clients = world.names.iter().cloned().zip(clients).collect();
        let (server, clients, signatures) = confirm(server, &survivors, clients).unwrap();
        let (mut seeds, mut keys) = (Vec::new(), Vec::new());
        for (name, client) in clients.into_iter().skip(1) {
            let answer = client.unmask(&signatures).unwrap();
            let position = server.roster.share_position("site 0", &name).unwrap();
            let found = |share: &RevealedShare| (position, share.opening().share().clone());
            seeds.extend(answer.seeds.get("site 0").map(found));
            keys.extend(answer.masking_keys.get("site 0").map(found));
        }
        assert_eq!(seeds.len(), 3);
        (keys.len() == 3).then(|| u64::from(unmask(&server, "site 0", &vectors[0], Some(&seeds), &keys)[0]))
    }
    assert_eq!(without(Defence::OneKind, attack), Some(weight(0)), "the input of one site");
    assert_eq!(attack(), None);
}

/// Half of the sites hear that one arrived, half that it dropped out: together they give both its secrets away.
#[test]
fn row_03_attack_with_two_sets_of_survivors() {
    fn attack() -> Result<u64, &'static str> {
        let mut world = World::malicious(0, 7, if stands(Defence::Majority) { 4 } else { 3 });
        let Masked { server, survivors, clients, vectors } = world.masked().map_err(|e| e.code())?;
        let victim = world.names[6].clone();
        let mut without_it = survivors.clone();
        without_it.survivors.remove(&victim);
        let next = server.next;
        let (mut seeds, mut keys) = (Vec::new(), Vec::new());
        let mut stories = [(Vec::new(), BTreeMap::new()), (Vec::new(), BTreeMap::new())];
        for (site, client) in clients.into_iter().enumerate().take(6) {
            let story = usize::from(site >= 3);
            let (client, word) =
                client.check_consistency([&survivors, &without_it][story]).map_err(|e| e.code())?;
            stories[story].0.push((world.names[site].clone(), client));
            stories[story].1.insert(world.names[site].clone(), word.signature.unwrap());
        }
        for (clients, signatures) in stories {
            let message = SignaturesMessage { session: world.session, signatures };
            for (name, client) in clients {
                let answer = client.unmask(&message).map_err(|e| e.code())?;
                let position = next.roster.share_position(&victim, &name).unwrap();
                let found = |share: &RevealedShare| (position, share.opening().share().clone());
                seeds.extend(answer.seeds.get(&victim).map(found));
                keys.extend(answer.masking_keys.get(&victim).map(found));
            }
        }
        Ok(u64::from(unmask(&next, &victim, &vectors[6], Some(&seeds), &keys)[0]))
    }
    assert_eq!(without(Defence::Majority, attack), Ok(weight(6)), "the input of one site");
    assert_eq!(attack(), Err("too-few-signatures"));
    // Nor is there a plan with such a threshold.
    let parameters = Parameters::new().with_reconstruction_threshold(Threshold::Count(3));
    let parameters = parameters.with_security(Security::Malicious { adversaries: 0.0 });
    let error = parameters.plan(7, Layout::new(0, 1)).unwrap_err();
    assert_eq!(error.code(), "curious-server-only");
}

/// Takes the masks off one vector, with shares of the seed where there are any.
fn unmask(
    server: &UnmaskServer,
    name: &str,
    vector: &[u32],
    seeds: Option<&[(u8, Share)]>,
    keys: &[(u8, Share)],
) -> Vec<u32> {
    let mut entries = vector.to_vec();
    if let Some(seeds) = seeds {
        let key = self_mask_key(&combine(seeds).unwrap(), &server.session, name).unwrap();
        mask::apply(&mut entries, &key, Sign::Minus).unwrap();
    }
    let masking = PrivateKey::from_bytes(&combine(keys).unwrap()).unwrap();
    for (other, member) in server.roster.neighbours(name) {
        let agreed = masking.agree(&member.masking_key);
        let key = pair_mask_key(&agreed, &server.session, name, other, &server.binding).unwrap();
        mask::apply(&mut entries, &key, Sign::of_pair(name, other).opposite()).unwrap();
    }
    let mask: u32 = server.plan.entry_mask();
    entries.iter_mut().for_each(|entry| *entry &= mask);
    entries
}

/// The server is everybody but one: what it put in itself it subtracts.
#[test]
fn row_04_attack_with_sybils_under_the_names_of_others() {
    fn attack() -> Result<u64, Error> {
        let mut world = World::malicious(0, 4, 3);
        let (victim_key, trusted) = (world.keys[0].clone(), world.trusted.clone());
        // Identities of its own making; the victim's are those that it pins.
        let mine: Vec<_> = (0..4).map(|_| Arc::new(IdentityKey::generate().unwrap())).collect();
        world.keys = mine;
        world.keys[0] = victim_key;
        let identities =
            world.names.iter().map(String::as_str).zip(world.keys.iter().map(|key| key.public()));
        let sybils = Arc::new(Identities::new(identities));
        let mut server = AdvertiseKeysServer::new(world.session, world.plan, world.names.clone())?
            .with_identities(sybils.clone());
        let mut clients = Vec::new();
        for site in 0..4 {
            world.trusted = if site == 0 { trusted.clone() } else { sybils.clone() };
            let (client, message) = world.advertise(site);
            server.receive(&world.names[site], message)?;
            clients.push(client);
        }
        let (server, roster) = server.freeze()?;
        let (server, ready) = world.share(server, &roster, clients)?;
        let sum = world.sum(server, ready, None)?;
        Ok(sum - weight(1) - weight(2) - weight(3))
    }
    assert_eq!(without(Defence::Signatures, attack), Ok(weight(0)), "the input of one site");
    let error = attack().unwrap_err();
    assert_eq!((error.code(), error.culprits()), ("bad-signature", vec!["the server"]));
}

/// A colluder names its random value after it has seen the others', until the graph surrounds the victim.
#[test]
fn row_05_attack_with_a_value_chosen_last() {
    fn attack() -> Result<(), Error> {
        let parameters = Parameters::new().with_security(Security::SemiHonest);
        let parameters = parameters.with_colluders(0.0).with_dropouts(0.0);
        let parameters = parameters.with_num_shares(NumShares::Count(2));
        let mut world = World::new(parameters.with_reconstruction_threshold(Threshold::Count(2)), 8);
        let (mut server, roster, clients) = world.roster()?;
        let mut frozen = Vec::new();
        for (name, client) in world.names.iter().zip(clients) {
            let (client, message) = client.freeze_roster(&roster)?;
            server.receive(name, message)?;
            frozen.push(client);
        }
        let (_, honest) = server.reveal()?;
        let victim = frozen.remove(0);
        for choice in 0..=u8::MAX {
            let mut steered = honest.clone();
            steered.reveals.get_mut("site 7").unwrap().randomness = serde_bytes::ByteArray::new([choice; 32]);
            let seed = freeze_roster::frozen(victim.roster.clone(), &world.plan, &steered.reveals);
            let around: Vec<&String> = seed.neighbours("site 0").into_iter().map(|(name, _)| name).collect();
            if around == ["site 6", "site 7"] {
                let (client, _) = victim.share_keys(&steered)?;
                drop(client);
                return Ok(());
            }
        }
        panic!("256 values, and none gives one graph of 21");
    }
    assert_eq!(without(Defence::CommittedRandomness, attack), Ok(()), "two colluders around the victim");
    let refused = Error::WrongReveal { from: "the server".into(), name: "site 7".into() };
    assert_eq!(attack(), Err(refused));
}

/// The round "failed", the same inputs again, but for one site: the difference is its input.
#[test]
fn row_06_attack_by_restart() {
    fn attack() -> Result<u64, Error> {
        let mut world = World::curious(4, 3);
        let (server, ready) = world.ready()?;
        let all = world.sum(server, ready, None)?;
        world.session = world.session.next_attempt().unwrap();
        let (server, ready) = world.ready()?;
        Ok(all - world.sum(server, ready, Some(2))?)
    }
    assert_eq!(without(Defence::Journal, attack), Ok(weight(2)));
    assert_eq!(attack().unwrap_err().code(), "input-already-masked");
}

/// A modulus that the sum passes: the mean is wrong, and nothing shows it.
#[test]
fn row_08_attack_with_a_sum_that_wraps_around() {
    fn attack() -> Result<f32, PlanError> {
        let parameters = Parameters::new().with_modulus_range(1 << 23);
        let plan = parameters.plan(4, Layout::new(0, 1))?;
        let mut sum = FixedPointSum::new(&plan);
        for name in ["a", "b", "c", "d"] {
            let input = Input { weight: 1000, scalars: &[], vector: &[8.0] };
            sum.add(name, &plan.quantize(&input, &mut rand_chacha::ChaCha8Rng::from_seed([0; 32])).unwrap())
                .unwrap();
        }
        Ok(sum.decode().unwrap().mean()[0])
    }
    assert!(without(Defence::NoOverflow, attack).unwrap() < 4.1, "far from 8");
    assert_eq!(attack().unwrap_err().code(), "sum-can-overflow");
}

/// Two survivors, of whom one tells the server its input.
#[test]
fn row_10_attack_with_a_cohort_of_two() {
    fn attack() -> Result<u64, Error> {
        // The server announces two of three, by a plan that allows it; the sites' policy does not.
        let mut world = World::curious(3, 2);
        world.policy = world.policy.with_min_cohort(3);
        let (server, ready) = world.ready()?;
        Ok(world.sum(server, ready, Some(2))? - weight(1))
    }
    assert_eq!(without(Defence::SmallestCohort, attack), Ok(weight(0)));
    assert_eq!(attack().unwrap_err().code(), "cohort-too-small");
}

/// A vector held back until its sender is declared dropped, and its masking key is rebuilt.
#[test]
fn row_12_attack_with_a_late_input() {
    fn attack() -> u64 {
        let mut world = World::curious(4, 3);
        let Masked { server, mut survivors, clients, vectors } = world.masked().unwrap();
        let (late, mut keys) = (world.names[3].clone(), Vec::new());
        survivors.survivors.remove(&late);
        let server = server.next;
        let nothing = SignaturesMessage { session: world.session, signatures: BTreeMap::new() };
        for (name, client) in world.names.iter().zip(clients).take(3) {
            let (client, _) = client.check_consistency(&survivors).unwrap();
            let answer = client.unmask(&nothing).unwrap();
            let position = server.roster.share_position(&late, name).unwrap();
            keys.push((position, answer.masking_keys[&late].opening().share().clone()));
        }
        u64::from(unmask(&server, &late, &vectors[3], None, &keys)[0])
    }
    assert_eq!(without(Defence::SelfMask, attack), weight(3));
    assert_ne!(attack(), weight(3));
}

/// A member gives a wrong share, so that the owner of the secret is blamed.
#[test]
fn row_13_attack_on_the_name_of_another() {
    fn attack() -> Error {
        let mut world = World::curious(3, 3);
        let Masked { server, survivors, clients, .. } = world.masked().unwrap();
        let clients = world.names.iter().cloned().zip(clients).collect();
        let (mut server, clients, signatures) = confirm(server, &survivors, clients).unwrap();
        for (site, (name, client)) in clients.into_iter().enumerate() {
            let mut answer = client.unmask(&signatures).unwrap();
            if site == 0 {
                let other = answer.seeds["site 0"].clone();
                answer.seeds.insert("site 1".into(), other);
            }
            if let Err(error) = server.receive(&name, answer) {
                return error;
            }
        }
        server.aggregate().unwrap_err()
    }
    assert_eq!(without(Defence::Openings, attack).culprits(), ["site 1"], "the innocent");
    assert_eq!(attack().culprits(), ["site 0"]);
}
