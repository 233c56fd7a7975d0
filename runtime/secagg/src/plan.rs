//! Parameters, checked for a number of clients and a layout of inputs.

mod error;
#[cfg(test)]
mod tests;

use rand::Rng;
use serde::{Deserialize, Serialize};

pub use self::error::PlanError;
use crate::{
    bounds::{self, BoundsError, Neighbourhood, ServerClass},
    defences::{Defence, stands},
    entries::packed_bytes,
    graph::degree,
    parameters::{NumShares, Parameters, Threshold},
    privacy::{Noise, Privacy, PrivacyCost, Setting},
    quantize::{Input, InputError, Quantized, quantize},
    security::{Security, majority, part},
    transcript::{Transcript, domain},
    words::Word,
};

/// `shamirsecretsharing` works over GF(2⁸): a share's position is a byte that is not 0.
const MAX_SHARES: usize = 255;

/// The largest modulus: sums are kept in at most 64 bits an entry.
const MAX_MODULUS: u128 = 1 << 64;

/// The largest quantization range: a value in steps, of either sign, is a multiple of ¼ in an `f64` then, and rounding
/// it ([`quantize`](crate::quantize)) exact.
pub(crate) const MAX_QUANTIZATION_RANGE: u64 = 1 << 52;

/// The shape of an input: `[scalars…, vector…]`. Masked, two entries come before them: the weight, and how many values
/// were clipped.
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

    /// With the weight and the count of clipped values; `None` for more than fit into an address space.
    fn entries(&self) -> Option<usize> {
        let entries = self.scalars.checked_add(self.vector)?.checked_add(LEADING)?;
        (entries <= MAX_ENTRIES).then_some(entries)
    }
}

/// Entries before the scalars.
pub(crate) const LEADING: usize = 2;

/// As many words of 64 bits as one allocation can hold.
pub(crate) const MAX_ENTRIES: usize = isize::MAX as usize / size_of::<u64>();

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
    half: u64,
    /// b: the modulus is 2ᵇ.
    bits: u32,
    noise: Option<Noise>,
    /// Made for a benchmark from parameters that a run refuses.
    refused: bool,
}

impl Plan {
    /// The plan, and why a run refuses it.
    pub(crate) fn new(
        parameters: Parameters,
        clients: usize,
        layout: Layout,
    ) -> Result<(Self, Option<PlanError>), PlanError> {
        let half = check_numbers(&parameters)?;
        if parameters.min_cohort() < 2 {
            return Err(PlanError::MinCohortBelowTwo { got: parameters.min_cohort() });
        }
        if clients < parameters.min_cohort() {
            return Err(PlanError::TooFewClients { min_cohort: parameters.min_cohort(), got: clients });
        }
        let (shares, threshold) = shares_and_threshold(&parameters, clients)?;
        let entries = layout.entries().ok_or(PlanError::LayoutTooLarge { layout })?;
        let (bits, noise, refused) = (0, None, false);
        let plan =
            Self { parameters, clients, shares, threshold, layout, entries, half, bits, noise, refused };
        let noise = parameters.privacy().map(|privacy| plan.calibrate(&privacy)).transpose()?;
        let bits = match &noise {
            Some(noise) => noisy_entry_bits(&parameters, clients, noise)?,
            None => entry_bits(&parameters, clients)?,
        };
        let plan = Self { bits, noise, ..plan };
        let refusal = plan.check_adversaries().err();
        Ok((Self { refused: refusal.is_some(), ..plan }, refusal))
    }

    /// How much noise each participant adds.
    fn calibrate(&self, privacy: &Privacy) -> Result<Noise, PlanError> {
        privacy.check()?;
        // Nobody has to count on a cohort below the threshold. Among neighbours the threshold says nothing about it.
        let min_survivors = if self.is_complete() { self.threshold } else { 0 }.max(self.min_cohort());
        let setting = Setting {
            norm_in_steps: privacy.norm() / self.parameters.value_range() * self.half as f64,
            entries: self.entries.saturating_sub(LEADING),
            quantization_range: self.parameters.quantization_range(),
            min_survivors,
            // Who receives the result knows its own noise.
            colluders: self.colluders().max(1),
        };
        Noise::new(privacy, &setting)
    }

