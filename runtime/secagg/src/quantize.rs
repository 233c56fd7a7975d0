//! From floating-point values to integers that can be summed, without bias.
//!
//! A value is scaled by `weight / max_weight` and to the quantization range, clipped, and rounded down or up at random
//! so that its expectation is the value. The offset that makes it non-negative is added as an integer, where it can
//! round nothing.
//!
//! # How it rounds
//!
//! To the scaled value s, |s| ≤ `half` < 2³¹, is added u, one of 2²¹ equally spaced numbers in (−½, ½), and the sum is
//! rounded to the nearest integer: it goes up from ⌊s⌋ as often as the fraction of s says, give or take 2⁻²¹.
//!
//! - u is an odd multiple of 2⁻²². A whole s is at most 2³¹ − 1, where the spacing of `f64` is 2⁻²², so s + u is exact,
//!   is nearer to s than to any other integer, and **whole numbers stay what they are**, the limits and zero among them.
//! - Elsewhere s + u is rounded by at most 2⁻²³, which moves at most one of the 2²¹ u across the border, and a tie is
//!   one u. So the bias of a rounding is below 2⁻²⁰ of a step, and the error below one step.
//! - Adding 1.5 · 2⁵² leaves no bits for a fraction, so that the processor rounds, and leaves the integer in the low
//!   bits of the result, in two's complement.
//!
//! That is for words of 32 bits. In words of 64, |s| ≤ 2⁵¹ leaves too few bits for u beside s. There s is first rounded
//! to the nearest integer, the difference f in [−½, ½] is exact, and what is added to the integer is f + u, rounded to
//! −1, 0 or 1; u is an odd multiple of 2⁻³², and the bias below 2⁻³⁰ of a step. An s near 2⁵¹ is itself a multiple of
//! ¼: what a client's number loses there it lost when it was scaled, and
//! [`max_error_of_mean`](crate::Plan::max_error_of_mean) counts it.
//!
//! With differential privacy a vector is clipped to a norm too, and rounded again where that made it too long: `norm.rs`.
//!
//! Each operation is one that IEEE 754 fixes, on `f64` and in a fixed order, so all machines agree. Everything is a
//! loop without a branch over a block of values and of random words, so that compilers vectorise it.

mod norm;

use std::fmt;

use rand::Rng;
use thiserror::Error as ThisError;
use zeroize::Zeroizing;

use self::norm::round_within_norm;
use crate::{
    defences::{Defence, stands},
    error::Error,
    plan::Plan,
    privacy::NoiseSource,
    words::{Word, Words},
};

/// What one client contributes: borrowed, because it stays where it is.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// How much this client counts, for example its number of examples: 1 to `max_weight`. The server never sees it.
    pub weight: u64,
    /// Losses, scores: each is averaged by weight, with the vector's clipping and precision.
    pub scalars: &'a [f64],
    /// The update.
    pub vector: &'a [f32],
}

/// Shows the shape only.
impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input")
            .field("scalars", &self.scalars.len())
            .field("vector", &self.vector.len())
            .finish_non_exhaustive()
    }
}

/// An input as integers, `[weight, clipped, scalars…, vector…]`, **not yet masked**: it must not be sent. Zeroized on
/// drop.
pub struct Quantized {
    plan: Plan,
    entries: Zeroizing<Words>,
    clipped: usize,
}

