//! Row 8: the sum overflows the modulus.

use rand::SeedableRng as _;

use crate::{
    defences::{Defence, without},
    *,
};

/// A modulus that the sum passes: the mean is wrong, and nothing shows it.
#[test]
fn row_08_attack_with_a_sum_that_wraps_around() {
    fn attack() -> Result<f32, PlanError> {
        let parameters = Parameters::new().with_modulus_range(1 << 23);
        let plan = parameters.plan(4, Layout::new(0, 1))?;
        let mut sum = FixedPointSum::new(&plan);
        for name in ["a", "b", "c", "d"] {
            let input = Input { weight: 1000, scalars: &[], vector: &[8.0] };
            sum.add(name, &plan.quantize(&input, &mut rand_chacha::ChaCha8Rng::from_seed([0; 32])).unwrap())
                .unwrap();
        }
        Ok(sum.decode().unwrap().mean()[0])
    }
    assert!(without(Defence::NoOverflow, attack).unwrap() < 4.1, "far from 8");
    assert_eq!(attack().unwrap_err().code(), "sum-can-overflow");
}
