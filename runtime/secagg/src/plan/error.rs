//! Why there is no plan.

use thiserror::Error as ThisError;

use super::Layout;
use crate::bounds::BoundsError;

/// Why there is no plan. Each message says what would do.
#[derive(Clone, Debug, PartialEq, ThisError)]
#[non_exhaustive]
pub enum PlanError {
    /// The sum could exceed the modulus and wrap around.
    #[error(
        "the sum of {clients} clients with up to {per_client} each can reach the modulus {modulus}; \
         the largest cohort that fits is {largest_cohort}. Lower quantization-range or max-weight, raise \
         modulus-range, or invite fewer"
    )]
    Overflow {
        /// Clients asked for.
        clients: usize,
        /// Clients that fit.
        largest_cohort: u64,
        /// The larger of `quantization_range − 1` and `max_weight`.
        per_client: u64,
        /// The modulus.
        modulus: u128,
    },
    /// More clients than shares.
    #[error(
        "{got} clients, and secret sharing on the complete graph serves at most {max} \
         (the Shamir package shares over bytes); set num-shares to fewer neighbours"
    )]
    TooManyClients {
        /// The limit.
        max: usize,
        /// Clients asked for.
        got: usize,
    },
    /// More neighbours than shares.
    #[error("num-shares {got}, and secret sharing serves at most {max} neighbours; use fewer")]
    TooManyShares {
        /// The limit.
        max: usize,
        /// The parameter as a count.
        got: usize,
    },
    /// A text that is no number of shares.
    #[error("'{got}' is no number of shares; write a count such as 30, a fraction such as 0.1, or auto")]
    NumSharesUnreadable {
        /// The text's start.
        got: String,
    },
    /// Fewer clients than the smallest cohort.
    #[error("{got} clients, and min-cohort is {min_cohort}; invite more, or lower min-cohort openly")]
    TooFewClients {
        /// The parameter.
        min_cohort: usize,
        /// Clients asked for.
        got: usize,
    },
    /// A cohort of one has no sum to hide in.
    #[error("min-cohort {got}: a sum over fewer than 2 participants is a participant's input; use 2 or more")]
    MinCohortBelowTwo {
        /// The parameter.
        got: usize,
    },
    /// One participant alone could open every mask.
    #[error(
        "a threshold of {got} with {clients} shares: below 2 a single participant opens every mask; use 2 or more"
    )]
    ThresholdBelowTwo {
        /// The threshold as a count.
        got: usize,
        /// Clients asked for.
        clients: usize,
    },
    /// No set of clients can meet the threshold.
    #[error("a threshold of {got} with {clients} shares can never be met; use at most {clients}")]
    ThresholdAboveClients {
        /// The threshold as a count.
        got: usize,
        /// Among how many a secret is shared.
        clients: usize,
    },
    /// A fraction outside (0, 1].
    #[error("a threshold of {got} of the clients; a fraction lies above 0 and is at most 1")]
    FractionOutOfRange {
        /// The fraction.
        got: f64,
    },
    /// So many may work for the server that no sum hides an honest input.
    #[error(
        "of {clients} clients {colluders} may work for the server, and then a sum must be over at least {needed}; \
         invite more, or assume fewer adversaries"
    )]
    TooFewHonest {
        /// Clients asked for.
        clients: usize,
        /// How many may work for the server.
        colluders: usize,
        /// The smallest cohort that would do.
        needed: usize,
    },
    /// Neighbours and a threshold that are not safe, or that the assumed dropouts can leave without an answer.
    #[error(transparent)]
    Bounds(#[from] BoundsError),
    /// The same, where a curious server would do no harm: a malicious one could have two different sets of survivors
    /// unmasked.
    #[error(
        "these shares hold against a curious server only. Against a malicious one: {0}; \
         or trust the server openly with security = semi-honest"
    )]
    CuriousServerOnly(BoundsError),
    /// A text that is no security setting.
    #[error("'{got}' is no security setting; write semi-honest, malicious, or malicious:0.1")]
    SecurityUnreadable {
        /// The text's start.
        got: String,
    },
    /// A text that is neither a count nor a fraction.
    #[error("'{got}' is no threshold; write a count such as 3, or a fraction such as 0.6")]
    ThresholdUnreadable {
        /// The text's start.
        got: String,
    },
    /// A modulus that this version cannot use.
    #[error("modulus-range {got}; use a power of two, at most {max}")]
    ModulusNotAPowerOfTwo {
        /// The largest.
        max: u128,
        /// The parameter.
        got: u128,
    },
    /// A quantization range that leaves no room, or is finer than what is quantized.
    #[error("quantization-range {got}; use 3 to {max}, and less than modulus-range, {modulus}")]
    QuantizationRange {
        /// The largest, if the modulus is larger.
        max: u64,
        /// The modulus.
        modulus: u128,
        /// The parameter.
        got: u64,
    },
    /// Nobody could count.
    #[error("max-weight 0; use the largest weight that a client may have, at least 1")]
    MaxWeightZero,
    /// Not a range.
    #[error("clipping-range {got}; use a positive number that a 32-bit float can hold")]
    ClippingRange {
        /// The parameter.
        got: f64,
    },
    /// A norm or an amount of noise that is none.
    #[error(
        "differential privacy with a {parameter} of {got}; use a positive number that a 32-bit float can hold"
    )]
    PrivacyNotPositive {
        /// `norm` or `noise-multiplier`.
        parameter: &'static str,
        /// The parameter.
        got: f64,
    },
    /// A δ that is no small probability.
    #[error("differential privacy at a delta of {got}; use one above 0 and well below 1 / participants")]
    Delta {
        /// The parameter.
        got: f64,
    },
    /// So little noise that a sum of it has no known cost.
    #[error(
        "noise of {sigma:.2} quantization steps a participant; below {minimum} a sum of it is not Gaussian enough to be \
         accounted for. Raise quantization-range to {needed} or more, or the noise multiplier"
    )]
    NoiseTooSmall {
        /// The standard deviation of one participant's noise, in steps.
        sigma: f64,
        /// The smallest.
        minimum: f64,
        /// A quantization range that would do.
        needed: u64,
    },
    /// More noise than can be sampled exactly.
    #[error(
        "noise of {sigma:.3e} quantization steps a participant, and at most {maximum:.3e} are sampled exactly; lower \
         quantization-range to {largest} or less"
    )]
    NoiseTooLarge {
        /// The standard deviation of one participant's noise, in steps.
        sigma: f64,
        /// The largest.
        maximum: f64,
        /// A quantization range that would do.
        largest: u64,
    },
    /// The sum with its noise could exceed the modulus and wrap around.
    #[error(
        "the sum of {clients} clients and its noise can reach {needed}, and modulus-range is {modulus}; lower \
         quantization-range to {largest} or less, or raise modulus-range"
    )]
    NoiseOverflow {
        /// Clients asked for.
        clients: usize,
        /// How many values a sum has to hold.
        needed: u128,
        /// The modulus.
        modulus: u128,
        /// A quantization range that would do.
        largest: u64,
    },
    /// More entries than this machine can count.
    #[error("{} scalars and {} vector entries are more than this machine can address", .layout.scalars, .layout.vector)]
    LayoutTooLarge {
        /// The layout.
        layout: Layout,
    },
}

