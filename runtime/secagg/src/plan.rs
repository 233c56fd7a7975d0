//! Parameters, checked for a number of clients and a layout of inputs.

mod error;
#[cfg(test)]
mod tests;

use rand::Rng;
use serde::{Deserialize, Serialize};

pub use self::error::PlanError;
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
