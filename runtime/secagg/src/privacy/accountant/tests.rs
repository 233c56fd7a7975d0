use proptest::prelude::*;

use super::*;

fn close(got: f64, expected: f64) {
    assert!((got - expected).abs() <= 1e-9 * expected.abs(), "{got}, not {expected}");
}

/// Computed apart from this code: δ(ε) of CKS20, corollary 13, with the best α found as the root of its derivative,
/// and ε by bisection on it.
#[test]
fn epsilon_of_rho_is_the_corollarys() {
    for (rho, delta, expected) in [
        (0.5, 1e-5, 4.728_386_984_943_314),
        (0.005, 1e-6, 0.429_941_468_836_949_3),
        (10.0, 1e-5, 30.110_857_303_795_73),
        (1e-4, 1e-3, 0.020_975_355_701_652_213),
        (0.1, 1e-9, 2.715_481_886_730_502_4),
        (2.63, 1e-10, 17.430_584_487_345_115),
    ] {
        close(epsilon(rho, delta), expected);
        assert!(epsilon(rho, delta) < rho + 2.0 * (rho * (1.0 / delta).ln()).sqrt(), "the simple bound");
    }
    assert_eq!(epsilon(0.0, 1e-5), 0.0);
}

/// The probabilities of N_Z(0, σ²) and, by convolution, of sums of it, for |x| ≤ `REACH`.
fn sum_of_gaussians(variance: f64, noises: usize) -> Vec<f64> {
    let weight = |x: i64| (-((x * x) as f64) / (2.0 * variance)).exp();
    let total: f64 = (-REACH..=REACH).map(weight).sum();
    let one: Vec<f64> = (-REACH..=REACH).map(|x| weight(x) / total).collect();
    (1..noises).fold(one.clone(), |sum, _| {
        let at = |x: i64| usize::try_from(x + REACH).ok();
        let convolved = |z: i64| -> f64 {
            let product = |x: i64| Some(sum.get(at(z - x)?)? * one[at(x)?]);
            (-REACH..=REACH).filter_map(product).sum()
        };
        (-REACH..=REACH).map(convolved).collect()
    })
}

const REACH: i64 = 120;

/// D_α(P ‖ P shifted by Δ), by its definition, where the numbers are not too small to be numbers.
fn renyi(probabilities: &[f64], order: f64, shift: usize) -> f64 {
    let pairs =
        probabilities[shift..].iter().zip(probabilities).filter(|(p, q)| **p > 1e-300 && **q > 1e-300);
    let logs: Vec<f64> = pairs.map(|(p, q)| order * p.ln() + (1.0 - order) * q.ln()).collect();
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
    (largest + sum.ln()) / (order - 1.0)
}

/// Sums of one, two, three and five, at variances where τ is 0.1 and where it is nothing: the true divergence is below
/// ρα. Where τ is nothing it equals ρα.
#[test]
fn the_true_divergence_of_sums_stays_below_the_bound() {
    for variance in [0.5, 0.7, 1.0, 4.0, 16.0] {
        for noises in [1, 2, 3, 5] {
            let probabilities = sum_of_gaussians(variance, noises);
            for shift in [1, 2, 5] {
                let rho = rho_of_sum((shift * shift) as f64, variance, noises, 1);
                for order in [1.01, 1.5, 2.0, 4.0, 8.0] {
                    let exact = renyi(&probabilities, order, shift);
                    let of = format!("σ² = {variance}, n = {noises}, Δ = {shift}, α = {order}");
                    assert!(exact <= rho * order * (1.0 + 1e-6), "{of}: {exact} > {}", rho * order);
                    if variance >= 4.0 {
                        assert!(exact > 0.999 * rho * order, "{of}: {exact} of {}", rho * order);
                    }
                }
            }
        }
    }
}

/// ε with which a single discrete Gaussian is (ε, δ)-private, from its probabilities: what is reported is larger, by
/// what the way over ρ costs.
#[test]
fn the_true_epsilon_of_one_gaussian_stays_below_the_reported_one() {
    // By δ(ε) = Σ max(0, P(x) − e^ε·P(x − Δ)) and bisection, in Python.
    for (variance, sensitivity, delta, exact) in [
        (16.0, 4.0_f64, 1e-5, 4.389_915_673_575_555),
        (16.0, 1.0, 1e-5, 0.927_354_147_165_596_3),
        (100.0, 10.0, 1e-6, 4.885_739_309_321_385_4),
    ] {
        let reported =
            PrivacyCost::new(rho_of_sum(sensitivity * sensitivity, variance, 1, 1), delta).epsilon();
        assert!(exact < reported && reported < 1.1 * exact, "{reported} for {exact}");
    }
}

