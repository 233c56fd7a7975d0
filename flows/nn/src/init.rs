//! PyTorch's default initialisation.
//!
//! `nn.Linear` and `nn.Conv2d` draw their weights from `kaiming_uniform` with a = √5, which is uniform in
//! ±1/√fan_in, and their biases from the same interval. The numbers are not PyTorch's own: they come from a
//! ChaCha generator and a conversion that is written out here, so that a seed gives the same model on every
//! machine and with every version of the `rand` packages.

use rand_chacha::rand_core::Rng;

/// `count` numbers, uniform in ±1/√`fan_in`, where `fan_in` is the number of inputs of one output (for a
/// convolution: input channels × kernel height × kernel width). Empty if `fan_in` is zero.
pub fn uniform_by_fan_in(count: usize, fan_in: usize, rng: &mut impl Rng) -> Vec<f32> {
    if fan_in == 0 {
        return Vec::new();
    }
    let bound = 1.0 / (fan_in as f64).sqrt();
    // 24 bits: what the significand of an f32 holds, so that no value rounds up to the excluded end.
    let unit = |bits: u32| f64::from(bits >> 8) / f64::from(1_u32 << 24);
    (0..count).map(|_| (bound * (2.0 * unit(rng.next_u32()) - 1.0)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn fills_the_interval_evenly() {
        let fan_in = 25;
        let values = uniform_by_fan_in(100_000, fan_in, &mut ChaCha8Rng::seed_from_u64(1));
        let bound = 0.2_f32;
        assert!(values.iter().all(|value| value.abs() <= bound));
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
        let variance =
            values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.002, "mean {mean}");
        assert!((variance - f64::from(bound).powi(2) / 3.0).abs() < 2e-4, "variance {variance}");
    }

    #[test]
    fn a_seed_gives_the_same_numbers_for_ever() {
        let values = uniform_by_fan_in(3, 4, &mut ChaCha8Rng::seed_from_u64(42));
        assert_eq!(values, uniform_by_fan_in(3, 4, &mut ChaCha8Rng::seed_from_u64(42)));
        assert_ne!(values, uniform_by_fan_in(3, 4, &mut ChaCha8Rng::seed_from_u64(43)));
    }
}