impl Quantized {
    /// How many values lay outside the clipping range. A count about private data: it stays at the site, and rides in
    /// the masked vector, where it adds to [`Aggregate::clipped`](crate::Aggregate::clipped).
    pub fn clipped(&self) -> usize {
        self.clipped
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn entries(&self) -> &Words {
        &self.entries
    }

    /// Adds this client's noise, if the plan asks for any. It comes from the operating system, not from a run's seed.
    pub(crate) fn add_noise(&mut self) -> Result<(), Error> {
        match self.plan.noise() {
            Some(noise) => noise.add_to(&mut self.entries, &mut NoiseSource::from_system()?),
            None => Ok(()),
        }
    }

    /// Hands the entries over to be masked in place, so that no plain copy stays behind.
    pub(crate) fn into_entries(mut self) -> Words {
        std::mem::replace(&mut *self.entries, Words::zeros(0, self.plan.entry_bits()))
    }
}

impl fmt::Debug for Quantized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quantized").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

/// An input that cannot be summed under the plan. At the site only: messages tell about private data, codes do not.
#[derive(Clone, Debug, PartialEq, ThisError)]
#[non_exhaustive]
pub enum InputError {
    /// A weight of nothing.
    #[error("weight 0: a client without examples does not take part")]
    WeightZero,
    /// A weight that the plan does not allow.
    #[error("weight {got} is above max-weight {max}; raise max-weight for all participants")]
    WeightAboveMaximum {
        /// The parameter.
        max: u64,
        /// The weight.
        got: u64,
    },
    /// Another number of scalars than planned.
    #[error("{got} scalars; the plan's layout has {expected}")]
    WrongScalars {
        /// The plan's number.
        expected: usize,
        /// The input's number.
        got: usize,
    },
    /// Another vector length than planned.
    #[error("a vector of {got} entries; the plan's layout has {expected}")]
    WrongVector {
        /// The plan's length.
        expected: usize,
        /// The input's length.
        got: usize,
    },
    /// A scalar that is not a number.
    #[error("scalar {index} is NaN or infinite; look for a division by zero or a diverged loss")]
    ScalarNotFinite {
        /// Its position.
        index: usize,
    },
    /// A vector entry that is not a number.
    #[error("vector entry {index} is NaN or infinite; has the training diverged?")]
    VectorNotFinite {
        /// Its position.
        index: usize,
    },
}

impl InputError {
    /// A short name of the failure that tells nothing about data.
    pub fn code(&self) -> &'static str {
        match self {
            Self::WeightZero => "weight-zero",
            Self::WeightAboveMaximum { .. } => "weight-above-maximum",
            Self::WrongScalars { .. } => "wrong-scalars",
            Self::WrongVector { .. } => "wrong-vector",
            Self::ScalarNotFinite { .. } => "scalar-not-finite",
            Self::VectorNotFinite { .. } => "vector-not-finite",
        }
    }
}

/// Values whose random words are drawn together: 4 KiB of them, in the first-level cache with what they round.
const BLOCK: usize = 1024;

pub(crate) fn quantize<R: Rng + ?Sized>(
    plan: &Plan,
    input: &Input<'_>,
    rng: &mut R,
) -> Result<Quantized, InputError> {
    check(plan, input)?;
    let (entries, clipped) = if plan.entry_bits() <= u32::BITS {
        to_words::<u32, R>(plan, input, rng)
    } else {
        to_words::<u64, R>(plan, input, rng)
    };
    Ok(Quantized { plan: *plan, entries: Zeroizing::new(entries), clipped })
}

/// `[weight, clipped, scalars…, vector…]`, and how many were clipped.
fn to_words<W: RoundedWord, R: Rng + ?Sized>(plan: &Plan, input: &Input<'_>, rng: &mut R) -> (Words, usize) {
    let mut scale = Scale::<W>::new(plan, input.weight);
    let mut entries = Zeroizing::new(Vec::with_capacity(plan.entries()));
    entries.extend([W::truncate(plan.counted_weight(input.weight)), W::default()]);
    let clipped = match plan.noise() {
        Some(noise) => round_within_norm(&mut scale, noise, input, rng, &mut entries),
        None => round_input(&scale, input, rng, &mut entries),
    };
    if let Some(entry) = entries.get_mut(1).filter(|_| plan.noise().is_none()) {
        // As large as a value may be and no larger, so that the sum of all counts fits the modulus too.
        *entry = W::truncate((clipped as u64).min(plan.largest_value()));
    }
    (W::collect(std::mem::take(&mut *entries)), clipped)
}

/// Rounds scalars and vector to the end of `entries`, and counts what is clipped.
fn round_input<W: RoundedWord, R: Rng + ?Sized>(
    scale: &Scale<W>,
    input: &Input<'_>,
    rng: &mut R,
    entries: &mut Vec<W>,
) -> usize {
    let clipped = round_all(scale, input.scalars, rng, entries);
    clipped.saturating_add(round_all(scale, input.vector, rng, entries))
}

/// Rounds all values to the end of `entries`, one random word each, and counts those that are clipped.
fn round_all<W: RoundedWord, T: Copy + Into<f64>, R: Rng + ?Sized>(
    scale: &Scale<W>,
    values: &[T],
    rng: &mut R,
    entries: &mut Vec<W>,
) -> usize {
    let mut random = [[0_u8; 4]; BLOCK];
    let mut clipped = 0_usize;
    for block in values.chunks(BLOCK) {
        let words = random.split_at_mut_checked(block.len()).map_or(&mut [][..], |(words, _)| words);
        rng.fill_bytes(words.as_flattened_mut());
        let beyond: u32 = block.iter().map(|value| u32::from((*value).into().abs() > scale.clipping)).sum();
        clipped = clipped.saturating_add(beyond as usize);
        entries.extend(
            block
                .iter()
                .zip(&*words)
                .map(|(value, word)| W::round(scale, (*value).into(), i32::from_le_bytes(*word))),
        );
    }
    clipped
}

