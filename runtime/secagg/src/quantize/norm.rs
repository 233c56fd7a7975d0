//! Rounding under differential privacy: what is rounded is short, and stays short.
//!
//! Kairouz, Liu and Steinke, *The Distributed Discrete Gaussian Mechanism for Federated Learning with Secure Aggregation*
//! (ICML 2021, arXiv 2102.06387): the input is clipped to a norm, and rounded at random to whole numbers again and
//! again until their norm is below the bound of theorem 1, equation 2 (conditional randomized rounding, proposition 22).
//! An attempt fails with a probability of e^−½ at most. The mean of what is accepted is off by little; privacy rests on
//! the last check alone, which is one of integers.
//!
//! How many attempts it takes depends on the input, and so does the time.

use rand::Rng;

use super::{Input, RoundedWord, Scale, round_input};
use crate::{plan::LEADING, privacy::Noise};

/// So many attempts fail with a probability below 2⁻⁹⁰.
const ATTEMPTS: usize = 128;

/// Clips the input to the norm and rounds it to the end of `entries`. Counts what was clipped beforehand, value by value.
pub(super) fn round_within_norm<W: RoundedWord, R: Rng + ?Sized>(
    scale: &mut Scale<W>,
    noise: &Noise,
    input: &Input<'_>,
    rng: &mut R,
    entries: &mut Vec<W>,
) -> usize {
    let norm = squared_norm(scale, input).sqrt();
    if norm > noise.norm_in_steps() {
        scale.shrink(noise.norm_in_steps() / norm);
    }
    loop {
        for _ in 0..ATTEMPTS {
            entries.truncate(LEADING);
            let clipped = round_input(scale, input, rng, entries);
            if squared_norm_of(entries, scale.offset) <= noise.norm_squared() {
                return clipped;
            }
        }
        // A shorter vector is accepted more easily, and one of zeros always.
        scale.shrink(0.5);
    }
}

/// In squares of steps, of the values as they are clipped one by one.
fn squared_norm<W: RoundedWord>(scale: &Scale<W>, input: &Input<'_>) -> f64 {
    let square = |value: f64| {
        let scaled = scale.scaled(value);
        scaled * scaled
    };
    let scalars: f64 = input.scalars.iter().map(|value| square(*value)).sum();
    scalars + input.vector.iter().map(|value| square(f64::from(*value))).sum::<f64>()
}

/// Exact: entries are at most 2⁵¹ from the offset.
fn squared_norm_of<W: RoundedWord>(entries: &[W], offset: W) -> u128 {
    let offset = offset.into();
    let square = |entry: &W| {
        let distance = u128::from(Into::<u64>::into(*entry).abs_diff(offset));
        distance.wrapping_mul(distance)
    };
    entries.iter().skip(LEADING).map(square).fold(0, u128::saturating_add)
}
