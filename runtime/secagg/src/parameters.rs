//! The public configuration that all participants of a session share.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    plan::{Layout, Plan, PlanError},
    security::Security,
    transcript::{Transcript, domain},
};

/// How many participants must answer in the last round for the sum to be known.
///
/// Serialized as an integer (a count), as a float (a fraction), or not at all (the default).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Threshold {
    /// So many participants.
    Count(u32),
    /// This part of the participants, in (0, 1], rounded up.
    Fraction(f64),
    /// ⌊2N/3⌋ + 1: with it no two sets of survivors can both be unmasked while up to a third of the clients work
    /// together with the server.
    #[default]
    TwoThirds,
}

impl Threshold {
    fn is_default(&self) -> bool {
        *self == Self::TwoThirds
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            // Debug keeps the decimal point, so that a fraction of 1.0 does not read back as a count.
            Self::Fraction(fraction) => write!(f, "{fraction:?}"),
            Self::TwoThirds => f.write_str("floor(2N/3)+1"),
        }
    }
}

/// A count such as `3`, or a fraction such as `0.6`.
impl FromStr for Threshold {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        if let Ok(count) = text.parse() {
            return Ok(Self::Count(count));
        }
        match text.parse::<f64>() {
            Ok(fraction) if fraction > 0.0 && fraction <= 1.0 => Ok(Self::Fraction(fraction)),
            _ => Err(PlanError::ThresholdUnreadable { got: text.chars().take(40).collect() }),
        }
    }
}

/// Among how many participants each secret is shared, and so with how many each is masked.
///
/// Serialized as an integer (a count), or as a float (a fraction).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum NumShares {
    /// So many neighbours. As many as there are participants, or more, is everybody.
    Count(u32),
    /// This part of the participants, in (0, 1], rounded up; 1.0 is everybody.
    Fraction(f64),
}

impl Default for NumShares {
    /// Everybody: SecAgg on the complete graph.
    fn default() -> Self {
        Self::Fraction(1.0)
    }
}

impl NumShares {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for NumShares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Fraction(fraction) => write!(f, "{fraction:?}"),
        }
    }
}

