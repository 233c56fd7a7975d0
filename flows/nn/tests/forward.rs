//! Forward passes against their definitions, against candle where that is right, and errors.
#![expect(clippy::unwrap_used, reason = "a test ends at the first error")]

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use veilflow_nn::{Error, conv2d, linear, log_softmax, max_pool2d, nll_loss, relu};

fn tensor(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let count = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|_| rng.next_u32() as f64 / 2.0_f64.powi(31) - 1.0).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(got: &Tensor, expected: &Tensor) {
    assert_eq!(got.dims(), expected.dims());
    for (got, expected) in flat(got).iter().zip(flat(expected)) {
        assert!((got - expected).abs() < 1e-12, "{got} and {expected}");
    }
}

/// The definition of the convolution, one output pixel at a time.
fn naive_conv2d(input: &Tensor, weight: &Tensor, bias: &Tensor, stride: usize, padding: usize) -> Tensor {
    let (batch, channels, height, width) = input.dims4().unwrap();
    let (out, _, k, _) = weight.dims4().unwrap();
    let (x, w, b) = (flat(input), flat(weight), flat(bias));
    let places = |side: usize| (side + 2 * padding - k) / stride + 1;
    let (rows, columns) = (places(height), places(width));
    let mut y = Vec::new();
    for n in 0..batch {
        for o in 0..out {
            for row in 0..rows {
                for column in 0..columns {
                    let mut sum = b[o];
                    for c in 0..channels {
                        for i in 0..k {
                            for j in 0..k {
                                let (y, x_) = (row * stride + i, column * stride + j);
                                if y < padding
                                    || x_ < padding
                                    || y - padding >= height
                                    || x_ - padding >= width
                                {
                                    continue;
                                }
                                sum += w[((o * channels + c) * k + i) * k + j]
                                    * x[((n * channels + c) * height + y - padding) * width + x_ - padding];
                            }
                        }
                    }
                    y.push(sum);
                }
            }
        }
    }
    Tensor::from_vec(y, (batch, out, rows, columns), &Device::Cpu).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn convolution_equals_its_definition(
        batch in 0_usize..4, channels in 1_usize..4, out in 1_usize..12, k in 1_usize..6,
        extra_height in 0_usize..9, extra_width in 0_usize..9, stride in 1_usize..4, padding in 0_usize..4,
        seed: u64,
    ) {
        let input = tensor(&[batch, channels, k + extra_height, k + extra_width], seed);
        let (weight, bias) = (tensor(&[out, channels, k, k], !seed), tensor(&[out], seed ^ 1));
        let got = conv2d(&input, &weight, Some(&bias), stride, padding).unwrap();
        assert_close(&got, &naive_conv2d(&input, &weight, &bias, stride, padding));
    }

    #[test]
    fn pooling_equals_its_definition(
        batch in 0_usize..3, channels in 1_usize..4, size in 1_usize..4,
        extra_height in 0_usize..9, extra_width in 0_usize..9, seed: u64,
    ) {
        let input = tensor(&[batch, channels, size + extra_height, size + extra_width], seed);
        let got = max_pool2d(&input, size).unwrap();
        // candle's forward pass is right; it is the backward pass that is not.
        if batch > 0 {
            prop_assert_eq!(flat(&got), flat(&input.max_pool2d(size).unwrap()));
        }
        prop_assert_eq!(got.dims()[2], input.dims()[2] / size);
    }
}

#[test]
fn agrees_with_candle() {
    let (x, w, b) = (tensor(&[4, 10, 12, 12], 1), tensor(&[20, 10, 5, 5], 2), tensor(&[20], 3));
    let expected = x.conv2d(&w, 0, 1, 1, 1).unwrap();
    let expected = expected.broadcast_add(&b.reshape((1, 20, 1, 1)).unwrap()).unwrap();
    assert_close(&conv2d(&x, &w, Some(&b), 1, 0).unwrap(), &expected);

    let (x, w, b) = (tensor(&[32, 320], 4), tensor(&[50, 320], 5), tensor(&[50], 6));
    let expected = x.matmul(&w.t().unwrap()).unwrap().broadcast_add(&b).unwrap();
    assert_close(&linear(&x, &w, &b).unwrap(), &expected);
    assert_close(&relu(&x).unwrap(), &x.relu().unwrap());
}

