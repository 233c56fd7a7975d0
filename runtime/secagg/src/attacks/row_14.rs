//! Row 14: fewer than t answers.

use super::world::World;
use crate::{
    defences::{Defence, without},
    derive::self_mask_key,
    mask::{self, Sign},
    shamir::combine,
    *,
};

/// One answer fewer than the threshold, and a server that tries what it has.
#[test]
fn row_14_attack_with_one_answer_too_few() {
    fn attack() -> u64 {
        let mut world = World::curious(4, 3);
        let mut answers = world.answers(&[]).unwrap();
        answers.messages.truncate(2);
        let mut sum = vec![0_u32; world.plan.entries()];
        for vector in &answers.vectors {
            sum.iter_mut().zip(vector).for_each(|(total, entry)| *total = total.wrapping_add(*entry));
        }
        for name in &world.names {
            let seed = combine(&answers.shares(ShareKind::Seed, name)).unwrap();
            let key = self_mask_key(seed.as_bytes(), &world.session, name).unwrap();
            mask::apply(&mut sum, &key, Sign::Minus).unwrap();
        }
        u64::from(sum[0] & world.plan.entry_mask::<u32>())
    }
    assert_eq!(without(Defence::Threshold, attack), 15, "the sum of all weights");
    assert_ne!(attack(), 15);
}

/// What a server that follows the protocol has instead: no sum, and the names of those to wait for.
#[test]
fn row_14_attack_is_a_typed_error() {
    let mut world = World::curious(4, 3);
    let mut answers = world.answers(&[]).unwrap();
    for (name, message) in answers.messages.drain(..2) {
        answers.server.receive(&name, message).unwrap();
    }
    let missing = vec!["site 2".to_owned(), "site 3".to_owned()];
    let expected = Error::BelowThreshold { stage: Stage::Unmask, required: 3, got: 2, missing };
    assert_eq!(answers.server.aggregate().unwrap_err(), expected);
}
