//! Parameters, checked for a number of clients and a layout of inputs.

use rand::Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error as ThisError;

use crate::{
    defences::{Defence, stands},
    entries::packed_bytes,
    graph::degree,
    parameters::{NumShares, Parameters, Threshold},
    quantize::{Input, InputError, Quantized, quantize},
    security::{Security, colluding_neighbours, majority},
    transcript::{Transcript, domain},
};

/// `shamirsecretsharing` works over GF(2⁸): a share's position is a byte that is not 0.
const MAX_SHARES: usize = 255;

/// The largest modulus of this version: sums are kept in 32 bits an entry.
const MAX_MODULUS: u64 = 1 << 32;

/// The shape of an input: `[weight, scalars…, vector…]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    scalars: usize,
    vector: usize,
}

impl Layout {
    /// So many scalars (losses, scores) and so many vector entries (parameters); either may be 0.
    pub fn new(scalars: usize, vector: usize) -> Self {
        Self { scalars, vector }
    }

    /// How many scalars are averaged beside the vector.
    pub fn scalars(&self) -> usize {
        self.scalars
    }

    /// The vector's length.
    pub fn vector(&self) -> usize {
        self.vector
    }

    fn entries(&self) -> Option<usize> {
        self.scalars.checked_add(self.vector)?.checked_add(1)
    }
}

/// What all participants agree on before a session: it can be carried out, and its sum cannot overflow.
///
/// Made by [`Parameters::plan`]. `clients` is the number invited; the threshold is computed from it once and stays
/// when some of them do not show up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    parameters: Parameters,
    clients: usize,
    /// Among how many a secret is shared; all clients on the complete graph.
    shares: usize,
    threshold: usize,
    layout: Layout,
    entries: usize,
    /// Quantized values are `0..=2·half`, and `half` stands for 0.0. Even and odd ranges alike, so that zero is exact
    /// and neither clipping limit leaves the range.
    half: u32,
    /// b: the modulus is 2ᵇ.
    bits: u32,
}

impl Plan {
    pub(crate) fn new(parameters: Parameters, clients: usize, layout: Layout) -> Result<Self, PlanError> {
        let half = check_numbers(&parameters)?;
        let shares = num_shares(parameters.num_shares(), clients)?;
        if parameters.min_cohort() < 2 {
            return Err(PlanError::MinCohortBelowTwo { got: parameters.min_cohort() });
        }
        if clients < parameters.min_cohort() {
            return Err(PlanError::TooFewClients { min_cohort: parameters.min_cohort(), got: clients });
        }
        let threshold = threshold(parameters.reconstruction_threshold(), shares)?;
        let bits = entry_bits(&parameters, clients)?;
        let entries = layout.entries().ok_or(PlanError::LayoutTooLarge { layout })?;
        let plan = Self { parameters, clients, shares, threshold, layout, entries, half, bits };
        plan.check_adversaries()?;
        Ok(plan)
    }

    /// The parameters that were checked.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// How many clients are invited: the roster has at most this many.
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// Among how many participants each secret is shared: all, or so many neighbours (SecAgg+).
    pub fn shares(&self) -> usize {
        self.shares
    }

    /// Whether everybody is everybody's neighbour. The owner of a seed keeps a share of it then, and only then.
    pub(crate) fn is_complete(&self) -> bool {
        self.shares >= self.clients
    }

    /// t: how many of those who hold shares must answer in the last round. Fewer can neither finish a session nor open
    /// anything.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// The smallest threshold that holds with so many in the roster, of whom so many work for the server.
    pub(crate) fn required_threshold(&self, members: usize, colluders: usize) -> usize {
        let (holders, colluders) = self.holders(members, colluders);
        majority(holders, colluders)
    }

    /// Among how many a secret is shared in such a roster, and how many of those work for the server at most.
    fn holders(&self, members: usize, colluders: usize) -> (usize, usize) {
        if self.is_complete() {
            return (members, colluders);
        }
        let holders = degree(members, self.shares);
        (holders, colluding_neighbours(members, colluders, holders))
    }

