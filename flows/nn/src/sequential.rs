//! A network that is a chain of layers, as candle's tensors see it.

use candle_core::{Tensor, Var};

use crate::{Conv2d, Linear, Result, log_softmax, max_pool2d, nll_loss, relu};

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
    /// Applies the layer, recorded for candle's backward pass.
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        match self {
            Self::Conv2d(layer) => layer.forward(input),
            Self::MaxPool2d { size } => max_pool2d(input, *size),
            Self::Relu => relu(input),
            Self::Flatten => Ok(input.flatten_from(1)?),
            Self::Linear(layer) => layer.forward(input),
            Self::LogSoftmax => log_softmax(input),
        }
    }

    fn parameters(&self) -> Option<[&Var; 2]> {
        match self {
            Self::Conv2d(layer) => Some([layer.weight(), layer.bias()]),
            Self::Linear(layer) => Some([layer.weight(), layer.bias()]),
            Self::MaxPool2d { .. } | Self::Relu | Self::Flatten | Self::LogSoftmax => None,
        }
    }
}

/// A network that is a chain of layers: what a [`Network`](crate::Network) is made from, and by itself a network of
/// candle's tensors, for whatever device they are on.
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

    /// The layers, in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The parameters, layer by layer, weight before bias. They are the network's own: setting one changes it.
    pub fn parameters(&self) -> &[Var] {
        &self.parameters
    }

    /// Applies the network, recorded for candle's backward pass.
    ///
    /// # Errors
    ///
    /// If the shapes do not fit.
    pub fn forward(&self, input: &Tensor) -> Result<Tensor> {
        self.layers.iter().try_fold(input.clone(), |input, layer| layer.forward(&input))
    }

    /// The [`nll_loss`] of the network's output, which must be log-probabilities, for a batch, and the
    /// gradient of each of [`Self::parameters`], in their order.
    ///
    /// # Errors
    ///
    /// If the shapes do not fit or a target is not a class.
    pub fn loss_and_gradients(&self, input: &Tensor, targets: &[u32]) -> Result<(Tensor, Vec<Tensor>)> {
        let loss = nll_loss(&self.forward(&input.detach())?, targets)?;
        let gradients = loss.backward()?;
        let of = |parameter: &Var| match gradients.get(parameter) {
            Some(gradient) => Ok(gradient.clone()),
            // Nothing that the loss depends on depends on it.
            None => Ok(parameter.zeros_like()?),
        };
        let gradients = self.parameters.iter().map(of).collect::<Result<_>>()?;
        Ok((loss, gradients))
    }
}