/// A count such as `30`, or a fraction such as `0.1`.
impl FromStr for NumShares {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        if let Ok(count) = text.parse() {
            return Ok(Self::Count(count));
        }
        match text.parse::<f64>() {
            Ok(fraction) if fraction > 0.0 && fraction <= 1.0 => Ok(Self::Fraction(fraction)),
            _ => Err(PlanError::NumSharesUnreadable { got: text.chars().take(40).collect() }),
        }
    }
}

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
    max_weight: u64,
    clipping_range: f64,
    quantization_range: u64,
    modulus_range: u64,
    min_cohort: usize,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            security: Security::default(),
            reconstruction_threshold: Threshold::TwoThirds,
            num_shares: NumShares::default(),
            max_weight: 1000,
            clipping_range: 8.0,
            quantization_range: 1 << 22,
            modulus_range: 1 << 32,
            min_cohort: 3,
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

    /// How many participants must answer in the last round; default ⌊2N/3⌋ + 1.
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

    /// A clipped value becomes one of at most this many integers; default 2²².
    #[must_use]
    pub fn with_quantization_range(mut self, quantization_range: u64) -> Self {
        self.quantization_range = quantization_range;
        self
    }

    /// The ceiling of the modulus, a power of two; default and most 2³². The modulus itself is the smallest power of
    /// two that holds the sum of the planned clients: [`Plan::modulus`].
    #[must_use]
    pub fn with_modulus_range(mut self, modulus_range: u64) -> Self {
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
    pub fn modulus_range(&self) -> u64 {
        self.modulus_range
    }

    /// See [`with_min_cohort`](Self::with_min_cohort).
    pub fn min_cohort(&self) -> usize {
        self.min_cohort
    }

    /// The largest `quantization_range` for so many clients under this `modulus_range`.
    pub fn largest_quantization_range(&self, clients: usize) -> u64 {
        self.modulus_range.checked_div(clients as u64).unwrap_or(self.modulus_range)
    }

    /// The largest `max_weight` for so many clients under this `modulus_range`.
    pub fn largest_max_weight(&self, clients: usize) -> u64 {
        self.largest_quantization_range(clients).saturating_sub(1)
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
        };
        let (security, adversaries) = match self.security {
            Security::SemiHonest => ("semi-honest", 0),
            Security::Malicious { adversaries } => ("malicious", adversaries.to_bits()),
        };
        Transcript::new(domain!("parameters"))
            .text(security)
            .int(adversaries)
            .text(kind)
            .int(threshold)
            .text(shares_kind)
            .int(num_shares)
            .int(self.max_weight)
            .int(self.clipping_range.to_bits())
            .int(self.quantization_range)
            .int(self.modulus_range)
            .int(self.min_cohort as u64)
            .hash()
    }

    /// Checks everything for up to `clients` participants and inputs of this layout.
    ///
    /// # Errors
    ///
    /// [`PlanError`] names the parameter and what would do; among others
    /// [`Overflow`](PlanError::Overflow) when the sum of so many clients could exceed the modulus.
    pub fn plan(&self, clients: usize, layout: Layout) -> Result<Plan, PlanError> {
        Plan::new(*self, clients, layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_seeds() {
        let parameters = Parameters::new();
        assert_eq!(parameters.max_weight(), 1000);
        assert_eq!(parameters.clipping_range(), 8.0);
        assert_eq!(parameters.quantization_range(), 4_194_304);
        assert_eq!(parameters.modulus_range(), 4_294_967_296);
        assert_eq!(parameters.min_cohort(), 3);
        assert_eq!(parameters.security(), Security::Malicious { adversaries: 1.0 / 3.0 });
    }

    #[test]
    fn serialized_by_their_documented_names() {
        let json = r#"{"max_weight":1000,"clipping_range":8.0,"quantization_range":4194304,"modulus_range":4294967296,"min_cohort":3}"#;
        assert_eq!(serde_json::to_string(&Parameters::new()).unwrap(), json);
        assert_eq!(serde_json::from_str::<Parameters>("{}").unwrap(), Parameters::new());
        let count: Parameters = serde_json::from_str(r#"{"reconstruction_threshold": 4}"#).unwrap();
        assert_eq!(count.reconstruction_threshold(), Threshold::Count(4));
        let fraction: Parameters = serde_json::from_str(r#"{"reconstruction_threshold": 0.5}"#).unwrap();
        assert_eq!(fraction.reconstruction_threshold(), Threshold::Fraction(0.5));
        let sparse: Parameters = serde_json::from_str(r#"{"num_shares": 12}"#).unwrap();
        assert_eq!(sparse.num_shares(), NumShares::Count(12));
        let curious: Parameters = serde_json::from_str(r#"{"security": "semi-honest"}"#).unwrap();
        assert_eq!(curious.security(), Security::SemiHonest);
        let tenth: Parameters =
            serde_json::from_str(r#"{"security": {"malicious": {"adversaries": 0.1}}}"#).unwrap();
        assert_eq!(tenth.security(), Security::Malicious { adversaries: 0.1 });
        for parameters in [count, fraction, sparse, curious, tenth] {
            let text = serde_json::to_string(&parameters).unwrap();
            assert_eq!(serde_json::from_str::<Parameters>(&text).unwrap(), parameters);
        }
        assert!(serde_json::from_str::<Parameters>(r#"{"max_wait": 4}"#).is_err());
    }

    #[test]
    fn digest_is_stable_and_depends_on_each_parameter() {
        let base = Parameters::new();
        let others = [
            base.with_num_shares(NumShares::Count(2)),
            base.with_num_shares(NumShares::Fraction(0.5)),
            base.with_security(Security::SemiHonest),
            base.with_security(Security::Malicious { adversaries: 0.1 }),
            base.with_max_weight(999),
            base.with_clipping_range(7.0),
            base.with_quantization_range(1 << 21),
            base.with_modulus_range(1 << 31),
            base.with_min_cohort(4),
            base.with_reconstruction_threshold(Threshold::Count(2)),
            base.with_reconstruction_threshold(Threshold::Fraction(0.5)),
        ];
        for other in others {
            assert_ne!(other.digest(), base.digest(), "{other:?}");
        }
    }

    #[test]
    fn thresholds_are_read_as_written() {
        assert_eq!("3".parse(), Ok(Threshold::Count(3)));
        assert_eq!("0.6".parse(), Ok(Threshold::Fraction(0.6)));
        assert_eq!("12".parse(), Ok(NumShares::Count(12)));
        assert_eq!("1.0".parse(), Ok(NumShares::default()));
        assert!("0.0".parse::<NumShares>().is_err() && "all".parse::<NumShares>().is_err());
        assert_eq!("1.0".parse(), Ok(Threshold::Fraction(1.0)));
        for text in ["", "-1", "1.5", "0.0", "NaN", "half"] {
            assert_eq!(
                text.parse::<Threshold>(),
                Err(PlanError::ThresholdUnreadable { got: text.to_owned() }),
                "{text}"
            );
        }
        for threshold in [Threshold::Count(7), Threshold::Fraction(1.0)] {
            assert_eq!(threshold.to_string().parse(), Ok(threshold));
        }
    }
}