impl PlanError {
    /// A short name of the failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Overflow { .. } => "sum-can-overflow",
            Self::TooManyClients { .. } => "too-many-clients",
            Self::TooManyShares { .. } => "too-many-shares",
            Self::NumSharesUnreadable { .. } => "num-shares-unreadable",
            Self::TooFewClients { .. } => "too-few-clients",
            Self::MinCohortBelowTwo { .. } => "min-cohort-below-two",
            Self::ThresholdBelowTwo { .. } => "threshold-below-two",
            Self::ThresholdAboveClients { .. } => "threshold-above-clients",
            Self::FractionOutOfRange { .. } => "fraction-out-of-range",
            Self::TooFewHonest { .. } => "too-few-honest",
            Self::Bounds(error) => error.code(),
            Self::CuriousServerOnly(_) => "curious-server-only",
            Self::SecurityUnreadable { .. } => "security-unreadable",
            Self::ThresholdUnreadable { .. } => "threshold-unreadable",
            Self::ModulusNotAPowerOfTwo { .. } => "modulus-not-a-power-of-two",
            Self::QuantizationRange { .. } => "quantization-range",
            Self::MaxWeightZero => "max-weight-zero",
            Self::ClippingRange { .. } => "clipping-range",
            Self::PrivacyNotPositive { .. } => "privacy-not-positive",
            Self::Delta { .. } => "delta",
            Self::NoiseTooSmall { .. } => "noise-too-small",
            Self::NoiseTooLarge { .. } => "noise-too-large",
            Self::NoiseOverflow { .. } => "noise-overflow",
            Self::LayoutTooLarge { .. } => "layout-too-large",
        }
    }
}
