use candle_core::{Device, Tensor};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;
use crate::{Conv2d, Layer, Linear};

/// Numbers in [-1, 1).
fn values(count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..count).map(|_| (f64::from(rng.next_u32()) / 2.0_f64.powi(31) - 1.0) as f32).collect()
}

/// A network of one or two convolutions, whatever fits, and a fully connected layer or two.
#[derive(Clone, Debug)]
struct Shape {
    input: [usize; 3],
    /// Outputs, kernel, stride, padding, side of the pooling window (0: none), ReLU before (1) or after (2) it.
    convolutions: Vec<[usize; 6]>,
    hidden: Option<usize>,
    classes: usize,
    images: usize,
    seed: u64,
}

impl Shape {
    fn build(&self) -> Sequential {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let [mut channels, mut height, mut width] = self.input;
        let mut layers = Vec::new();
        for &[outputs, kernel, stride, padding, pool, relu] in &self.convolutions {
            if kernel > height + 2 * padding || kernel > width + 2 * padding {
                continue;
            }
            let layer = Conv2d::new(channels, outputs, kernel, &mut rng).unwrap();
            let layer = if outputs % 3 == 0 { layer.without_bias() } else { layer };
            layers.push(Layer::Conv2d(layer.with_stride(stride).unwrap().with_padding(padding)));
            let places = |side: usize| (side + 2 * padding - kernel) / stride + 1;
            (channels, height, width) = (outputs, places(height), places(width));
            layers.extend((relu == 1).then_some(Layer::Relu));
            if pool > 0 && pool <= height && pool <= width {
                layers.push(Layer::MaxPool2d { size: pool });
                (height, width) = (height / pool, width / pool);
            }
            layers.extend((relu == 2).then_some(Layer::Relu));
        }
        layers.push(Layer::Flatten);
        let mut inputs = channels * height * width;
        if let Some(hidden) = self.hidden {
            layers.push(Layer::Linear(Linear::new(inputs, hidden, &mut rng).unwrap()));
            layers.push(Layer::Relu);
            inputs = hidden;
        }
        layers.push(Layer::Linear(Linear::new(inputs, self.classes, &mut rng).unwrap()));
        layers.push(Layer::LogSoftmax);
        Sequential::new(layers)
    }

    fn batch(&self) -> (Vec<f32>, Vec<u32>) {
        let mut rng = ChaCha8Rng::seed_from_u64(!self.seed);
        let pixels = values(self.images * self.image(), &mut rng);
        (pixels, (0..self.images).map(|_| rng.next_u32() % self.classes as u32).collect())
    }