/// By math.fsum in Python.
#[test]
fn tau_is_the_papers() {
    for (variance, noises, expected) in [
        (0.5, 2, 0.071_918_833_558_263_67),
        (1.0, 10, 0.000_543_524_258_162_000_1),
        (1.0, 3, 0.000_536_503_281_012_654_9),
        (16.0, 1000, 2.624_002_960_077_244_4e-68),
        (0.5, 1, 0.0),
    ] {
        close(distance_from_gaussian(variance, noises), expected);
    }
    // s = 1/2, τ = 0.0719, d = 2: 0.25 + 0.1438 and (0.7071 + 0.1017)²/2 = 0.3271.
    let (ratio, tau) = (0.5_f64, 0.071_918_833_558_263_67_f64);
    close(rho_of_sum(0.5, 0.5, 2, 2), (ratio.sqrt() + tau * 2_f64.sqrt()).powi(2) / 2.0);
    // With 10⁴ entries the other one: 0.25 + 719.2 against (0.7071 + 7.19)²/2 = 31.2, and with a length of 10⁴ steps,
    // s = 10⁸, 5·10⁷ + 719 against (10⁴ + 7.19)²/2.
    close(rho_of_sum(0.5, 0.5, 2, 10_000), (ratio.sqrt() + tau * 100.0).powi(2) / 2.0);
    close(rho_of_sum(1e8, 0.5, 2, 10_000), 0.5e8 + tau * 1e4);
}

#[test]
fn rounded_norms_are_equation_2s() {
    assert_eq!(rounded_norm_squared(10.0, 100), 100.0 + 25.0 + 10.0 + 5.0);
    assert_eq!(rounded_norm_squared(0.0, 4), 1.0 + 1.0);
    assert_eq!(rounded_norm_squared(3.0, 1), 9.0 + 0.25 + 3.5);
    for norm in [0.0, 0.1, 1.0, 1e3] {
        for entries in [1, 2, 100, 1_000_000] {
            let always = (norm + (entries as f64).sqrt()).powi(2);
            assert!(rounded_norm_squared(norm, entries) < always, "the other bound is larger");
        }
    }
}

#[test]
fn an_accountant_adds_what_it_is_charged() {
    let cost = PrivacyCost::new(0.25, 1e-5);
    let mut accountant = PrivacyAccountant::new();
    assert_eq!(accountant.total(1e-5).epsilon(), 0.0);
    for _ in 0..4 {
        accountant.charge(&cost);
    }
    accountant.charge(&PrivacyCost::new(0.5, 1e-3));
    assert_eq!((accountant.rho(), accountant.sessions()), (1.5, 5));
    assert_eq!(accountant.total(1e-6), PrivacyCost::new(1.5, 1e-6));
    assert_eq!(cost.times(4), PrivacyCost::new(1.0, 1e-5));
    let text = serde_json::to_string(&accountant).unwrap();
    assert_eq!(serde_json::from_str::<PrivacyAccountant>(&text).unwrap(), accountant);
    assert_eq!(PrivacyCost::new(0.5, 1e-5).to_string(), "ε = 4.7284 at δ = 1e-5");
}

proptest! {
    /// More noise, more participants that add it and a shorter vector cost less; more entries, more.
    #[test]
    fn costs_are_monotone(
        norm in 0.0..1e6_f64, variance in 0.5..1e9_f64, noises in 1..50_usize, entries in 1..1_000_000_usize,
        more in 1.01..10.0_f64,
    ) {
        let rho = |norm, variance, noises, entries| {
            rho_of_sum(rounded_norm_squared(norm, entries), variance, noises, entries)
        };
        let base = rho(norm, variance, noises, entries);
        prop_assert!(base > 0.0);
        prop_assert!(rho(norm * more, variance, noises, entries) >= base);
        prop_assert!(rho(norm, variance * more, noises, entries) <= base);
        prop_assert!(rho(norm, variance, noises, 2 * entries) >= base);
        let whole = |noises| rho(norm, 16.0 + variance, noises, entries);
        prop_assert!(whole(noises + 1) <= whole(noises));
    }

    #[test]
    fn epsilon_is_monotone_and_below_the_simple_bound(
        ln_rho in -20.0..8.0_f64, ln_delta in -60.0..-0.1_f64, more in 1.01..10.0_f64,
    ) {
        let (rho, delta) = (ln_rho.exp(), ln_delta.exp());
        let base = epsilon(rho, delta);
        prop_assert!(base >= 0.0 && base <= rho + 2.0 * (rho * -ln_delta).sqrt());
        prop_assert!(epsilon(rho * more, delta) >= base);
        prop_assert!(epsilon(rho, delta / more) >= base);
    }
}
