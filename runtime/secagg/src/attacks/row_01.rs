//! Row 1: different models for different sites.

use super::world::World;
use crate::{
    defences::{Defence, without},
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
        let (mut server, clients, signatures) = world.confirm(server, &survivors, clients)?;
        for (name, client) in clients {
            server.receive(&name, client.unmask(&signatures)?)?;
        }
        Ok(server.aggregate()?.total_weight())
    }
    assert_eq!(without(Defence::ModelBinding, attack), Ok(15));
    assert_eq!(attack().unwrap_err().code(), "implausible-sum");
}
