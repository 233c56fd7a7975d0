//! What noisy sums cost, in zero-concentrated differential privacy (zCDP), and in (ε, δ).
//!
//! The mechanism is a sum of n independent discrete Gaussians of variance σ² on each of d integer entries; KLS21 is
//! Kairouz, Liu and Steinke, *The Distributed Discrete Gaussian Mechanism for Federated Learning with Secure
//! Aggregation* (ICML 2021, arXiv 2102.06387), CKS20 is Canonne, Kamath and Steinke, *The Discrete Gaussian for
//! Differential Privacy* (NeurIPS 2020, arXiv 2004.00010).
//!
//! **Neighbours.** Two inputs of a session are neighbours if one participant's entries are all zero in one of them, and
//! no more than Δ long in the other. Who takes part is public. Replacing a participant's data by others is two such
//! steps: Δ doubles, and ρ is four times as large.
//!
//! **One sum.** A sum of discrete Gaussians is not a discrete Gaussian, but close: where σ² ≥ ½, the probabilities of
//! their values differ by a factor of e^±τ/2 at most, τ = 10 · Σ exp(−2π²σ²·k/(k + 1)) over 1 ≤ k < n (KLS21, theorem
//! 1, equation 3: one Gaussian is added after another). With s = Δ²/nσ² the Rényi divergence of order α is at most both of
//!
//! - α·s/2 + τ·d: what one discrete Gaussian has (CKS20, theorem 4), and the factor of both sums in every entry;
//! - (α/2)·(√s + τ·√d)²: the triangle inequality of concentrated differential privacy, entry by entry
//!
//! (KLS21, proposition 14). Hence ρ = min(s/2 + τ·d, (√s + τ·√d)²/2). A plan asks for σ ≥ 4, and then τ·d is below
//! 2⁻¹⁰⁰ and ρ is s/2, as with the continuous Gaussian.
//!
//! **Rounding.** A vector of length c that is rounded at random to whole numbers is, with probability 1 − β at least, no
//! longer than the bound of KLS21, theorem 1, equation 2. It is rounded again until it is not longer
//! ([`rounded_norm_squared`]).
//!
//! **Many sums** add their ρ (Bun and Steinke, TCC 2016, lemma 1.7), also when later inputs depend on earlier sums.
//!
//! **(ε, δ)** follows from ρ by CKS20, proposition 12 and corollary 13, with the best α ([`epsilon`]).
//!
//! Not covered: what a participant gains from knowing its own noise, unless it is counted among those whose noise is
//! known; sampling of participants, which would make the cost smaller.

use std::{f64::consts::PI, fmt};

use serde::{Deserialize, Serialize};

/// β = e^−½: the probability that a rounding is not accepted, at most, as KLS21 recommend. A larger one allows a
/// tighter bound, and takes more attempts: 1/(1 − β) = 2.5 on average.
const LN_INVERSE_BETA: f64 = 0.5;

/// τ: how far the sum of `noises` discrete Gaussians of this variance is from one of their variance together.
fn distance_from_gaussian(variance: f64, noises: usize) -> f64 {
    let term = |k: usize| (-2.0 * PI * PI * variance * k as f64 / (k as f64 + 1.0)).exp();
    10.0 * (1..noises).map(term).sum::<f64>()
}

/// ρ of a sum with `noises` discrete Gaussians of this variance in each of `entries` entries. `sensitivity_squared` is
/// Δ²; it and the variance are in squares of quantization steps. The variance is at least ½.
pub(crate) fn rho_of_sum(sensitivity_squared: f64, variance: f64, noises: usize, entries: usize) -> f64 {
    let tau = distance_from_gaussian(variance, noises);
    let ratio = sensitivity_squared / (noises as f64 * variance);
    let entries = entries as f64;
    let length = ratio.sqrt() + tau * entries.sqrt();
    (ratio / 2.0 + tau * entries).min(length * length / 2.0)
}

