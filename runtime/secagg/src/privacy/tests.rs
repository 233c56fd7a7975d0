//! Sums with noise, without masks: what [`mask_input`](crate::MaskInputClient::mask_input) masks, added up and decoded.

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::{
    Aggregate, FixedPointSum, Input, Layout, NumShares, Parameters, Plan, PlanError, Privacy, Security,
};

const DELTA: f64 = 1e-5;

/// Trusted server, cohorts from 2: of `clients` two thirds and one survive, and one of those keeps its noise secret less.
fn parameters(norm: f64, noise_multiplier: f64) -> Parameters {
    Parameters::new().with_security(Security::SemiHonest).with_min_cohort(2).with_privacy(Privacy::new(
        norm,
        noise_multiplier,
        DELTA,
    ))
}

fn noisy_sum(plan: &Plan, inputs: &[Input<'_>], seed: u64) -> Aggregate {
    let mut sum = FixedPointSum::new(plan);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for (i, input) in inputs.iter().enumerate() {
        let mut quantized = plan.quantize(input, &mut rng).unwrap();
        quantized.add_noise().unwrap();
        sum.add(&i.to_string(), &quantized).unwrap();
    }
    sum.decode().unwrap()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

/// 5 clients, t = 4, one's noise known to itself: each adds σ²/3, and the noise of 5 is 5/3 σ², that of 4 is 4/3.
#[test]
fn the_noise_has_the_variance_that_was_asked_for() {
    const ENTRIES: usize = 20_000;
    let plan = parameters(2.0, 1.5).plan(5, Layout::new(0, ENTRIES)).unwrap();
    assert_eq!((plan.threshold(), plan.noise().unwrap().sources()), (4, 3));
    let zeros = vec![0.0; ENTRIES];
    let input = Input { weight: 1, scalars: &[], vector: &zeros };
    for survivors in [4, 5] {
        let aggregate = noisy_sum(&plan, &vec![input; survivors], 1);
        let sigma = norm(aggregate.mean().iter().map(|x| f64::from(*x))) / (ENTRIES as f64).sqrt();
        let expected = 2.0 * 1.5 * (survivors as f64 / 3.0).sqrt() / survivors as f64;
        // The estimate's standard deviation is 0.5 %.
        assert!((sigma / expected - 1.0).abs() < 0.04, "{sigma}, not {expected}");
        assert!((aggregate.noise_std() / expected - 1.0).abs() < 1e-6);
        assert_eq!(aggregate.noise_std(), plan.noise_std_of_mean(survivors));
        let largest = aggregate.mean().iter().fold(0.0, |largest: f64, x| largest.max(f64::from(x.abs())));
        assert!(largest < aggregate.max_error() && aggregate.max_error() < 12.0 * expected);
        assert_eq!(aggregate.privacy(), plan.privacy_cost(1));
    }
}

/// σ = 10⁻⁴ of the norm, so that what was clipped can be seen.
#[test]
fn inputs_are_clipped_to_the_norm_and_count_the_same() {
    let plan = parameters(3.0, 1e-4).plan(3, Layout::new(2, 7)).unwrap();
    let within = [0.5, -0.25, 1.0, 0.125, 0.0, 1.5, -1.0];
    let beyond = within.map(|value| 40.0 * value);
    let inputs = [
        Input { weight: 1, scalars: &[0.5, 0.0], vector: &within },
        Input { weight: 1000, scalars: &[20.0, 0.0], vector: &beyond.map(|value| value.clamp(-3.0, 3.0)) },
        Input { weight: 3, scalars: &[0.0, -1e300], vector: &[0.0; 7] },
    ];
    let aggregate = noisy_sum(&plan, &inputs, 2);
    let error = aggregate.max_error();
    assert!(error < 0.002, "{error}");
    assert_eq!(aggregate.total_weight(), 3);
    assert_eq!(aggregate.clipped(), 0, "nothing that was clipped is told");
    // Each value is clipped to ±3 first, and what remains to a norm of 3.
    let clipped = |input: &Input<'_>| -> Vec<f64> {
        let values = input.scalars.iter().copied().chain(input.vector.iter().map(|x| f64::from(*x)));
        let values: Vec<f64> = values.map(|value| value.clamp(-3.0, 3.0)).collect();
        let factor = (3.0 / norm(values.iter().copied())).min(1.0);
        values.into_iter().map(|value| value * factor).collect()
    };
    let clipped = inputs.each_ref().map(clipped);
    assert!(norm(clipped[0].iter().copied()) < 2.6, "the first one is not clipped");
    let got = aggregate.scalars().iter().copied().chain(aggregate.mean().iter().map(|x| f64::from(*x)));
    for (i, got) in got.enumerate() {
        let expected = clipped.iter().map(|values| values[i]).sum::<f64>() / 3.0;
        assert!((got - expected).abs() <= error, "entry {i}: {got}, not {expected}");
    }
}

/// Where the range of a value is smaller than the norm, the norm in steps is more than half the range.
#[test]
fn a_clipping_range_below_the_norm_stays() {
    let plan = parameters(3.0, 1e-4).with_clipping_range(1.0).plan(3, Layout::new(0, 9)).unwrap();
    assert_eq!(plan.quantization_step(), 1.0 / plan.half() as f64);
    let input = Input { weight: 1, scalars: &[], vector: &[2.0; 9] };
    let aggregate = noisy_sum(&plan, &[input; 3], 3);
    assert!(aggregate.mean().iter().all(|x| (f64::from(*x) - 1.0).abs() < aggregate.max_error()));
    let input = Input { weight: 1, scalars: &[], vector: &[2.0, 0.1] };
    let plan = parameters(3.0, 1e-4).plan(3, Layout::new(0, 2)).unwrap();
    assert_eq!(plan.quantization_step(), 3.0 / plan.half() as f64, "nothing is larger than the norm");
    let aggregate = noisy_sum(&plan, &[input; 3], 3);
    assert!((f64::from(aggregate.mean()[0]) - 2.0).abs() < aggregate.max_error());
}

/// The integers that leave are never longer than the sensitivity that is accounted for, also where rounding is coarse
/// and makes vectors twice as long; and they stay unbiased enough to be of use.
#[test]
fn what_is_rounded_is_never_longer_than_the_bound() {
    const ENTRIES: usize = 4000;
    let plan = parameters(1.0, 8.0).with_quantization_range(65).plan(3, Layout::new(0, ENTRIES)).unwrap();
    let bound = plan.noise().unwrap().norm_squared();
    let entry = 1.0 / (ENTRIES as f32).sqrt();
    let vector: Vec<f32> = (0..ENTRIES).map(|i| if i % 2 == 0 { entry } else { -entry }).collect();
    let input = Input { weight: 1, scalars: &[], vector: &vector };
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let (mut longest, mut aligned) = (0, 0.0);
    for _ in 0..300 {
        let quantized = plan.quantize(&input, &mut rng).unwrap();
        let steps =
            quantized.entries().iter().skip(2).map(|entry| entry.cast_signed() - plan.half().cast_signed());
        let steps: Vec<i64> = steps.collect();
        let squared = steps.iter().map(|step| step * step).sum::<i64>() as u128;
        assert!(squared <= bound, "{squared} > {bound}");
        longest = longest.max(squared);
        aligned +=
            steps.iter().zip(&vector).map(|(step, value)| *step as f64 * f64::from(*value)).sum::<f64>();
    }
    // 32² = 1024 without rounding; half a step in each of 4000 entries makes it 2000 and more.
    assert!((1900..=2200).contains(&bound) && longest > 1700, "{longest} of {bound}");
    // The inner product with the input is 32 steps on average, and has a standard deviation of 0.6.
    let aligned = aligned / 300.0;
    assert!((aligned - 32.0).abs() < 1.0, "{aligned}");
}

/// All clients at the same limit: noise takes the sum beyond it every other time, and that decodes. The modulus is no
/// larger than it has to be.
#[test]
fn sums_at_the_limits_do_not_wrap_around() {
    for (modulus, range) in [(1 << 32, 1 << 22), (1 << 64, 1 << 40)] {
        let parameters = parameters(1.0, 1e-4).with_quantization_range(range).with_modulus_range(modulus);
        let plan = parameters.plan(4, Layout::new(0, 1)).unwrap();
        let needed = 4 * u128::from(range) + 2 * u128::from(plan.noise_tail());
        assert!(plan.modulus() >= needed && plan.modulus() < 2 * needed);
        for limit in [1.0, -1.0] {
            let input = Input { weight: 1, scalars: &[], vector: &[limit] };
            let means: Vec<f64> =
                (0..200).map(|seed| f64::from(noisy_sum(&plan, &[input; 4], seed).mean()[0])).collect();
            assert!(means.iter().all(|mean| (mean - f64::from(limit)).abs() < 0.002));
            let beyond = means.iter().filter(|mean| mean.abs() > 1.0).count();
            assert!((50..150).contains(&beyond), "{beyond} of 200 beyond the limit");
        }
    }
}

/// Somebody who knows everything but whether one participant contributed its norm or nothing guesses by the sum. With
/// σ = norm it is right in Φ(1/2σ) = 66 % of cases with three survivors' noise (σ² · 3/2), not more; the rates keep
/// within (ε, δ). Without noise it is always right.
#[test]
fn neighbouring_inputs_are_told_apart_no_better_than_promised() {
    const TRIALS: u64 = 6000;
    let plan = parameters(1.0, 1.0).plan(3, Layout::new(0, 1)).unwrap();
    let (none, all) = ([0.0], [1.0]);
    fn input(vector: &[f32]) -> Input<'_> {
        Input { weight: 1, scalars: &[], vector }
    }
    let guesses = |target: &[f32; 1]| {
        let guess = |seed| {
            let sum = noisy_sum(&plan, &[input(&none), input(&none), input(target)], seed);
            f64::from(sum.mean()[0]) * 3.0 > 0.5
        };
        (0..TRIALS).filter(|seed| guess(*seed)).count() as f64 / TRIALS as f64
    };
    let (wrong, right) = (guesses(&none), guesses(&all));
    // Φ(0.5 / √1.5) = 0.6585, with a standard deviation of 0.006.
    assert!((right - 0.6585).abs() < 0.04 && (wrong - 0.3415).abs() < 0.04, "{right}, {wrong}");
    let cost = plan.privacy_cost(1).unwrap();
    assert!(right <= cost.epsilon().exp() * wrong + cost.delta());
    let mut sum = FixedPointSum::new(&plan);
    sum.add("a", &plan.quantize(&input(&all), &mut ChaCha8Rng::seed_from_u64(1)).unwrap()).unwrap();
    assert_eq!(sum.decode().unwrap().mean(), [1.0], "without noise");
}

