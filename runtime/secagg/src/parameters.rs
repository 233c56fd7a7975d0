//! The public configuration that all participants of a session share.

mod modulus;
mod sharing;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::sharing::{NumShares, Threshold};
use crate::{
    plan::{Layout, MAX_QUANTIZATION_RANGE, Plan, PlanError},
    privacy::{Privacy, largest_range_with_noise},
    security::Security,
    transcript::{Transcript, domain},
};

/// The parameters of secure aggregation, with the defaults of the seed that this project covers.
///
/// Nothing in them is secret; [`digest`](Self::digest) goes into every key. They are checked by [`plan`](Self::plan).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    #[serde(skip_serializing_if = "Security::is_default")]
    security: Security,
    #[serde(skip_serializing_if = "Threshold::is_default")]
    reconstruction_threshold: Threshold,
    #[serde(skip_serializing_if = "NumShares::is_default")]
    num_shares: NumShares,
    #[serde(skip_serializing_if = "is_default_colluders")]
    colluders: f64,
    #[serde(skip_serializing_if = "is_default_dropouts")]
    dropouts: f64,
    max_weight: u64,
    clipping_range: f64,
    quantization_range: u64,
    #[serde(with = "modulus")]
    modulus_range: u128,
    min_cohort: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    privacy: Option<Privacy>,
}

const COLLUDERS: f64 = 0.05;

fn is_default_colluders(colluders: &f64) -> bool {
    *colluders == COLLUDERS
}

const DROPOUTS: f64 = 0.1;

fn is_default_dropouts(dropouts: &f64) -> bool {
    *dropouts == DROPOUTS
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            security: Security::default(),
            reconstruction_threshold: Threshold::TwoThirds,
            num_shares: NumShares::default(),
            colluders: COLLUDERS,
            dropouts: DROPOUTS,
            max_weight: 1000,
            clipping_range: 8.0,
            quantization_range: 1 << 22,
            modulus_range: 1 << 32,
            min_cohort: 3,
            privacy: None,
        }
    }
}

impl Parameters {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Against whom the session is to hold; default a malicious server with a third of the participants.
    #[must_use]
    pub fn with_security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// How many participants must answer in the last round; default ⌊2N/3⌋ + 1, or what
    /// [`NumShares::Auto`] finds. A threshold must be so high that the assumed adversaries open nothing, and so low that
    /// the assumed dropouts leave nothing closed: [`plan`](Self::plan) says which ones are.
    #[must_use]
    pub fn with_reconstruction_threshold(mut self, threshold: Threshold) -> Self {
        self.reconstruction_threshold = threshold;
        self
    }

    /// Among how many each secret is shared; default everybody. With fewer (SecAgg+) each participant is masked with so
    /// many neighbours in a random graph, and the threshold is counted among those.
    #[must_use]
    pub fn with_num_shares(mut self, num_shares: NumShares) -> Self {
        self.num_shares = num_shares;
        self
    }

    /// Under [`Security::SemiHonest`], the part of the invited who may tell the curious server all that they know, in
    /// [0, 1); default 0.05. It is not used under [`Security::Malicious`], which has a part of its own.
    #[must_use]
    pub fn with_colluders(mut self, colluders: f64) -> Self {
        self.colluders = colluders;
        self
    }

    /// The part of the invited who may drop out of a session that is to finish, in [0, 1); default 0.1.
    #[must_use]
    pub fn with_dropouts(mut self, dropouts: f64) -> Self {
        self.dropouts = dropouts;
        self
    }

    /// The largest weight of one client, for example its largest number of examples; default 1000. Precision is
    /// lost in proportion to `max_weight / weight`, so take the smallest that holds.
    #[must_use]
    pub fn with_max_weight(mut self, max_weight: u64) -> Self {
        self.max_weight = max_weight;
        self
    }

    /// Values are clipped to ±this; default 8.0.
    #[must_use]
    pub fn with_clipping_range(mut self, clipping_range: f64) -> Self {
        self.clipping_range = clipping_range;
        self
    }

    /// A clipped value becomes one of at most this many integers; default 2²², at most 2⁵², where an `f64` that was
    /// scaled has no more to give.
    #[must_use]
    pub fn with_quantization_range(mut self, quantization_range: u64) -> Self {
        self.quantization_range = quantization_range;
        self
    }

    /// The ceiling of the modulus, a power of two; default 2³², at most 2⁶⁴. The modulus itself is the smallest power of
    /// two that holds the sum of the planned clients: [`Plan::modulus`]. Above 2³² an entry is computed in 64 bits
    /// instead of 32.
    #[must_use]
    pub fn with_modulus_range(mut self, modulus_range: u128) -> Self {
        self.modulus_range = modulus_range;
        self
    }

    /// The smallest set of participants whose sum may be known; default 3. With 2, each of the two learns the other's
    /// update from the sum, and both sites' policies must allow it too.
    #[must_use]
    pub fn with_min_cohort(mut self, min_cohort: usize) -> Self {
        self.min_cohort = min_cohort;
        self
    }

    /// Differential privacy of each participant's input; default none.
    #[must_use]
    pub fn with_privacy(mut self, privacy: Privacy) -> Self {
        self.privacy = Some(privacy);
        self
    }

    /// See [`with_security`](Self::with_security).
    pub fn security(&self) -> Security {
        self.security
    }

    /// See [`with_reconstruction_threshold`](Self::with_reconstruction_threshold).
    pub fn reconstruction_threshold(&self) -> Threshold {
        self.reconstruction_threshold
    }

    /// See [`with_num_shares`](Self::with_num_shares).
    pub fn num_shares(&self) -> NumShares {
        self.num_shares
    }

