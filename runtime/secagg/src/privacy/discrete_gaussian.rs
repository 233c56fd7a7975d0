//! The discrete Gaussian: P(x) ∝ exp(−x²/2σ²) on the integers, sampled exactly.
//!
//! Canonne, Kamath and Steinke, *The Discrete Gaussian for Differential Privacy* (NeurIPS 2020, arXiv 2004.00010v5),
//! section 5: algorithm 1 draws a bit that is 1 with probability exp(−γ), algorithm 2 makes discrete Laplace noise of
//! such bits, and algorithm 3 accepts some of it. Rounded `f64` noise would give single inputs away through its low
//! bits (Mironov, CCS 2012); here everything is a comparison of integers with uniform integers, σ² is a rational
//! number, and no floating-point number occurs.
//!
//! **The one approximation**: beyond 64σ nothing is returned. The exact distribution has less than 2⁻²⁹⁰⁰ there.
//!
//! **Ours, and not a package's**: `prio` (the same algorithms over numbers of arbitrary size) takes 6 to 16 µs an
//! entry here and brings 50 packages; `opendp` gets its random bits from an OpenSSL that it compiles. This takes 0.15 µs
//! and brings none.
//!
//! Not defended against: how long sampling takes depends on what is drawn. Who can time single entries at a client,
//! on its own machine, learns about the noise; a message tells the time of the whole vector at most.

use rand::Rng;

/// How many scales from zero noise is cut off.
const TAIL: u64 = 64;

/// The largest b·(⌊σ⌋ + 1)², for σ² = a/b: with it the exponents of algorithm 3 are fractions of 128-bit integers.
const MAX_SIZE: u128 = 1 << 58;

/// N_Z(0, σ²) for a rational σ² = a/b.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DiscreteGaussian {
    /// a.
    numerator: u64,
    /// b·t.
    centre: u64,
    /// t = ⌊σ⌋ + 1, the scale of the Laplace noise that is accepted or not.
    scale: u64,
    /// 2·a·b·t².
    denominator: u128,
    /// ⌊(2¹²⁸ − 1) / denominator⌋: fractions of the denominator are widened by it to 128 bits.
    widening: u128,
}

impl DiscreteGaussian {
    /// The largest σ² that is a whole number of squares and surely fits.
    pub(crate) const MAX_VARIANCE: u64 = 1 << 56;

    /// σ² = `numerator / denominator`. `None` unless both are positive and b·(⌊σ⌋ + 1)² ≤ 2⁵⁸.
    pub(crate) fn new(numerator: u64, denominator: u64) -> Option<Self> {
        let scale = numerator.checked_div(denominator)?.isqrt().saturating_add(1);
        let centre = denominator.checked_mul(scale)?;
        let size = u128::from(centre).checked_mul(u128::from(scale))?;
        if numerator == 0 || size > MAX_SIZE {
            return None;
        }
        // At most 2¹¹⁷, because a < b·t².
        let denominator = size.checked_mul(u128::from(numerator))?.checked_mul(2)?;
        let widening = u128::MAX.checked_div(denominator)?;
        Some(Self { numerator, centre, scale, denominator, widening })
    }

    /// Algorithm 3: noise Y of scale t is accepted with probability exp(−(|Y| − σ²/t)²/2σ²).
    pub(crate) fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> i64 {
        loop {
            let Some((size, negative)) = self.laplace(rng) else { continue };
            // (|Y| − a/bt)² · b/2a = (|Y|·bt − a)² / 2abt², and |Y|·bt < 64·bt² ≤ 2⁶⁴.
            let distance = u128::from(size.wrapping_mul(self.centre).abs_diff(self.numerator));
            if self.accepts(distance.wrapping_mul(distance), rng) {
                let size = size.cast_signed();
                return if negative { size.wrapping_neg() } else { size };
            }
        }
    }

    /// True with probability exp(−n/2abt²). Algorithm 1 for any γ: a whole one at a time, then the rest.
    fn accepts<R: Rng + ?Sized>(&self, mut numerator: u128, rng: &mut R) -> bool {
        while numerator >= self.denominator {
            if !exp_minus_one(rng) {
                return false;
            }
            numerator = numerator.wrapping_sub(self.denominator);
        }
        let widened = |number: u128| number.wrapping_mul(self.widening);
        let (numerator, denominator) = (widened(numerator), widened(self.denominator));
        exp_minus(rng, |rng| is_below_wide(numerator, denominator, rng))
    }

