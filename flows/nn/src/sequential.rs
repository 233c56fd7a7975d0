//! A network that is a chain of layers, with its own backward pass.

use candle_core::{CustomOp1, Device, Tensor, Var};

use crate::activation::{LogSoftmax, Relu};
use crate::loss::NegativeLogLikelihood;
use crate::pooling::MaxPool;
use crate::{
    Conv2d, Linear, Result, conv2d, convolution, linear, log_softmax, max_pool2d, nll_loss, parametric, relu,
};

/// One layer of a [`Sequential`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Layer {
    /// A convolution.
    Conv2d(Conv2d),
    /// [`max_pool2d`] with windows of `size` × `size`.
    MaxPool2d {
        /// Side of the window, in pixels.
        size: usize,
    },
    /// [`relu`].
    Relu,
    /// `[batch, …]` → `[batch, all the rest]`.
    Flatten,
    /// A fully connected layer.
    Linear(Linear),
    /// [`log_softmax`].
    LogSoftmax,
}

impl Layer {
    /// Applies the layer without recording anything.
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let fixed = Var::as_detached_tensor;
        match self {
            Self::Conv2d(layer) => conv2d(input, &fixed(layer.weight()), &fixed(layer.bias())),
            Self::MaxPool2d { size } => max_pool2d(input, *size),
            Self::Relu => relu(input),
            Self::Flatten => Ok(input.flatten_from(1)?),
            Self::Linear(layer) => linear(input, &fixed(layer.weight()), &fixed(layer.bias())),
            Self::LogSoftmax => log_softmax(input),
        }
    }

    /// Returns the gradient of `input`, if it is `wanted`, and pushes those of the parameters, the last
    /// parameter first.
    fn backward(
        &self,
        input: &Tensor,
        output: &Tensor,
        output_gradient: &Tensor,
        wanted: bool,
        parameter_gradients: &mut Vec<Tensor>,
    ) -> Result<Option<Tensor>> {
        let gradients = match self {
            Self::Conv2d(layer) => parametric::backward::<convolution::Sizes>(
                input,
                layer.weight(),
                layer.bias(),
                output_gradient,
                wanted,
            )?,
            Self::Linear(layer) => parametric::backward::<linear::Sizes>(
                input,
                layer.weight(),
                layer.bias(),
                output_gradient,
                wanted,
            )?,
            _ if !wanted => return Ok(None),
            Self::MaxPool2d { size } => {
                return Ok(MaxPool { size: *size }.bwd(input, output, output_gradient)?);
            }
            Self::Relu => return Ok(Relu.bwd(input, output, output_gradient)?),
            Self::Flatten => return Ok(Some(output_gradient.reshape(input.shape())?)),
            Self::LogSoftmax => return Ok(LogSoftmax.bwd(input, output, output_gradient)?),
        };
        parameter_gradients.push(gradients.bias);
        parameter_gradients.push(gradients.weight);
        Ok(gradients.input)
    }

    fn parameters(&self) -> Option<[&Var; 2]> {
        match self {
            Self::Conv2d(layer) => Some([layer.weight(), layer.bias()]),
            Self::Linear(layer) => Some([layer.weight(), layer.bias()]),
            Self::MaxPool2d { .. } | Self::Relu | Self::Flatten | Self::LogSoftmax => None,
        }
    }
}

/// A network that is a chain of layers.
///
/// Its backward pass is a loop over the layers rather than candle's `Tensor::backward`, for two reasons: candle
/// adds up gradients of 65,536 and more elements on a process-wide pool of threads that spin while they
/// wait, and it allocates and adds a tensor of zeros per layer, which a chain never needs.
#[derive(Debug)]
pub struct Sequential {
    layers: Vec<Layer>,
    parameters: Vec<Var>,
}

impl Sequential {
    /// A network that applies `layers` in order.
    pub fn new(layers: Vec<Layer>) -> Self {
        let parameters = layers.iter().filter_map(Layer::parameters).flatten().cloned().collect();
        Self { layers, parameters }
    }

    /// The parameters, layer by layer, weight before bias. They are the network's own: setting one changes it.
    pub fn parameters(&self) -> &[Var] {
        &self.parameters
    }

    /// Applies the network without recording anything for a backward pass.
    ///
    /// # Errors
    ///
    /// If the shapes do not fit.
    pub fn forward(&self, input: &Tensor) -> Result<Tensor> {
        self.layers.iter().try_fold(input.detach(), |input, layer| layer.forward(&input))
    }

    /// The [`nll_loss`] of the network's output, which must be log-probabilities, for a batch, and the
    /// gradient of each of [`Self::parameters`], in their order.
    ///
    /// # Errors
    ///
    /// If the shapes do not fit or a target is not a class.
    pub fn loss_and_gradients(&self, input: &Tensor, targets: &[u32]) -> Result<(Tensor, Vec<Tensor>)> {
        let mut activations = Vec::with_capacity(self.layers.len() + 1);
        activations.push(input.detach());
        for layer in &self.layers {
            let output = layer.forward(&activations[activations.len() - 1])?;
            activations.push(output);
        }
        let output = &activations[activations.len() - 1];
        let loss = nll_loss(output, targets)?;

        let one = Tensor::ones((), output.dtype(), &Device::Cpu)?;
        let mut gradient = NegativeLogLikelihood::new(output, targets)?.bwd(output, &loss, &one)?;
        let mut gradients = Vec::with_capacity(self.parameters.len());
        let first = self.layers.iter().position(|layer| layer.parameters().is_some());
        for (number, layer) in self.layers.iter().enumerate().rev() {
            let Some(output_gradient) = gradient else { break };
            // Below the first layer with parameters nobody uses a gradient.
            let wanted = first.is_some_and(|first| number > first);
            let (input, output) = (&activations[number], &activations[number + 1]);
            gradient = layer.backward(input, output, &output_gradient, wanted, &mut gradients)?;
            activations.truncate(number + 1);
        }
        gradients.reverse();
        Ok((loss, gradients))
    }
}
