//! The sum, and what it says.

use std::fmt;

use crate::{error::Error, plan::Plan, quantize::Quantized};

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
    entries: Vec<u32>,
    names: Vec<String>,
}

impl FixedPointSum {
    /// The sum of nobody.
    pub fn new(plan: &Plan) -> Self {
        Self { plan: *plan, entries: vec![0; plan.entries()], names: Vec::new() }
    }

    /// Adds one participant's input.
    pub fn add(&mut self, name: &str, input: &Quantized) -> Result<(), Error> {
        let (expected, got) = (self.plan.digest(), input.plan().digest());
        if expected != got {
            return Err(Error::QuantizedForOtherPlan { from: name.to_owned(), expected, got });
        }
        add(&mut self.entries, input.entries());
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

/// Adds entry by entry, modulo 2³²; the plan's modulus divides that, and [`Aggregate::decode`] reduces at the end.
fn add(sum: &mut [u32], entries: &[u32]) {
    for (total, entry) in sum.iter_mut().zip(entries) {
        *total = total.wrapping_add(*entry);
    }
}

/// The result: sums over the survivors, and nothing about any one of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    mean: Vec<f32>,
    scalars: Vec<f64>,
    total_weight: u64,
    survivors: Vec<String>,
    fixed_point_sum: Vec<u32>,
    max_error: f64,
}

impl Aggregate {
    /// `entries` is the sum of the inputs of `survivors`, modulo any multiple of the plan's modulus.
    pub(crate) fn decode(plan: &Plan, mut entries: Vec<u32>, survivors: Vec<String>) -> Result<Self, Error> {
        let clients = survivors.len() as u64;
        if clients == 0 {
            return Err(Error::NothingToDecode);
        }
        let mask = plan.entry_mask();
        entries.iter_mut().for_each(|entry| *entry &= mask);
        let half = u64::from(plan.half());
        let max_weight = clients.saturating_mul(plan.parameters().max_weight());
        let max_value = clients.saturating_mul(half.saturating_mul(2));
        // A sum outside these bounds is noise, and noise must not become a model.
        for (entry, got) in entries.iter().enumerate() {
            let got = u64::from(*got);
            let (min, max) = if entry == 0 { (clients, max_weight) } else { (0, max_value) };
            if got < min || got > max {
                return Err(Error::ImplausibleSum { entry, min, max, got });
            }
        }
        let (weight, values) = entries.split_first().ok_or(Error::NothingToDecode)?;
        let total_weight = u64::from(*weight);
        let (scalars, vector) =
            values.split_at_checked(plan.layout().scalars()).ok_or(Error::NothingToDecode)?;
        let offset = clients.saturating_mul(half) as f64;
        let unit = plan.quantization_step() * plan.parameters().max_weight() as f64 / total_weight as f64;
        // Integers below 2³³ are exact in f64, and so is their difference.
        let value = |entry: &u32| (f64::from(*entry) - offset) * unit;
        Ok(Self {
            mean: vector.iter().map(|entry| value(entry) as f32).collect(),
            scalars: scalars.iter().map(value).collect(),
            total_weight,
            max_error: plan.max_error_of_mean(survivors.len(), total_weight),
            survivors,
            fixed_point_sum: entries,
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

    /// The sum of the survivors' weights, exact.
    pub fn total_weight(&self) -> u64 {
        self.total_weight
    }

    /// Whose inputs are in the sum, by name.
    pub fn survivors(&self) -> &[String] {
        &self.survivors
    }

    /// The sum as it was before decoding, `[weight, scalars…, vector…]`.
    pub fn fixed_point_sum(&self) -> &[u32] {
        &self.fixed_point_sum
    }

    /// How far a mean can be from the exact one, per entry: [`Plan::max_error_of_mean`] for these survivors.
    pub fn max_error(&self) -> f64 {
        self.max_error
    }
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

    #[test]
    fn a_sum_of_noise_is_an_error() {
        let plan = Parameters::new().plan(3, Layout::new(0, 1)).unwrap();
        let names = || vec!["a".to_owned(), "b".to_owned()];
        let decode = |entries| Aggregate::decode(&plan, entries, names());
        let max = 2 * 2 * u64::from(plan.half());
        assert_eq!(decode(vec![1, 0]), Err(Error::ImplausibleSum { entry: 0, min: 2, max: 2000, got: 1 }));
        assert_eq!(
            decode(vec![2001, 0]),
            Err(Error::ImplausibleSum { entry: 0, min: 2, max: 2000, got: 2001 })
        );
        let got = max + 1;
        assert_eq!(decode(vec![2, got as u32]), Err(Error::ImplausibleSum { entry: 1, min: 0, max, got }));
        decode(vec![2, max as u32]).unwrap();
        assert_eq!(Aggregate::decode(&plan, vec![0, 0], Vec::new()), Err(Error::NothingToDecode));
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
