use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;

use super::*;

/// The distribution itself, by its definition: pairs of x and P(x) for |x| ≤ 12σ + 2.
fn exact(variance: f64) -> Vec<(i64, f64)> {
    let reach = (12.0 * variance.sqrt()) as i64 + 2;
    let weight = |x: i64| (-((x * x) as f64) / (2.0 * variance)).exp();
    let total: f64 = (-reach..=reach).map(weight).sum();
    (-reach..=reach).map(|x| (x, weight(x) / total)).collect()
}

fn draw(numerator: u64, denominator: u64, seed: u64, count: usize) -> Vec<i64> {
    let gaussian = DiscreteGaussian::new(numerator, denominator).unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    (0..count).map(|_| gaussian.sample(&mut rng)).collect()
}

/// Pearson's statistic over cells that are expected at least 20 times, in standard deviations above its mean.
fn chi_squared(drawn: &[i64], exact: &[(i64, f64)]) -> f64 {
    let count = drawn.len() as f64;
    let mut seen = std::collections::BTreeMap::<i64, f64>::new();
    drawn.iter().for_each(|x| *seen.entry(*x).or_default() += 1.0);
    let (mut statistic, mut cells) = (0.0, 0.0);
    let (mut rest_expected, mut rest_seen) = (count, count);
    for (x, probability) in exact.iter().filter(|(_, probability)| probability * count >= 20.0) {
        let (expected, seen) = (probability * count, seen.get(x).copied().unwrap_or(0.0));
        statistic += (seen - expected).powi(2) / expected;
        cells += 1.0;
        (rest_expected, rest_seen) = (rest_expected - expected, rest_seen - seen);
    }
    // All that is rarer is one cell, which decides the last one's freedom.
    if rest_expected > 1.0 {
        statistic += (rest_seen - rest_expected).powi(2) / rest_expected;
        cells += 1.0;
    }
    (statistic - (cells - 1.0)) / (2.0 * (cells - 1.0)).sqrt()
}

/// The largest difference of the two distribution functions, times √n. Above 1.95 by chance once in a thousand.
fn kolmogorov(mut drawn: Vec<i64>, exact: &[(i64, f64)]) -> f64 {
    drawn.sort_unstable();
    let (mut sum, mut largest, mut below) = (0.0, 0.0_f64, 0);
    for (x, probability) in exact {
        sum += probability;
        below += drawn[below..].partition_point(|drawn| drawn <= x);
        largest = largest.max((below as f64 / drawn.len() as f64 - sum).abs());
    }
    largest * (drawn.len() as f64).sqrt()
}

/// σ of 0.3, 1/√3, 1, 2.5 and 30: probabilities as they should be, each by each. Six
/// standard deviations; the seeds are fixed.
#[test]
fn each_value_has_its_probability() {
    for (numerator, denominator) in [(9, 100), (1, 3), (1, 1), (25, 4), (900, 1)] {
        let exact = exact(numerator as f64 / denominator as f64);
        let off = chi_squared(&draw(numerator, denominator, numerator, 400_000), &exact);
        assert!(off < 6.0, "σ² = {numerator}/{denominator}: {off} standard deviations off");
    }
}

/// The test above can tell: another σ² by five percent, and a zero that counts twice, are far off.
#[test]
fn a_wrong_distribution_would_be_seen() {
    let drawn = draw(900, 1, 900, 400_000);
    assert!(chi_squared(&drawn, &exact(945.0)) > 10.0);
    assert!(kolmogorov(drawn, &exact(945.0)) > 1.95);
    let mut drawn = draw(1, 1, 1, 400_000);
    drawn.extend(vec![0; 4000]);
    assert!(chi_squared(&drawn, &exact(1.0)) > 10.0);
}

#[test]
fn large_ones_follow_the_distribution_function() {
    for (numerator, denominator) in [(100_000_000, 1), (1_000_000, 7), (10_000, 1)] {
        let exact = exact(numerator as f64 / denominator as f64);
        let distance = kolmogorov(draw(numerator, denominator, 7, 300_000), &exact);
        assert!(distance < 1.95, "σ² = {numerator}/{denominator}: {distance}");
    }
}

