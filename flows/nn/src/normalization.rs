//! Group normalisation.

use candle_core::{Device, Tensor, Var};

use crate::element::check_element_types;
use crate::layer::copy;
use crate::{Error, Result};

const OPERATION: &str = "group_norm";

/// Group normalisation (Wu and He, ECCV 2018): the channels of each image in `groups` equal parts, each brought to mean 0 and
/// variance 1 over its channels and pixels, then each channel multiplied by its weight and moved by its bias.
///
/// `input` is `[batch, channels, …]`, `weight` and `bias` `[channels]`; the result has the shape of `input`. `epsilon` is added to
/// the variance. Images are independent of each other and nothing is remembered between batches, so that, other than with batch
/// normalisation, sites with different data can average their models.
///
/// It is made of candle's operations on every device: on the processor large ones run on candle's threads, and the last bits are
/// those of the processor.
///
/// # Errors
///
/// If the shapes do not fit each other, `groups` does not divide the channels, there is nothing to normalise, or the element types
/// are not all `f32` or all `f64`.
pub fn group_norm(
    input: &Tensor,
    groups: usize,
    weight: &Tensor,
    bias: &Tensor,
    epsilon: f64,
) -> Result<Tensor> {
    check_element_types(OPERATION, &[input, weight, bias])?;
    let &[batch, channels, ref pixels @ ..] = input.dims() else {
        let got = input.dims().to_vec();
        return Err(Error::Rank { operation: OPERATION, argument: "input", expected: 4, got });
    };
    check_groups(OPERATION, channels, groups)?;
    for (argument, got) in [("weight", weight.dims()), ("bias", bias.dims())] {
        if got.len() != 1 {
            return Err(Error::Rank { operation: OPERATION, argument, expected: 1, got: got.to_vec() });
        }
    }
    for (what, got) in [
        ("the weight's length (the channels)", weight.dims()),
        ("the bias's length (the channels)", bias.dims()),
    ] {
        if got != [channels] {
            let got = got.iter().product();
            return Err(Error::Size { operation: OPERATION, what, expected: channels, got });
        }
    }
    if input.elem_count() == 0 {
        return Err(Error::Empty { operation: OPERATION, argument: "input" });
    }
    let together = channels / groups * pixels.iter().product::<usize>();
    let parts = input.contiguous()?.reshape((batch, groups, together))?;
    let centred = parts.broadcast_sub(&parts.mean_keepdim(2)?)?;
    let deviation = centred.sqr()?.mean_keepdim(2)?.affine(1.0, epsilon)?.sqrt()?;
    let normal =
        centred.broadcast_div(&deviation)?.reshape((batch, channels, together * groups / channels))?;
    let scaled = normal.broadcast_mul(&weight.reshape((1, channels, 1))?)?;
    Ok(scaled.broadcast_add(&bias.reshape((1, channels, 1))?)?.reshape(input.shape())?)
}

fn check_groups(operation: &'static str, channels: usize, groups: usize) -> Result<()> {
    if groups == 0 || channels == 0 {
        let argument = if groups == 0 { "groups" } else { "channels" };
        return Err(Error::Empty { operation, argument });
    }
    if !channels.is_multiple_of(groups) {
        let what = "the number of channels (a multiple of the groups)";
        return Err(Error::Size {
            operation,
            what,
            expected: channels.next_multiple_of(groups),
            got: channels,
        });
    }
    Ok(())
}

/// A group normalisation with its parameters; see [`group_norm`].
#[derive(Debug)]
pub struct GroupNorm {
    groups: usize,
    weight: Var,
    bias: Var,
}

impl GroupNorm {
    /// What is added to the variance, as in PyTorch.
    pub const EPSILON: f64 = 1e-5;

    /// A layer with weights of one and biases of zero.
    ///
    /// # Errors
    ///
    /// Unless `groups` divides `channels`, both at least 1.
    pub fn new(groups: usize, channels: usize) -> Result<Self> {
        check_groups("GroupNorm::new", channels, groups)?;
        let parameter = |value: f32| Var::from_vec(vec![value; channels], channels, &Device::Cpu);
        Ok(Self { groups, weight: parameter(1.0)?, bias: parameter(0.0)? })
    }

    /// Applies the layer to `[batch, channels, …]`, recorded for candle's backward pass.
    ///
    /// # Errors
    ///
    /// As [`group_norm`].
    pub fn forward(&self, input: &Tensor) -> Result<Tensor> {
        group_norm(input, self.groups, &self.weight, &self.bias, Self::EPSILON)
    }

    /// The same layer with parameters of its own on `device`.
    pub(crate) fn copy_to(&self, device: &Device) -> Result<Self> {
        let (weight, bias) = (copy(&self.weight, device)?, copy(&self.bias, device)?);
        Ok(Self { groups: self.groups, weight, bias })
    }

    /// The weight, `[channels]`.
    pub fn weight(&self) -> &Var {
        &self.weight
    }

    /// The bias, `[channels]`.
    pub fn bias(&self) -> &Var {
        &self.bias
    }
}
