//! Row 7: keys or masks used again, replays.

use super::world::{World, weight, weight_in};
use crate::{
    defences::{Defence, without},
    *,
};

/// A site drops out of one session, and the server learns its masking key. In the next one it arrives, and the server
/// learns its seed: with a key that is used again it has both.
#[test]
fn row_07_attack_with_a_key_that_is_used_again() {
    fn attack() -> u64 {
        let mut world = World::curious(4, 3);
        let earlier = world.answers(&[2]).unwrap();
        let keys = earlier.shares(ShareKind::MaskingKey, "site 2");
        world.session = world.session.with_round(world.session.round() + 1);
        let now = world.answers(&[]).unwrap();
        let seeds = now.shares(ShareKind::Seed, "site 2");
        weight_in(&now.server, "site 2", &now.vectors[2], Some(&seeds), &keys)
    }
    assert_eq!(without(Defence::FreshKeys, attack), weight(2));
    assert_ne!(attack(), weight(2));
}

/// All sites are restored from a snapshot, with their generators: each has the keys and seeds of the session before.
/// Masks that do not depend on the session are the same then, and the difference of two masked vectors is that of two
/// inputs. The server needs no answer for that.
#[test]
fn row_07_attack_with_a_mask_that_is_used_again() {
    fn attack() -> u32 {
        let mut world = World::curious(4, 3);
        let vector =
            |world: &mut World| random::with_fixed(7, || world.masked().unwrap().vectors.swap_remove(2));
        let earlier = vector(&mut world);
        world.session = world.session.with_round(world.session.round() + 1);
        world.weights[2] += 100;
        let now = vector(&mut world);
        now[0].wrapping_sub(earlier[0]) & world.plan.entry_mask::<u32>()
    }
    assert_eq!(without(Defence::SessionBinding, attack), 100, "by how much one input changed");
    assert_ne!(attack(), 100);
}

/// The words and shares of a session, sent again in the next one, with keys and seeds as above: the server never asked
/// the sites about this one.
#[test]
fn row_07_attack_with_the_answers_of_another_session() {
    fn attack() -> Result<u64, Error> {
        let mut world = World::curious(4, 3);
        let earlier = random::with_fixed(7, || world.answers(&[]))?;
        world.session = world.session.with_round(world.session.round() + 1);
        world.weights[2] += 100;
        let now = random::with_fixed(7, || world.masked())?;
        let mut server = now.server;
        for name in &world.names {
            let word = ConsistencyCheckMessage { session: earlier.session, signature: None };
            server.receive(name, word)?;
        }
        let (mut server, _) = server.forward()?;
        for (name, answer) in earlier.messages {
            server.receive(&name, answer)?;
        }
        Ok(server.aggregate()?.total_weight())
    }
    assert_eq!(without(Defence::SessionBinding, attack), Ok(115));
    let error = attack().unwrap_err();
    assert_eq!(error.code(), "session-mismatch");
}
