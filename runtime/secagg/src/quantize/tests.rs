use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{Layout, Parameters};

fn plan(scalars: usize, vector: usize) -> Plan {
    Parameters::new().plan(3, Layout::new(scalars, vector)).unwrap()
}

fn quantize_one(plan: &Plan, weight: u64, value: f32, rng: &mut ChaCha8Rng) -> u32 {
    plan.quantize(&Input { weight, scalars: &[], vector: &[value] }, rng).unwrap().entries()[1]
}

#[test]
fn lays_out_weight_scalars_vector() {
    let input = Input { weight: 1000, scalars: &[8.0], vector: &[-8.0, 0.0] };
    let plan = plan(1, 2);
    let quantized = plan.quantize(&input, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    assert_eq!(quantized.entries(), [1000, 2 * plan.half(), 0, plan.half()]);
    assert_eq!(quantized.clipped(), 0);
}

#[test]
fn zero_and_the_limits_are_exact_at_every_weight() {
    let plan = plan(0, 1);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for weight in [1, 3, 999, 1000] {
        assert_eq!(quantize_one(&plan, weight, 0.0, &mut rng), plan.half());
    }
    assert_eq!(quantize_one(&plan, 1000, f32::MAX, &mut rng), 2 * plan.half());
    assert_eq!(quantize_one(&plan, 1000, f32::MIN, &mut rng), 0);
}

#[test]
fn counts_what_it_clips() {
    let input = Input { weight: 1, scalars: &[9.0], vector: &[-8.5, 8.0] };
    let quantized = plan(1, 2).quantize(&input, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    assert_eq!(quantized.clipped(), 2);
}

/// The mean of n roundings of a value with fraction p has variance p(1 − p)/n ≤ 1/(4n). Six standard deviations fail
/// by chance once in 10⁹; with a fixed seed the test cannot flicker at all.
#[test]
fn rounding_is_unbiased() {
    const DRAWS: u32 = 200_000;
    let plan = plan(0, 1);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let limit = 6.0 * (0.25 / f64::from(DRAWS)).sqrt();
    for (weight, value) in [(1000, 0.1_f32), (1000, -3.3), (7, 0.001), (1, -7.9), (333, 1e-6), (500, -1e-6)] {
        let total: f64 = (0..DRAWS).map(|_| f64::from(quantize_one(&plan, weight, value, &mut rng))).sum();
        let expected =
            f64::from(value) / 8.0 * weight as f64 / 1000.0 * f64::from(plan.half()) + f64::from(plan.half());
        let error = total / f64::from(DRAWS) - expected;
        assert!(error.abs() < limit, "weight {weight}, value {value}: biased by {error} steps");
    }
}

/// All 2³² random words at once: the fraction of words that round up is the fraction cut to 32 bits, so the bias of
/// one rounding is below 2⁻³² of a step.
#[test]
fn rounding_compares_the_fraction_with_32_bits() {
    let scale = Scale { clipping: 1.0, factor: 1.0, half: 1.0, offset: 1 };
    let fraction = 0.3_f64;
    let boundary = (fraction * 4_294_967_296.0) as u32;
    assert_eq!(scale.round(fraction, boundary), 2, "the last word that rounds up");
    assert_eq!(scale.round(fraction, boundary + 1), 1);
    assert_eq!(scale.round(-fraction, u32::MAX), 0);
    assert_eq!(scale.round(-fraction, 0), 1);
    assert_eq!(scale.round(0.0, 0), 1, "a whole number is never rounded up");
}

#[test]
fn same_seed_same_integers() {
    let vector: Vec<f32> = (0_u8..100).map(|i| f32::from(i) * 0.031).collect();
    let input = Input { weight: 17, scalars: &[0.5], vector: &vector };
    let plan = plan(1, 100);
    let run = |seed| plan.quantize(&input, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap().entries().to_vec();
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn row_09_bad_inputs_are_refused_at_the_client() {
    let plan = plan(1, 2);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let good = Input { weight: 1, scalars: &[0.0], vector: &[0.0, 0.0] };
    let mut code = |input: Input<'_>| plan.quantize(&input, &mut rng).unwrap_err().code();
    assert_eq!(code(Input { weight: 0, ..good }), "weight-zero");
    assert_eq!(code(Input { weight: 1001, ..good }), "weight-above-maximum");
    assert_eq!(code(Input { weight: (1 << 32) + 1, ..good }), "weight-above-maximum");
    assert_eq!(code(Input { scalars: &[], ..good }), "wrong-scalars");
    assert_eq!(code(Input { vector: &[0.0], ..good }), "wrong-vector");
    assert_eq!(code(Input { scalars: &[f64::NAN], ..good }), "scalar-not-finite");
    assert_eq!(code(Input { scalars: &[f64::INFINITY], ..good }), "scalar-not-finite");
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = plan.quantize(&Input { vector: &[0.0, value], ..good }, &mut rng).unwrap_err();
        assert_eq!(error, InputError::VectorNotFinite { index: 1 });
    }
}

#[test]
fn row_11_debug_shows_no_value() {
    let input = Input { weight: 424_242, scalars: &[0.625], vector: &[0.375] };
    assert_eq!(format!("{input:?}"), "Input { scalars: 1, vector: 1, .. }");
    let plan = Parameters::new().with_max_weight(424_242).plan(3, Layout::new(1, 1)).unwrap();
    let quantized = plan.quantize(&input, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
    assert_eq!(format!("{quantized:?}"), "Quantized { entries: 3, .. }");
}

proptest! {
    #[test]
    fn stays_in_range_and_within_one_step(
        value in -20.0_f32..20.0,
        weight in 1_u64..=1000,
        clipping in 0.001_f64..100.0,
        range in 3_u64..(1 << 26),
        seed: u64,
    ) {
        let parameters = Parameters::new().with_clipping_range(clipping).with_quantization_range(range);
        let plan = parameters.plan(3, Layout::new(0, 1)).unwrap();
        let got = quantize_one(&plan, weight, value, &mut ChaCha8Rng::seed_from_u64(seed));
        prop_assert!(u64::from(got) < range);
        let half = f64::from(plan.half());
        let clipped = f64::from(value).clamp(-clipping, clipping);
        let exact = clipped / clipping * weight as f64 / 1000.0 * half + half;
        prop_assert!((f64::from(got) - exact).abs() < 1.0 + 1e-6, "{got} for {exact}");
    }
}