    /// Against a malicious server: a sum needs two honest inputs to hide in, and two different sets of survivors must
    /// not both find t answers (`SECURITY.md`, rows 3 and 10).
    fn check_adversaries(&self) -> Result<(), PlanError> {
        let (security, clients) = (self.security(), self.clients);
        if !security.is_malicious() {
            return Ok(());
        }
        let adversaries = security.adversaries();
        if !(0.0..1.0).contains(&adversaries) {
            return Err(PlanError::AdversariesOutOfRange { got: adversaries });
        }
        let colluders = self.colluders();
        let needed = self.min_cohort();
        if needed > clients {
            return Err(PlanError::TooFewHonest { clients, colluders, needed });
        }
        // One dropout can make an even roster odd, and an odd number of neighbours one more.
        let [all, one_less] =
            [clients, clients.saturating_sub(1)].map(|members| self.holders(members, colluders));
        let (holders, colluders) = if self.is_complete() { all } else { all.max(one_less) };
        let required = majority(holders, colluders);
        if self.threshold < required && stands(Defence::Majority) {
            return Err(PlanError::ThresholdForCuriousServer {
                holders,
                colluders,
                required,
                got: self.threshold,
            });
        }
        Ok(())
    }

    /// Against whom the session is to hold.
    pub fn security(&self) -> Security {
        self.parameters.security()
    }

    /// How many of the invited may work for the server, if nobody else is enrolled.
    pub(crate) fn colluders(&self) -> usize {
        self.security().colluders(self.clients)
    }

    /// The smallest set of participants whose sum may be known: `min_cohort` of the parameters, and against a
    /// malicious server two more than may work for it.
    pub fn min_cohort(&self) -> usize {
        min_cohort(&self.parameters, self.clients)
    }

    /// The shape of each input.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Entries of the masked vector: 1 for the weight, the scalars, the vector.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// b = ⌈log₂(N·R)⌉: an entry's bits, in the modulus and on the wire. N is the number of clients, R the larger of
    /// `quantization_range` and `max_weight + 1`. At most 32.
    pub fn entry_bits(&self) -> u32 {
        self.bits
    }

    /// Sums are taken modulo 2ᵇ, which is at most `modulus_range`.
    pub fn modulus(&self) -> u64 {
        1_u64.wrapping_shl(self.bits)
    }

    /// What a masked vector takes on the wire: ⌈entries · b / 8⌉ bytes.
    pub fn masked_bytes(&self) -> usize {
        packed_bytes(self.entries, self.bits)
    }

    /// SHA-256 over parameters, number of clients, threshold and layout. Participants compare it in round 0.
    pub fn digest(&self) -> [u8; 32] {
        Transcript::new(domain!("plan"))
            .bytes(&self.parameters.digest())
            .int(self.clients as u64)
            .int(self.shares as u64)
            .int(self.threshold as u64)
            .int(self.layout.scalars as u64)
            .int(self.layout.vector as u64)
            .hash()
    }

    /// The distance of two neighbouring quantized values, for a client of the largest weight. A client of weight `w`
    /// is rounded to multiples of `quantization_step · max_weight / w`.
    pub fn quantization_step(&self) -> f64 {
        self.parameters.clipping_range() / f64::from(self.half)
    }

    /// A bound of |secure mean − exact weighted mean of the clipped values|, per entry, when `clients` survivors have
    /// this total weight.
    ///
    /// Each survivor is rounded by less than one step, `clients` steps together, and the mean divides by the total
    /// weight in units of the largest: `clients · quantization_step · max_weight / total_weight`. Added to it is what
    /// a result of type `f32` cannot hold, and the rounding of the `f64` arithmetic. With all clients at
    /// `max_weight` it is one step. It says nothing about values outside the clipping range.
    pub fn max_error_of_mean(&self, clients: usize, total_weight: u64) -> f64 {
        let clipping = self.parameters.clipping_range();
        let rounding = clients as f64 * self.quantization_step() * self.parameters.max_weight() as f64
            / total_weight.max(1) as f64;
        rounding * (1.0 + 1e-9) + clipping * f64::from(f32::EPSILON)
    }

