//! Row 10: a cohort so small that the sum tells one input.

use super::world::{World, weight};
use crate::{
    defences::{Defence, without},
    *,
};

/// Two survivors, of whom one tells the server its input.
#[test]
fn row_10_attack_with_a_cohort_of_two() {
    fn attack() -> Result<u64, Error> {
        // The server announces two of three, by a plan that allows it; the sites' policy does not.
        let mut world = World::curious(3, 2);
        world.policy = world.policy.with_min_cohort(3);
        let (server, ready) = world.ready()?;
        Ok(world.sum(server, ready, &[2])? - weight(1))
    }
    assert_eq!(without(Defence::SmallestCohort, attack), Ok(weight(0)));
    assert_eq!(attack().unwrap_err().code(), "cohort-too-small");
}
