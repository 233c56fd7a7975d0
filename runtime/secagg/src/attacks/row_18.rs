//! Row 18: differences of sums over rounds.

use super::world::{World, weight};
use crate::{
    defences::{Defence, without},
    *,
};

/// One round with a site, the next without: numbers of examples do not change, so the difference is its own.
#[test]
fn row_18_attack_by_the_difference_of_two_rounds() {
    fn attack() -> Result<u64, Error> {
        let mut world = World::curious(5, 3);
        world.policy = world.policy.with_min_cohort_difference(3);
        Ok(sum_over(&mut world, &[])? - sum_over(&mut world, &[4])?)
    }
    assert_eq!(without(Defence::CohortDifference, attack), Ok(weight(4)));
    assert_eq!(attack().unwrap_err().code(), "cohort-difference-too-small");
}

/// Three cohorts, any two of which differ by three or more: only a fixed cohort stops it.
#[test]
fn row_18_attack_by_sums_of_three_rounds() {
    fn attack(policy: fn(ClientPolicy) -> ClientPolicy) -> Result<u64, Error> {
        let mut world = World::curious(6, 2);
        world.policy = policy(world.policy);
        let all = sum_over(&mut world, &[])?;
        Ok(all - sum_over(&mut world, &[3, 4, 5])? - sum_over(&mut world, &[0, 1, 2, 5])?)
    }
    let limited = |policy: ClientPolicy| policy.with_min_cohort_difference(3);
    let fixed = |policy: ClientPolicy| policy.with_fixed_cohort(true);
    assert_eq!(attack(limited), Ok(weight(5)), "the limit is on two at a time");
    assert_eq!(without(Defence::CohortDifference, || attack(fixed)), Ok(weight(5)));
    assert_eq!(attack(fixed).unwrap_err().code(), "cohort-changed");
}

/// In a session with a name of its own, as a server would choose it.
fn sum_over(world: &mut World, absent: &[usize]) -> Result<u64, Error> {
    world.session = Session::generate(world.session.round() + 1).unwrap();
    let (server, ready) = world.ready()?;
    world.sum(server, ready, absent)
}
