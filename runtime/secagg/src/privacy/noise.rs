//! How much noise a plan's participants add, in quantization steps, and how large it can become.
//!
//! All that participants have to agree on is computed with operations that IEEE 754 fixes: `+ − × ÷ √` and whole
//! logarithms.

use rand::Rng;

use crate::{
    error::Error,
    plan::{LEADING, PlanError},
    privacy::{
        Privacy, PrivacyCost,
        accountant::{rho_of_sum, rounded_norm_squared},
        discrete_gaussian::DiscreteGaussian,
    },
    words::{Word, Words, either},
};

/// The smallest σ of one participant's noise, in steps: with it τ is below 10⁻⁶⁷ for each participant and entry, and
/// so nothing (see [`accountant`](super::accountant)).
const MIN_SIGMA: f64 = 4.0;

/// Noise beyond the tail has probability 2⁻⁴⁰; one more bit because it has two sides.
const TAIL_BITS: u32 = 41;

/// ln 2, and a little more for what the products are rounded by.
const LN_2: f64 = std::f64::consts::LN_2 * (1.0 + 1e-12);

/// One participant's noise, and what the noise of all is good for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Noise {
    gaussian: DiscreteGaussian,
    /// σ²/n, in squares of steps.
    variance: u64,
    /// n: how many survivors add noise that nobody else knows, at least.
    sources: usize,
    /// How many survivors' noise may be known to others.
    colluders: usize,
    /// The largest squared norm of what a participant's input is rounded to, in squares of steps.
    norm_squared: u128,
    cost: PrivacyCost,
    /// Noisy entries.
    entries: usize,
    norm_in_steps: f64,
}

/// What a plan knows before its noise is calibrated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Steps in the norm bound.
    pub(crate) norm_in_steps: f64,
    /// Of the values that become noisy.
    pub(crate) entries: usize,
    /// The parameter, for messages.
    pub(crate) quantization_range: u64,
    pub(crate) min_survivors: usize,
    pub(crate) colluders: usize,
}

impl Noise {
    pub(crate) fn new(privacy: &Privacy, setting: &Setting) -> Result<Self, PlanError> {
        let Setting { norm_in_steps, entries, quantization_range, min_survivors, colluders } = *setting;
        // The smallest cohort is two more than work for the server, so there is always somebody.
        let sources = min_survivors.saturating_sub(colluders).max(1);
        let sigma = privacy.noise_multiplier() * norm_in_steps;
        let own_sigma = (sigma * sigma / sources as f64).sqrt();
        let variance = (own_sigma * own_sigma).ceil();
        // Both limits move with the range.
        let range = |wanted: f64| quantization_range as f64 * (wanted / own_sigma);
        if own_sigma < MIN_SIGMA {
            let needed = range(MIN_SIGMA + 1.0).ceil() as u64;
            return Err(PlanError::NoiseTooSmall { sigma: own_sigma, minimum: MIN_SIGMA, needed });
        }
        let most = (DiscreteGaussian::MAX_VARIANCE as f64).sqrt();
        let gaussian = if own_sigma <= most { DiscreteGaussian::new(variance as u64, 1) } else { None };
        let Some(gaussian) = gaussian else {
            let largest = range(most - 1.0).floor() as u64;
            return Err(PlanError::NoiseTooLarge { sigma: own_sigma, maximum: most, largest });
        };
        // A norm is clipped in floating-point numbers; what it is rounded to is checked in integers.
        let norm_squared = rounded_norm_squared(norm_in_steps * (1.0 + 1e-9), entries).floor();
        let rho = rho_of_sum(norm_squared, variance, sources, entries);
        let cost = PrivacyCost::new(rho, privacy.delta());
        let (variance, norm_squared) = (variance as u64, norm_squared as u128);
        Ok(Self { gaussian, variance, sources, colluders, norm_squared, cost, entries, norm_in_steps })
    }

    /// Adds noise to every entry but the leading ones, which tell nothing about data under privacy.
    pub(crate) fn add_to<R: Rng + ?Sized>(&self, entries: &mut Words, rng: &mut R) -> Result<(), Error> {
        fn add<W: Word, R: Rng + ?Sized>(entries: &mut [W], gaussian: &DiscreteGaussian, rng: &mut R) {
            for entry in entries.iter_mut().skip(LEADING) {
                *entry = entry.plus(W::truncate(gaussian.sample(rng).cast_unsigned()));
            }
        }
        if entries.len().saturating_sub(LEADING) != self.entries {
            return Err(Error::Internal { operation: "noise for other entries" });
        }
        either!(entries, words => add(words, &self.gaussian, rng));
        Ok(())
    }

    /// n.
    pub(crate) fn sources(&self) -> usize {
        self.sources
    }

    /// How many survivors' noise may be known to others.
    pub(crate) fn colluders(&self) -> usize {
        self.colluders
    }

