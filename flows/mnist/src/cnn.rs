//! The convolutional network of the tutorial.

use std::fmt;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use veilflow_nn::{Conv2d, Images, Layer, Linear, Network, Sequential, Sgd};

use crate::dataset::IMAGE_SIDE;
use crate::{Error, Result};

/// Name and shape of each parameter, in PyTorch's `state_dict` order.
const PARAMETERS: [(&str, &[usize]); 8] = [
    ("conv1.weight", &[10, 1, 5, 5]),
    ("conv1.bias", &[10]),
    ("conv2.weight", &[20, 10, 5, 5]),
    ("conv2.bias", &[20]),
    ("fc1.weight", &[50, 320]),
    ("fc1.bias", &[50]),
    ("fc2.weight", &[10, 50]),
    ("fc2.bias", &[10]),
];

/// One parameter of a [`Cnn`], copied out of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name in PyTorch's `state_dict`, such as `conv1.weight`.
    pub name: &'static str,
    /// Its shape: `[out, in, k, k]` or `[out, in]` for weights, `[out]` for biases.
    pub shape: &'static [usize],
    /// Its values, the last dimension fastest.
    pub data: Vec<f32>,
}

/// A small convolutional network for digits, with 21,840 parameters:
///
/// ```text
/// [batch, 1, 28, 28]  convolution 1→10, 5×5 → max-pool 2×2 → ReLU
/// [batch, 10, 12, 12] convolution 10→20, 5×5 → max-pool 2×2 → ReLU
/// [batch, 320]        linear → ReLU
/// [batch, 50]         linear → log-softmax
/// [batch, 10]
/// ```
pub struct Cnn {
    network: Network,
}

impl Cnn {
    /// The number of parameters.
    pub const PARAMETERS: usize = 21_840;

    /// A network with PyTorch's default initialisation, drawn from `seed`: the same on every machine.
    ///
    /// # Errors
    ///
    /// If memory for the parameters cannot be had.
    pub fn new(seed: u64) -> Result<Self> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let layers = Sequential::new(vec![
            Layer::Conv2d(Conv2d::new(1, 10, 5, &mut rng)?),
            Layer::MaxPool2d { size: 2 },
            Layer::Relu,
            Layer::Conv2d(Conv2d::new(10, 20, 5, &mut rng)?),
            Layer::MaxPool2d { size: 2 },
            Layer::Relu,
            Layer::Flatten,
            Layer::Linear(Linear::new(320, 50, &mut rng)?),
            Layer::Relu,
            Layer::Linear(Linear::new(50, 10, &mut rng)?),
            Layer::LogSoftmax,
        ]);
        Ok(Self { network: Network::new([1, IMAGE_SIDE, IMAGE_SIDE], &layers)? })
    }

    /// A network with the given parameters, as [`Self::to_flat`] returns them.
    ///
    /// # Errors
    ///
    /// Unless there are [`Self::PARAMETERS`] values.
    pub fn from_flat(values: &[f32]) -> Result<Self> {
        let mut cnn = Self::new(0)?;
        cnn.load_flat(values)?;
        Ok(cnn)
    }

    /// The parameters with their names and shapes, in PyTorch's order: `conv1.weight`, `conv1.bias`, `conv2.weight`,
    /// …, `fc2.bias`.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut rest = self.network.parameters();
        let mut take = |(name, shape): &(&'static str, &'static [usize])| {
            let (data, after) = rest.split_at_checked(shape.iter().product())?;
            rest = after;
            Some(Parameter { name, shape, data: data.to_vec() })
        };
        PARAMETERS.iter().filter_map(&mut take).collect()
    }

    /// All parameters in one vector, in the order of [`Self::parameters`].
    pub fn to_flat(&self) -> Vec<f32> {
        self.network.parameters().to_vec()
    }

    /// Sets all parameters, given in the order of [`Self::to_flat`].
    ///
    /// # Errors
    ///
    /// Unless there are [`Self::PARAMETERS`] values. The network is unchanged then.
    pub fn load_flat(&mut self, values: &[f32]) -> Result<()> {
        if values.len() != Self::PARAMETERS {
            return Err(Error::ModelLength { expected: Self::PARAMETERS, got: values.len() });
        }
        Ok(self.network.set_parameters(values)?)
    }

    /// The log-probability of each digit for each image, `[batch · 10]`, appended to `scores`.
    pub(crate) fn log_probabilities(&mut self, images: &impl Images, scores: &mut Vec<f32>) -> Result<()> {
        Ok(self.network.forward(images, scores)?)
    }

    /// One step of `sgd` on a batch. Returns the batch's mean loss before the step.
    pub(crate) fn train_batch(&mut self, sgd: &mut Sgd, images: &impl Images, labels: &[u32]) -> Result<f32> {
        let loss = self.network.loss_and_gradient(images, labels)?;
        self.network.update(|parameters, gradient| sgd.step(parameters, gradient))?;
        Ok(loss)
    }
}

/// Shows no parameter.
impl fmt::Debug for Cnn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cnn").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_are_those_of_the_tutorial() {
        let cnn = Cnn::new(42).unwrap();
        let parameters = cnn.parameters();
        assert_eq!(parameters.len(), PARAMETERS.len());
        assert_eq!(cnn.network.shapes().len(), PARAMETERS.len());
        for (parameter, shape) in parameters.iter().zip(cnn.network.shapes()) {
            assert_eq!(parameter.shape, shape, "{}", parameter.name);
            assert_eq!(parameter.data.len(), parameter.shape.iter().product::<usize>());
        }
        let flat = cnn.to_flat();
        assert_eq!(flat.len(), Cnn::PARAMETERS);
        assert_eq!(flat, parameters.into_iter().flat_map(|parameter| parameter.data).collect::<Vec<_>>());
    }

    #[test]
    fn a_copy_is_independent() {
        let original = Cnn::new(1).unwrap();
        let flat = original.to_flat();
        let mut copy = Cnn::from_flat(&flat).unwrap();
        copy.load_flat(&vec![0.5; Cnn::PARAMETERS]).unwrap();
        assert_eq!(original.to_flat(), flat);
        assert_eq!(copy.to_flat(), vec![0.5; Cnn::PARAMETERS]);
        assert_ne!(Cnn::new(2).unwrap().to_flat(), flat);
    }

    #[test]
    fn a_wrong_number_of_values_is_refused() {
        let mut cnn = Cnn::new(1).unwrap();
        let error = cnn.load_flat(&[0.0; 7]).unwrap_err();
        assert_eq!(error.to_string(), "the model has 21840 parameters, got 7 values");
    }
}
