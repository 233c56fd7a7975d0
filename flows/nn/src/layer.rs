//! Layers with parameters.

use candle_core::{Device, Tensor, Var};
use rand_chacha::rand_core::Rng;

use crate::candles::Operations;
use crate::convolution::{Sliding, conv2d_by};
use crate::init::uniform_by_fan_in;
use crate::linear::linear_by;
use crate::{Error, Result, linear};

fn parameter(shape: &[usize], fan_in: usize, rng: &mut impl Rng) -> Result<Var> {
    let values = uniform_by_fan_in(shape.iter().product(), fan_in, rng);
    Ok(Var::from_vec(values, shape, &Device::Cpu)?)
}

/// A variable of its own with the same values.
pub(crate) fn copy(parameter: &Var, device: &Device) -> Result<Var> {
    Ok(Var::from_tensor(&parameter.as_detached_tensor().to_device(device)?)?)
}

/// A convolution with its parameters; see [`conv2d`](crate::conv2d).
#[derive(Debug)]
pub struct Conv2d {
    weight: Var,
    bias: Option<Var>,
    sliding: Sliding,
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
        let sliding = Sliding { stride: 1, padding: 0 };
        Ok(Self { weight, bias: Some(parameter(&[out_channels], fan_in, rng)?), sliding })
    }

    /// Does without a bias.
    #[must_use]
    pub fn without_bias(mut self) -> Self {
        self.bias = None;
        self
    }

    /// Moves the kernel by so many pixels from place to place; 1 unless it is said.
    ///
    /// # Errors
    ///
    /// If it is zero.
    pub fn with_stride(mut self, stride: usize) -> Result<Self> {
        if stride == 0 {
            return Err(Error::Empty { operation: "Conv2d::with_stride", argument: "stride" });
        }
        self.sliding.stride = stride;
        Ok(self)
    }

    /// Puts so many rows and columns of zeros on each side of the images; none unless it is said.
    #[must_use]
    pub fn with_padding(mut self, padding: usize) -> Self {
        self.sliding.padding = padding;
        self
    }

    /// See [`with_stride`](Self::with_stride).
    pub fn stride(&self) -> usize {
        self.sliding.stride
    }

    /// See [`with_padding`](Self::with_padding).
    pub fn padding(&self) -> usize {
        self.sliding.padding
    }

    /// Applies the layer to `[batch, in, height, width]`, recorded for candle's backward pass.
    ///
    /// # Errors
    ///
    /// As [`conv2d`](crate::conv2d).
    pub fn forward(&self, input: &Tensor) -> Result<Tensor> {
        self.forward_by(Operations::on(input.device()), input)
    }

    pub(crate) fn forward_by(&self, operations: Operations, input: &Tensor) -> Result<Tensor> {
        conv2d_by(operations, input, &self.weight, self.bias.as_deref(), self.sliding)
    }

    /// The same layer with parameters of its own on `device`.
    pub(crate) fn copy_to(&self, device: &Device) -> Result<Self> {
        let bias = self.bias.as_ref().map(|bias| copy(bias, device)).transpose()?;
        Ok(Self { weight: copy(&self.weight, device)?, bias, sliding: self.sliding })
    }

    /// The weight, `[out, in, k, k]`.
    pub fn weight(&self) -> &Var {
        &self.weight
    }

    /// The bias, `[out]`, if there is one.
    pub fn bias(&self) -> Option<&Var> {
        self.bias.as_ref()
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

    /// Applies the layer to `[batch, in]`, recorded for candle's backward pass.
    ///
    /// # Errors
    ///
    /// As [`linear()`].
    pub fn forward(&self, input: &Tensor) -> Result<Tensor> {
        linear(input, &self.weight, &self.bias)
    }

    pub(crate) fn forward_by(&self, operations: Operations, input: &Tensor) -> Result<Tensor> {
        linear_by(operations, input, &self.weight, &self.bias)
    }

    /// The same layer with parameters of its own on `device`.
    pub(crate) fn copy_to(&self, device: &Device) -> Result<Self> {
        Ok(Self { weight: copy(&self.weight, device)?, bias: copy(&self.bias, device)? })
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
