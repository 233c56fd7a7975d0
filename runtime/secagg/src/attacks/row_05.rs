//! Row 5: the server steers the neighbour graph.

use super::world::World;
use crate::{
    defences::{Defence, without},
    *,
};

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