/// Everything is checked before the first random bit is drawn, so a refused input changes no later rounding.
fn check(plan: &Plan, input: &Input<'_>) -> Result<(), InputError> {
    let (layout, max) = (plan.layout(), plan.parameters().max_weight());
    if input.weight == 0 {
        return Err(InputError::WeightZero);
    }
    if input.weight > max && stands(Defence::InputBounds) {
        return Err(InputError::WeightAboveMaximum { max, got: input.weight });
    }
    if input.scalars.len() != layout.scalars() {
        return Err(InputError::WrongScalars { expected: layout.scalars(), got: input.scalars.len() });
    }
    if input.vector.len() != layout.vector() {
        return Err(InputError::WrongVector { expected: layout.vector(), got: input.vector.len() });
    }
    if !stands(Defence::InputBounds) {
        return Ok(());
    }
    if let Some(index) = input.scalars.iter().position(|value| !value.is_finite()) {
        return Err(InputError::ScalarNotFinite { index });
    }
    match first_not_finite(input.vector) {
        Some(index) => Err(InputError::VectorNotFinite { index }),
        None => Ok(()),
    }
}

/// Looks at whole blocks, which vectorises, and searches the block that has one.
fn first_not_finite(values: &[f32]) -> Option<usize> {
    let any = |block: &[f32]| block.iter().fold(false, |any, value| any | !value.is_finite());
    let (number, block) = values.chunks(BLOCK).enumerate().find(|(_, block)| any(block))?;
    let within = block.iter().position(|value| !value.is_finite())?;
    Some(number.saturating_mul(BLOCK).saturating_add(within))
}

/// 1.5 · 2⁵²: a number of size up to 2⁵¹ added to it is rounded to an integer, ties to even.
const INTEGERS: f64 = 6_755_399_441_055_744.0;

/// The integer nearest to a number of size up to 2⁵¹, in two's complement.
#[inline(always)]
fn nearest(value: f64) -> u64 {
    (value + INTEGERS).to_bits().wrapping_sub(INTEGERS.to_bits())
}

pub(crate) struct Scale<W> {
    clipping: f64,
    /// Steps per unit.
    factor: f64,
    /// The clipping limit in steps; the product may pass `half` by a rounding error, and this does not.
    limit: f64,
    offset: W,
}

impl<W: Word> Scale<W> {
    fn new(plan: &Plan, weight: u64) -> Self {
        let clipping = plan.parameters().value_range();
        let half = plan.half() as f64;
        let weight = plan.counted_weight(weight) as f64 / plan.largest_counted_weight() as f64;
        let steps = weight * half;
        Self { clipping, factor: steps / clipping, limit: steps.min(half), offset: W::truncate(plan.half()) }
    }

    /// From here on everything is so much smaller.
    fn shrink(&mut self, factor: f64) {
        self.factor *= factor;
        self.limit *= factor;
    }

    /// In steps, at most `limit` of them.
    #[inline(always)]
    fn scaled(&self, value: f64) -> f64 {
        // As comparisons, which are single instructions; `clamp` and `min` have NaN to think of.
        let scaled = value * self.factor;
        let scaled = if scaled < self.limit { scaled } else { self.limit };
        if scaled > -self.limit { scaled } else { -self.limit }
    }
}

/// How a scaled value and a random word become an entry in 0..=2·half.
pub(crate) trait RoundedWord: Word {
    fn round(scale: &Scale<Self>, value: f64, random: i32) -> Self;
}

impl RoundedWord for u32 {
    /// The upper 21 bits of `random` decide.
    #[inline(always)]
    fn round(scale: &Scale<Self>, value: f64, random: i32) -> Self {
        let dither = f64::from((random & !0x7ff) | 0x400) * (1.0 / 4_294_967_296.0);
        (nearest(scale.scaled(value) + dither) as u32).wrapping_add(scale.offset)
    }
}

impl RoundedWord for u64 {
    /// The upper 31 bits of `random` decide.
    #[inline(always)]
    fn round(scale: &Scale<Self>, value: f64, random: i32) -> Self {
        let scaled = scale.scaled(value);
        let fraction = scaled - ((scaled + INTEGERS) - INTEGERS);
        let dither = f64::from(random | 1) * (1.0 / 4_294_967_296.0);
        nearest(scaled).wrapping_add(nearest(fraction + dither)).wrapping_add(scale.offset)
    }
}

#[cfg(test)]
mod tests;