/// Mean, variance and fourth moment (0, σ², 3σ⁴ up to what is exponentially small in σ²), up to the largest σ.
#[test]
fn moments_are_a_gaussians() {
    const COUNT: usize = 200_000;
    for variance in [100, 1 << 20, 1 << 40, DiscreteGaussian::MAX_VARIANCE] {
        let drawn = draw(variance, 1, 3, COUNT);
        let sigma = (variance as f64).sqrt();
        let moment =
            |power| drawn.iter().map(|x| (*x as f64 / sigma).powi(power)).sum::<f64>() / COUNT as f64;
        // The variances of the estimates are 1, 2, 15 and 96 over n.
        for (power, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            let off = (moment(power) - expected) / (variance / COUNT as f64).sqrt();
            assert!(off.abs() < 5.0, "σ² = {variance}, moment {power}: {off} standard deviations off");
        }
    }
}

/// P(|x| > 3σ) = 0.0027 and P(|x| > 4σ) = 6.3e-5 for a Gaussian this wide.
#[test]
fn tails_are_as_heavy_as_they_should_be() {
    const COUNT: usize = 1_000_000;
    let drawn = draw(1_000_000, 1, 5, COUNT);
    for (beyond, probability) in [(3000, 0.002_699_8_f64), (4000, 6.334e-5)] {
        let seen = drawn.iter().filter(|x| x.abs() > beyond).count() as f64;
        let expected = probability * COUNT as f64;
        assert!((seen - expected).abs() < 5.0 * expected.sqrt(), "{seen} beyond {beyond}, not {expected}");
    }
    assert!(drawn.iter().all(|x| x.abs() < 6500));
    assert!(draw(1, 100, 5, COUNT).iter().all(|x| *x == 0), "exp(−50) is 2e-22");
}

/// Made by this code with ChaCha20 from seed 11: the same on every machine.
#[test]
fn known_answers() {
    assert_eq!(draw(9, 4, 11, 16), KNOWN_SMALL);
    assert_eq!(draw(1 << 40, 1, 11, 8), KNOWN_LARGE);
}

const KNOWN_SMALL: [i64; 16] = [0, -2, 3, 0, 2, 1, -1, 1, 2, 2, 2, 1, -1, 1, 2, 1];
const KNOWN_LARGE: [i64; 8] =
    [-307_940, -1_147_419, -1_128_080, 1_712_323, 152_937, -339_113, 911_740, -184_075];

/// exp(−γ) for γ from 0 to 5/2, as fractions of large and of small denominators.
#[test]
fn bernoulli_of_an_exponential() {
    const COUNT: u32 = 400_000;
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut check = |expected: f64, draw: &mut dyn FnMut(&mut ChaCha20Rng) -> bool| {
        let hits: u32 = (0..COUNT).map(|_| u32::from(draw(&mut rng))).sum();
        let off = (f64::from(hits) / f64::from(COUNT) - expected).abs();
        let deviation = (expected * (1.0 - expected) / f64::from(COUNT)).sqrt();
        assert!(off <= 5.0 * deviation, "{expected}: off by {off}");
    };
    for variance in [1, 1 << 40, DiscreteGaussian::MAX_VARIANCE] {
        let gaussian = DiscreteGaussian::new(variance, 1).unwrap();
        let third = gaussian.denominator / 3;
        for (gamma, numerator) in
            [(0.0_f64, 0), (1.0 / 3.0, third), (1.0, 3 * third), (2.5, 15 * third / 2), (0.02, third / 17)]
        {
            let gamma = if variance == 1 { numerator as f64 / gaussian.denominator as f64 } else { gamma };
            let gamma = if gamma == 0.02 { 1.0 / 51.0 } else { gamma };
            check((-gamma).exp(), &mut |rng| gaussian.accepts(numerator, rng));
        }
    }
    for (numerator, denominator) in [(0, 1), (1, 3), (6, 7), (1 << 20, (1 << 20) + 1)] {
        let gamma = numerator as f64 / denominator as f64;
        check((-gamma).exp(), &mut |rng| exp_minus(rng, |rng| below(denominator, rng) < numerator));
    }
    check((-1.0_f64).exp(), &mut |rng| exp_minus_one(rng));
}