    fn image(&self) -> usize {
        self.input.iter().product()
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    let convolution = (1_usize..12, 1_usize..6, 1_usize..4, 0_usize..3, 0_usize..4, 0_usize..3).prop_map(
        |(outputs, kernel, stride, padding, pool, relu)| [outputs, kernel, stride, padding, pool, relu],
    );
    let sides = (1_usize..4, 5_usize..14, 5_usize..14);
    let rest = (proptest::option::of(1_usize..23), 1_usize..12, 1_usize..40, any::<u64>());
    (sides, proptest::collection::vec(convolution, 0..3), rest).prop_map(
        |((channels, height, width), convolutions, (hidden, classes, images, seed))| Shape {
            input: [channels, height, width],
            convolutions,
            hidden,
            classes,
            images,
            seed,
        },
    )
}

fn run(shape: &Shape, instructions: Instructions, threads: usize) -> (Vec<f32>, f32, Vec<f32>) {
    let mut network = Network::with_instructions(shape.input, &shape.build(), instructions).unwrap();
    network.set_threads(NonZeroUsize::new(threads).unwrap());
    let (pixels, targets) = shape.batch();
    let images = Contiguous::new(&pixels, shape.image()).unwrap();
    let mut outputs = Vec::new();
    network.forward(&images, &mut outputs).unwrap();
    let mut loss = 0.0;
    // Twice: what the first pass leaves behind must not change the second.
    for _ in 0..2 {
        loss = network.loss_and_gradient(&images, &targets).unwrap();
    }
    (outputs, loss, network.gradient().to_vec())
}

fn close(got: &[f32], expected: &[f32]) -> bool {
    let size = expected.iter().fold(1e-3_f32, |size, value| size.max(value.abs()));
    got.len() == expected.len() && got.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 2e-5 * size)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The layers under candle's own backward pass are checked against finite differences in `tests/gradients.rs`.
    #[test]
    fn agrees_with_the_layers_one_by_one(shape in shape()) {
        let layers = shape.build();
        let (pixels, targets) = shape.batch();
        let dims = (shape.images, shape.input[0], shape.input[1], shape.input[2]);
        let images = Tensor::from_slice(&pixels, dims, &Device::Cpu).unwrap();
        let expected = layers.forward(&images).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (expected_loss, gradients) = layers.loss_and_gradients(&images, &targets).unwrap();
        let gradients: Vec<f32> =
            gradients.iter().flat_map(|g| g.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect();
        let (outputs, loss, gradient) = run(&shape, Instructions::detect(), 1);
        prop_assert!(close(&outputs, &expected), "outputs");
        prop_assert!(close(&[loss], &[expected_loss.to_scalar::<f32>().unwrap()]), "loss");
        prop_assert!(close(&gradient, &gradients), "gradients: {gradient:?} {gradients:?}");
    }

    #[test]
    fn any_processor_and_any_number_of_threads_give_the_same_bits(shape in shape(), threads in 1_usize..4) {
        let (outputs, loss, gradient) = run(&shape, Instructions::detect(), 1);
        for instructions in Instructions::all() {
            let other = run(&shape, instructions, threads);
            prop_assert_eq!(bits(&other.0), bits(&outputs), "{:?}", instructions);
            prop_assert_eq!(other.1.to_bits(), loss.to_bits());
            prop_assert_eq!(bits(&other.2), bits(&gradient), "{:?}", instructions);
        }
    }
}

#[test]
fn a_batch_is_its_images_one_by_one() {
    let shape = Shape {
        input: [1, 12, 12],
        convolutions: vec![[10, 5, 1, 0, 2, 2]],
        hidden: Some(7),
        classes: 4,
        images: 37,
        seed: 5,
    };
    let mut network = Network::new(shape.input, &shape.build()).unwrap();
    let (pixels, _) = shape.batch();
    let (mut together, mut one_by_one) = (Vec::new(), Vec::new());
    network.forward(&Contiguous::new(&pixels, 144).unwrap(), &mut together).unwrap();
    for image in pixels.chunks(144) {
        network.forward(&Contiguous::new(image, 144).unwrap(), &mut one_by_one).unwrap();
    }
    assert_eq!(bits(&together), bits(&one_by_one));
}

#[test]
fn what_is_not_a_number_is_not_hidden() {
    for pool in [0, 2, 3] {
        let shape = Shape {
            input: [1, 6, 6],
            convolutions: vec![[3, 3, 1, 1, pool, 2]],
            hidden: None,
            classes: 2,
            images: 1,
            seed: 9,
        };
        let mut network = Network::new(shape.input, &shape.build()).unwrap();
        let mut pixels = vec![0.5; 36];
        pixels[7] = f32::NAN;
        let mut outputs = Vec::new();
        network.forward(&Contiguous::new(&pixels, 36).unwrap(), &mut outputs).unwrap();
        assert!(outputs.iter().all(|output| output.is_nan()), "{pool}: {outputs:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let rng = || ChaCha8Rng::seed_from_u64(1);
    let linear = |inputs| Layer::Linear(Linear::new(inputs, 3, &mut rng()).unwrap());
    let network = |layers| Network::new([1, 4, 4], &Sequential::new(layers));
    let message = |result: Result<Network>| result.err().unwrap().to_string();
    assert_eq!(
        message(network(vec![linear(16)])),
        "Linear: input must have 1 dimensions, got the shape [1, 4, 4]"
    );
    assert_eq!(
        message(network(vec![Layer::Flatten, linear(15)])),
        "Linear: the number of inputs must be 15, got 16"
    );
    assert_eq!(
        message(network(vec![Layer::MaxPool2d { size: 5 }])),
        "MaxPool2d: a 5×5 window does not fit in an image of 4×4"
    );
    assert_eq!(
        message(network(vec![Layer::Flatten, Layer::LogSoftmax, linear(16)])),
        "these layers do not make a network: log-softmax is not the last layer"
    );
    assert_eq!(
        message(network(vec![Layer::AveragePool])),
        "these layers do not make a network: a Network has no such layer, a DeviceNetwork has"
    );
    let conv = |padding| Layer::Conv2d(Conv2d::new(1, 2, 1, &mut rng()).unwrap().with_padding(padding));
    assert_eq!(
        message(network(vec![conv(usize::MAX)])),
        format!("Conv2d: the padding (at most) must be 65536, got {}", usize::MAX)
    );
    let flat = Network::new([1, 4, 0], &Sequential::new(vec![conv(1)]));
    assert!(matches!(flat.err().unwrap(), Error::Empty { argument: "input", .. }));
    let mut no_loss = network(vec![Layer::Flatten, linear(16)]).unwrap();
    let mut network = network(vec![Layer::Flatten, linear(16), Layer::LogSoftmax]).unwrap();
    let images = Contiguous::new(&[0.0; 32], 16).unwrap();
    assert!(matches!(no_loss.loss_and_gradient(&images, &[0, 1]), Err(Error::Layers { .. })));
    assert!(matches!(network.loss_and_gradient(&images, &[0]), Err(Error::Size { expected: 2, got: 1, .. })));
    assert!(matches!(network.loss_and_gradient(&images, &[0, 3]), Err(Error::Target { example: 1, .. })));
    let none = Contiguous::new(&[], 16).unwrap();
    assert!(matches!(network.loss_and_gradient(&none, &[]), Err(Error::Empty { .. })));
    let smaller = Contiguous::new(&[0.0; 16], 8).unwrap();
    assert!(matches!(
        network.loss_and_gradient(&smaller, &[0, 0]),
        Err(Error::Size { expected: 16, got: 8, .. })
    ));
    assert!(matches!(network.set_parameters(&[1.0]), Err(Error::Size { expected: 51, got: 1, .. })));
    assert!(Contiguous::new(&[0.0; 5], 2).is_err());
    // Nothing of it is lost: the network still works.
    assert!(network.loss_and_gradient(&images, &[0, 1]).is_ok());
}
