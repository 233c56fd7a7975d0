//! What can be summed: numbers, and tensors of a fixed shape.
//!
//! A protocol clips all values to one range. A part with a range of its own is scaled to the protocol's before, and back
//! after: so a bias of at most 0.01 is as finely rounded as a weight of at most 8.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;

use crate::error::{Result, StepError};
use crate::message::Message;
use crate::tensor::Tensor;

/// How many numbers a part of a sum has. It is known from the type alone, hence equal at all collaborators, and known
/// before any of them has an input. It is part of the flow's fingerprint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SumLayout {
    scalars: usize,
    /// Their own clipping ranges, of those that have one.
    scalar_ranges: BTreeMap<usize, f64>,
    /// The shape of each, and its own clipping range.
    tensors: Vec<(Vec<usize>, Option<f64>)>,
}

impl SumLayout {
    /// So many numbers of type `f64`.
    pub fn of_scalars(scalars: usize) -> Self {
        Self { scalars, ..Self::default() }
    }

    /// A tensor of this shape.
    pub fn of_tensor(shape: &[usize]) -> Self {
        Self { tensors: vec![(shape.to_vec(), None)], ..Self::default() }
    }

    /// The same parts, clipped to plus and minus `range` each, whatever the protocol's range is.
    #[must_use]
    pub fn within(mut self, range: f64) -> Self {
        self.scalar_ranges = (0..self.scalars).map(|place| (place, range)).collect();
        self.tensors.iter_mut().for_each(|(_, own)| *own = Some(range));
        self
    }

    /// Losses, scores: how many numbers of type `f64`.
    pub fn scalars(&self) -> usize {
        self.scalars
    }

    /// How many values all tensors have together.
    pub fn vector(&self) -> usize {
        self.tensors.iter().fold(0, |sum, (shape, _)| sum.saturating_add(values(shape)))
    }
}

fn values(shape: &[usize]) -> usize {
    shape.iter().copied().fold(1, usize::saturating_mul)
}

impl AddAssign for SumLayout {
    fn add_assign(&mut self, other: Self) {
        let ranges = other.scalar_ranges.into_iter();
        self.scalar_ranges.extend(ranges.map(|(place, range)| (self.scalars.saturating_add(place), range)));
        self.scalars = self.scalars.saturating_add(other.scalars);
        self.tensors.extend(other.tensors);
    }
}

/// `3 scalars, tensors [10, 784] [10]`; with ranges of their own `3 scalars (1 within 0.5), tensors [10, 784] [10] within 0.1`
impl fmt::Display for SumLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} scalars", self.scalars)?;
        for (position, (place, range)) in self.scalar_ranges.iter().enumerate() {
            let before = if position == 0 { " (" } else { ", " };
            write!(f, "{before}{place} within {range}")?;
        }
        f.write_str(if self.scalar_ranges.is_empty() { ", tensors" } else { "), tensors" })?;
        self.tensors.iter().try_for_each(|(shape, range)| match range {
            Some(range) => write!(f, " {shape:?} within {range}"),
            None => write!(f, " {shape:?}"),
        })
    }
}

/// Whether values can be clipped to plus and minus `range`, told when the program is compiled: `#[derive(SecureSum)]`
/// calls it in a constant.
pub const fn check_clipping_range(range: f64) {
    assert!(
        range >= f32::MIN_POSITIVE as f64 && range <= f32::MAX as f64,
        "a clipping range is a positive number that an `f32` can hold: values are clipped to plus and minus it"
    );
}

/// What may go into a secure join: a weight, and what is averaged by it.
///
/// `#[derive(SecureSum)]` beside `#[derive(Message)]` implements it for a struct.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be summed, so it cannot go into a secure join",
    label = "the steps before this return `{Self}`",
    note = "let the last of them return a struct of one weight, numbers and tensors, and derive it: \
            `#[derive(Clone, Serialize, Deserialize, Message, SecureSum)]`",
    note = "where the aggregator may see each collaborator's own value, use `.join(step)`"
)]
pub trait SecureSum: Message {
    /// How many numbers it has, besides the weight.
    fn layout() -> SumLayout;

    /// How much this collaborator counts, for example its number of examples.
    fn weight(&self) -> u64;

    /// Writes its numbers, in a fixed order.
    ///
    /// # Errors
    /// `wrong-shape` where a tensor does not have the shape that its type promises.
    fn write(&self, parts: &mut Parts) -> Result<()>;

    /// Reads the means of its numbers, in the same order.
    ///
    /// # Errors
    /// `wrong-shape` where there are fewer.
    fn read(total_weight: u64, means: &mut Means<'_>) -> Result<Self>;
}

/// A part of a [`SecureSum`] that is averaged: an `f64`, or a struct of such parts under
/// `#[derive(Averaged)]`. A tensor is one too, but only with its shape.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be averaged in a secure join",
    label = "neither a number nor a struct of numbers",
    note = "numbers are `f64`; a struct of them derives `Averaged`",
    note = "a `Tensor` needs its shape, which is then the same at all collaborators: \
            `#[secure_sum(shape = [10, 784])]`",
    note = "the one number that says how much a collaborator counts is a `u64` under `#[secure_sum(weight)]`"
)]
pub trait Averaged: Sized {
    /// How many numbers it has.
    fn layout() -> SumLayout;

    /// Writes its numbers, in a fixed order.
    ///
    /// # Errors
    /// `wrong-shape` where a tensor does not have the shape that its type promises.
    fn write(&self, parts: &mut Parts) -> Result<()>;