/// A generator that says what it is told to.
struct Told(Vec<u64>);

impl rand::TryRng for Told {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.0.remove(0) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.0.remove(0))
    }

    fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Self::Error> {
        unimplemented!("the sampler draws words")
    }
}

/// The branches that a random test reaches once in 2¹¹ to 2⁶⁴ times.
#[test]
fn ties_and_rejections_are_decided_exactly() {
    let (numerator, denominator) = ((3 << 64) + 7, (9 << 64) + 5);
    for (words, expected, left) in [
        (vec![2, 99], true, 1),
        (vec![4, 99], false, 1),
        (vec![3, 6, 99], true, 1),
        (vec![3, 7, 99], false, 1),
        (vec![9, 4, 99], false, 1),
        (vec![9, 5, 2, 99], true, 1),
        (vec![10, 0, 9, u64::MAX, 8, 99], false, 1),
    ] {
        let mut rng = Told(words.clone());
        assert_eq!(is_below_wide(numerator, denominator, &mut rng), expected, "{words:?}");
        assert_eq!(rng.0.len(), left, "{words:?}");
    }
    // The multiples of 2³² mod 3 = 1 whose low words are below that come again: 0 only.
    let mut rng = Told(vec![0, 1, 0x5555_5556, u64::from(u32::MAX)]);
    assert_eq!([0; 3].map(|_: i32| below_narrow(3, &mut rng)), [0, 1, 2]);
    let mut rng = Told(vec![0, 1, u64::MAX]);
    assert_eq!([0; 2].map(|_: i32| below((1 << 32) + 1, &mut rng)), [0, 1 << 32]);
    // Twelve successes in a row, the thirteenth trial succeeds, the fourteenth does not.
    let mut rng = Told(vec![1, 1, u64::from(u32::MAX)]);
    assert_eq!((first_failure(&mut rng), rng.0.len()), (14, 0));
}

#[test]
fn the_first_failure_has_the_probability_of_its_factorial() {
    const COUNT: u32 = 500_000;
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let drawn: Vec<u32> = (0..COUNT).map(|_| first_failure(&mut rng)).collect();
    let mut factorial = 1.0;
    for k in 1..8_u32 {
        factorial *= f64::from(k);
        let beyond = drawn.iter().filter(|drawn| **drawn > k).count() as f64;
        let expected = f64::from(COUNT) / factorial;
        assert!((beyond - expected).abs() <= 5.0 * expected.sqrt(), "{k}: {beyond}, not {expected}");
    }
}

#[test]
fn uniform_numbers_reach_all_values_and_no_others() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    for limit in [1, 2, 3, 7, 8] {
        let seen: std::collections::BTreeSet<u64> = (0..500).map(|_| below(limit, &mut rng)).collect();
        assert_eq!(seen, (0..limit).collect());
    }
    for limit in [3, (1 << 31) + 1, 3 << 30, 1 << 32, (1 << 32) + 1, (1 << 63) + 1] {
        let mean =
            (0..20_000).map(|_| (below(limit, &mut rng) as f64 + 0.5) / limit as f64).sum::<f64>() / 20_000.0;
        // The standard deviation of a uniform number is 0.29.
        assert!((mean - 0.5).abs() < 5.0 * 0.29 / 20_000_f64.sqrt(), "{limit}: {mean}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    assert_eq!(DiscreteGaussian::new(0, 1), None);
    assert_eq!(DiscreteGaussian::new(1, 0), None);
    assert_eq!(DiscreteGaussian::new(u64::MAX, 1), None);
    assert_eq!(DiscreteGaussian::new(1, 1 << 59), None, "b alone");
    assert!(DiscreteGaussian::new(DiscreteGaussian::MAX_VARIANCE, 1).is_some());
    assert_eq!(DiscreteGaussian::new(4 * DiscreteGaussian::MAX_VARIANCE, 1), None);
}
