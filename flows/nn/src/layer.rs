//! Layers with parameters.

use candle_core::{Device, Tensor, Var};
use rand_chacha::rand_core::Rng;

use crate::init::uniform_by_fan_in;
use crate::{Error, Result, conv2d, linear};

/// Whether a forward pass is to be followed by a backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The operations are recorded for the backward pass, with the memory that this takes.
    Train,
    /// Nothing is recorded.
    Evaluate,
}

impl Mode {
    fn tensor(self, parameter: &Var) -> Tensor {
        match self {
            Self::Train => parameter.as_tensor().clone(),
            Self::Evaluate => parameter.as_detached_tensor(),
        }
    }
}

fn parameter(shape: &[usize], fan_in: usize, rng: &mut impl Rng) -> Result<Var> {
    let values = uniform_by_fan_in(shape.iter().product(), fan_in, rng);
    Ok(Var::from_vec(values, shape, &Device::Cpu)?)
}

/// A convolution with its parameters; see [`conv2d`].
#[derive(Debug)]
pub struct Conv2d {
    weight: Var,
    bias: Var,
}

impl Conv2d {
    /// A layer with PyTorch's default initialisation, weight first, drawn from `rng`.
    ///
    /// # Errors
    ///
    /// If a size is zero.
    pub fn new(in_channels: usize, out_channels: usize, kernel: usize, rng: &mut impl Rng) -> Result<Self> {
        if in_channels == 0 || out_channels == 0 || kernel == 0 {
            return Err(Error::Empty { operation: "Conv2d::new", argument: "weight" });
        }
        let fan_in = in_channels * kernel * kernel;
        let weight = parameter(&[out_channels, in_channels, kernel, kernel], fan_in, rng)?;
        Ok(Self { weight, bias: parameter(&[out_channels], fan_in, rng)? })
    }

    /// Applies the layer to `[batch, in, height, width]`.
    ///
    /// # Errors
    ///
    /// As [`conv2d`].
    pub fn forward(&self, input: &Tensor, mode: Mode) -> Result<Tensor> {
        conv2d(input, &mode.tensor(&self.weight), &mode.tensor(&self.bias))
    }

    /// The weight, `[out, in, k, k]`.
    pub fn weight(&self) -> &Var {
        &self.weight
    }

    /// The bias, `[out]`.
    pub fn bias(&self) -> &Var {
        &self.bias
    }
}

/// A fully connected layer with its parameters; see [`linear()`].
#[derive(Debug)]
pub struct Linear {
    weight: Var,
    bias: Var,
}

impl Linear {
    /// A layer with PyTorch's default initialisation, weight first, drawn from `rng`.
    ///
    /// # Errors
    ///
    /// If a size is zero.
    pub fn new(inputs: usize, outputs: usize, rng: &mut impl Rng) -> Result<Self> {
        if inputs == 0 || outputs == 0 {
            return Err(Error::Empty { operation: "Linear::new", argument: "weight" });
        }
        let weight = parameter(&[outputs, inputs], inputs, rng)?;
        Ok(Self { weight, bias: parameter(&[outputs], inputs, rng)? })
    }

    /// Applies the layer to `[batch, in]`.
    ///
    /// # Errors
    ///
    /// As [`linear()`].
    pub fn forward(&self, input: &Tensor, mode: Mode) -> Result<Tensor> {
        linear(input, &mode.tensor(&self.weight), &mode.tensor(&self.bias))
    }

    /// The weight, `[out, in]`.
    pub fn weight(&self) -> &Var {
        &self.weight
    }

    /// The bias, `[out]`.
    pub fn bias(&self) -> &Var {
        &self.bias
    }
}