    /// See [`with_colluders`](Self::with_colluders).
    pub fn colluders(&self) -> f64 {
        self.colluders
    }

    /// See [`with_dropouts`](Self::with_dropouts).
    pub fn dropouts(&self) -> f64 {
        self.dropouts
    }

    /// The part of the invited that works for the server, of the two that count in their setting:
    /// [`Security::Malicious`]'s own, or [`colluders`](Self::colluders).
    pub fn adversaries(&self) -> f64 {
        match self.security {
            Security::SemiHonest => self.colluders,
            Security::Malicious { adversaries } => adversaries,
        }
    }

    /// See [`with_max_weight`](Self::with_max_weight).
    pub fn max_weight(&self) -> u64 {
        self.max_weight
    }

    /// See [`with_clipping_range`](Self::with_clipping_range).
    pub fn clipping_range(&self) -> f64 {
        self.clipping_range
    }

    /// See [`with_quantization_range`](Self::with_quantization_range).
    pub fn quantization_range(&self) -> u64 {
        self.quantization_range
    }

    /// See [`with_modulus_range`](Self::with_modulus_range).
    pub fn modulus_range(&self) -> u128 {
        self.modulus_range
    }

    /// See [`with_min_cohort`](Self::with_min_cohort).
    pub fn min_cohort(&self) -> usize {
        self.min_cohort
    }

    /// See [`with_privacy`](Self::with_privacy).
    pub fn privacy(&self) -> Option<Privacy> {
        self.privacy
    }

    /// The largest size of a value that is summed: `clipping_range`, or with [`Privacy`] its norm, if that is smaller.
    pub(crate) fn value_range(&self) -> f64 {
        self.privacy.map_or(self.clipping_range, |privacy| self.clipping_range.min(privacy.norm()))
    }

    /// The largest `quantization_range` for so many clients under this `modulus_range`. With [`Privacy`] it leaves
    /// room for the noise of any layout and any number of dropouts.
    pub fn largest_quantization_range(&self, clients: usize) -> u64 {
        let largest = self.largest_number_of_values(clients).min(MAX_QUANTIZATION_RANGE);
        match self.privacy {
            Some(privacy) => {
                let norm = privacy.norm() / self.value_range();
                largest.min(largest_range_with_noise(
                    privacy.noise_multiplier() * norm,
                    clients,
                    self.modulus_range,
                ))
            }
            None => largest,
        }
    }

    /// The largest `max_weight` for so many clients under this `modulus_range`.
    pub fn largest_max_weight(&self, clients: usize) -> u64 {
        self.largest_number_of_values(clients).saturating_sub(1)
    }

    /// How many values each of so many clients may have.
    fn largest_number_of_values(&self, clients: usize) -> u64 {
        let values = self.modulus_range.checked_div(clients as u128).unwrap_or(self.modulus_range);
        u64::try_from(values).unwrap_or(u64::MAX)
    }

    /// SHA-256 over the parameters in a fixed encoding, the same on every machine.
    pub fn digest(&self) -> [u8; 32] {
        let (kind, threshold) = match self.reconstruction_threshold {
            Threshold::TwoThirds => ("two-thirds", 0),
            Threshold::Count(count) => ("count", u64::from(count)),
            Threshold::Fraction(fraction) => ("fraction", fraction.to_bits()),
        };
        let (shares_kind, num_shares) = match self.num_shares {
            NumShares::Count(count) => ("count", u64::from(count)),
            NumShares::Fraction(fraction) => ("fraction", fraction.to_bits()),
            NumShares::Auto => ("auto", 0),
        };
        let (security, adversaries) = match self.security {
            Security::SemiHonest => ("semi-honest", 0),
            Security::Malicious { adversaries } => ("malicious", adversaries.to_bits()),
        };
        let transcript = Transcript::new(domain!("parameters"))
            .text(security)
            .int(adversaries)
            .text(kind)
            .int(threshold)
            .text(shares_kind)
            .int(num_shares)
            .int(self.colluders.to_bits())
            .int(self.dropouts.to_bits())
            .int(self.max_weight)
            .int(self.clipping_range.to_bits())
            .int(self.quantization_range)
            .bytes(&self.modulus_range.to_be_bytes())
            .int(self.min_cohort as u64);
        match &self.privacy {
            Some(privacy) => privacy.write_to(transcript).hash(),
            None => transcript.hash(),
        }
    }

    /// Checks everything for up to `clients` participants and inputs of this layout.
    ///
    /// # Errors
    ///
    /// [`PlanError`] names the parameter and what would do; among others
    /// [`Overflow`](PlanError::Overflow) when the sum of so many clients could exceed the modulus, and
    /// [`Bounds`](PlanError::Bounds) when neighbours and threshold do not hold against the assumed adversaries and
    /// dropouts ([`bounds`](crate::bounds)).
    pub fn plan(&self, clients: usize, layout: Layout) -> Result<Plan, PlanError> {
        match self.plan_unchecked(clients, layout)? {
            (plan, None) => Ok(plan),
            (_, Some(refused)) => Err(refused),
        }
    }

    /// A plan for a *benchmark*, which may measure parameters that protect nobody, and why [`plan`](Self::plan) refuses
    /// them. Not for deployments: clients refuse such a plan, see
    /// [`ClientPolicy::with_allow_refused_plans`](crate::ClientPolicy::with_allow_refused_plans).
    ///
    /// # Errors
    ///
    /// [`PlanError`] where the session could not be carried out at all.
    pub fn plan_unchecked(
        &self,
        clients: usize,
        layout: Layout,
    ) -> Result<(Plan, Option<PlanError>), PlanError> {
        Plan::new(*self, clients, layout)
    }
}
