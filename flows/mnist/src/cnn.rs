//! The convolutional network of the tutorial.

use std::fmt;
use std::num::NonZeroUsize;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use veilflow::spec::Device;
use veilflow_nn::{Conv2d, DeviceNetwork, Images, Layer, Linear, Network, Sequential, Sgd};

use crate::dataset::IMAGE_SIDE;
use crate::device;
use crate::{Error, Result};

/// Channels, height and width of an image.
const INPUT: [usize; 3] = [1, IMAGE_SIDE, IMAGE_SIDE];

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
    at: Place,
}

/// Where the network computes.
enum Place {
    Processor(Box<Network>),
    Device(Device, Box<DeviceNetwork>),
}

impl Cnn {
    /// The number of parameters.
    pub const PARAMETERS: usize = 21_840;

    /// A network with PyTorch's default initialisation, drawn from `seed`: the same on every machine. It computes on one
    /// thread of the processor.
    ///
    /// # Errors
    ///
    /// If memory for the parameters cannot be had.
    pub fn new(seed: u64) -> Result<Self> {
        Ok(Self { at: Place::Processor(Box::new(Network::new(INPUT, &Self::layers(seed)?)?)) })
    }

    fn layers(seed: u64) -> Result<Sequential> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        Ok(Sequential::new(vec![
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
        ]))
    }

    /// Moves the network, with its parameters, to a device. On the processor it computes on so many threads from now on, of
    /// which a batch keeps at most one for each sixteen images busy; their number does not change a bit of the results.
    ///
    /// # Errors
    ///
    /// If the program was built without the device, or it is not there.
    pub fn place(&mut self, device: Device, threads: NonZeroUsize) -> Result<()> {
        let is_there = match &self.at {
            Place::Processor(_) => device == Device::Cpu,
            Place::Device(other, _) => device == *other,
        };
        if !is_there {
            let parameters = self.to_flat()?;
            *self = match device {
                Device::Cpu => Self::new(0)?,
                device => Self::on(device, &device::open(device)?)?,
            };
            self.load_flat(&parameters)?;
        }
        if let Place::Processor(network) = &mut self.at {
            network.set_threads(threads);
        }
        Ok(())
    }

    fn on(device: Device, opened: &candle_core::Device) -> Result<Self> {
        let network = DeviceNetwork::new(INPUT, &Self::layers(0)?, opened)?;
        Ok(Self { at: Place::Device(device, Box::new(network)) })
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
    ///
    /// # Errors
    ///
    /// If they cannot be read from the device.
    pub fn parameters(&self) -> Result<Vec<Parameter>> {
        let flat = self.to_flat()?;
        let mut rest = &flat[..];
        let mut take = |(name, shape): &(&'static str, &'static [usize])| {
            let (data, after) = rest.split_at_checked(shape.iter().product())?;
            rest = after;
            Some(Parameter { name, shape, data: data.to_vec() })
        };
        Ok(PARAMETERS.iter().filter_map(&mut take).collect())
    }

    /// All parameters in one vector, in the order of [`Self::parameters`].
    ///
    /// # Errors
    ///
    /// If they cannot be read from the device.
    pub fn to_flat(&self) -> Result<Vec<f32>> {
        match &self.at {
            Place::Processor(network) => Ok(network.parameters().to_vec()),
            Place::Device(_, network) => Ok(network.parameters()?),
        }
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
        match &mut self.at {
            Place::Processor(network) => Ok(network.set_parameters(values)?),
            Place::Device(_, network) => Ok(network.set_parameters(values)?),
        }
    }

    /// The log-probability of each digit for each image, `[batch · 10]`, appended to `scores`.
    pub(crate) fn log_probabilities(&mut self, images: &impl Images, scores: &mut Vec<f32>) -> Result<()> {
        match &mut self.at {
            Place::Processor(network) => Ok(network.forward(images, scores)?),
            Place::Device(_, network) => Ok(network.forward(images, scores)?),
        }
    }

    /// One step of `sgd` on a batch. Returns the batch's mean loss before the step.
    pub(crate) fn train_batch(&mut self, sgd: &mut Sgd, images: &impl Images, labels: &[u32]) -> Result<f32> {
        match &mut self.at {
            Place::Processor(network) => {
                let loss = network.loss_and_gradient(images, labels)?;
                network.update(|parameters, gradient| sgd.step(parameters, gradient))?;
                Ok(loss)
            }
            Place::Device(_, network) => {
                let loss = network.train(sgd, images, labels)?;
                Ok(loss.to_scalar().map_err(veilflow_nn::Error::from)?)
            }
        }
    }
}

