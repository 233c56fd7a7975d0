//! What is asked for.

use serde::{Deserialize, Serialize};

use crate::{plan::PlanError, transcript::Transcript};

/// Distributed differential privacy: what the sum tells about one participant is bounded, whoever sees it.
///
/// Each participant clips all that enters the sum, scalars and vector together, to an L2 norm, and adds discrete
/// Gaussian noise of variance σ²/n before it masks, σ = `noise_multiplier` · `norm`. n is how many survivors add noise
/// that nobody else knows: the smallest number of survivors less the participants that are assumed to work for the
/// server, of whom there is one at least, because who receives the result knows its own noise. Every survivor adds
/// noise, so more survivors mean more of it in the sum, and less in the mean.
///
/// With it every participant counts the same, whatever its weight: a weight tells about data, and a sum that is divided
/// by a noisy weight has no bounded error. For the same reason nothing that was clipped is counted in the sum. Who takes
/// part is not hidden.
///
/// ```
/// use veilflow_secagg::{Layout, Parameters, Privacy};
///
/// let parameters = Parameters::new().with_privacy(Privacy::new(1.0, 2.0, 1e-5)).with_min_cohort(80);
/// let plan = parameters.plan(100, Layout::new(1, 10_000))?;
/// let [one, ten] = [1, 10].map(|rounds| plan.privacy_cost(rounds));
/// assert_eq!(one.ok_or("no privacy")?.to_string(), "ε = 2.1657 at δ = 1e-5");
/// assert_eq!(ten.ok_or("no privacy")?.to_string(), "ε = 8.0784 at δ = 1e-5");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    norm: f64,
    noise_multiplier: f64,
    delta: f64,
}

impl Privacy {
    /// `norm` is the largest L2 norm of one participant's scalars and vector, in their own unit; `noise_multiplier` is
    /// σ / norm, for the sum of the fewest survivors; `delta` is the δ at which ε is reported, well below one over the
    /// number of participants.
    pub fn new(norm: f64, noise_multiplier: f64, delta: f64) -> Self {
        Self { norm, noise_multiplier, delta }
    }

    /// The largest L2 norm of what one participant contributes.
    pub fn norm(&self) -> f64 {
        self.norm
    }

    /// σ / norm.
    pub fn noise_multiplier(&self) -> f64 {
        self.noise_multiplier
    }

    /// The δ of (ε, δ).
    pub fn delta(&self) -> f64 {
        self.delta
    }

    pub(crate) fn check(&self) -> Result<(), PlanError> {
        let positive =
            |got: f64| got.is_finite() && got >= f64::from(f32::MIN_POSITIVE) && got <= f64::from(f32::MAX);
        for (parameter, got) in [("norm", self.norm), ("noise-multiplier", self.noise_multiplier)] {
            if !positive(got) {
                return Err(PlanError::PrivacyNotPositive { parameter, got });
            }
        }
        if self.delta > 0.0 && self.delta < 1.0 { Ok(()) } else { Err(PlanError::Delta { got: self.delta }) }
    }

    pub(crate) fn write_to(&self, transcript: Transcript) -> Transcript {
        transcript
            .text("privacy")
            .int(self.norm.to_bits())
            .int(self.noise_multiplier.to_bits())
            .int(self.delta.to_bits())
    }
}
