//! The gradient of every layer against central differences, in `f64`.
//!
//! The scalar differentiated is `Σ rᵢ·layer(x)ᵢ` with fixed, different rᵢ: a plain sum would hide gradients
//! that go to the wrong element.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test ends at the first error")]

use candle_core::{DType, Device, Tensor, Var};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use veilflow_nn::{
    Conv2d, Error, GroupNorm, Layer, Linear, Sequential, conv2d, group_norm, linear, log_softmax, max_pool2d,
    nll_loss, relu,
};

/// Half of the distance between the two evaluations of a central difference.
const STEP: f64 = 1e-5;
/// The error of a central difference in `f64` is about STEP² + 1e-16/STEP, far below this.
const TOLERANCE: f64 = 1e-7;

/// `count` numbers, uniform in [-1, 1).
fn values(count: usize, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.next_u32() as f64 / 2.0_f64.powi(31) - 1.0).collect()
}

fn var(shape: &[usize], seed: u64) -> Var {
    Var::from_vec(values(shape.iter().product(), seed), shape, &Device::Cpu).unwrap()
}

fn constant(shape: &[usize], seed: u64) -> Tensor {
    Tensor::from_vec(values(shape.iter().product(), seed), shape, &Device::Cpu).unwrap()
}

/// The sum of `output`, weighted by numbers that depend on the position alone.
fn weighted_sum(output: &Tensor) -> Tensor {
    let weights = constant(output.dims(), 99);
    (output * weights).unwrap().sum_all().unwrap()
}

/// Checks the gradient of `loss` with respect to each element of each variable.
fn check(variables: &[&Var], loss: impl Fn() -> Tensor) {
    let gradients = loss().backward().unwrap();
    for (number, variable) in variables.iter().enumerate() {
        let gradient = gradients.get(variable).expect("a gradient for each variable");
        assert_eq!(gradient.dims(), variable.dims());
        let gradient: Vec<f64> = gradient.flatten_all().unwrap().to_vec1().unwrap();
        let at: Vec<f64> = variable.flatten_all().unwrap().to_vec1().unwrap();
        let evaluate = |position: usize, offset: f64| -> f64 {
            let mut moved = at.clone();
            moved[position] += offset;
            variable.set(&Tensor::from_vec(moved, variable.dims(), &Device::Cpu).unwrap()).unwrap();
            loss().to_scalar().unwrap()
        };
        for (position, got) in gradient.iter().enumerate() {
            let expected = (evaluate(position, STEP) - evaluate(position, -STEP)) / (2.0 * STEP);
            assert!(
                (got - expected).abs() < TOLERANCE,
                "variable {number}, element {position}: got {got}, central difference {expected}"
            );
        }
        variable.set(&Tensor::from_vec(at, variable.dims(), &Device::Cpu).unwrap()).unwrap();
    }
}

#[test]
fn convolution() {
    for (batch, channels, out, kernel, height, width, stride, padding) in [
        (2, 1, 3, 5, 9, 8, 1, 0),
        (3, 4, 2, 3, 6, 5, 1, 1),
        (1, 2, 6, 1, 3, 4, 2, 0),
        (2, 3, 5, 4, 4, 4, 1, 0),
        (1, 2, 2, 3, 6, 7, 2, 1),
        (1, 1, 2, 2, 5, 4, 3, 3),
    ] {
        let input = var(&[batch, channels, height, width], 1);
        let weight = var(&[out, channels, kernel, kernel], 2);
        let bias = var(&[out], 3);
        check(&[&input, &weight, &bias], || {
            weighted_sum(&conv2d(&input, &weight, Some(&bias), stride, padding).unwrap())
        });
    }
}

#[test]
fn max_pooling() {
    for (size, height, width) in [(2, 6, 8), (2, 5, 7), (3, 7, 6), (1, 3, 3)] {
        let input = var(&[2, 3, height, width], 4);
        check(&[&input], || weighted_sum(&max_pool2d(&input, size).unwrap()));
    }
}

#[test]
fn linear_layer() {
    for (batch, inputs, outputs) in [(4, 7, 3), (1, 1, 1), (6, 13, 11)] {
        let (input, weight, bias) =
            (var(&[batch, inputs], 5), var(&[outputs, inputs], 6), var(&[outputs], 7));
        check(&[&input, &weight, &bias], || weighted_sum(&linear(&input, &weight, &bias).unwrap()));
    }
}

