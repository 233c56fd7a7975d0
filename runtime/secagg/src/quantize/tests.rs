use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{Layout, Parameters};

const KNOWN: [u32; 10] = [
    617,
    1_131_710_460,
    1_082_023_057,
    1_065_460_589,
    1_342_881_922,
    411_325_924,
    1_073_741_832,
    1_694_834_359,
    411_243_118,
    1_736_240_527,
];

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

/// All 2²¹ words that differ, for fractions of all sizes and up to the largest range: the share that rounds up is the
/// fraction, within the bound of the module's documentation.
#[test]
fn the_bias_over_all_random_words_is_below_the_stated_bound() {
    let exhaustive = |whole: f64, fraction: f64| {
        let half = i32::MAX as u32;
        let scale = Scale { clipping: 1.0, factor: 1.0, limit: f64::from(half), offset: half };
        let floor = (whole as i64 + i64::from(half)) as u32;
        let ups: u32 = (0_u32..1 << 21)
            .map(|word| scale.round(whole + fraction, (word << 11).cast_signed()) - floor)
            .sum();
        f64::from(ups) / f64::from(1_u32 << 21)
    };
    for whole in [0.0, 1.0, -1.0, 4_194_303.0, -2_147_483_647.0, 2_147_483_646.0] {
        for fraction in [0.0, 0.5, 0.3, 0.999, 1.0 / 4_194_304.0, 3.0 / 4_194_304.0, 1.0 / 3.0] {
            // What an f64 of this size can hold of the fraction.
            let held = (whole + fraction) - whole;
            let bias = exhaustive(whole, fraction) - held;
            assert!(bias.abs() < 1.0 / 1_048_576.0, "{whole} + {fraction}: {bias}");
        }
        assert_eq!(exhaustive(whole, 0.0), 0.0, "whole numbers are never moved");
    }
}

/// Made by this code; a change of a single bit would give clients of different versions different inputs.
#[test]
fn the_same_on_every_machine() {
    let vector = [0.1_f32, -0.1, 3.25, -7.999, 1e-7, 7.5, -8.0, 9.0];
    let parameters = Parameters::new().with_quantization_range(1 << 31).with_min_cohort(2);
    let plan = parameters.plan(2, Layout::new(1, 8)).unwrap();
    let input = Input { weight: 617, scalars: &[0.7], vector: &vector };
    let quantized = plan.quantize(&input, &mut ChaCha8Rng::seed_from_u64(11)).unwrap();
    assert_eq!(quantized.entries(), KNOWN);
    assert_eq!(quantized.clipped(), 1);
}

/// The largest ranges: f32 arithmetic would be wrong by hundreds of steps here.
#[test]
fn stays_within_one_step_at_the_largest_ranges() {
    let vector: Vec<f32> = (0_u16..4000).map(|i| f32::from(i) * 0.0041 - 8.2).collect();
    for (range, clients) in [((1_u64 << 31) - 1, 2), (1 << 31, 2), (1 << 30, 3)] {
        let parameters = Parameters::new().with_quantization_range(range).with_min_cohort(2);
        let plan = parameters.plan(clients, Layout::new(0, vector.len())).unwrap();
        for weight in [1, 617, 1000] {
            let input = Input { weight, scalars: &[], vector: &vector };
            let quantized = plan.quantize(&input, &mut ChaCha8Rng::seed_from_u64(5)).unwrap();
            for (value, got) in vector.iter().zip(&quantized.entries()[1..]) {
                let half = f64::from(plan.half());
                let exact = f64::from(*value).clamp(-8.0, 8.0) / 8.0 * weight as f64 / 1000.0 * half + half;
                assert!((f64::from(*got) - exact).abs() < 1.0 + 1e-5, "{got} for {exact}");
                assert!(u64::from(*got) < range);
            }
        }
    }
}

#[test]
fn a_bad_entry_is_found_in_any_block() {
    for index in [0, BLOCK - 1, BLOCK, 3 * BLOCK + 7] {
        let mut vector = vec![0.5_f32; 3 * BLOCK + 8];
        assert_eq!(first_not_finite(&vector), None);
        vector[index] = f32::NAN;
        assert_eq!(first_not_finite(&vector), Some(index));
    }
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
