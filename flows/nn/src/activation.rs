//! ReLU and log-softmax.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};

use crate::candles::{self, Operations};
use crate::element::{Element, check_element_types, elements, with_element, with_elements};
use crate::{Error, Result};

/// `max(x, 0)`, element by element, for any shape. Its gradient at zero is zero, as in PyTorch; a NaN stays one.
///
/// # Errors
///
/// For another element type than `f32` and `f64`.
pub fn relu(input: &Tensor) -> Result<Tensor> {
    relu_by(Operations::on(input.device()), input)
}

pub(crate) fn relu_by(operations: Operations, input: &Tensor) -> Result<Tensor> {
    check_element_types(Relu.name(), &[input])?;
    Ok(match operations {
        Operations::Ours => input.contiguous()?.apply_op1(Relu)?,
        Operations::Candles => candles::relu(input)?,
    })
}

struct Relu;

impl CustomOp1 for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let output = with_element!(self.name(), input.dtype(), T => {
            let clamp = |value: &T| if *value < T::ZERO { T::ZERO } else { *value };
            Ok(T::to_cpu_storage_owned(elements(input, layout)?.iter().map(clamp).collect()))
        })?;
        Ok((output, layout.shape().clone()))
    }

    fn bwd(
        &self,
        _input: &Tensor,
        output: &Tensor,
        output_gradient: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        with_element!(self.name(), output.dtype(), T => {
            let gradient: Vec<T> = with_elements([output, output_gradient], |[output, gradient]| {
                let pass = |(output, gradient): (&T, &T)| {
                    if *output <= T::ZERO { T::ZERO } else { *gradient }
                };
                output.iter().zip(gradient).map(pass).collect()
            })?;
            Ok(Some(Tensor::from_vec(gradient, output.shape(), output.device())?))
        })
    }
}

/// The logarithm of the softmax over the last dimension: `[batch, classes]` → `[batch, classes]`.
///
/// The largest score of each row is subtracted first, so that large scores do not overflow.
///
/// # Errors
///
/// If `input` does not have two dimensions or no classes, or for another element type than `f32` and `f64`.
pub fn log_softmax(input: &Tensor) -> Result<Tensor> {
    log_softmax_by(Operations::on(input.device()), input)
}

pub(crate) fn log_softmax_by(operations: Operations, input: &Tensor) -> Result<Tensor> {
    let operation = LogSoftmax.name();
    check_element_types(operation, &[input])?;
    let &[_, classes] = input.dims() else {
        let got = input.dims().to_vec();
        return Err(Error::Rank { operation, argument: "input", expected: 2, got });
    };
    if classes == 0 {
        return Err(Error::Empty { operation, argument: "input" });
    }
    Ok(match operations {
        Operations::Ours => input.contiguous()?.apply_op1(LogSoftmax)?,
        Operations::Candles => candles::log_softmax(input)?,
    })
}

struct LogSoftmax;

impl LogSoftmax {
    fn forward<T: Element>(input: &[T], classes: usize) -> Vec<T> {
        let mut output = Vec::with_capacity(input.len());
        for scores in input.chunks_exact(classes) {
            let larger = |a: T, b: &T| if *b > a { *b } else { a };
            let largest = scores.iter().fold(scores[0], larger);
            let sum = scores.iter().fold(T::ZERO, |sum, score| sum + (*score - largest).exp());
            let log_sum = sum.ln();
            output.extend(scores.iter().map(|score| *score - largest - log_sum));
        }
        output
    }

    /// `g − softmax · Σg`, per row.
    fn backward<T: Element>(output: &[T], output_gradient: &[T], classes: usize) -> Vec<T> {
        let mut gradient = Vec::with_capacity(output.len());
        for (output, row) in output.chunks_exact(classes).zip(output_gradient.chunks_exact(classes)) {
            let sum = row.iter().fold(T::ZERO, |sum, value| sum + *value);
            gradient.extend(output.iter().zip(row).map(|(output, value)| *value - output.exp() * sum));
        }
        gradient
    }
}

impl CustomOp1 for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }

    fn cpu_fwd(&self, input: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, classes) = layout.shape().dims2()?;
        let output = with_element!(self.name(), input.dtype(), T => {
            Ok(T::to_cpu_storage_owned(Self::forward::<T>(elements(input, layout)?, classes)))
        })?;
        Ok((output, layout.shape().clone()))
    }

    fn bwd(
        &self,
        _input: &Tensor,
        output: &Tensor,
        output_gradient: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        let (_, classes) = output.dims2()?;
        with_element!(self.name(), output.dtype(), T => {
            let gradient = with_elements([output, output_gradient], |[output, gradient]| {
                Self::backward::<T>(output, gradient, classes)
            })?;
            Ok(Some(Tensor::from_vec(gradient, output.shape(), output.device())?))
        })
    }
}