#[test]
fn rectifier() {
    let input = var(&[3, 4, 2], 8);
    check(&[&input], || weighted_sum(&relu(&input).unwrap()));
}

#[test]
fn group_normalisation() {
    for (shape, groups) in [(&[2, 6, 3, 2][..], 3), (&[3, 4], 1), (&[1, 4, 2, 2], 4), (&[2, 2, 5], 1)] {
        let (input, weight, bias) = (var(shape, 9), var(&[shape[1]], 10), var(&[shape[1]], 11));
        let norm = || group_norm(&input, groups, &weight, &bias, 1e-3).unwrap();
        check(&[&input, &weight, &bias], || weighted_sum(&norm()));
    }
    // By the definition: weights of one and no bias leave mean 0 and variance 1 in each group of each image.
    let input = constant(&[2, 4, 3, 3], 12).to_dtype(DType::F32).unwrap();
    let normal = GroupNorm::new(2, 4).unwrap().forward(&input).unwrap();
    assert_eq!(normal.dims(), input.dims());
    for group in normal.flatten_all().unwrap().to_vec1::<f32>().unwrap().chunks(18) {
        let mean = group.iter().sum::<f32>() / 18.0;
        let variance = group.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 18.0;
        assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-3, "{mean} {variance}");
    }
    assert!(matches!(GroupNorm::new(3, 4), Err(Error::Size { expected: 6, got: 4, .. })));
    assert!(matches!(GroupNorm::new(0, 4), Err(Error::Empty { argument: "groups", .. })));
    let (five, four) = (constant(&[5], 1), constant(&[4], 1));
    let input = constant(&[2, 4, 3, 3], 12);
    assert!(matches!(group_norm(&input, 2, &five, &four, 0.0), Err(Error::Size { expected: 4, got: 5, .. })));
    assert!(matches!(group_norm(&four, 2, &four, &four, 0.0), Err(Error::Rank { argument: "input", .. })));
}

#[test]
fn a_residual_block_adds_what_its_two_ways_make() {
    let mut rng = ChaCha8Rng::seed_from_u64(22);
    let conv = |stride, rng: &mut ChaCha8Rng| {
        Layer::Conv2d(Conv2d::new(2, 2, 3, rng).unwrap().with_padding(1).with_stride(stride).unwrap())
    };
    let image = constant(&[3, 2, 4, 4], 23).to_dtype(DType::F32).unwrap();
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (body, shortcut) = (conv(2, &mut rng), conv(2, &mut rng));
    let (Layer::Conv2d(one), Layer::Conv2d(other)) = (&body, &shortcut) else { unreachable!() };
    let sum = (one.forward(&image).unwrap() + other.forward(&image).unwrap()).unwrap();
    let block = Sequential::new(vec![
        Layer::Residual { body: Sequential::new(vec![body]), shortcut: Sequential::new(vec![shortcut]) },
        Layer::AveragePool,
    ]);
    assert_eq!(block.parameters().len(), 4);
    assert_eq!(flat(&block.forward(&image).unwrap()), flat(&sum.mean((2, 3)).unwrap()));
    // Without layers on the way past it the input itself is added.
    let body = conv(1, &mut rng);
    let Layer::Conv2d(one) = &body else { unreachable!() };
    let sum = (one.forward(&image).unwrap() + &image).unwrap();
    let block =
        vec![Layer::Residual { body: Sequential::new(vec![body]), shortcut: Sequential::new(Vec::new()) }];
    assert_eq!(flat(&Sequential::new(block).forward(&image).unwrap()), flat(&sum));
    assert!(matches!(
        Sequential::new(vec![Layer::AveragePool]).forward(&constant(&[2, 2], 1)),
        Err(Error::Rank { expected: 4, .. })
    ));
}

#[test]
fn softmax_and_loss() {
    let input = var(&[5, 10], 9);
    check(&[&input], || weighted_sum(&log_softmax(&input).unwrap()));
    check(&[&input], || nll_loss(&input, &[0, 9, 3, 3, 7]).unwrap());
    check(&[&input], || nll_loss(&log_softmax(&input).unwrap(), &[0, 9, 3, 3, 7]).unwrap());
}