    /// Turns an input into the integers that are summed. `rng` rounds, and protects nothing: seed it from the run.
    ///
    /// This is the first half of the plain path, which a secure sum equals bit for bit; a client's
    /// [`mask_input`](crate::MaskInputClient::mask_input) calls it too.
    pub fn quantize<R: Rng + ?Sized>(&self, input: &Input<'_>, rng: &mut R) -> Result<Quantized, InputError> {
        quantize(self, input, rng)
    }

    pub(crate) fn half(&self) -> u32 {
        self.half
    }

    /// 2ᵇ − 1.
    pub(crate) fn entry_mask(&self) -> u32 {
        u32::try_from(self.modulus().saturating_sub(1)).unwrap_or(u32::MAX)
    }
}

fn check_numbers(parameters: &Parameters) -> Result<u32, PlanError> {
    let modulus = parameters.modulus_range();
    if !modulus.is_power_of_two() || modulus > MAX_MODULUS {
        return Err(PlanError::ModulusNotAPowerOfTwo { max: MAX_MODULUS, got: modulus });
    }
    let range = parameters.quantization_range();
    if range < 3 || range >= modulus {
        return Err(PlanError::QuantizationRange { modulus, got: range });
    }
    if parameters.max_weight() == 0 {
        return Err(PlanError::MaxWeightZero);
    }
    let clipping = parameters.clipping_range();
    // Beyond this range an f32 mean could be infinite, or a step vanish.
    if !(clipping.is_finite() && clipping >= f64::from(f32::MIN_POSITIVE) && clipping <= f64::from(f32::MAX))
    {
        return Err(PlanError::ClippingRange { got: clipping });
    }
    u32::try_from(range.saturating_sub(1) / 2)
        .map_err(|_| PlanError::QuantizationRange { modulus, got: range })
}

fn threshold(threshold: Threshold, clients: usize) -> Result<usize, PlanError> {
    let count = match threshold {
        Threshold::TwoThirds => clients.saturating_mul(2).checked_div(3).unwrap_or(0).saturating_add(1),
        Threshold::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
        Threshold::Fraction(fraction) => {
            if !(fraction > 0.0 && fraction <= 1.0) {
                return Err(PlanError::FractionOutOfRange { got: fraction });
            }
            // 0.07 · 100 is a little more than 7 in binary; whoever wrote it meant 7. At most 255, so exact.
            (fraction * clients as f64 - 1e-9).ceil() as usize
        }
    };
    match count {
        0 | 1 => Err(PlanError::ThresholdBelowTwo { got: count, clients }),
        _ if count > clients => Err(PlanError::ThresholdAboveClients { got: count, clients }),
        _ => Ok(count),
    }
}

fn min_cohort(parameters: &Parameters, clients: usize) -> usize {
    parameters.min_cohort().max(parameters.security().colluders(clients).saturating_add(2))
}

/// Among how many a secret is shared, checked against what the field can hold.
fn num_shares(shares: NumShares, clients: usize) -> Result<usize, PlanError> {
    let count = match shares {
        NumShares::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
        NumShares::Fraction(fraction) => {
            if !(fraction > 0.0 && fraction <= 1.0) {
                return Err(PlanError::FractionOutOfRange { got: fraction });
            }
            (fraction * clients as f64 - 1e-9).ceil() as usize
        }
    };
    if count >= clients {
        if clients > MAX_SHARES {
            return Err(PlanError::TooManyClients { max: MAX_SHARES, got: clients });
        }
        return Ok(clients);
    }
    // An odd number of neighbours becomes one more where the number of members is odd.
    if count >= MAX_SHARES {
        return Err(PlanError::TooManyShares { max: MAX_SHARES.saturating_sub(1), got: count });
    }
    Ok(count)
}