#[test]
fn two_clients_never_add_the_same_noise() {
    let plan = parameters(1.0, 1.0).plan(3, Layout::new(0, 1000)).unwrap();
    let input = Input { weight: 1, scalars: &[], vector: &[0.0; 1000] };
    // The same seed for rounding, which rounds zeros to zeros.
    let [one, other] = [1, 1].map(|seed| noisy_sum(&plan, &[input], seed));
    let same = one.mean().iter().zip(other.mean()).filter(|(one, other)| one == other).count();
    assert!(same < 3, "{same} of 1000");
}

#[test]
fn a_plan_tells_the_cost_in_advance() {
    let plan = parameters(1.0, 2.0).plan(10, Layout::new(1, 100)).unwrap();
    let (one, ten) = (plan.privacy_cost(1).unwrap(), plan.privacy_cost(10).unwrap());
    // ρ = 1/2z²; rounding with 2²¹ steps to the norm adds a part in 2²¹.
    assert!((one.rho() * 8.0 - 1.0).abs() < 1e-5, "{}", one.rho());
    assert!((ten.rho() - 10.0 * one.rho()).abs() < 1e-12);
    assert_eq!(one.delta(), DELTA);
    assert!(one.epsilon() < ten.epsilon() && ten.epsilon() < 10.0 * one.epsilon());
    let none = Parameters::new().plan(10, Layout::new(1, 100)).unwrap();
    assert_eq!((none.privacy_cost(1), none.noise_std_of_mean(3)), (None, 0.0));
}