#[test]
fn the_whole_network() {
    let image = constant(&[2, 1, 12, 12], 10);
    let (w1, b1) = (var(&[3, 1, 5, 5], 11), var(&[3], 12));
    let (w2, b2) = (var(&[4, 3, 3, 3], 13), var(&[4], 14));
    let (w3, b3) = (var(&[10, 4], 15), var(&[10], 16));
    let loss = || {
        let x = relu(&max_pool2d(&conv2d(&image, &w1, Some(&b1), 1, 0).unwrap(), 2).unwrap()).unwrap();
        let x = relu(&max_pool2d(&conv2d(&x, &w2, Some(&b2), 1, 0).unwrap(), 2).unwrap()).unwrap();
        let x = linear(&x.flatten_from(1).unwrap(), &w3, &b3).unwrap();
        nll_loss(&log_softmax(&x).unwrap(), &[4, 1]).unwrap()
    };
    check(&[&w1, &b1, &w2, &b2, &w3, &b3], loss);
}

#[test]
fn a_window_s_gradient_goes_to_its_maximum_alone() {
    // One unique maximum, one tie of all four, and a column that no window covers.
    let pixels = vec![1.0, 2.0, 5.0, 5.0, 0.0, 4.0, 3.0, 5.0, 5.0, 0.0];
    let input = Var::from_vec(pixels, (1, 1, 2, 5), &Device::Cpu).unwrap();
    let gradients = max_pool2d(&input, 2).unwrap().sum_all().unwrap().backward().unwrap();
    let gradient: Vec<f64> = gradients.get(&input).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(gradient, [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn an_input_that_depends_on_no_variable_gets_no_gradient() {
    let (image, weight, bias) = (constant(&[1, 1, 4, 4], 1), var(&[2, 1, 3, 3], 2), var(&[2], 3));
    let gradients =
        conv2d(&image, &weight, Some(&bias), 1, 0).unwrap().sum_all().unwrap().backward().unwrap();
    assert!(gradients.get(&image).is_none());
    assert!(gradients.get(&weight).is_some());
}

#[test]
fn single_precision_agrees_with_double() {
    let run = |dtype: DType| -> Vec<f64> {
        let cast = |t: Tensor| t.to_dtype(dtype).unwrap();
        let weight = Var::from_tensor(&cast(constant(&[10, 2, 5, 5], 2))).unwrap();
        let bias = cast(constant(&[10], 3));
        let output = conv2d(&cast(constant(&[4, 2, 12, 12], 1)), &weight, Some(&bias), 1, 0).unwrap();
        let gradients =
            relu(&max_pool2d(&output, 2).unwrap()).unwrap().sum_all().unwrap().backward().unwrap();
        let gradient = gradients.get(&weight).unwrap().to_dtype(DType::F64).unwrap();
        gradient.flatten_all().unwrap().to_vec1().unwrap()
    };
    for (single, double) in run(DType::F32).iter().zip(run(DType::F64)) {
        assert!((single - double).abs() < 1e-4 * double.abs().max(1.0), "{single} and {double}");
    }
}

#[test]
fn a_sequential_network_has_the_gradients_that_candle_s_walk_finds() {
    let mut rng = ChaCha8Rng::seed_from_u64(20);
    let (conv, fc) = (Conv2d::new(2, 3, 3, &mut rng).unwrap(), Linear::new(12, 10, &mut rng).unwrap());
    let image = constant(&[4, 2, 6, 6], 21).to_dtype(DType::F32).unwrap();
    let targets = [1, 0, 9, 5];

    let x = relu(&max_pool2d(&conv.forward(&image).unwrap(), 2).unwrap()).unwrap();
    let x = log_softmax(&fc.forward(&x.flatten_from(1).unwrap()).unwrap()).unwrap();
    let expected_loss = nll_loss(&x, &targets).unwrap();
    let expected = expected_loss.backward().unwrap();

    let network = Sequential::new(vec![
        Layer::Conv2d(conv),
        Layer::MaxPool2d { size: 2 },
        Layer::Relu,
        Layer::Flatten,
        Layer::Linear(fc),
        Layer::LogSoftmax,
    ]);
    let (loss, gradients) = network.loss_and_gradients(&image, &targets).unwrap();
    assert_eq!(loss.to_scalar::<f32>().unwrap(), expected_loss.to_scalar::<f32>().unwrap());
    assert_eq!(gradients.len(), 4);
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (parameter, gradient) in network.parameters().iter().zip(&gradients) {
        assert_eq!(flat(gradient), flat(expected.get(parameter).unwrap()));
        assert_eq!(gradient.dims(), parameter.dims());
    }
    assert_eq!(flat(&network.forward(&image).unwrap()), flat(&x));
}