    /// Algorithm 2 for the scale t: P(y) ∝ exp(−|y|/t). `None` where it would be drawn again: for a zero with a sign,
    /// which would count twice, and beyond the cut.
    fn laplace<R: Rng + ?Sized>(&self, rng: &mut R) -> Option<(u64, bool)> {
        let rest = below(self.scale, rng);
        if !exp_minus(rng, |rng| below(self.scale, rng) < rest) {
            return None;
        }
        let mut whole = 0_u64;
        while exp_minus_one(rng) {
            whole = whole.wrapping_add(1);
            if whole >= TAIL {
                return None;
            }
        }
        // Below 64t, where t ≤ 2²⁹.
        let size = self.scale.wrapping_mul(whole).wrapping_add(rest);
        let negative = rng.next_u32().cast_signed() < 0;
        if negative && size == 0 { None } else { Some((size, negative)) }
    }
}

/// True with probability exp(−γ) for γ ≤ 1, where `is_below` is true with probability γ. Algorithm 1: of trials that
/// succeed with probability γ/k, k = 1, 2, …, the first that fails is an odd one with this probability.
fn exp_minus<R: Rng + ?Sized>(rng: &mut R, mut is_below: impl FnMut(&mut R) -> bool) -> bool {
    // A trial is two: one of probability 1/k, and one of probability γ.
    let last = first_failure(rng);
    let mut trial = 1_u32;
    while trial < last && is_below(rng) {
        trial = trial.wrapping_add(1);
    }
    trial % 2 == 1
}

/// True with probability 1/e.
fn exp_minus_one<R: Rng + ?Sized>(rng: &mut R) -> bool {
    first_failure(rng) % 2 == 1
}

/// 12!/k! for k = 1, …, 12.
const FACTORIALS: [u32; 12] =
    [479_001_600, 239_500_800, 79_833_600, 19_958_400, 3_991_680, 665_280, 95_040, 11_880, 1320, 132, 12, 1];

/// The first to fail of trials that succeed with probability 1/k, k = 1, 2, …. The first k all succeed with probability
/// 1/k!, so one number below 12! decides on twelve of them.
fn first_failure<R: Rng + ?Sized>(rng: &mut R) -> u32 {
    let [most, ..] = FACTORIALS;
    let drawn = below_narrow(most, rng);
    let failed: u32 = FACTORIALS.iter().map(|bound| u32::from(drawn < *bound)).sum();
    let mut failed = failed.wrapping_add(1);
    while failed > 12 && below_narrow(failed, rng) == 0 {
        failed = failed.wrapping_add(1);
    }
    failed
}

/// Uniform in 0..limit, limit > 0 (Lemire, *Fast Random Integer Generation in an Interval*, 2019): the high word of a
/// product, and again where the low one shows that a result would come too often.
fn below_narrow<R: Rng + ?Sized>(limit: u32, rng: &mut R) -> u32 {
    loop {
        let product = u64::from(rng.next_u32()).wrapping_mul(u64::from(limit));
        let low = product as u32;
        if low >= limit || low >= limit.wrapping_neg().checked_rem(limit).unwrap_or(0) {
            return product.wrapping_shr(32) as u32;
        }
    }
}

/// The same for any limit, up to 2³² with less randomness.
fn below<R: Rng + ?Sized>(limit: u64, rng: &mut R) -> u64 {
    if let Ok(limit) = u32::try_from(limit) {
        return u64::from(below_narrow(limit, rng));
    }
    loop {
        let product = u128::from(rng.next_u64()).wrapping_mul(u128::from(limit));
        let low = product as u64;
        if low >= limit || low >= limit.wrapping_neg().checked_rem(limit).unwrap_or(0) {
            return product.wrapping_shr(64) as u64;
        }
    }
}

/// True with probability n/d, n < d: whether a number of 128 bits, which is drawn again until it is below d, is below n.
/// A widened d is so large that this is the first one, but for one in 2¹¹. Its high half decides almost always.
fn is_below_wide<R: Rng + ?Sized>(numerator: u128, denominator: u128, rng: &mut R) -> bool {
    let high = |number: u128| number.wrapping_shr(64) as u64;
    loop {
        let drawn = rng.next_u64();
        if drawn < high(numerator) {
            return true;
        }
        if drawn > high(numerator) && drawn < high(denominator) {
            return false;
        }
        let drawn = u128::from(drawn).wrapping_shl(64) | u128::from(rng.next_u64());
        if drawn < denominator {
            return drawn < numerator;
        }
    }
}

#[cfg(test)]
mod tests;
