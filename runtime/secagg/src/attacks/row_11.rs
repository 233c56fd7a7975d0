//! Row 11: losses, counts and error texts in clear.

use super::world::{LOSS, World, weight};
use crate::{
    defences::{Defence, without},
    *,
};

/// A curious server reads the masked vector of one site, which starts with its number of examples, how many
/// values were clipped, and its loss.
#[test]
fn row_11_attack_on_the_weight_and_the_loss_of_one_site() {
    fn attack() -> (u64, u32, f64) {
        let mut world = World::curious(4, 3);
        let vectors = world.masked().unwrap().vectors;
        let (half, max) = (world.plan.half() as f64, world.plan.parameters().max_weight() as f64);
        let weight = u64::from(vectors[3][0]);
        let steps = f64::from(vectors[3][2]) - half;
        (weight, vectors[3][1], steps * world.plan.quantization_step() * max / weight as f64)
    }
    let (examples, clipped, loss) = without(Defence::MaskedCounts, attack);
    assert_eq!((examples, clipped), (weight(3), 1));
    assert!((loss - LOSS).abs() < 1e-3, "{loss}");
    let (examples, clipped, loss) = attack();
    assert!(examples != weight(3) && clipped != 1 && (loss - LOSS).abs() > 1e-3, "{loss}");
}

/// A server that makes a site fail, and reads why: with the text it learns numbers, with the code it does not.
#[test]
fn row_11_attack_on_what_an_error_says() {
    fn refused(examples: u64) -> Error {
        let mut world = World::curious(3, 2);
        world.weights[0] = examples;
        let (_, mut ready) = world.ready().unwrap();
        world.mask(0, ready.remove(0), world.model).map(drop).unwrap_err()
    }
    fn attack(reported: fn(&Error) -> String) -> bool {
        [4711, 1234].iter().all(|examples| reported(&refused(*examples)).contains(&examples.to_string()))
    }
    assert!(attack(Error::to_string), "what a site may write to its own log");
    assert!(!attack(|error| error.code().to_owned()), "what may leave it");
    assert_eq!(refused(4711).code(), refused(1234).code());
}