/// Shows where it computes, and no parameter.
impl fmt::Debug for Cnn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Cnn");
        match &self.at {
            Place::Processor(network) => text.field("threads", &network.threads()),
            Place::Device(device, _) => text.field("device", device),
        };
        text.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::{MnistData, evaluate, train_epoch};

    #[test]
    fn the_parameters_are_those_of_the_tutorial() {
        let cnn = Cnn::new(42).unwrap();
        let parameters = cnn.parameters().unwrap();
        assert_eq!(parameters.len(), PARAMETERS.len());
        let Place::Processor(network) = &cnn.at else { panic!("it starts on the processor") };
        assert_eq!(network.shapes().len(), PARAMETERS.len());
        for (parameter, shape) in parameters.iter().zip(network.shapes()) {
            assert_eq!(parameter.shape, shape, "{}", parameter.name);
            assert_eq!(parameter.data.len(), parameter.shape.iter().product::<usize>());
        }
        let flat = cnn.to_flat().unwrap();
        assert_eq!(flat.len(), Cnn::PARAMETERS);
        assert_eq!(flat, parameters.into_iter().flat_map(|parameter| parameter.data).collect::<Vec<_>>());
    }

    #[test]
    fn a_copy_is_independent() {
        let original = Cnn::new(1).unwrap();
        let flat = original.to_flat().unwrap();
        let mut copy = Cnn::from_flat(&flat).unwrap();
        copy.load_flat(&vec![0.5; Cnn::PARAMETERS]).unwrap();
        assert_eq!(original.to_flat().unwrap(), flat);
        assert_eq!(copy.to_flat().unwrap(), vec![0.5; Cnn::PARAMETERS]);
        assert_ne!(Cnn::new(2).unwrap().to_flat().unwrap(), flat);
    }

    /// Trains on some digits, and says what came of it: loss, part of the test images found, parameters.
    fn train(mut cnn: Cnn) -> (f64, f64, Vec<f32>) {
        let data = MnistData::sample().unwrap().limited(Some(330), Some(200)).unwrap();
        cnn.load_flat(&Cnn::new(42).unwrap().to_flat().unwrap()).unwrap();
        let mut go_on = |_| ControlFlow::Continue(());
        let loss =
            train_epoch(&mut cnn, &mut Sgd::new(0.01, 0.5).unwrap(), &data.train, 32, &mut go_on).unwrap();
        let found = evaluate(&mut cnn, &data.test, 100, &mut go_on).unwrap();
        (loss, found, cnn.to_flat().unwrap())
    }

    fn learns_the_same(cnn: Cnn) {
        let (loss, found, parameters) = train(cnn);
        let expected = train(Cnn::new(0).unwrap());
        assert!((loss - expected.0).abs() < 1e-4, "{loss} {}", expected.0);
        assert!((found - expected.1).abs() <= 0.01, "{found} {}", expected.1);
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4;
        assert!(parameters.iter().zip(&expected.2).all(close));
    }

    /// What runs on a graphics card, on the processor.
    #[test]
    fn a_network_of_candle_s_learns_the_same() {
        learns_the_same(Cnn::on(Device::Cuda(0), &candle_core::Device::Cpu).unwrap());
    }

    #[test]
    #[cfg(feature = "cuda")]
    fn a_graphics_card_learns_the_same() {
        let mut cnn = Cnn::new(0).unwrap();
        cnn.place(Device::Cuda(0), NonZeroUsize::MIN).unwrap();
        learns_the_same(cnn);
    }

    #[test]
    fn a_network_that_moves_keeps_its_parameters() {
        let flat = Cnn::new(3).unwrap().to_flat().unwrap();
        let mut cnn = Cnn::on(Device::Cuda(0), &candle_core::Device::Cpu).unwrap();
        cnn.load_flat(&flat).unwrap();
        // Where it is already nothing is opened.
        cnn.place(Device::Cuda(0), NonZeroUsize::MIN).unwrap();
        cnn.place(Device::Cpu, NonZeroUsize::new(3).unwrap()).unwrap();
        assert_eq!(cnn.to_flat().unwrap(), flat);
        assert_eq!(format!("{cnn:?}"), "Cnn { threads: 3, .. }");
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_device_that_the_program_was_not_built_for_is_refused() {
        let error = Cnn::new(1).unwrap().place(Device::Cuda(0), NonZeroUsize::MIN).unwrap_err().to_string();
        assert!(error.starts_with("cuda:0: this program was built without CUDA; build it with"), "{error}");
    }

    #[test]
    fn a_wrong_number_of_values_is_refused() {
        let mut cnn = Cnn::new(1).unwrap();
        let error = cnn.load_flat(&[0.0; 7]).unwrap_err();
        assert_eq!(error.to_string(), "the model has 21840 parameters, got 7 values");
    }
}
