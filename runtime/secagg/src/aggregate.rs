//! The sum, and what it says.

use std::fmt;

use crate::{
    error::Error,
    plan::Plan,
    privacy::PrivacyCost,
    quantize::Quantized,
    words::{Word, Words, either},
};

/// The sum of quantized inputs without any mask: the second half of the plain path, for tests, for comparison and for
/// flows without secure aggregation. A secure sum of the same survivors equals it bit for bit.
///
/// ```
/// # use veilflow_secagg::{FixedPointSum, Input, Layout, Parameters};
/// # use rand::SeedableRng as _;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let plan = Parameters::new().plan(3, Layout::new(0, 2))?;
/// let mut sum = FixedPointSum::new(&plan);
/// for (name, vector) in [("ana", [0.5, 1.0]), ("ben", [1.5, 1.0])] {
///     let input = Input { weight: 1000, scalars: &[], vector: &vector };
///     sum.add(name, &plan.quantize(&input, &mut rng)?)?;
/// }
/// let aggregate = sum.decode()?;
/// assert!((aggregate.mean()[0] - 1.0).abs() < 1e-5);
/// assert_eq!(aggregate.total_weight(), 2000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FixedPointSum {
    plan: Plan,
    entries: Words,
    names: Vec<String>,
}

impl FixedPointSum {
    /// The sum of nobody.
    pub fn new(plan: &Plan) -> Self {
        Self { plan: *plan, entries: Words::zeros(plan.entries(), plan.entry_bits()), names: Vec::new() }
    }

    /// Adds one participant's input.
    pub fn add(&mut self, name: &str, input: &Quantized) -> Result<(), Error> {
        let (expected, got) = (self.plan.digest(), input.plan().digest());
        if expected != got {
            return Err(Error::QuantizedForOtherPlan { from: name.to_owned(), expected, got });
        }
        self.entries.add(input.entries())?;
        self.names.push(name.to_owned());
        Ok(())
    }

    /// The weighted means of what was added.
    pub fn decode(mut self) -> Result<Aggregate, Error> {
        self.names.sort();
        Aggregate::decode(&self.plan, self.entries, self.names)
    }
}

/// Shows no entry: it may hold one participant's input.
impl fmt::Debug for FixedPointSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedPointSum").field("names", &self.names).finish_non_exhaustive()
    }
}

/// The result: sums over the survivors, and nothing about any one of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    mean: Vec<f32>,
    scalars: Vec<f64>,
    total_weight: u64,
    clipped: u64,
    survivors: Vec<String>,
    fixed_point_sum: Words,
    max_error: f64,
    noise_std: f64,
    privacy: Option<PrivacyCost>,
}

impl Aggregate {
    /// `entries` is the sum of the inputs of `survivors`, modulo any multiple of the plan's modulus.
    pub(crate) fn decode(plan: &Plan, mut entries: Words, survivors: Vec<String>) -> Result<Self, Error> {
        let decoded = either!(&mut entries, words => decode(plan, words, survivors.len() as u64))?;
        let Decoded { mean, scalars, total_weight, clipped } = decoded;
        let max_error = plan.max_error_of_mean(survivors.len(), total_weight);
        let noise_std = plan.noise_std_of_mean(survivors.len());
        Ok(Self {
            mean,
            scalars,
            total_weight,
            clipped,
            survivors,
            fixed_point_sum: entries,
            max_error,
            noise_std,
            privacy: plan.privacy_cost(1),
        })
    }

    /// The weighted mean of the survivors' vectors.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// The weighted means of the survivors' scalars.
    pub fn scalars(&self) -> &[f64] {
        &self.scalars
    }

    /// The sum of the survivors' weights, exact; with [`Privacy`](crate::Privacy) their number, because all weigh the
    /// same.
    pub fn total_weight(&self) -> u64 {
        self.total_weight
    }

    /// Whose inputs are in the sum, by name.
    pub fn survivors(&self) -> &[String] {
        &self.survivors
    }

    /// How many of the survivors' values lay outside the clipping range, all together. Each survivor counts up to the
    /// largest quantized value, [`quantization_range`](crate::Parameters::with_quantization_range) − 1 or − 2, so this
    /// can be too few where more than that many entries were clipped. With [`Privacy`](crate::Privacy) nothing is
    /// counted, and this is 0.
    pub fn clipped(&self) -> u64 {
        self.clipped
    }

    /// The sum as it was before decoding, `[weight, clipped, scalars…, vector…]`, modulo [`Plan::modulus`].
    pub fn fixed_point_sum(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.fixed_point_sum.iter()
    }

