//! Row 12: a late input after its sender was declared dropped.

use super::world::{World, weight, weight_in};
use crate::{
    defences::{Defence, without},
    *,
};

/// A vector held back until its sender is declared dropped, and its masking key is rebuilt.
#[test]
fn row_12_attack_with_a_late_input() {
    fn attack() -> u64 {
        let mut world = World::curious(4, 3);
        let answers = world.answers(&[3]).unwrap();
        let keys = answers.shares(ShareKind::MaskingKey, "site 3");
        assert_eq!(answers.shares(ShareKind::Seed, "site 3"), []);
        weight_in(&answers.server, "site 3", &answers.vectors[3], None, &keys)
    }
    assert_eq!(without(Defence::SelfMask, attack), weight(3));
    assert_ne!(attack(), weight(3));
}
