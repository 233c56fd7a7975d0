//! What can be summed: numbers, and tensors of a fixed shape.

use std::fmt;
use std::ops::AddAssign;

use crate::error::{Result, StepError};
use crate::message::Message;
use crate::tensor::Tensor;

/// How many numbers a part of a sum has. It is known from the type alone, hence equal at all collaborators, and known
/// before any of them has an input. It is part of the flow's fingerprint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SumLayout {
    scalars: usize,
    tensors: Vec<Vec<usize>>,
}

impl SumLayout {
    /// So many numbers of type `f64`.
    pub fn of_scalars(scalars: usize) -> Self {
        Self { scalars, tensors: Vec::new() }
    }

    /// A tensor of this shape.
    pub fn of_tensor(shape: &[usize]) -> Self {
        Self { scalars: 0, tensors: vec![shape.to_vec()] }
    }

    /// Losses, scores: how many numbers of type `f64`.
    pub fn scalars(&self) -> usize {
        self.scalars
    }

    /// How many values all tensors have together.
    pub fn vector(&self) -> usize {
        self.tensors.iter().fold(0, |sum, shape| sum.saturating_add(values(shape)))
    }
}

fn values(shape: &[usize]) -> usize {
    shape.iter().copied().fold(1, usize::saturating_mul)
}

impl AddAssign for SumLayout {
    fn add_assign(&mut self, other: Self) {
        self.scalars = self.scalars.saturating_add(other.scalars);
        self.tensors.extend(other.tensors);
    }
}

/// `3 scalars, tensors [10, 784] [10]`
impl fmt::Display for SumLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} scalars, tensors", self.scalars)?;
        self.tensors.iter().try_for_each(|shape| write!(f, " {shape:?}"))
    }
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
#[derive(Clone, Default)]
pub struct Parts {
    scalars: Vec<f64>,
    vector: Vec<f32>,
}

impl Parts {
    /// The numbers of `input`.
    ///
    /// # Errors
    /// `wrong-shape` where a tensor does not have the shape that its type promises.
    pub fn of<T: SecureSum>(input: &T) -> Result<Self> {
        let mut parts = Self::default();
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
}

impl<'a> Means<'a> {
    /// The mean of each scalar and of each value of the tensors.
    pub fn new(scalars: &'a [f64], vector: &'a [f32]) -> Self {
        Self { scalars, vector }
    }

    /// Reads a tensor of this shape. Called by `#[derive(SecureSum)]`.
    ///
    /// # Errors
    /// `wrong-shape` where fewer values are left.
    pub fn tensor(&mut self, shape: &[usize]) -> Result<Tensor> {
        let (values, rest) = self.vector.split_at_checked(values(shape)).ok_or_else(too_few)?;
        self.vector = rest;
        Tensor::new(shape, values.to_vec()).map_err(|error| StepError::with_code(WRONG_SHAPE, error))
    }
}

const WRONG_SHAPE: &str = "wrong-shape";

fn too_few() -> StepError {
    StepError::with_code(WRONG_SHAPE, "a sum of fewer numbers than its type has")
}
