use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{Layout, Parameters};

const KNOWN: [u64; 11] = [
    617,
    1,
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

const KNOWN_WIDE: [u64; 11] = [
    617,
    1,
    593_342_214_031_644,
    567_291_705_001_770,
    558_608_201_840_852,
    704_056_877_683_572,
    215_653_246_528_650,
    562_949_957_763_063,
    888_581_317_103_450,
    215_609_832_160_362,
    910_290_074_682_259,
];

fn plan(scalars: usize, vector: usize) -> Plan {
    Parameters::new().plan(3, Layout::new(scalars, vector)).unwrap()
}

/// Of this range, in words of 64 bits where it asks for them.
fn plan_with(range: u64, vector: usize) -> Plan {
    let parameters = Parameters::new().with_quantization_range(range).with_modulus_range(1 << 64);
    parameters.plan(3, Layout::new(0, vector)).unwrap()
}

fn quantize_all(plan: &Plan, input: &Input<'_>, rng: &mut ChaCha8Rng) -> Vec<u64> {
    plan.quantize(input, rng).unwrap().entries().iter().collect()
}

fn quantize_one(plan: &Plan, weight: u64, value: f32, rng: &mut ChaCha8Rng) -> u64 {
    quantize_all(plan, &Input { weight, scalars: &[], vector: &[value] }, rng)[2]
}

#[test]
fn lays_out_weight_clipped_scalars_vector() {
    let input = Input { weight: 1000, scalars: &[8.0], vector: &[-8.0, 0.0, 9.0] };
    let plan = plan(1, 3);
    let entries = quantize_all(&plan, &input, &mut ChaCha8Rng::seed_from_u64(0));
    assert_eq!(entries, [1000, 1, 2 * plan.half(), 0, plan.half(), 2 * plan.half()]);
    assert_eq!(entries.len(), plan.entries());
}

#[test]
fn zero_and_the_limits_are_exact_at_every_weight() {
    for range in [1 << 22, 1 << 31, 1 << 32, (1 << 40) - 1, 1 << 52] {
        let plan = plan_with(range, 1);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for weight in [1, 3, 999, 1000] {
            assert_eq!(quantize_one(&plan, weight, 0.0, &mut rng), plan.half());
        }
        for _ in 0..50 {
            assert_eq!(quantize_one(&plan, 1000, f32::MAX, &mut rng), 2 * plan.half());
            assert_eq!(quantize_one(&plan, 1000, f32::MIN, &mut rng), 0);
        }
    }
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
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let limit = 6.0 * (0.25 / f64::from(DRAWS)).sqrt();
    for range in [1 << 22, 1 << 34] {
        let plan = plan_with(range, 1);
        let half = plan.half() as f64;
        for (weight, value) in
            [(1000, 0.1_f32), (1000, -3.3), (7, 0.001), (1, -7.9), (333, 1e-6), (500, -1e-6)]
        {
            let expected = f64::from(value) / 8.0 * weight as f64 / 1000.0 * half + half;
            let total: f64 =
                (0..DRAWS).map(|_| quantize_one(&plan, weight, value, &mut rng) as f64 - expected).sum();
            let error = total / f64::from(DRAWS);
            assert!(error.abs() < limit, "weight {weight}, value {value}: biased by {error} steps");
        }
    }
}

/// How often of so many equally spaced words a number is rounded up, whose range is ±`half`.
fn share_rounded_up<W: RoundedWord>(
    half: u64,
    whole: f64,
    fraction: f64,
    words: impl Iterator<Item = u32>,
) -> f64 {
    let scale = Scale { clipping: 1.0, factor: 1.0, limit: half as f64, offset: W::truncate(half) };
    let floor = (whole as i64 + half.cast_signed()).cast_unsigned();
    let (mut ups, mut all) = (0, 0_u32);
    for word in words {
        let rounded: u64 = W::round(&scale, whole + fraction, word.cast_signed()).into();
        ups += rounded.wrapping_sub(floor);
        all += 1;
    }
    ups as f64 / f64::from(all)
}

/// All 2²¹ words that differ, for fractions of all sizes and up to the largest range: the share that rounds up is the
/// fraction, within the bound of the module's documentation. In words of 64 bits as many of 2³¹.
#[test]
fn the_bias_over_all_random_words_is_below_the_stated_bound() {
    let words = || (0_u32..1 << 21).map(|word| word << 11);
    let narrow = |whole, fraction| share_rounded_up::<u32>(i32::MAX as u64, whole, fraction, words());
    let wide = |whole, fraction| share_rounded_up::<u64>((1 << 51) - 1, whole, fraction, words());
    let check = |share: &dyn Fn(f64, f64) -> f64, whole: f64| {
        for fraction in [0.0, 0.5, 0.3, 0.999, 1.0 / 4_194_304.0, 3.0 / 4_194_304.0, 1.0 / 3.0] {
            // What an f64 of this size can hold of the fraction.
            let held = (whole + fraction) - whole;
            let bias = share(whole, fraction) - held;
            assert!(bias.abs() < 1.0 / 1_048_576.0, "{whole} + {fraction}: {bias}");
        }
        assert_eq!(share(whole, 0.0), 0.0, "whole numbers are never moved");
    };
    for whole in [0.0, 1.0, -1.0, 4_194_303.0, -2_147_483_647.0, 2_147_483_646.0] {
        check(&narrow, whole);
        check(&wide, whole);
    }
    for whole in [-2_251_799_813_685_247.0, 1_125_899_906_842_624.0, 2_251_799_813_685_246.0] {
        check(&wide, whole);
    }
}

/// A fraction that takes all 31 bits of a random word: with 21 of them the share would be 0, or twice as large.
#[test]
fn wide_words_round_by_31_random_bits() {
    let (bit, first) = (1.0 / f64::from(1_u32 << 26), (i32::MAX - 4096).cast_unsigned());
    // Of the largest 2048 values of u, those above ½ − 2⁻²⁶ are 32.
    let share = share_rounded_up::<u64>(1 << 40, 12_345.0, bit, (0..2048).map(|i| first + 1 + 2 * i));
    assert_eq!(share * 2048.0, 32.0);
}

/// Made by this code; a change of a single bit would give clients of different versions different inputs.
#[test]
fn the_same_on_every_machine() {
    let vector = [0.1_f32, -0.1, 3.25, -7.999, 1e-7, 7.5, -8.0, 9.0];
    let input = Input { weight: 617, scalars: &[0.7], vector: &vector };
    for (range, modulus, known) in [(1 << 31, 1 << 32, KNOWN), (1 << 50, 1 << 51, KNOWN_WIDE)] {
        let parameters = Parameters::new().with_quantization_range(range).with_modulus_range(modulus);
        let plan = parameters.with_min_cohort(2).plan(2, Layout::new(1, 8)).unwrap();
        let quantized = plan.quantize(&input, &mut ChaCha8Rng::seed_from_u64(11)).unwrap();
        assert_eq!(quantized.entries().iter().collect::<Vec<_>>(), known);
        assert_eq!(quantized.clipped(), 1);
    }
}

/// The largest ranges: f32 arithmetic would be wrong by hundreds of steps here.
#[test]
fn stays_within_one_step_at_the_largest_ranges() {
    let vector: Vec<f32> = (0_u16..4000).map(|i| f32::from(i) * 0.0041 - 8.2).collect();
    for range in [(1_u64 << 31) - 1, 1 << 31, 1 << 30, 1 << 32, 1 << 40] {
        let plan = plan_with(range, vector.len());
        for weight in [1, 617, 1000] {
            let input = Input { weight, scalars: &[], vector: &vector };
            let quantized = quantize_all(&plan, &input, &mut ChaCha8Rng::seed_from_u64(5));
            for (value, got) in vector.iter().zip(&quantized[2..]) {
                let half = plan.half() as f64;
                let exact = f64::from(*value).clamp(-8.0, 8.0) / 8.0 * weight as f64 / 1000.0 * half + half;
                assert!((*got as f64 - exact).abs() < 1.0 + 1e-3, "{got} for {exact}");
                assert!(*got < range);
            }
        }
    }
}

/// In integers: at 2⁵² an f64 is not precise enough to check itself. Four roundings of 2⁻⁵³ each may move a value of
/// 2⁵¹ steps by one step.
#[test]
fn stays_within_two_steps_at_the_largest_range() {
    let plan = plan_with(1 << 52, 1);
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    for sixteenths in -128_i64..=128 {
        for weight in [1_u64, 617, 1000] {
            let got = quantize_one(&plan, weight, sixteenths as f32 / 16.0, &mut rng);
            let half = i128::from(plan.half());
            // In units of a 128,000th of a step.
            let exact = half * i128::from(sixteenths) * i128::from(weight) + 128_000 * half;
            let error = (i128::from(got) * 128_000 - exact).abs();
            assert!(error <= 2 * 128_000, "{sixteenths}/16 with weight {weight}: {error}");
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
    let run = |seed| quantize_all(&plan, &input, &mut ChaCha8Rng::seed_from_u64(seed));
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
    assert_eq!(format!("{quantized:?}"), "Quantized { entries: 4, .. }");
}

proptest! {
    #[test]
    fn stays_in_range_and_within_one_step(
        value in -20.0_f32..20.0,
        weight in 1_u64..=1000,
        clipping in 0.001_f64..100.0,
        range in prop_oneof![3_u64..(1 << 26), (1_u64 << 32)..(1 << 42)],
        seed: u64,
    ) {
        let parameters = Parameters::new().with_clipping_range(clipping).with_quantization_range(range);
        let plan = parameters.with_modulus_range(1 << 64).plan(3, Layout::new(0, 1)).unwrap();
        let got = quantize_one(&plan, weight, value, &mut ChaCha8Rng::seed_from_u64(seed));
        prop_assert!(got < range);
        let half = plan.half() as f64;
        let clipped = f64::from(value).clamp(-clipping, clipping);
        let exact = clipped / clipping * weight as f64 / 1000.0 * half + half;
        prop_assert!((got as f64 - exact).abs() < 1.0 + 1e-2, "{got} for {exact}");
    }
}
