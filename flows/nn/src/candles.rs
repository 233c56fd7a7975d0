//! The layers from candle's own operations, which compute on any device: what runs where ours do not.
//!
//! They give the same numbers but for rounding, and the same gradients. Of candle 0.11's operations two are left out, since
//! their way back is another than PyTorch's: `max_pool2d`, which hands a maximum a part of its gradient only, and `relu`,
//! which lets the gradient of zero pass. What does not fit is refused by those who call.

use candle_core::{Device, Result, Tensor};

/// Whose operations compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operations {
    /// Those of this crate, on the processor.
    Ours,
    /// Those of this module.
    Candles,
}

impl Operations {
    /// What computes on a device.
    pub(crate) fn on(device: &Device) -> Self {
        if device.is_cpu() { Self::Ours } else { Self::Candles }
    }
}

pub(crate) fn conv2d(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: usize,
    padding: usize,
) -> Result<Tensor> {
    let (_, _, height, width) = input.dims4()?;
    let kernel = weight.dim(2)?;
    // What the last place leaves over of a side.
    let rest = |side: usize| (side + 2 * padding - kernel) % stride;
    let output = if rest(height) == rest(width) {
        input.conv2d(weight, padding, stride, 1, 1)?
    } else {
        // candle takes the columns' rest for that of the rows, and its way back fails: so nothing is left over.
        let padded = input.pad_with_zeros(2, padding, padding)?.pad_with_zeros(3, padding, padding)?;
        let (rows, columns) = (padded.dim(2)? - rest(height), padded.dim(3)? - rest(width));
        padded.narrow(2, 0, rows)?.narrow(3, 0, columns)?.conv2d(weight, 0, stride, 1, 1)?
    };
    match bias {
        Some(bias) => output.broadcast_add(&bias.reshape((1, (), 1, 1))?),
        None => Ok(output),
    }
}

pub(crate) fn linear(input: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    input.matmul(&weight.t()?)?.broadcast_add(bias)
}

/// Each window in a row, and from each row its maximum. Which of several equal ones it is, is the device's choice.
pub(crate) fn max_pool2d(input: &Tensor, size: usize) -> Result<Tensor> {
    let (batch, channels, height, width) = input.dims4()?;
    let (rows, columns) = (height / size, width / size);
    let covered = input.narrow(2, 0, rows * size)?.narrow(3, 0, columns * size)?.contiguous()?;
    let windows = covered.reshape((batch * channels, rows, size, columns, size))?.transpose(2, 3)?;
    let windows = windows.contiguous()?.reshape((batch * channels * rows * columns, size * size))?;
    let winners = windows.detach().argmax_keepdim(1)?;
    windows.gather(&winners, 1)?.reshape((batch, channels, rows, columns))
}

pub(crate) fn relu(input: &Tensor) -> Result<Tensor> {
    let zero = input.zeros_like()?;
    // "Not positive" instead would make zero of what is not a number.
    input.le(&zero)?.where_cond(&zero, input)
}

pub(crate) fn log_softmax(input: &Tensor) -> Result<Tensor> {
    let scores = input.broadcast_sub(&input.detach().max_keepdim(1)?)?;
    scores.broadcast_sub(&scores.exp()?.sum_keepdim(1)?.log()?)
}

pub(crate) fn nll_loss(log_probabilities: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let targets = Tensor::from_slice(targets, (targets.len(), 1), log_probabilities.device())?;
    log_probabilities.gather(&targets, 1)?.mean_all()?.neg()
}

#[cfg(test)]
mod tests {
    use candle_core::Var;
    use proptest::prelude::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;

    fn var(shape: &[usize], seed: u64) -> Var {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = shape.iter().product();
        let values: Vec<f64> =
            (0..count).map(|_| f64::from(rng.next_u32()) / 2.0_f64.powi(31) - 1.0).collect();
        Var::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn flat(tensor: &Tensor) -> Vec<f64> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Our operation and candle's give the same output, and the same gradient of each variable. Ours is held against central
    /// differences in `tests/gradients.rs`.
    fn same(variables: &[&Var], ours: &Tensor, candles: &Tensor) {
        assert_eq!(ours.dims(), candles.dims());
        let weights = if ours.dims().is_empty() {
            ours.ones_like().unwrap()
        } else {
            var(ours.dims(), 99).as_detached_tensor()
        };
        let gradients = |output: &Tensor| (output * &weights).unwrap().sum_all().unwrap().backward().unwrap();
        let (of_ours, of_candles) = (gradients(ours), gradients(candles));
        let close = |a: &Tensor, b: &Tensor| {
            assert_eq!(a.dims(), b.dims());
            for (a, b) in flat(a).iter().zip(flat(b)) {
                assert!((a - b).abs() < 1e-12, "{a} and {b}");
            }
        };
        close(ours, candles);
        for variable in variables {
            close(of_ours.get(variable).unwrap(), of_candles.get(variable).unwrap());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn convolutions_agree(
            batch in 1_usize..4, channels in 1_usize..4, out in 1_usize..6, k in 1_usize..5,
            extra_height in 0_usize..7, extra_width in 0_usize..7, stride in 1_usize..4, padding in 0_usize..3,
            has_bias: bool, seed: u64,
        ) {
            let input = var(&[batch, channels, k + extra_height, k + extra_width], seed);
            let (weight, bias) = (var(&[out, channels, k, k], !seed), var(&[out], seed ^ 1));
            let given = has_bias.then_some(bias.as_tensor());
            let ours = crate::conv2d(&input, &weight, given, stride, padding).unwrap();
            let candles = conv2d(&input, &weight, given, stride, padding).unwrap();
            let variables: &[&Var] = if has_bias { &[&input, &weight, &bias] } else { &[&input, &weight] };
            same(variables, &ours, &candles);
        }

        #[test]
        fn pooling_agrees(
            batch in 1_usize..3, channels in 1_usize..4, size in 1_usize..4,
            extra_height in 0_usize..7, extra_width in 0_usize..7, seed: u64,
        ) {
            let input = var(&[batch, channels, size + extra_height, size + extra_width], seed);
            same(&[&input], &crate::max_pool2d(&input, size).unwrap(), &max_pool2d(&input, size).unwrap());
        }
    }

    #[test]
    fn the_other_operations_agree() {
        let (input, weight, bias) = (var(&[6, 13], 1), var(&[11, 13], 2), var(&[11], 3));
        let ours = crate::linear(&input, &weight, &bias).unwrap();
        same(&[&input, &weight, &bias], &ours, &linear(&input, &weight, &bias).unwrap());
        // Equal maxima, and zeros at which the gradient of ReLU has to be zero.
        let ties =
            Var::from_vec(vec![0.0, 0.0, 5.0, 5.0, 0.0, 0.0, 5.0, -1.0], (1, 1, 2, 4), &Device::Cpu).unwrap();
        same(&[&ties], &crate::max_pool2d(&ties, 2).unwrap(), &max_pool2d(&ties, 2).unwrap());
        same(&[&ties], &crate::relu(&ties).unwrap(), &relu(&ties).unwrap());
        same(&[&input], &crate::log_softmax(&input).unwrap(), &log_softmax(&input).unwrap());
        let targets = [0, 12, 3, 3, 7, 1];
        same(&[&input], &crate::nll_loss(&input, &targets).unwrap(), &nll_loss(&input, &targets).unwrap());
        let nan = Tensor::new(&[f64::NAN, -1.0], &Device::Cpu).unwrap();
        assert!(flat(&relu(&nan).unwrap())[0].is_nan());
    }
}