/// ⌈log₂(N·R)⌉, refused above the ceiling. A sum is at most N·(R − 1), so it fits.
fn entry_bits(parameters: &Parameters, clients: usize) -> Result<u32, PlanError> {
    let per_client = parameters.max_weight().max(parameters.quantization_range().saturating_sub(1));
    let values = per_client.saturating_add(1);
    let sums = u128::from(values).saturating_mul(clients as u128);
    if sums > u128::from(parameters.modulus_range()) && stands(Defence::NoOverflow) {
        return Err(PlanError::Overflow {
            clients,
            largest_cohort: parameters.modulus_range().checked_div(values).unwrap_or(0),
            per_client,
            modulus: parameters.modulus_range(),
        });
    }
    // A sum above the ceiling wraps around: only where the refusal is left out for a test.
    Ok(sums.next_power_of_two().trailing_zeros().min(parameters.modulus_range().trailing_zeros()))
}

/// Why there is no plan. Each message says what would do.
#[derive(Clone, Debug, PartialEq, ThisError)]
#[non_exhaustive]
pub enum PlanError {
    /// The sum could exceed the modulus and wrap around.
    #[error(
        "the sum of {clients} clients with up to {per_client} each can reach the modulus {modulus}; \
         the largest cohort that fits is {largest_cohort}. Lower quantization-range or max-weight, or invite fewer"
    )]
    Overflow {
        /// Clients asked for.
        clients: usize,
        /// Clients that fit.
        largest_cohort: u64,
        /// The larger of `quantization_range − 1` and `max_weight`.
        per_client: u64,
        /// The modulus.
        modulus: u64,
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
    #[error("'{got}' is no number of shares; write a count such as 30, or a fraction such as 0.1")]
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
    /// A part of adversaries outside [0, 1).
    #[error("{got} of the participants on the server's side; a part is at least 0 and below 1")]
    AdversariesOutOfRange {
        /// The parameter.
        got: f64,
    },
    /// So many may work for the server that no sum hides an honest input.
    #[error(
        "of {clients} clients {colluders} may work for the server, and then a sum must be over at least {needed}; \
         invite more, assume fewer adversaries, or trust the server openly with security = semi-honest"
    )]
    TooFewHonest {
        /// Clients asked for.
        clients: usize,
        /// How many may work for the server.
        colluders: usize,
        /// The smallest cohort that would do.
        needed: usize,
    },
    /// A threshold with which a server could have two different sets of survivors unmasked.
    #[error(
        "a threshold of {got} holds against a curious server only: with {colluders} of the {holders} who hold shares on \
         a malicious server's side it must be more than half of {holders} + {colluders}; use {required} or more (and \
         num-shares above that), assume fewer adversaries, or trust the server openly with security = semi-honest"
    )]
    ThresholdForCuriousServer {
        /// Among how many a secret is shared.
        holders: usize,
        /// How many of them may work for the server, but for a chance of 2⁻⁴⁰ where the graph is random.
        colluders: usize,
        /// The smallest threshold that would do.
        required: usize,
        /// The threshold as a count.
        got: usize,
    },
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
        max: u64,
        /// The parameter.
        got: u64,
    },
    /// A quantization range that leaves no room.
    #[error("quantization-range {got}; use at least 3 and less than modulus-range, {modulus}")]
    QuantizationRange {
        /// The modulus.
        modulus: u64,
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
            Self::AdversariesOutOfRange { .. } => "adversaries-out-of-range",
            Self::TooFewHonest { .. } => "too-few-honest",
            Self::ThresholdForCuriousServer { .. } => "threshold-for-curious-server",
            Self::SecurityUnreadable { .. } => "security-unreadable",
            Self::ThresholdUnreadable { .. } => "threshold-unreadable",
            Self::ModulusNotAPowerOfTwo { .. } => "modulus-not-a-power-of-two",
            Self::QuantizationRange { .. } => "quantization-range",
            Self::MaxWeightZero => "max-weight-zero",
            Self::ClippingRange { .. } => "clipping-range",
            Self::LayoutTooLarge { .. } => "layout-too-large",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(parameters: Parameters, clients: usize) -> Result<Plan, PlanError> {
        parameters.plan(clients, Layout::new(2, 10))
    }

    #[test]
    fn default_threshold_is_two_thirds_and_never_below_two() {
        let two = Parameters::new().with_min_cohort(2);
        for (clients, expected) in [(2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (10, 7), (255, 171)] {
            assert_eq!(plan(two, clients).unwrap().threshold(), expected, "{clients} clients");
        }
    }

    #[test]
    fn threshold_as_count_or_fraction() {
        let with = |threshold| {
            let parameters = Parameters::new().with_security(Security::SemiHonest);
            parameters.with_reconstruction_threshold(threshold)
        };
        assert_eq!(plan(with(Threshold::Count(2)), 5).unwrap().threshold(), 2);
        assert_eq!(plan(with(Threshold::Fraction(0.5)), 5).unwrap().threshold(), 3);
        assert_eq!(plan(with(Threshold::Fraction(0.07)), 100).unwrap().threshold(), 7);
        assert_eq!(plan(with(Threshold::Fraction(1.0)), 5).unwrap().threshold(), 5);
        let code = |threshold, clients| plan(with(threshold), clients).unwrap_err().code();
        assert_eq!(code(Threshold::Count(0), 5), "threshold-below-two");
        assert_eq!(code(Threshold::Count(1), 5), "threshold-below-two");
        assert_eq!(code(Threshold::Fraction(0.1), 5), "threshold-below-two");
        assert_eq!(code(Threshold::Count(6), 5), "threshold-above-clients");
        for fraction in [0.0, -1.0, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(code(Threshold::Fraction(fraction), 5), "fraction-out-of-range", "{fraction}");
        }
    }

    #[test]
    fn row_08_a_sum_that_can_overflow_is_refused_with_the_largest_cohort() {
        // 1023 · (2^22 − 1) < 2^32 and 1025 · (2^22 − 1) ≥ 2^32: the package's 255 is the limit there.
        plan(Parameters::new(), 255).unwrap();
        let tight = Parameters::new().with_quantization_range(1 << 29);
        plan(tight, 8).unwrap();
        let error = plan(tight, 9).unwrap_err();
        let expected = PlanError::Overflow {
            clients: 9,
            largest_cohort: 8,
            per_client: (1 << 29) - 1,
            modulus: 1 << 32,
        };
        assert_eq!(error, expected);
        assert!(error.to_string().contains("largest cohort that fits is 8"), "{error}");
    }

    #[test]
    fn row_08_weights_count_as_well() {
        let heavy = Parameters::new().with_max_weight(1 << 30);
        plan(heavy, 3).unwrap();
        assert_eq!(
            plan(heavy, 4).unwrap_err(),
            PlanError::Overflow { clients: 4, largest_cohort: 3, per_client: 1 << 30, modulus: 1 << 32 }
        );
        assert_eq!(
            plan(Parameters::new().with_max_weight(u64::MAX), 3).unwrap_err().code(),
            "sum-can-overflow"
        );
    }

    #[test]
    fn row_08_the_modulus_is_the_smallest_power_of_two_that_holds_the_sum() {
        let bits = |parameters: Parameters, clients| plan(parameters, clients).unwrap().entry_bits();
        let base = Parameters::new();
        assert_eq!(bits(base, 3), 24);
        assert_eq!(bits(base, 4), 24);
        assert_eq!(bits(base, 5), 25);
        assert_eq!(bits(base, 255), 30);
        assert_eq!(bits(base.with_quantization_range(1 << 30), 4), 32);
        assert_eq!(
            bits(base.with_quantization_range(3), 4),
            12,
            "4 · 1001 weights need more than 4 · 3 values"
        );
        assert_eq!(bits(base.with_quantization_range(3).with_max_weight(1), 3), 4);
        let plan = plan(base.with_quantization_range((1 << 22) + 1), 4).unwrap();
        assert_eq!((plan.entry_bits(), plan.modulus()), (25, 1 << 25));
        assert_eq!(plan.masked_bytes(), (13 * 25_usize).div_ceil(8));
    }

    #[test]
    fn row_08_the_largest_that_fit_fit() {
        for clients in [2, 3, 7, 100, 255] {
            let base = Parameters::new().with_min_cohort(2);
            let range = base.largest_quantization_range(clients);
            let weight = base.largest_max_weight(clients);
            plan(base.with_quantization_range(range), clients).unwrap();
            plan(base.with_max_weight(weight), clients).unwrap();
            let code = |parameters| plan(parameters, clients).unwrap_err().code();
            assert_eq!(code(base.with_quantization_range(range + 1)), "sum-can-overflow");
            assert_eq!(code(base.with_max_weight(weight + 1)), "sum-can-overflow");
        }
    }

    #[test]
    fn row_10_small_cohorts_need_an_explicit_choice() {
        assert_eq!(
            plan(Parameters::new(), 2).unwrap_err(),
            PlanError::TooFewClients { min_cohort: 3, got: 2 }
        );
        plan(Parameters::new().with_min_cohort(2), 2).unwrap();
        for min_cohort in [0, 1] {
            let error = plan(Parameters::new().with_min_cohort(min_cohort), 5).unwrap_err();
            assert_eq!(error, PlanError::MinCohortBelowTwo { got: min_cohort });
        }
    }

    #[test]
    fn row_03_a_threshold_for_a_curious_server_is_refused_with_what_would_do() {
        let with = |adversaries, threshold| {
            let parameters = Parameters::new().with_security(Security::Malicious { adversaries });
            parameters.with_reconstruction_threshold(threshold)
        };
        // The default threshold is made for a third.
        for clients in 3..=255 {
            plan(with(1.0 / 3.0, Threshold::TwoThirds), clients).unwrap();
        }
        let error = plan(with(0.2, Threshold::Count(12)), 20).unwrap_err();
        let refused =
            PlanError::ThresholdForCuriousServer { holders: 20, colluders: 4, required: 13, got: 12 };
        assert_eq!(error, refused);
        assert!(error.to_string().contains("use 13 or more"), "{error}");
        plan(with(0.2, Threshold::Count(13)), 20).unwrap();
        assert_eq!(
            plan(with(0.5, Threshold::TwoThirds), 100).unwrap_err().code(),
            "threshold-for-curious-server"
        );
        for adversaries in [-0.1, 1.0, f64::NAN] {
            let error = plan(with(adversaries, Threshold::TwoThirds), 9).unwrap_err();
            assert_eq!(error.code(), "adversaries-out-of-range");
        }
    }

    #[test]
    fn sparse_plans_count_the_threshold_among_neighbours() {
        let with = |security, shares, threshold| {
            let parameters = Parameters::new().with_security(security).with_num_shares(shares);
            parameters.with_reconstruction_threshold(threshold)
        };
        let sparse =
            plan(with(Security::SemiHonest, NumShares::Count(30), Threshold::Count(17)), 1000).unwrap();
        assert_eq!((sparse.shares(), sparse.threshold(), sparse.is_complete()), (30, 17, false));
        let fraction =
            plan(with(Security::SemiHonest, NumShares::Fraction(0.1), Threshold::TwoThirds), 200).unwrap();
        assert_eq!((fraction.shares(), fraction.threshold()), (20, 14));
        let all = plan(with(Security::SemiHonest, NumShares::Count(99), Threshold::TwoThirds), 7).unwrap();
        assert!(all.is_complete());
        let code = |shares, threshold, clients| {
            plan(with(Security::SemiHonest, shares, threshold), clients).unwrap_err().code()
        };
        assert_eq!(code(NumShares::Count(10), Threshold::Count(11), 100), "threshold-above-clients");
        assert_eq!(code(NumShares::Count(255), Threshold::TwoThirds, 1000), "too-many-shares");
        assert_eq!(code(NumShares::Fraction(0.0), Threshold::TwoThirds, 1000), "fraction-out-of-range");
        assert_eq!(code(NumShares::Count(0), Threshold::TwoThirds, 10), "threshold-below-two");
    }

    /// 16 neighbours with t = 11 are what Bell et al.'s bounds give for 100 clients with 0.05 adversaries.
    #[test]
    fn row_03_sparse_thresholds_hold_against_the_colluding_neighbours() {
        let with = |shares, threshold| {
            let security = Security::Malicious { adversaries: 0.05 };
            let parameters = Parameters::new().with_security(security);
            parameters
                .with_num_shares(NumShares::Count(shares))
                .with_reconstruction_threshold(Threshold::Count(threshold))
        };
        plan(with(16, 11), 100).unwrap();
        let error = plan(with(16, 10), 100).unwrap_err();
        let refused =
            PlanError::ThresholdForCuriousServer { holders: 16, colluders: 5, required: 11, got: 10 };
        assert_eq!(error, refused);
        // 15 each is impossible for 99 members: it would be 16 then.
        assert_eq!(plan(with(15, 10), 100).unwrap_err().code(), "threshold-for-curious-server");
    }

    /// Two participants: with nobody on the server's side t = 2 does, with one of them there is nothing to protect.
    #[test]
    fn row_10_a_sum_hides_in_two_honest_inputs() {
        let two = |adversaries| {
            let security = Security::Malicious { adversaries };
            plan(Parameters::new().with_min_cohort(2).with_security(security), 2)
        };
        for adversaries in [0.0, 1.0 / 3.0, 0.49] {
            assert_eq!(two(adversaries).unwrap().threshold(), 2);
        }
        let error = two(0.5).unwrap_err();
        assert_eq!(error, PlanError::TooFewHonest { clients: 2, colluders: 1, needed: 3 });
        assert!(error.to_string().contains("semi-honest"), "{error}");
        let plan = plan(Parameters::new(), 30).unwrap();
        assert_eq!((plan.colluders(), plan.min_cohort()), (10, 12));
    }

    #[test]
    fn each_parameter_is_checked() {
        let base = Parameters::new();
        let code = |parameters, clients| plan(parameters, clients).unwrap_err().code();
        assert_eq!(code(base, 256), "too-many-clients");
        assert!(plan(base, 256).unwrap_err().to_string().contains("255"));
        assert_eq!(code(base.with_max_weight(0), 3), "max-weight-zero");
        for clipping in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(code(base.with_clipping_range(clipping), 3), "clipping-range", "{clipping}");
        }
        for modulus in [0, 3, (1 << 32) - 1, 1 << 33] {
            assert_eq!(code(base.with_modulus_range(modulus), 3), "modulus-not-a-power-of-two", "{modulus}");
        }
        for range in [0, 1, 2, 1 << 32, u64::MAX] {
            assert_eq!(code(base.with_quantization_range(range), 3), "quantization-range", "{range}");
        }
        let layout = Layout::new(1, usize::MAX);
        assert_eq!(base.plan(3, layout).unwrap_err(), PlanError::LayoutTooLarge { layout });
    }

    #[test]
    fn digest_depends_on_clients_threshold_and_layout() {
        let digest = |clients, scalars, vector| {
            Parameters::new().plan(clients, Layout::new(scalars, vector)).unwrap().digest()
        };
        assert_ne!(digest(3, 1, 2), digest(4, 1, 2));
        assert_ne!(digest(3, 1, 2), digest(3, 2, 1));
        assert_eq!(digest(3, 1, 2), digest(3, 1, 2));
    }
}
