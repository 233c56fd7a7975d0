//! The fully connected layer.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor, WithDType};

use crate::element::{Element, check_element_types, elements, with_element, with_elements};
use crate::gemm::{Left, Matrix, Right, multiply_add};
use crate::layer::Gradients;
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
    check_element_types(OPERATION, &[input, weight, bias])?;
    Sizes::of(input.dims(), weight.dims(), bias.dims())?;
    Ok(input.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, FullyConnected)?)
}

#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    inputs: usize,
    outputs: usize,
}

impl Sizes {
    fn of(input: &[usize], weight: &[usize], bias: &[usize]) -> Result<Self> {
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

    fn forward<T: Element>(&self, input: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let mut output = bias.repeat(self.batch);
        multiply_add(
            Left::new().pack(Matrix::new(input, self.batch, self.inputs)),
            Right::new().pack(Matrix::new(weight, self.outputs, self.inputs).transposed()),
            &mut output,
        );
        output
    }

    /// The gradients of weight and bias.
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

struct FullyConnected;

impl CustomOp3 for FullyConnected {
    fn name(&self) -> &'static str {
        OPERATION
    }

    fn cpu_fwd(
        &self,
        input: &CpuStorage,
        input_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let sizes = Sizes::of(input_layout.dims(), weight_layout.dims(), bias_layout.dims())
            .map_err(candle_core::Error::wrap)?;
        let output = with_element!(OPERATION, input.dtype(), T => {
            let (input, weight) = (elements(input, input_layout)?, elements(weight, weight_layout)?);
            Ok(T::to_cpu_storage_owned(sizes.forward::<T>(input, weight, elements(bias, bias_layout)?)))
        })?;
        Ok((output, (sizes.batch, sizes.outputs).into()))
    }

    fn bwd(
        &self,
        input: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _output: &Tensor,
        output_gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradients = backward(input, weight, bias, output_gradient, input.track_op())?;
        Ok((gradients.input, Some(gradients.weight), Some(gradients.bias)))
    }
}

/// The gradients of the arguments; that of the input only if it is `wanted`.
pub(crate) fn backward(
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    output_gradient: &Tensor,
    wanted: bool,
) -> candle_core::Result<Gradients> {
    let sizes = Sizes::of(input.dims(), weight.dims(), bias.dims()).map_err(candle_core::Error::wrap)?;
    let device = input.device();
    with_element!(OPERATION, input.dtype(), T => {
        let (weight_gradient, bias_gradient) = with_elements([input, output_gradient], |[input, gradient]| {
            sizes.parameter_gradients::<T>(input, gradient)
        })?;
        let input_gradient = if wanted {
            let gradient = with_elements([weight, output_gradient], |[weight, gradient]| {
                sizes.input_gradient::<T>(weight, gradient)
            })?;
            Some(Tensor::from_vec(gradient, input.shape(), device)?)
        } else {
            None
        };
        Ok(Gradients {
            input: input_gradient,
            weight: Tensor::from_vec(weight_gradient, weight.shape(), device)?,
            bias: Tensor::from_vec(bias_gradient, bias.shape(), device)?,
        })
    })
}
