//! Networks that train on a graphics card, or wherever else candle computes.

use candle_core::{Device, Tensor};

use crate::candles::Operations;
use crate::{Error, Images, Result, Sequential, Sgd};

/// A network of `f32` on one of candle's devices, with its parameters there.
///
/// It has the parameters of a [`Network`](crate::Network) of the same layers, in the same order, and learns the same but for
/// rounding. On the processor a `Network` is faster; this one takes every layer.
pub struct DeviceNetwork {
    input: [usize; 3],
    layers: Sequential,
    device: Device,
    /// A batch on its way to the device.
    pixels: Vec<f32>,
}

impl DeviceNetwork {
    /// A network of copies of these layers on `device`, for images of `[channels, height, width]`.
    ///
    /// # Errors
    ///
    /// If the device has no room for the parameters.
    pub fn new(input: [usize; 3], layers: &Sequential, device: &Device) -> Result<Self> {
        Self::with_operations(input, layers, device, Operations::on(device))
    }

    fn with_operations(
        input: [usize; 3],
        layers: &Sequential,
        device: &Device,
        operations: Operations,
    ) -> Result<Self> {
        let layers = layers.copy_to(device, operations)?;
        Ok(Self { input, layers, device: device.clone(), pixels: Vec::new() })
    }

    /// All parameters, layer by layer, weight before bias, each with its last dimension fastest.
    ///
    /// # Errors
    ///
    /// If they cannot be read from the device.
    pub fn parameters(&self) -> Result<Vec<f32>> {
        let mut all = Vec::new();
        for parameter in self.layers.parameters() {
            all.extend(parameter.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(all)
    }

    /// Sets all parameters.
    ///
    /// # Errors
    ///
    /// Unless there are as many. The network is unchanged then.
    pub fn set_parameters(&mut self, parameters: &[f32]) -> Result<()> {
        let (operation, what) = ("DeviceNetwork::set_parameters", "the number of parameters");
        let expected = self.layers.parameters().iter().map(|parameter| parameter.elem_count()).sum();
        if parameters.len() != expected {
            return Err(Error::Size { operation, what, expected, got: parameters.len() });
        }
        let mut rest = parameters;
        for parameter in self.layers.parameters() {
            let (own, after) = rest.split_at(parameter.elem_count());
            parameter.set(&Tensor::from_slice(own, parameter.shape(), &self.device)?)?;
            rest = after;
        }
        Ok(())
    }

    /// The network's output for each image, appended to `outputs` image by image.
    ///
    /// # Errors
    ///
    /// If an image does not have as many values as the network's input.
    pub fn forward<I: Images + ?Sized>(&mut self, images: &I, outputs: &mut Vec<f32>) -> Result<()> {
        if images.is_empty() {
            return Ok(());
        }
        let batch = self.upload(images)?;
        outputs.extend(self.layers.forward(&batch)?.flatten_all()?.to_vec1::<f32>()?);
        Ok(())
    }

    /// One step of `sgd` on a batch. The result is the batch's mean loss before the step, as a scalar on the device: a
    /// graphics card may still be computing it, and who reads it waits.
    ///
    /// # Errors
    ///
    /// If the last layer does not give log-probabilities, an image does not have as many values as the network's input,
    /// there is not one target for each image and at least one, or a target is not a class.
    pub fn train<I: Images + ?Sized>(
        &mut self,
        sgd: &mut Sgd,
        images: &I,
        targets: &[u32],
    ) -> Result<Tensor> {
        if images.is_empty() {
            return Err(Error::Empty { operation: "DeviceNetwork::train", argument: "images" });
        }
        let batch = self.upload(images)?;
        let (loss, gradients) = self.layers.loss_and_gradients(&batch, targets)?;
        sgd.step_tensors(self.layers.parameters(), &gradients)?;
        Ok(loss.detach())
    }

    /// Waits until the device has done all that it was given.
    ///
    /// # Errors
    ///
    /// If something of it failed.
    pub fn synchronize(&self) -> Result<()> {
        Ok(self.device.synchronize()?)
    }

    /// The images on the device, as `[batch, channels, height, width]`.
    fn upload<I: Images + ?Sized>(&mut self, images: &I) -> Result<Tensor> {
        let [channels, height, width] = self.input;
        let expected = channels * height * width;
        self.pixels.clear();
        for number in 0..images.len() {
            let image = images.image(number);
            if image.len() != expected {
                let (operation, what) = ("DeviceNetwork", "the number of an image's values");
                return Err(Error::Size { operation, what, expected, got: image.len() });
            }
            self.pixels.extend_from_slice(image);
        }
        Ok(Tensor::from_slice(&self.pixels, (images.len(), channels, height, width), &self.device)?)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;
    use crate::{Contiguous, Conv2d, Layer, Linear, Network};

    fn layers() -> Sequential {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        Sequential::new(vec![
            Layer::Conv2d(Conv2d::new(1, 5, 3, &mut rng).unwrap()),
            Layer::MaxPool2d { size: 2 },
            Layer::Relu,
            Layer::Conv2d(Conv2d::new(5, 6, 3, &mut rng).unwrap().with_padding(1)),
            Layer::Relu,
            Layer::Flatten,
            Layer::Linear(Linear::new(6 * 5 * 5, 4, &mut rng).unwrap()),
            Layer::LogSoftmax,
        ])
    }

    fn batch() -> (Vec<f32>, Vec<u32>) {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let pixels = (0..24 * 144).map(|_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5).collect();
        (pixels, (0..24).map(|_| rng.next_u32() % 4).collect())
    }

    fn close(got: &[f32], expected: &[f32]) -> bool {
        got.len() == expected.len() && got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5)
    }

    /// What a graphics card runs, on the processor: candle's operations. They learn what [`Network`] learns.
    #[test]
    fn it_learns_what_a_network_learns_with_either_operations() {
        let (pixels, targets) = batch();
        let images = Contiguous::new(&pixels, 144).unwrap();
        let sgd = || Sgd::new(0.1, 0.9).unwrap().with_weight_decay(0.01).unwrap();
        let mut fast = Network::new([1, 12, 12], &layers()).unwrap();
        let (mut fast_sgd, mut losses) = (sgd(), Vec::new());
        for _ in 0..10 {
            losses.push(fast.loss_and_gradient(&images, &targets).unwrap());
            fast.update(|parameters, gradient| fast_sgd.step(parameters, gradient)).unwrap();
        }
        assert!(losses[9] < 0.95 * losses[0], "{losses:?}");
        let mut expected = Vec::new();
        fast.forward(&images, &mut expected).unwrap();
        for operations in [Operations::Ours, Operations::Candles] {
            let network = DeviceNetwork::with_operations([1, 12, 12], &layers(), &Device::Cpu, operations);
            let (mut network, mut own_sgd) = (network.unwrap(), sgd());
            let got: Vec<f32> = (0..10)
                .map(|_| network.train(&mut own_sgd, &images, &targets).unwrap().to_scalar().unwrap())
                .collect();
            assert!(close(&got, &losses), "{operations:?}: {got:?} {losses:?}");
            assert!(close(&network.parameters().unwrap(), fast.parameters()), "{operations:?}");
            let mut outputs = Vec::new();
            network.forward(&images, &mut outputs).unwrap();
            assert!(close(&outputs, &expected), "{operations:?}");
            network.synchronize().unwrap();
        }
    }

    #[test]
    fn parameters_are_set_and_the_layers_given_stay_as_they_are() {
        let layers = layers();
        let mut network = DeviceNetwork::new([1, 12, 12], &layers, &Device::Cpu).unwrap();
        let before = network.parameters().unwrap();
        assert_eq!(before, Network::new([1, 12, 12], &layers).unwrap().parameters());
        let halves = vec![0.5; before.len()];
        network.set_parameters(&halves).unwrap();
        assert_eq!(network.parameters().unwrap(), halves);
        let untouched = DeviceNetwork::new([1, 12, 12], &layers, &Device::Cpu).unwrap();
        assert_eq!(untouched.parameters().unwrap(), before);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut network = DeviceNetwork::new([1, 12, 12], &layers(), &Device::Cpu).unwrap();
        let mut sgd = Sgd::new(0.1, 0.5).unwrap();
        let error = network.set_parameters(&[1.0]).unwrap_err().to_string();
        assert!(
            error.starts_with("DeviceNetwork::set_parameters: the number of parameters must be "),
            "{error}"
        );
        let (pixels, targets) = batch();
        let small = Contiguous::new(&pixels, 72).unwrap();
        let refused = network.forward(&small, &mut Vec::new());
        assert!(matches!(refused, Err(Error::Size { expected: 144, got: 72, .. })));
        let none = Contiguous::new(&[], 144).unwrap();
        assert!(matches!(network.train(&mut sgd, &none, &[]), Err(Error::Empty { .. })));
        let images = Contiguous::new(&pixels, 144).unwrap();
        assert!(matches!(network.train(&mut sgd, &images, &targets[1..]), Err(Error::Size { .. })));
        assert!(matches!(network.train(&mut sgd, &images, &[4; 24]), Err(Error::Target { .. })));
        let mut outputs = Vec::new();
        network.forward(&none, &mut outputs).unwrap();
        assert!(outputs.is_empty());
        network.train(&mut sgd, &images, &targets).unwrap();
    }
}
