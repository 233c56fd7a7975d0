//! Operations with an input, a weight and a bias: their way into candle, forward and backward.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor, WithDType};

use crate::Result;
use crate::element::{Element, check_element_types, elements, with_element, with_elements};

/// An operation with a weight and a bias, at the sizes of one call.
pub(crate) trait Parametric: Sized + Send + Sync {
    /// What errors call it.
    const OPERATION: &'static str;

    /// What the arguments do not tell.
    type Options: Copy + Send + Sync;

    /// The sizes, from the dimensions of the arguments.
    fn of(options: Self::Options, input: &[usize], weight: &[usize], bias: &[usize]) -> Result<Self>;

    /// The shape of the output.
    fn output_shape(&self) -> Shape;

    /// The output.
    fn forward<T: Element>(&self, input: &[T], weight: &[T], bias: &[T]) -> Vec<T>;

    /// The gradients of weight and bias.
    fn parameter_gradients<T: Element>(&self, input: &[T], output_gradient: &[T]) -> (Vec<T>, Vec<T>);

    /// The gradient of the input.
    fn input_gradient<T: Element>(&self, weight: &[T], output_gradient: &[T]) -> Vec<T>;
}

/// The gradients of the arguments.
struct Gradients {
    /// `None` if it was not asked for.
    input: Option<Tensor>,
    weight: Tensor,
    bias: Tensor,
}

/// Applies the operation, recorded for candle's backward pass.
pub(crate) fn apply<S: Parametric + 'static>(
    options: S::Options,
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    check_element_types(S::OPERATION, &[input, weight, bias])?;
    S::of(options, input.dims(), weight.dims(), bias.dims())?;
    let operation = Operation::<S>(options);
    Ok(input.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, operation)?)
}

/// The gradients of the arguments; that of the input only if it is `wanted`.
fn backward<S: Parametric>(
    options: S::Options,
    input: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    output_gradient: &Tensor,
    wanted: bool,
) -> candle_core::Result<Gradients> {
    let sizes = S::of(options, input.dims(), weight.dims(), bias.dims());
    let sizes = sizes.map_err(candle_core::Error::wrap)?;
    let device = input.device();
    with_element!(S::OPERATION, input.dtype(), T => {
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

struct Operation<S: Parametric>(S::Options);

impl<S: Parametric> CustomOp3 for Operation<S> {
    fn name(&self) -> &'static str {
        S::OPERATION
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
        let sizes = S::of(self.0, input_layout.dims(), weight_layout.dims(), bias_layout.dims())
            .map_err(candle_core::Error::wrap)?;
        let output = with_element!(S::OPERATION, input.dtype(), T => {
            let (input, weight) = (elements(input, input_layout)?, elements(weight, weight_layout)?);
            Ok(T::to_cpu_storage_owned(sizes.forward::<T>(input, weight, elements(bias, bias_layout)?)))
        })?;
        Ok((output, sizes.output_shape()))
    }

    fn bwd(
        &self,
        input: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _output: &Tensor,
        output_gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradients = backward::<S>(self.0, input, weight, bias, output_gradient, input.track_op())?;
        Ok((gradients.input, Some(gradients.weight), Some(gradients.bias)))
    }
}