/// n of the noise: on the complete graph the threshold or the smallest cohort, among neighbours the cohort alone; less
/// the colluders, who are one at least.
#[test]
fn noise_is_divided_by_those_who_are_sure_to_add_it() {
    let sources = |parameters: Parameters, clients| {
        parameters.plan(clients, Layout::new(0, 1)).unwrap().noise().unwrap().sources()
    };
    let base = parameters(1.0, 1.0);
    assert_eq!(sources(base, 3), 3 - 1);
    assert_eq!(sources(base, 30), 21 - 1);
    assert_eq!(sources(base.with_min_cohort(27), 30), 27 - 1);
    assert_eq!(sources(base.with_colluders(0.2), 30), 21 - 6);
    let malicious = base.with_security(Security::Malicious { adversaries: 0.2 });
    assert_eq!(sources(malicious.with_dropouts(0.0), 30), 21 - 6);
    let sparse = base.with_num_shares(NumShares::Auto).with_min_cohort(800);
    assert_eq!(sources(sparse, 1000), 800 - 50);
}

#[test]
fn parameters_without_a_meaning_are_refused_with_what_would_do() {
    let plan = |parameters: Parameters, clients| parameters.plan(clients, Layout::new(0, 10));
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-60] {
        let code = |parameters| plan(parameters, 3).unwrap_err().code();
        assert_eq!(code(parameters(bad, 1.0)), "privacy-not-positive");
        assert_eq!(code(parameters(1.0, bad)), "privacy-not-positive");
    }
    for delta in [0.0, 1.0, -0.1, f64::NAN] {
        let parameters = Parameters::new().with_privacy(Privacy::new(1.0, 1.0, delta));
        assert_eq!(plan(parameters, 3).unwrap_err().code(), "delta");
    }
    // What the messages propose does.
    let small = parameters(1.0, 0.01).with_quantization_range(100);
    let Err(PlanError::NoiseTooSmall { needed, .. }) = plan(small, 3) else { panic!("enough noise") };
    plan(small.with_quantization_range(needed), 3).unwrap();
    let wide = parameters(1.0, 1000.0).with_modulus_range(1 << 64).with_quantization_range(1 << 45);
    let Err(PlanError::NoiseTooLarge { largest, .. }) = plan(wide, 3) else {
        panic!("no more noise than fits")
    };
    plan(wide.with_quantization_range(largest), 3).unwrap();
    let full = parameters(1.0, 10.0).with_quantization_range(1 << 27);
    let Err(PlanError::NoiseOverflow { largest, needed, .. }) = plan(full, 20) else { panic!("it fits") };
    plan(full.with_quantization_range(largest), 20).unwrap();
    plan(full.with_modulus_range(needed.next_power_of_two()), 20).unwrap();
}

