//! Row 9: a weight or vector that is out of bounds by mistake.

use rand::SeedableRng as _;

use crate::{
    defences::{Defence, without},
    *,
};

/// Every site measured 6; one counts examples as nobody else does.
#[test]
fn row_09_attack_with_a_weight_above_the_maximum() {
    fn attack() -> Result<f32, InputError> {
        mean([(10, 6.0), (10, 6.0), (2000, 6.0)])
    }
    let wrong = without(Defence::InputBounds, attack).unwrap();
    assert!((wrong - 6.0).abs() > 1.0, "{wrong} is far from what each of them measured");
    assert_eq!(attack(), Err(InputError::WeightAboveMaximum { max: 1000, got: 2000 }));
}

/// Every site measured 0; the training of one diverged.
#[test]
fn row_09_attack_with_a_value_that_is_no_number() {
    fn attack() -> Result<f32, InputError> {
        mean([(10, 0.0), (10, 0.0), (10, f32::NAN)])
    }
    let wrong = without(Defence::InputBounds, attack).unwrap();
    assert!(wrong.abs() > 2.0, "{wrong} looks like a number, and is none");
    assert_eq!(attack(), Err(InputError::VectorNotFinite { index: 0 }));
}

fn mean(inputs: [(u64, f32); 3]) -> Result<f32, InputError> {
    let plan = Parameters::new().plan(3, Layout::new(0, 1)).unwrap();
    let (mut sum, mut rng) = (FixedPointSum::new(&plan), rand_chacha::ChaCha8Rng::from_seed([0; 32]));
    for ((weight, value), name) in inputs.into_iter().zip(["a", "b", "c"]) {
        let input = Input { weight, scalars: &[], vector: &[value] };
        sum.add(name, &plan.quantize(&input, &mut rng)?).unwrap();
    }
    Ok(sum.decode().unwrap().mean()[0])
}