    /// How far a mean can be from the exact one, per entry: [`Plan::max_error_of_mean`] for these survivors.
    pub fn max_error(&self) -> f64 {
        self.max_error
    }

    /// The standard deviation of the noise in each entry of the mean; 0 without [`Privacy`](crate::Privacy).
    pub fn noise_std(&self) -> f64 {
        self.noise_std
    }

    /// What this session cost each participant in privacy; `None` where the plan has none.
    pub fn privacy(&self) -> Option<PrivacyCost> {
        self.privacy
    }
}

struct Decoded {
    mean: Vec<f32>,
    scalars: Vec<f64>,
    total_weight: u64,
    clipped: u64,
}

/// Reduces the entries in place, checks them, and decodes them for so many survivors.
fn decode<W: Word>(plan: &Plan, entries: &mut [W], clients: u64) -> Result<Decoded, Error> {
    if clients == 0 {
        return Err(Error::NothingToDecode);
    }
    let mask = plan.entry_mask();
    entries.iter_mut().for_each(|entry| *entry = *entry & mask);
    let max_weight = clients.saturating_mul(plan.largest_counted_weight());
    let max_value = clients.saturating_mul(plan.largest_value());
    let max_clipped = if plan.noise().is_some() { 0 } else { max_value };
    // Noise takes a sum below zero, so sums are counted from its tail.
    let tail = plan.noise_tail();
    let from_tail = |entry: &W| entry.plus(W::truncate(tail)) & mask;
    let max_noisy = max_value.saturating_add(tail.saturating_mul(2));
    // A sum outside these bounds is no sum, and must not become a model.
    for (entry, sum) in entries.iter().enumerate() {
        let (min, max, got): (u64, u64, u64) = match entry {
            0 => (clients, max_weight, (*sum).into()),
            1 => (0, max_clipped, (*sum).into()),
            _ => (0, max_noisy, from_tail(sum).into()),
        };
        if got < min || got > max {
            return Err(Error::ImplausibleSum { entry, min, max, got });
        }
    }
    let (counts, values) = entries.split_first_chunk::<2>().ok_or(Error::NothingToDecode)?;
    let [total_weight, clipped] = counts.map(Into::into);
    let (scalars, vector) = values.split_at_checked(plan.layout().scalars()).ok_or(Error::NothingToDecode)?;
    let offset = clients.saturating_mul(plan.half()).saturating_add(tail);
    let unit = plan.quantization_step() * plan.largest_counted_weight() as f64 / total_weight as f64;
    let value = |entry: &W| from_tail(entry).difference(offset) * unit;
    Ok(Decoded {
        mean: vector.iter().map(|entry| value(entry) as f32).collect(),
        scalars: scalars.iter().map(value).collect(),
        total_weight,
        clipped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Input, Layout, Parameters};
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn decodes_the_weighted_mean_within_the_stated_error() {
        let plan = Parameters::new().plan(3, Layout::new(1, 2)).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut sum = FixedPointSum::new(&plan);
        for (name, weight, loss, vector) in
            [("b", 100, 2.0, [1.0, -8.0]), ("a", 300, 1.0, [-1.0, 8.0]), ("c", 600, 0.0, [0.0, 0.25])]
        {
            let input = Input { weight, scalars: &[loss], vector: &vector };
            sum.add(name, &plan.quantize(&input, &mut rng).unwrap()).unwrap();
        }
        let aggregate = sum.decode().unwrap();
        assert_eq!(aggregate.survivors(), ["a", "b", "c"]);
        assert_eq!(aggregate.total_weight(), 1000);
        assert_eq!(aggregate.max_error(), plan.max_error_of_mean(3, 1000));
        let error = aggregate.max_error();
        assert!((aggregate.scalars()[0] - 0.5).abs() <= error);
        assert!((f64::from(aggregate.mean()[0]) + 0.2).abs() <= error);
        assert!((f64::from(aggregate.mean()[1]) - 1.75).abs() <= error);
    }

    /// In words of either size: the second plan's sums take 40 bits.
    #[test]
    fn a_sum_of_noise_is_an_error() {
        for range in [1 << 22, 1 << 38] {
            let parameters = Parameters::new().with_quantization_range(range).with_modulus_range(1 << 40);
            let plan = parameters.plan(3, Layout::new(0, 1)).unwrap();
            let names = || vec!["a".to_owned(), "b".to_owned()];
            let decode = |entries: [u64; 3]| {
                let mut sum = Words::zeros(3, plan.entry_bits());
                either!(&mut sum, words => words.iter_mut().zip(entries).for_each(|(w, e)| *w = Word::truncate(e)));
                Aggregate::decode(&plan, sum, names())
            };
            let max = 2 * 2 * plan.half();
            let weight = |got| Err(Error::ImplausibleSum { entry: 0, min: 2, max: 2000, got });
            assert_eq!(decode([1, 0, 0]), weight(1));
            assert_eq!(decode([2001, 0, 0]), weight(2001));
            let got = max + 1;
            for (entry, entries) in [(1, [2, got, 0]), (2, [2, 0, got])] {
                assert_eq!(decode(entries), Err(Error::ImplausibleSum { entry, min: 0, max, got }));
            }
            let largest = decode([2, max, max]).unwrap();
            assert_eq!(largest.clipped(), max);
            assert_eq!(largest.fixed_point_sum().collect::<Vec<_>>(), [2, max, max]);
            let nobody = Words::zeros(3, plan.entry_bits());
            assert_eq!(Aggregate::decode(&plan, nobody, Vec::new()), Err(Error::NothingToDecode));
        }
    }

    /// A finer range gives a smaller error, as far as the numbers that go in and come out can hold it.
    #[test]
    fn wide_sums_are_more_precise() {
        let error = |range| {
            let parameters = Parameters::new().with_quantization_range(range).with_modulus_range(1 << 64);
            let plan = parameters.plan(3, Layout::new(1, 1)).unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            let mut sum = FixedPointSum::new(&plan);
            for (name, weight, loss) in [("a", 1, 0.1), ("b", 1, 0.2), ("c", 2, 0.3)] {
                let input = Input { weight, scalars: &[loss], vector: &[0.1] };
                sum.add(name, &plan.quantize(&input, &mut rng).unwrap()).unwrap();
            }
            let aggregate = sum.decode().unwrap();
            assert!((f64::from(aggregate.mean()[0]) - 0.1).abs() <= aggregate.max_error());
            (aggregate.scalars()[0] - 0.225).abs()
        };
        let errors = [1 << 22, 1 << 32, 1 << 42, 1 << 52].map(error);
        assert!(errors.is_sorted_by(|coarse, fine| coarse > &(100.0 * fine)), "{errors:?}");
        assert!(errors[3] < 1e-11, "{errors:?}");
    }

    #[test]
    fn clipped_values_are_counted_together() {
        let plan = Parameters::new().plan(3, Layout::new(1, 3)).unwrap();
        let mut sum = FixedPointSum::new(&plan);
        for (name, loss, vector) in
            [("a", 9.0, [8.5, -8.5, 8.0]), ("b", 1.0, [0.0; 3]), ("c", 0.0, [99.0, 0.0, 0.0])]
        {
            let input = Input { weight: 1, scalars: &[loss], vector: &vector };
            sum.add(name, &plan.quantize(&input, &mut ChaCha8Rng::seed_from_u64(0)).unwrap()).unwrap();
        }
        assert_eq!(sum.decode().unwrap().clipped(), 4);
    }

    /// Three values in a range of 3: 0, 1, 2, and so many clipped ones count at most.
    #[test]
    fn a_count_stops_at_the_largest_value() {
        let plan = Parameters::new().with_quantization_range(3).plan(3, Layout::new(0, 9)).unwrap();
        let input = Input { weight: 1000, scalars: &[], vector: &[9.0; 9] };
        let quantized = plan.quantize(&input, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
        assert_eq!(quantized.clipped(), 9);
        let mut sum = FixedPointSum::new(&plan);
        sum.add("a", &quantized).unwrap();
        assert_eq!(sum.decode().unwrap().clipped(), 2);
    }

    #[test]
    fn an_input_for_another_plan_is_not_added() {
        let plan = |vector| Parameters::new().plan(3, Layout::new(0, vector)).unwrap();
        let input = Input { weight: 1, scalars: &[], vector: &[0.0] };
        let quantized = plan(1).quantize(&input, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
        let error = FixedPointSum::new(&plan(2)).add("a", &quantized).unwrap_err();
        let (expected, got) = (plan(2).digest(), plan(1).digest());
        assert_eq!(error, Error::QuantizedForOtherPlan { from: "a".into(), expected, got });
        assert_eq!(error.culprits(), ["a"]);
    }

    #[test]
    fn debug_of_a_running_sum_shows_no_entry() {
        let plan = Parameters::new().plan(3, Layout::new(0, 1)).unwrap();
        let mut sum = FixedPointSum::new(&plan);
        let input = Input { weight: 777, scalars: &[], vector: &[0.0] };
        sum.add("a", &plan.quantize(&input, &mut ChaCha8Rng::seed_from_u64(0)).unwrap()).unwrap();
        assert!(!format!("{sum:?}").contains("777"));
    }
}
