//! From floating-point values to integers that can be summed, without bias.
//!
//! A value is clipped to ±`clipping_range`, scaled by `weight / max_weight` and to the quantization range, and rounded
//! down or up at random so that its expectation is the value: the fraction is compared with 32 random bits. The offset
//! that makes it non-negative is added as an integer, where it can round nothing.

use std::fmt;

use rand::Rng;
use thiserror::Error as ThisError;
use zeroize::Zeroizing;

use crate::plan::Plan;

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

/// An input as integers, `[weight, scalars…, vector…]`, **not yet masked**: it must not be sent. Zeroized on drop.
pub struct Quantized {
    plan: Plan,
    entries: Zeroizing<Vec<u32>>,
    clipped: usize,
}

impl Quantized {
    /// How many values lay outside the clipping range. A count about private data: it stays at the site, or rides in
    /// the masked vector as a scalar.
    pub fn clipped(&self) -> usize {
        self.clipped
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn entries(&self) -> &[u32] {
        &self.entries
    }

    /// Hands the entries over to be masked in place, so that no plain copy stays behind.
    pub(crate) fn into_entries(mut self) -> Vec<u32> {
        std::mem::take(&mut *self.entries)
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

pub(crate) fn quantize<R: Rng + ?Sized>(
    plan: &Plan,
    input: &Input<'_>,
    rng: &mut R,
) -> Result<Quantized, InputError> {
    let weight = check(plan, input)?;
    let max_weight = plan.parameters().max_weight();
    let half = f64::from(plan.half());
    let scale = Scale {
        clipping: plan.parameters().clipping_range(),
        factor: input.weight as f64 / max_weight as f64 * half / plan.parameters().clipping_range(),
        half,
        offset: plan.half(),
    };
    let mut entries = Zeroizing::new(Vec::with_capacity(plan.entries()));
    entries.push(weight);
    let mut clipped = 0_usize;
    let values = input.scalars.iter().copied().chain(input.vector.iter().map(|value| f64::from(*value)));
    entries.extend(values.map(|value| {
        clipped = clipped.wrapping_add(usize::from(value.abs() > scale.clipping));
        scale.round(value, rng.next_u32())
    }));
    Ok(Quantized { plan: *plan, entries, clipped })
}

/// Everything is checked before the first random bit is drawn, so a refused input changes no later rounding.
fn check(plan: &Plan, input: &Input<'_>) -> Result<u32, InputError> {
    let (layout, max) = (plan.layout(), plan.parameters().max_weight());
    if input.weight == 0 {
        return Err(InputError::WeightZero);
    }
    let weight = u32::try_from(input.weight).ok().filter(|_| input.weight <= max);
    let weight = weight.ok_or(InputError::WeightAboveMaximum { max, got: input.weight })?;
    if input.scalars.len() != layout.scalars() {
        return Err(InputError::WrongScalars { expected: layout.scalars(), got: input.scalars.len() });
    }
    if input.vector.len() != layout.vector() {
        return Err(InputError::WrongVector { expected: layout.vector(), got: input.vector.len() });
    }
    if let Some(index) = input.scalars.iter().position(|value| !value.is_finite()) {
        return Err(InputError::ScalarNotFinite { index });
    }
    if let Some(index) = input.vector.iter().position(|value| !value.is_finite()) {
        return Err(InputError::VectorNotFinite { index });
    }
    Ok(weight)
}

struct Scale {
    clipping: f64,
    factor: f64,
    half: f64,
    offset: u32,
}

impl Scale {
    fn round(&self, value: f64, random: u32) -> u32 {
        let clipped = value.clamp(-self.clipping, self.clipping);
        // The product may pass the limit by a rounding error; the second clamp keeps it inside the range.
        let scaled = (clipped * self.factor).clamp(-self.half, self.half);
        let floor = scaled.floor();
        let threshold = (scaled - floor) * 4_294_967_296.0;
        let up = threshold > f64::from(random);
        // |floor| ≤ half < 2³¹, so the cast is exact; the sum lies in 0..=2·half and only wraps on its way there.
        (floor as i32).wrapping_add(i32::from(up)).cast_unsigned().wrapping_add(self.offset)
    }
}

#[cfg(test)]
mod tests;