    /// What a participant's input is clipped to.
    pub(crate) fn norm_in_steps(&self) -> f64 {
        self.norm_in_steps
    }

    pub(crate) fn norm_squared(&self) -> u128 {
        self.norm_squared
    }

    /// Of one session.
    pub(crate) fn cost(&self) -> PrivacyCost {
        self.cost
    }

    /// The standard deviation of the noise of so many participants together, in steps.
    pub(crate) fn sigma_of_sum(&self, clients: usize) -> f64 {
        (clients as f64 * self.variance as f64).sqrt()
    }

    /// With probability 1 − 2⁻⁴⁰ no entry's noise, of so many participants together, is larger, in steps.
    ///
    /// Discrete Gaussians are sub-Gaussian (Canonne et al. 2020, section 4), so the sum of N passes x with probability
    /// 2·exp(−x²/2Nσ²) at most, and one of d such sums with d times that.
    pub(crate) fn tail(&self, clients: usize) -> u64 {
        let bits = TAIL_BITS.saturating_add(self.entries.max(1).next_power_of_two().trailing_zeros());
        ((2.0 * LN_2 * f64::from(bits)).sqrt() * self.sigma_of_sum(clients)).ceil() as u64
    }
}

/// A quantization range whose sums fit the modulus for any layout and any number of sources, and whose noise can be
/// sampled. `noise_in_ranges` is σ over the largest value.
pub(crate) fn largest_range_with_noise(noise_in_ranges: f64, clients: usize, modulus: u128) -> u64 {
    // The tail of the longest vector is √(2 ln 2 · 105) = 12.1 standard deviations, and rounding σ² up adds 3 %.
    let clients = clients as f64;
    let fits = modulus as f64 / (clients + 12.6 * noise_in_ranges * clients.sqrt());
    let sampled = 2.0 * (DiscreteGaussian::MAX_VARIANCE as f64).sqrt() / noise_in_ranges;
    (fits.min(sampled).floor() as u64).saturating_sub(4)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    fn setting(norm_in_steps: f64) -> Setting {
        let quantization_range = (2.0 * norm_in_steps) as u64 + 1;
        Setting { norm_in_steps, entries: 1000, quantization_range, min_survivors: 8, colluders: 3 }
    }

    #[test]
    fn noise_is_shared_among_those_who_keep_it_to_themselves() {
        let noise = Noise::new(&Privacy::new(1.0, 2.0, 1e-5), &setting(1000.0)).unwrap();
        assert_eq!(noise.variance, 4_000_000 / 5);
        assert_eq!((noise.sources(), noise.colluders()), (5, 3));
        assert_eq!(noise.sigma_of_sum(5), 2000.0);
        // ρ = Δ²/2σ², where rounding makes Δ² a little larger than 1000²: 1000² + 250 + 1000 + √1000/2.
        assert_eq!(noise.norm_squared(), 1_001_265);
        assert!((noise.cost().rho() - 1_001_265.0 / 8e6).abs() < 1e-12);
        assert_eq!(noise.cost().delta(), 1e-5);
    }

    /// Whatever is refused says what would do, and that does.
    #[test]
    fn noise_that_cannot_be_accounted_or_sampled_is_refused() {
        let privacy = Privacy::new(1.0, 1.0, 1e-5);
        for (norm, expected) in [(2.0, 17.0..30.0), (8.0, 17.0..40.0)] {
            let Err(PlanError::NoiseTooSmall { needed, .. }) = Noise::new(&privacy, &setting(norm)) else {
                panic!("σ of {norm} is enough")
            };
            assert!(expected.contains(&(needed as f64)), "{needed}");
            Noise::new(&privacy, &setting((needed - 1) as f64 / 2.0)).unwrap();
        }
        for norm in [1e9, 1e12] {
            let Err(PlanError::NoiseTooLarge { largest, .. }) = Noise::new(&privacy, &setting(norm)) else {
                panic!("{norm} fits")
            };
            assert!(largest > 1 << 29, "{largest}");
            Noise::new(&privacy, &setting((largest - 1) as f64 / 2.0)).unwrap();
        }
    }

    #[test]
    fn the_tail_is_some_nine_standard_deviations() {
        let noise = Noise::new(&Privacy::new(1.0, 1.0, 1e-5), &setting(1000.0)).unwrap();
        let (tail, sigma) = (noise.tail(20) as f64, noise.sigma_of_sum(20));
        // exp(−x²/2σ²) with x² = 2·ln 2·51·σ² is 2⁻⁵¹: 2⁻⁴⁰ for two sides of 1024 entries.
        assert!((tail / sigma - (2.0 * std::f64::consts::LN_2 * 51.0).sqrt()).abs() < 0.01);
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let sum: i64 = (0..20).map(|_| noise.gaussian.sample(&mut rng)).sum();
        assert!(sum.unsigned_abs() < noise.tail(20));
    }
}
