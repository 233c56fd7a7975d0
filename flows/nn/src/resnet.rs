//! Residual networks.

use rand_chacha::rand_core::Rng;

use crate::{Conv2d, GroupNorm, Layer, Linear, Result, Sequential};

/// Groups of each normalisation, as Wu and He have them.
const GROUPS: usize = 32;

/// ResNet-18 (He et al., CVPR 2016, table 1) for small images, such as 32×32: the first convolution is 3×3 with stride 1, and no
/// pooling follows it, as is usual for these. The result is log-probabilities.
///
/// Group normalisation stands where the paper has batch normalisation; see [`group_norm`](crate::group_norm) for why. For three
/// channels and ten classes there are 11,173,962 parameters.
///
/// # Errors
///
/// If a number is zero.
pub fn resnet18(channels: usize, classes: usize, rng: &mut impl Rng) -> Result<Sequential> {
    let mut layers = convolution(channels, 64, 3, 1, rng)?;
    layers.push(Layer::Relu);
    let mut inputs = 64;
    for (outputs, stride) in [(64, 1), (128, 2), (256, 2), (512, 2)] {
        for stride in [stride, 1] {
            let mut body = convolution(inputs, outputs, 3, stride, rng)?;
            body.push(Layer::Relu);
            body.extend(convolution(outputs, outputs, 3, 1, rng)?);
            let is_same = stride == 1 && inputs == outputs;
            let shortcut = if is_same { Vec::new() } else { convolution(inputs, outputs, 1, stride, rng)? };
            layers.push(Layer::Residual { body: Sequential::new(body), shortcut: Sequential::new(shortcut) });
            layers.push(Layer::Relu);
            inputs = outputs;
        }
    }
    layers.extend([Layer::AveragePool, Layer::Linear(Linear::new(inputs, classes, rng)?), Layer::LogSoftmax]);
    Ok(Sequential::new(layers))
}

/// A convolution without bias, which the normalisation behind it would take away, that keeps the size but for the stride.
fn convolution(
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    rng: &mut impl Rng,
) -> Result<Vec<Layer>> {
    let convolution = Conv2d::new(inputs, outputs, kernel, rng)?.without_bias();
    let convolution = convolution.with_stride(stride)?.with_padding(kernel / 2);
    Ok(vec![Layer::Conv2d(convolution), Layer::GroupNorm(GroupNorm::new(GROUPS, outputs)?)])
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::{Contiguous, DeviceNetwork, Sgd};

    #[test]
    fn it_has_the_known_number_of_parameters_and_learns_a_batch() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let layers = resnet18(3, 10, &mut rng).unwrap();
        let count: usize = layers.parameters().iter().map(|parameter| parameter.elem_count()).sum();
        assert_eq!(count, 11_173_962);
        // The smallest images that three halvings leave something of: the test is about the layers, not about time.
        let mut network = DeviceNetwork::new([3, 8, 8], &layers, &Device::Cpu).unwrap();
        let pixels: Vec<f32> = (0..4 * 192).map(|_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5).collect();
        let images = Contiguous::new(&pixels, 192).unwrap();
        let mut sgd = Sgd::new(0.001, 0.5).unwrap();
        let losses: Vec<f32> = (0..5)
            .map(|_| network.train(&mut sgd, &images, &[7, 1, 1, 3]).unwrap().to_scalar().unwrap())
            .collect();
        assert!(losses[4] < 0.9 * losses[0], "{losses:?}");
        let mut outputs = Vec::new();
        network.forward(&images, &mut outputs).unwrap();
        for image in outputs.chunks(10) {
            let sum: f32 = image.iter().map(|value| value.exp()).sum();
            assert!((sum - 1.0).abs() < 1e-4, "{sum}");
        }
    }
}