    /// Whether this is a plan for a benchmark that a run refuses: [`Parameters::plan_unchecked`].
    pub fn is_refused(&self) -> bool {
        self.refused
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

    /// k: with how many others each participant shares masks and secrets; all of them on the complete graph.
    pub fn neighbours(&self) -> usize {
        if self.is_complete() { self.clients.saturating_sub(1) } else { self.shares }
    }

    /// The smallest threshold that keeps a malicious server from opening anything, with so many in the roster, of whom
    /// so many work for it.
    pub(crate) fn required_threshold(&self, members: usize, colluders: usize) -> usize {
        if self.is_complete() {
            return majority(members, colluders);
        }
        bounds::safe_threshold(members, colluders, degree(members, self.shares))
    }

    /// How many graphs a malicious server may choose from, with so many in the roster, of whom so many work for it: what
    /// these shares leave of 2⁻⁴⁰.
    pub(crate) fn graphs_to_choose_from(&self, members: usize, colluders: usize) -> u64 {
        if self.is_complete() {
            return u64::MAX;
        }
        let (neighbours, threshold) = (degree(members, self.shares), self.threshold);
        let given = Neighbourhood { neighbours, threshold };
        bounds::graphs_to_choose_from(members, colluders, self.parameters.dropouts(), given)
    }

    /// A sum needs two honest inputs to hide in, and neighbours and threshold must hold against the assumed adversaries
    /// and dropouts (`SECURITY.md`, rows 3 and 10).
    fn check_adversaries(&self) -> Result<(), PlanError> {
        let (clients, colluders, needed) = (self.clients, self.colluders(), self.min_cohort());
        let server = self.security().server_class();
        bounds::check_fraction("adversaries", self.parameters.adversaries())?;
        bounds::check_fraction("dropouts", self.parameters.dropouts())?;
        if needed > clients {
            return Err(PlanError::TooFewHonest { clients, colluders, needed });
        }
        match self.check_bounds(server) {
            Err(_) if self.security().is_malicious() && !stands(Defence::Majority) => Ok(()),
            Err(error)
                if server != ServerClass::Curious && self.check_bounds(ServerClass::Curious).is_ok() =>
            {
                Err(PlanError::CuriousServerOnly(error))
            }
            checked => Ok(checked?),
        }
    }

    fn check_bounds(&self, server: ServerClass) -> Result<(), BoundsError> {
        let given = Neighbourhood { neighbours: self.neighbours(), threshold: self.threshold };
        let parameters = &self.parameters;
        bounds::check(given, self.clients, parameters.adversaries(), parameters.dropouts(), server)
    }

    /// Against whom the session is to hold.
    pub fn security(&self) -> Security {
        self.parameters.security()
    }

    /// How many of the invited may work for the server, if nobody else is enrolled.
    pub(crate) fn colluders(&self) -> usize {
        part(self.parameters.adversaries(), self.clients)
    }

    /// The smallest set of participants whose sum may be known: `min_cohort` of the parameters, and two more than may
    /// work for the server.
    pub fn min_cohort(&self) -> usize {
        self.parameters.min_cohort().max(self.colluders().saturating_add(2))
    }

    /// What so many sessions cost one participant in privacy; `None` where the parameters ask for none.
    pub fn privacy_cost(&self, sessions: u64) -> Option<PrivacyCost> {
        self.noise.map(|noise| noise.cost().times(sessions))
    }

    /// The standard deviation of the noise in each entry of the mean of so many survivors; 0 without
    /// [`Privacy`].
    pub fn noise_std_of_mean(&self, clients: usize) -> f64 {
        let sigma = self.noise.map_or(0.0, |noise| noise.sigma_of_sum(clients));
        sigma * self.quantization_step() / clients.max(1) as f64
    }

    pub(crate) fn noise(&self) -> Option<&Noise> {
        self.noise.as_ref()
    }

    /// How far the noise of all clients takes an entry of the sum at most, but for a probability of 2⁻⁴⁰.
    pub(crate) fn noise_tail(&self) -> u64 {
        self.noise.map_or(0, |noise| noise.tail(self.clients))
    }

    /// The weight as it is counted: with privacy every participant counts the same.
    pub(crate) fn counted_weight(&self, weight: u64) -> u64 {
        if self.noise.is_some() { 1 } else { weight }
    }

    /// The largest [`counted_weight`](Self::counted_weight).
    pub(crate) fn largest_counted_weight(&self) -> u64 {
        self.counted_weight(self.parameters.max_weight())
    }

    /// The shape of each input.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Entries of the masked vector: the weight, the count of clipped values, the scalars, the vector.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// b = ⌈log₂(N·R)⌉: an entry's bits, in the modulus and on the wire. N is the number of clients, R the larger of
    /// `quantization_range` and `max_weight + 1`. With [`Privacy`] twice the tail of the noise is added
    /// to N·R. At most 64.
    pub fn entry_bits(&self) -> u32 {
        self.bits
    }

    /// Sums are taken modulo 2ᵇ, which is at most `modulus_range`.
    pub fn modulus(&self) -> u128 {
        1_u128.wrapping_shl(self.bits)
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
    /// is rounded to multiples of `quantization_step · max_weight / w`. With [`Privacy`] every client
    /// counts as one of the largest weight.
    pub fn quantization_step(&self) -> f64 {
        self.parameters.value_range() / self.half as f64
    }

    /// A bound of |secure mean − exact weighted mean of the clipped values|, per entry, when `clients` survivors have
    /// this total weight.
    ///
    /// Each survivor is rounded by less than one step, `clients` steps together, and the mean divides by the total
    /// weight in units of the largest: `clients · quantization_step · max_weight / total_weight`. Added to it is what
    /// a result of type `f32` cannot hold, and the rounding of the `f64` arithmetic: a step more at the largest
    /// quantization range, nothing to speak of below 2⁴⁰. With all clients at `max_weight` it is one step. It says
    /// nothing about values outside the clipping range.
    ///
    /// With [`Privacy`] the exact mean is that of the inputs clipped to their norm, which all weigh the same, so that
    /// `total_weight` is not used. The noise adds what it exceeds in some entry with probability 2⁻⁴⁰: some nine times
    /// [`noise_std_of_mean`](Self::noise_std_of_mean).
    pub fn max_error_of_mean(&self, clients: usize, total_weight: u64) -> f64 {
        let clipping = self.parameters.value_range();
        let total_weight = if self.noise.is_some() { clients as u64 } else { total_weight }.max(1);
        let unit = self.quantization_step() * self.largest_counted_weight() as f64 / total_weight as f64;
        let tail = self.noise.map_or(0, |noise| noise.tail(clients));
        let rounding = (clients as f64 + tail as f64) * unit;
        // A scaled value of at most `half` steps went through six operations that round to a part in 2⁵³.
        let scaling = self.half as f64 / (1_u64 << 50) as f64;
        rounding * (1.0 + 1e-9 + scaling) + clipping * f64::from(f32::EPSILON)
    }

    /// Turns an input into the integers that are summed. `rng` rounds, and protects nothing: seed it from the run.
    ///
    /// This is the first half of the plain path, which a secure sum equals bit for bit; a client's
    /// [`mask_input`](crate::MaskInputClient::mask_input) calls it too. With [`Privacy`] that adds noise
    /// to what this returns, from the operating system's generator; here there is none.
    pub fn quantize<R: Rng + ?Sized>(&self, input: &Input<'_>, rng: &mut R) -> Result<Quantized, InputError> {
        quantize(self, input, rng)
    }

    pub(crate) fn half(&self) -> u64 {
        self.half
    }

    /// 2·half: the largest quantized value, and the most that a client counts as clipped.
    pub(crate) fn largest_value(&self) -> u64 {
        self.half.saturating_mul(2)
    }

    /// 2ᵇ − 1.
    pub(crate) fn entry_mask<W: Word>(&self) -> W {
        W::truncate(u64::try_from(self.modulus().saturating_sub(1)).unwrap_or(u64::MAX))
    }
}

fn check_numbers(parameters: &Parameters) -> Result<u64, PlanError> {
    let modulus = parameters.modulus_range();
    if !modulus.is_power_of_two() || modulus > MAX_MODULUS {
        return Err(PlanError::ModulusNotAPowerOfTwo { max: MAX_MODULUS, got: modulus });
    }
    let range = parameters.quantization_range();
    if !(3..=MAX_QUANTIZATION_RANGE).contains(&range) || u128::from(range) >= modulus {
        return Err(PlanError::QuantizationRange { max: MAX_QUANTIZATION_RANGE, modulus, got: range });
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
    Ok(range.saturating_sub(1) / 2)
}

/// Among how many a secret is shared, and how many of those rebuild it.
fn shares_and_threshold(parameters: &Parameters, clients: usize) -> Result<(usize, usize), PlanError> {
    let NumShares::Auto = parameters.num_shares() else {
        let shares = num_shares(parameters.num_shares(), clients)?;
        return Ok((shares, threshold(parameters.reconstruction_threshold(), shares)?));
    };
    let (adversaries, dropouts) = (parameters.adversaries(), parameters.dropouts());
    let found = bounds::find(clients, adversaries, dropouts, parameters.security().server_class());
    let (shares, found) = match found {
        Ok(found) => (found.neighbours, found.threshold),
        Err(BoundsError::CompleteGraphOnly { threshold, .. }) => (clients, threshold),
        Err(error) => return Err(error.into()),
    };
    check_shares(shares, clients)?;
    match parameters.reconstruction_threshold() {
        Threshold::TwoThirds => Ok((shares, found)),
        given => Ok((shares, threshold(given, shares)?)),
    }
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

/// Among how many a secret is shared, checked against what the field can hold.
fn num_shares(shares: NumShares, clients: usize) -> Result<usize, PlanError> {
    let count = match shares {
        NumShares::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
        NumShares::Fraction(fraction) => {
            if !(fraction > 0.0 && fraction <= 1.0) {
                return Err(PlanError::FractionOutOfRange { got: fraction });
            }
            let count = (fraction * clients as f64 - 1e-9).ceil() as usize;
            count.next_multiple_of(2)
        }
        NumShares::Auto => clients,
    };
    // Who shares with all others shares with everybody.
    let count = if count.saturating_add(1) >= clients { clients } else { count };
    check_shares(count, clients)
}

fn check_shares(count: usize, clients: usize) -> Result<usize, PlanError> {
    match count > MAX_SHARES {
        true if count == clients => Err(PlanError::TooManyClients { max: MAX_SHARES, got: clients }),
        true => Err(PlanError::TooManyShares { max: MAX_SHARES, got: count }),
        false => Ok(count),
    }
}

/// ⌈log₂(N·R)⌉, refused above the ceiling. A sum is at most N·(R − 1), so it fits.
fn entry_bits(parameters: &Parameters, clients: usize) -> Result<u32, PlanError> {
    let per_client = parameters.max_weight().max(parameters.quantization_range().saturating_sub(1));
    let (values, modulus) = (u128::from(per_client).saturating_add(1), parameters.modulus_range());
    let sums = values.saturating_mul(clients as u128);
    if sums > modulus && stands(Defence::NoOverflow) {
        let largest_cohort = modulus.checked_div(values).unwrap_or(0);
        let largest_cohort = u64::try_from(largest_cohort).unwrap_or(u64::MAX);
        return Err(PlanError::Overflow { clients, largest_cohort, per_client, modulus });
    }
    // A sum above the ceiling wraps around: only where the refusal is left out for a test.
    Ok(sums.next_power_of_two().trailing_zeros().min(modulus.trailing_zeros()))
}

/// The same with the noise on both sides of the sum. No weight is larger than 1.
fn noisy_entry_bits(parameters: &Parameters, clients: usize, noise: &Noise) -> Result<u32, PlanError> {
    let (range, modulus) = (parameters.quantization_range(), parameters.modulus_range());
    let tails = u128::from(noise.tail(clients)).saturating_mul(2);
    let needed = u128::from(range).saturating_mul(clients as u128).saturating_add(tails);
    if needed > modulus {
        // All of it moves with the range, but for what is rounded up.
        let largest = (modulus as f64 / needed as f64 * range as f64 * (1.0 - 1e-9)).floor() as u64;
        return Err(PlanError::NoiseOverflow {
            clients,
            needed,
            modulus,
            largest: largest.saturating_sub(4),
        });
    }
    Ok(needed.next_power_of_two().trailing_zeros())
}
