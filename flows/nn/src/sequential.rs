//! A network that is a chain of layers, as candle's tensors see it.

use candle_core::{Device, Tensor, Var};

use crate::activation::{log_softmax_by, relu_by};
use crate::candles::Operations;
use crate::loss::nll_loss_by;
use crate::pooling::max_pool2d_by;
use crate::{Conv2d, Error, GroupNorm, Linear, Result};

/// One layer of a [`Sequential`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Layer {
    /// A convolution.
    Conv2d(Conv2d),
    /// [`max_pool2d`](crate::max_pool2d) with windows of `size` × `size`.
    MaxPool2d {
        /// Side of the window, in pixels.
        size: usize,
    },
    /// The mean over all pixels of each channel: `[batch, channels, height, width]` → `[batch, channels]`.
    AveragePool,
    /// [`relu`](crate::relu).
    Relu,
    /// A group normalisation.
    GroupNorm(GroupNorm),
    /// What two chains of layers make of the input, in sum (He et al., CVPR 2016).
    Residual {
        /// What learns the difference.
        body: Sequential,
        /// The way past it; no layers for the input itself.
        shortcut: Sequential,
    },
    /// `[batch, …]` → `[batch, all the rest]`.
    Flatten,
    /// A fully connected layer.
    Linear(Linear),
    /// [`log_softmax`](crate::log_softmax).
    LogSoftmax,
}

impl Layer {
    /// Applies the layer, recorded for candle's backward pass.
    fn forward(&self, operations: Operations, input: &Tensor) -> Result<Tensor> {
        match self {
            Self::Conv2d(layer) => layer.forward_by(operations, input),
            Self::MaxPool2d { size } => max_pool2d_by(operations, input, *size),
            Self::AveragePool => average_pool(input),
            Self::Relu => relu_by(operations, input),
            Self::GroupNorm(layer) => layer.forward(input),
            Self::Residual { body, shortcut } => {
                Ok((body.forward_by(operations, input)? + shortcut.forward_by(operations, input)?)?)
            }
            Self::Flatten => Ok(input.flatten_from(1)?),
            Self::Linear(layer) => layer.forward_by(operations, input),
            Self::LogSoftmax => log_softmax_by(operations, input),
        }
    }

    fn parameters(&self) -> Vec<&Var> {
        match self {
            Self::Conv2d(layer) => std::iter::once(layer.weight()).chain(layer.bias()).collect(),
            Self::Linear(layer) => vec![layer.weight(), layer.bias()],
            Self::GroupNorm(layer) => vec![layer.weight(), layer.bias()],
            Self::Residual { body, shortcut } => {
                body.parameters().iter().chain(shortcut.parameters()).collect()
            }
            Self::MaxPool2d { .. } | Self::AveragePool | Self::Relu | Self::Flatten | Self::LogSoftmax => {
                Vec::new()
            }
        }
    }

    /// The same layer with parameters of its own on `device`.
    fn copy_to(&self, device: &Device, operations: Operations) -> Result<Self> {
        Ok(match self {
            Self::Conv2d(layer) => Self::Conv2d(layer.copy_to(device)?),
            Self::MaxPool2d { size } => Self::MaxPool2d { size: *size },
            Self::AveragePool => Self::AveragePool,
            Self::Relu => Self::Relu,
            Self::GroupNorm(layer) => Self::GroupNorm(layer.copy_to(device)?),
            Self::Residual { body, shortcut } => Self::Residual {
                body: body.copy_to(device, operations)?,
                shortcut: shortcut.copy_to(device, operations)?,
            },
            Self::Flatten => Self::Flatten,
            Self::Linear(layer) => Self::Linear(layer.copy_to(device)?),
            Self::LogSoftmax => Self::LogSoftmax,
        })
    }
}

fn average_pool(input: &Tensor) -> Result<Tensor> {
    let operation = "AveragePool";
    if input.dims().len() != 4 {
        let got = input.dims().to_vec();
        return Err(Error::Rank { operation, argument: "input", expected: 4, got });
    }
    if input.elem_count() == 0 {
        return Err(Error::Empty { operation, argument: "input" });
    }
    Ok(input.mean((2, 3))?)
}

/// A network that is a chain of layers: what a [`Network`](crate::Network) or a [`DeviceNetwork`](crate::DeviceNetwork) is
/// made from, and by itself a network of candle's tensors, for the device that they are on.
#[derive(Debug)]
pub struct Sequential {
    layers: Vec<Layer>,
    parameters: Vec<Var>,
    /// Those of the input's device, unless it is said.
    operations: Option<Operations>,
}

impl Sequential {
    /// A network that applies `layers` in order.
    pub fn new(layers: Vec<Layer>) -> Self {
        let parameters = layers.iter().flat_map(Layer::parameters).cloned().collect();
        Self { layers, parameters, operations: None }
    }

    /// The same network with parameters of its own on `device`.
    pub(crate) fn copy_to(&self, device: &Device, operations: Operations) -> Result<Self> {
        let layers = self.layers.iter().map(|layer| layer.copy_to(device, operations));
        Ok(Self { operations: Some(operations), ..Self::new(layers.collect::<Result<_>>()?) })
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
        self.forward_by(self.operations(input), input)
    }

    fn forward_by(&self, operations: Operations, input: &Tensor) -> Result<Tensor> {
        self.layers.iter().try_fold(input.clone(), |input, layer| layer.forward(operations, &input))
    }

    fn operations(&self, input: &Tensor) -> Operations {
        self.operations.unwrap_or_else(|| Operations::on(input.device()))
    }

    /// The [`nll_loss`](crate::nll_loss) of the network's output, which must be log-probabilities, for a batch, and the
    /// gradient of each of [`Self::parameters`], in their order.
    ///
    /// # Errors
    ///
    /// If the shapes do not fit or a target is not a class.
    pub fn loss_and_gradients(&self, input: &Tensor, targets: &[u32]) -> Result<(Tensor, Vec<Tensor>)> {
        let loss = nll_loss_by(self.operations(input), &self.forward(&input.detach())?, targets)?;
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
