//! Row 2: both shares of one site.

use super::world::{World, weight, weight_in};
use crate::{
    defences::{Defence, without},
    *,
};

/// One that arrived, asked about as if it had dropped out too.
#[test]
fn row_02_attack_for_both_shares_of_one_site() {
    fn attack() -> Option<u64> {
        let mut world = World::curious(4, 3);
        let answers = world.answers(&[]).unwrap();
        let seeds = answers.shares(ShareKind::Seed, "site 0");
        // Its own answer has no share of its masking key: it holds none.
        let keys = answers.shares(ShareKind::MaskingKey, "site 0");
        assert_eq!(seeds.len(), 4);
        (keys.len() == 3)
            .then(|| weight_in(&answers.server, "site 0", &answers.vectors[0], Some(&seeds), &keys))
    }
    assert_eq!(without(Defence::OneKind, attack), Some(weight(0)), "the input of one site");
    assert_eq!(attack(), None);
}