/// The squared length that a vector of this length and number of entries has at most, with probability 1 − e^−½, when it
/// is rounded; both in steps. Of the two bounds in KLS21, equation 2, the other one, (norm + √entries)², is never
/// smaller with this β.
pub(crate) fn rounded_norm_squared(norm: f64, entries: usize) -> f64 {
    let entries = entries as f64;
    norm * norm + entries / 4.0 + (2.0 * LN_INVERSE_BETA).sqrt() * (norm + entries.sqrt() / 2.0)
}

/// The smallest ε with which ρ-zCDP is (ε, δ)-differential privacy, up to the search for the best order.
///
/// CKS20, proposition 12 solved for ε: ε = ρα + ln((α − 1)/α) − ln(δα)/(α − 1), for any α > 1, so that a search that
/// stops early gives an ε that is true and a little large. With x = ln(α − 1) it has one minimum: the corollary's
/// ln δ + (α − 1)·ε is convex in α.
fn epsilon(rho: f64, delta: f64) -> f64 {
    if rho <= 0.0 {
        return 0.0;
    }
    let at = |x: f64| {
        let above_one = x.exp();
        let ln_order = above_one.ln_1p();
        rho * (1.0 + above_one) + x - ln_order - (delta.ln() + ln_order) / above_one
    };
    // ln(α − 1): from orders that only a ρ above 10⁸ would take to those of a ρ below 10⁻²⁰.
    let (mut low, mut high) = (-25.0_f64, 60.0_f64);
    for _ in 0..200 {
        let third = (high - low) / 3.0;
        if at(low + third) <= at(high - third) {
            high -= third;
        } else {
            low += third;
        }
    }
    at((low + high) / 2.0).max(0.0)
}

/// What a session, or several, cost one participant in privacy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacyCost {
    rho: f64,
    delta: f64,
}

impl PrivacyCost {
    pub(crate) fn new(rho: f64, delta: f64) -> Self {
        Self { rho, delta }
    }

    /// ρ of zero-concentrated differential privacy. Costs of sessions add up in it.
    pub fn rho(&self) -> f64 {
        self.rho
    }

    /// δ: what was asked for.
    pub fn delta(&self) -> f64 {
        self.delta
    }

    /// ε that goes with ρ and [`delta`](Self::delta).
    pub fn epsilon(&self) -> f64 {
        epsilon(self.rho, self.delta)
    }

    /// So many sessions of this cost, at the same δ.
    #[must_use]
    pub fn times(&self, sessions: u64) -> Self {
        Self { rho: self.rho * sessions as f64, delta: self.delta }
    }
}

/// `ε = 1.234 at δ = 1e-5`
impl fmt::Display for PrivacyCost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ε = {:.4} at δ = {:e}", self.epsilon(), self.delta)
    }
}

/// Adds up what sessions cost.
///
/// A session is charged when a masked input leaves, not when its sum is announced: a server that lets it fail may have
/// seen the sum.
///
/// ```
/// use veilflow_secagg::{Layout, Parameters, Privacy, PrivacyAccountant};
///
/// let privacy = Privacy::new(1.0, 2.0, 1e-5);
/// let plan = Parameters::new().with_privacy(privacy).plan(10, Layout::new(0, 1000))?;
/// let mut spent = PrivacyAccountant::new();
/// for _round in 0..20 {
///     spent.charge(&plan.privacy_cost(1).ok_or("no privacy")?);
/// }
/// assert_eq!(spent.sessions(), 20);
/// assert!(spent.total(1e-5).epsilon() < 20.0 * plan.privacy_cost(1).ok_or("no privacy")?.epsilon());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrivacyAccountant {
    rho: f64,
    sessions: u64,
}

impl PrivacyAccountant {
    /// Nothing spent.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more session.
    pub fn charge(&mut self, cost: &PrivacyCost) {
        self.rho += cost.rho;
        self.sessions = self.sessions.saturating_add(1);
    }

    /// How many were charged.
    pub fn sessions(&self) -> u64 {
        self.sessions
    }

    /// ρ of all of them.
    pub fn rho(&self) -> f64 {
        self.rho
    }

    /// The cost of all of them, for this δ.
    pub fn total(&self, delta: f64) -> PrivacyCost {
        PrivacyCost::new(self.rho, delta)
    }
}

#[cfg(test)]
mod tests;
