//! The fully connected layer.

use candle_core::{Shape, Tensor};

use crate::candles::{self, Operations};
use crate::element::{Element, check_element_types};
use crate::gemm::{Left, Matrix, Right, multiply_add};
use crate::parametric::{self, Parametric};
use crate::{Error, Result};

const OPERATION: &str = "linear";

/// `input · weightᵀ + bias`.
///
/// `input` is `[batch, in]`, `weight` `[out, in]`, `bias` `[out]`; the result is `[batch, out]`. As in
/// [`conv2d`](crate::conv2d), the gradient of an input that depends on no variable is not computed.
///
/// # Errors
///
/// If the shapes do not fit each other or the element types are not all `f32` or all `f64`.
pub fn linear(input: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    linear_by(Operations::on(input.device()), input, weight, bias)
}

pub(crate) fn linear_by(
    operations: Operations,
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    if operations == Operations::Ours {
        return parametric::apply::<Sizes>((), input, weight, bias);
    }
    check_element_types(OPERATION, &[input, weight, bias])?;
    Sizes::of((), input.dims(), weight.dims(), bias.dims())?;
    Ok(candles::linear(input, weight, bias)?)
}

/// The sizes of a fully connected layer, checked in one place.
struct Sizes {
    batch: usize,
    inputs: usize,
    outputs: usize,
}

impl Parametric for Sizes {
    const OPERATION: &'static str = OPERATION;
    type Options = ();

    fn of((): (), input: &[usize], weight: &[usize], bias: &[usize]) -> Result<Self> {
        let rank = |argument, expected, got: &[usize]| Error::Rank {
            operation: OPERATION,
            argument,
            expected,
            got: got.to_vec(),
        };
        let &[batch, inputs] = input else { return Err(rank("input", 2, input)) };
        let &[outputs, weight_inputs] = weight else { return Err(rank("weight", 2, weight)) };
        let &[bias_outputs] = bias else { return Err(rank("bias", 1, bias)) };
        for (what, expected, got) in [
            ("the weight's second dimension (the input's)", inputs, weight_inputs),
            ("the bias's length (the weight's first dimension)", outputs, bias_outputs),
        ] {
            if expected != got {
                return Err(Error::Size { operation: OPERATION, what, expected, got });
            }
        }
        Ok(Self { batch, inputs, outputs })
    }

    fn output_shape(&self) -> Shape {
        (self.batch, self.outputs).into()
    }

    fn forward<T: Element>(&self, input: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let mut output = bias.repeat(self.batch);
        multiply_add(
            Left::new().pack(Matrix::new(input, self.batch, self.inputs)),
            Right::new().pack(Matrix::new(weight, self.outputs, self.inputs).transposed()),
            &mut output,
        );
        output
    }

    fn parameter_gradients<T: Element>(&self, input: &[T], output_gradient: &[T]) -> (Vec<T>, Vec<T>) {
        let mut weight = vec![T::ZERO; self.outputs * self.inputs];
        multiply_add(
            Left::new().pack(Matrix::new(output_gradient, self.batch, self.outputs).transposed()),
            Right::new().pack(Matrix::new(input, self.batch, self.inputs)),
            &mut weight,
        );
        let mut bias = vec![T::ZERO; self.outputs];
        for example in output_gradient.chunks_exact(self.outputs.max(1)) {
            for (bias, gradient) in bias.iter_mut().zip(example) {
                *bias += *gradient;
            }
        }
        (weight, bias)
    }

    fn input_gradient<T: Element>(&self, weight: &[T], output_gradient: &[T]) -> Vec<T> {
        let mut input = vec![T::ZERO; self.batch * self.inputs];
        multiply_add(
            Left::new().pack(Matrix::new(output_gradient, self.batch, self.outputs)),
            Right::new().pack(Matrix::new(weight, self.outputs, self.inputs)),
            &mut input,
        );
        input
    }
}