#[test]
fn layouts_that_are_not_contiguous_are_understood() {
    let (x, w, b) = (tensor(&[7, 5], 1), tensor(&[3, 7], 2), tensor(&[3], 3));
    let transposed = x.t().unwrap();
    assert_close(
        &linear(&transposed, &w, &b).unwrap(),
        &linear(&transposed.contiguous().unwrap(), &w, &b).unwrap(),
    );
    let images = tensor(&[6, 2, 7, 7], 4);
    let part = images.narrow(0, 2, 3).unwrap();
    let (w, b) = (tensor(&[3, 2, 3, 3], 5), tensor(&[3], 6));
    assert_close(&conv2d(&part, &w, Some(&b), 1, 0).unwrap(), &naive_conv2d(&part, &w, &b, 1, 0));
}

#[test]
fn log_softmax_survives_large_scores() {
    let scores = Tensor::new(&[[1000.0_f32, 1000.0], [-1000.0, 1000.0]], &Device::Cpu).unwrap();
    let got: Vec<Vec<f32>> = log_softmax(&scores).unwrap().to_vec2().unwrap();
    assert!((got[0][0] + 2.0_f32.ln()).abs() < 1e-6);
    assert_eq!(got[1], [-2000.0, 0.0]);
}

#[test]
fn the_loss_is_the_mean_over_the_batch() {
    let log_probabilities = Tensor::new(&[[-1.0_f32, -2.0], [-3.0, -4.0]], &Device::Cpu).unwrap();
    let loss: f32 = nll_loss(&log_probabilities, &[1, 0]).unwrap().to_scalar().unwrap();
    assert_eq!(loss, 2.5);
}

#[test]
fn a_nan_is_not_hidden() {
    let input = Tensor::new(&[[[[1.0_f32, f32::NAN], [2.0, 3.0]]]], &Device::Cpu).unwrap();
    let pooled: Vec<f32> = max_pool2d(&input, 2).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert!(pooled[0].is_nan());
    let rectified: Vec<f32> = relu(&input).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    assert!(rectified[1].is_nan());
}

#[test]
fn errors_say_what_does_not_fit() {
    let message = |error: Error| error.to_string();
    let (x, w, b) = (tensor(&[1, 2, 5, 5], 1), tensor(&[3, 1, 3, 3], 2), tensor(&[3], 3));
    assert_eq!(
        message(conv2d(&x, &w, Some(&b), 1, 0).unwrap_err()),
        "conv2d: the weight's second dimension (the input's channels) must be 2, got 1"
    );
    assert!(matches!(
        conv2d(&b, &w, Some(&b), 1, 0),
        Err(Error::Rank { argument: "input", expected: 4, .. })
    ));
    assert!(matches!(
        conv2d(&x, &tensor(&[3, 2, 6, 6], 2), Some(&b), 1, 0),
        Err(Error::Window { window: 6, height: 5, width: 5, .. })
    ));
    assert!(matches!(conv2d(&x, &tensor(&[3, 2, 3, 3], 2), Some(&b), 0, 0), Err(Error::Empty { .. })));
    assert!(matches!(max_pool2d(&x, 0), Err(Error::Empty { .. })));
    assert!(matches!(max_pool2d(&x, 6), Err(Error::Window { .. })));
    assert!(matches!(linear(&tensor(&[2, 3], 1), &tensor(&[2, 4], 1), &b), Err(Error::Size { .. })));
    assert_eq!(
        message(nll_loss(&tensor(&[2, 10], 1), &[3, 10]).unwrap_err()),
        "the target of example 1 is class 10, but the model has classes 0 to 9"
    );
    assert!(matches!(nll_loss(&tensor(&[2, 10], 1), &[3]), Err(Error::Size { expected: 2, got: 1, .. })));
    let single = b.to_dtype(DType::F32).unwrap();
    assert!(matches!(conv2d(&x, &w, Some(&single), 1, 0), Err(Error::ElementType { .. })));
    assert!(matches!(relu(&b.to_dtype(DType::U8).unwrap()), Err(Error::ElementType { .. })));
}
