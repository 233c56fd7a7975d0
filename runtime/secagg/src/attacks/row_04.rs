//! Row 4: substituted keys, Sybils, a roster full of colluders.

use std::sync::Arc;

use super::world::{Masked, World, weight, weight_in};
use crate::{
    defences::{Defence, without},
    *,
};

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
        let sum = world.sum(server, ready, &[])?;
        Ok(sum - weight(1) - weight(2) - weight(3))
    }
    assert_eq!(without(Defence::Signatures, attack), Ok(weight(0)), "the input of one site");
    let error = attack().unwrap_err();
    assert_eq!((error.code(), error.culprits()), ("bad-signature", vec!["the server"]));
}

/// Of 40 who are enrolled four work for the server. It invites them, and three others.
#[test]
fn row_04_attack_with_a_roster_full_of_colluders() {
    fn attack() -> Result<u64, Error> {
        let parameters = Parameters::new().with_security(Security::Malicious { adversaries: 0.1 });
        let mut world = World::new(parameters.with_reconstruction_threshold(Threshold::Count(4)), 7);
        world.trusted = Arc::new((*world.trusted).clone().with_enrolled(40));
        let Masked { server, clients, vectors, .. } = world.masked()?;
        let server = server.next;
        let (mut seeds, mut keys) = (Vec::new(), Vec::new());
        for (name, colluder) in world.names.iter().zip(&clients).skip(3) {
            // They break the rules: both shares that they hold.
            let position = server.roster.share_position("site 0", name).unwrap();
            let (_, held) = colluder.held.iter(&colluder.roster).find(|(of, _)| *of == "site 0").unwrap();
            let opened = |kind| {
                held.open(&colluder.site, &colluder.roster, "site 0", kind)
                    .map(|found| found.reveal().share())
            };
            seeds.push((position, opened(ShareKind::Seed)?));
            keys.push((position, opened(ShareKind::MaskingKey)?));
        }
        Ok(weight_in(&server, "site 0", &vectors[0], Some(&seeds), &keys))
    }
    assert_eq!(without(Defence::Majority, attack), Ok(weight(0)), "the input of one site");
    assert_eq!(attack().unwrap_err().code(), "too-many-adversaries");
}