    /// Reads the means of its numbers, in the same order.
    ///
    /// # Errors
    /// `wrong-shape` where there are fewer.
    fn read(means: &mut Means<'_>) -> Result<Self>;
}

impl Averaged for f64 {
    fn layout() -> SumLayout {
        SumLayout::of_scalars(1)
    }

    fn write(&self, parts: &mut Parts) -> Result<()> {
        parts.scalars.push(*self);
        Ok(())
    }

    fn read(means: &mut Means<'_>) -> Result<Self> {
        let (first, rest) = means.scalars.split_first().ok_or_else(too_few)?;
        means.scalars = rest;
        Ok(*first)
    }
}

/// One collaborator's numbers, as a protocol takes them. They stay at the site.
#[derive(Clone)]
pub struct Parts {
    scalars: Vec<f64>,
    vector: Vec<f32>,
    clipping_range: f64,
}

impl Parts {
    /// The numbers of `input`, for a protocol that clips all of them to plus and minus `clipping_range`: those with a
    /// range of their own are scaled to it.
    ///
    /// # Errors
    /// `wrong-shape` where a tensor does not have the shape that its type promises.
    pub fn of<T: SecureSum>(input: &T, clipping_range: f64) -> Result<Self> {
        let mut parts = Self { scalars: Vec::new(), vector: Vec::new(), clipping_range };
        input.write(&mut parts)?;
        Ok(parts)
    }

    /// The scalars.
    pub fn scalars(&self) -> &[f64] {
        &self.scalars
    }

    /// The values of all tensors, one after the other.
    pub fn vector(&self) -> &[f32] {
        &self.vector
    }

    /// Writes a scalar with a clipping range of its own. Called by `#[derive(SecureSum)]`.
    pub fn scalar_within(&mut self, scalar: f64, range: f64) {
        self.scalars.push(scaled(scalar, self.clipping_range / range, f64::MAX));
    }

    /// Writes a tensor that must have this shape, with a clipping range of its own. Called by `#[derive(SecureSum)]`.
    ///
    /// # Errors
    /// `wrong-shape` where it has another.
    pub fn tensor_within(&mut self, field: &str, tensor: &Tensor, shape: &[usize], range: f64) -> Result<()> {
        let first = self.vector.len();
        self.tensor(field, tensor, shape)?;
        let factor = self.clipping_range / range;
        for value in self.vector.iter_mut().skip(first) {
            *value = scaled(f64::from(*value), factor, f64::from(f32::MAX)) as f32;
        }
        Ok(())
    }

    /// Writes a tensor that must have this shape. Called by `#[derive(SecureSum)]`.
    ///
    /// # Errors
    /// `wrong-shape` where it has another.
    pub fn tensor(&mut self, field: &str, tensor: &Tensor, shape: &[usize]) -> Result<()> {
        if tensor.shape() != shape {
            let text =
                format!("`{field}` has the shape {:?}, and its type promises {shape:?}", tensor.shape());
            return Err(StepError::with_code(WRONG_SHAPE, text));
        }
        self.vector.extend_from_slice(tensor.values());
        Ok(())
    }
}

/// A value that is far outside its range stays there, so that it is clipped and counted; one that is no number stays none,
/// so that it is refused.
fn scaled(value: f64, factor: f64, largest: f64) -> f64 {
    if value.is_finite() { (value * factor).clamp(-largest, largest) } else { value }
}

/// Shows sizes only: the values are private.
impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("scalars", &self.scalars.len())
            .field("vector", &self.vector.len())
            .finish()
    }
}

/// The means of the numbers, from which a value like the summed ones is read.
#[derive(Clone, Copy, Debug)]
pub struct Means<'a> {
    scalars: &'a [f64],
    vector: &'a [f32],
    clipping_range: f64,
}

impl<'a> Means<'a> {
    /// The mean of each scalar and of each value of the tensors, by a protocol with this clipping range.
    pub fn new(scalars: &'a [f64], vector: &'a [f32], clipping_range: f64) -> Self {
        Self { scalars, vector, clipping_range }
    }

    /// Reads a scalar with a clipping range of its own. Called by `#[derive(SecureSum)]`.
    ///
    /// # Errors
    /// `wrong-shape` where none is left.
    pub fn scalar_within(&mut self, range: f64) -> Result<f64> {
        Ok(f64::read(self)? * (range / self.clipping_range))
    }

    /// Reads a tensor of this shape, with a clipping range of its own. Called by `#[derive(SecureSum)]`.
    ///
    /// # Errors
    /// `wrong-shape` where fewer values are left.
    pub fn tensor_within(&mut self, shape: &[usize], range: f64) -> Result<Tensor> {
        let factor = range / self.clipping_range;
        let values = self.values(shape)?.iter().map(|value| (f64::from(*value) * factor) as f32);
        tensor(shape, values.collect())
    }

    /// Reads a tensor of this shape. Called by `#[derive(SecureSum)]`.
    ///
    /// # Errors
    /// `wrong-shape` where fewer values are left.
    pub fn tensor(&mut self, shape: &[usize]) -> Result<Tensor> {
        tensor(shape, self.values(shape)?.to_vec())
    }

    fn values(&mut self, shape: &[usize]) -> Result<&'a [f32]> {
        let (values, rest) = self.vector.split_at_checked(values(shape)).ok_or_else(too_few)?;
        self.vector = rest;
        Ok(values)
    }
}

fn tensor(shape: &[usize], values: Vec<f32>) -> Result<Tensor> {
    Tensor::new(shape, values).map_err(|error| StepError::with_code(WRONG_SHAPE, error))
}

const WRONG_SHAPE: &str = "wrong-shape";

fn too_few() -> StepError {
    StepError::with_code(WRONG_SHAPE, "a sum of fewer numbers than its type has")
}
