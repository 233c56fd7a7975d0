//! Row 6: differencing by restart.

use super::world::{World, weight};
use crate::{
    defences::{Defence, without},
    *,
};

/// The round "failed", the same inputs again, but for one site: the difference is its input.
#[test]
fn row_06_attack_by_restart() {
    fn attack() -> Result<u64, Error> {
        let mut world = World::curious(4, 3);
        let (server, ready) = world.ready()?;
        let all = world.sum(server, ready, &[])?;
        world.session = world.session.next_attempt().unwrap();
        let (server, ready) = world.ready()?;
        Ok(all - world.sum(server, ready, &[2])?)
    }
    assert_eq!(without(Defence::Journal, attack), Ok(weight(2)));
    assert_eq!(attack().unwrap_err().code(), "input-already-masked");
}