#[test]
fn parameters_are_serialized_and_hashed_with_their_privacy() {
    let with = parameters(1.5, 0.5);
    let text = serde_json::to_string(&with).unwrap();
    assert!(text.contains(r#""privacy":{"norm":1.5,"noise_multiplier":0.5,"delta":0.00001}"#), "{text}");
    assert_eq!(serde_json::from_str::<Parameters>(&text).unwrap(), with);
    let privacy =
        |norm, noise, delta| Parameters::new().with_privacy(Privacy::new(norm, noise, delta)).digest();
    let digests = [
        Parameters::new().digest(),
        privacy(1.0, 1.0, 1e-5),
        privacy(2.0, 1.0, 1e-5),
        privacy(1.0, 2.0, 1e-5),
        privacy(1.0, 1.0, 1e-6),
    ];
    for (i, one) in digests.iter().enumerate() {
        assert!(digests[..i].iter().all(|other| other != one), "{i}");
    }
}

proptest! {
    /// What [`Parameters::largest_quantization_range`] says fits, whatever the layout and the number of sources.
    #[test]
    fn the_largest_quantization_range_has_room_for_the_noise(
        clients in 2_usize..200, ln_noise in -3.0..7.0_f64, ln_norm in -5.0..5.0_f64, entries in 1_usize..3_000_000,
        bits in 24_u32..=64,
    ) {
        let parameters = parameters(ln_norm.exp(), ln_noise.exp()).with_modulus_range(1 << bits);
        let largest = parameters.largest_quantization_range(clients);
        let plan = parameters.with_quantization_range(largest).plan(clients, Layout::new(0, entries));
        match plan {
            Ok(plan) => prop_assert!(plan.modulus() <= 1 << bits),
            // A small modulus may have no room for noise that can be accounted for.
            Err(PlanError::NoiseTooSmall { .. } | PlanError::QuantizationRange { .. }) => prop_assert!(largest < 10_000),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}
