//! Images per processor-second of the tutorial's network, beside the same network from candle's own operations, as its users
//! write it, and beside PyTorch's where that is known.
//!
//! candle's `max_pool2d` has a wrong backward pass; that changes what its network learns, not what a step costs.

use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor, Var};
use veilflow::cli::{Bench, Measured};
use veilflow::prelude::*;
use veilflow_nn::multiply_and_add;

use super::pytorch::PyTorch;
use crate::dataset::{Batch, IMAGE_SIDE};
use crate::fedavg_mnist::{Server, Site, fedavg_mnist};
use crate::{Cnn, Hyperparameters, LocalTraining, MnistData, Sgd};

/// How long each measurement takes at the least, and how many there are, of which the best counts: a shared machine
/// slows some.
const STRETCH: Duration = Duration::from_millis(300);
const STRETCHES: usize = 5;

/// Multiplications and additions that one image takes: there, and there and back, as `2 · multiplications` (the input
/// gradient of the first convolution is not needed).
const FORWARD: f64 = 2.0 * (24.0 * 24.0 * 250.0 + 64.0 * 5000.0 + 16_000.0 + 500.0);
const STEP: f64 = FORWARD + 2.0 * (24.0 * 24.0 * 250.0 + 2.0 * (64.0 * 5000.0 + 16_000.0 + 500.0));

pub(super) fn measure(bench: &Bench, pytorch: &PyTorch) -> Result<Vec<Measured>> {
    let data = MnistData::sample()?;
    let train = |size| data.train.batch(0..size);
    bench.note("the processor's peak");
    let peak = rate(bench, || Ok(multiply_and_add(100_000) as f64))? / 1e9;
    bench.note("Veilflow");
    let [train32, train128] = [ours_train(bench, &train(32))?, ours_train(bench, &train(128))?];
    let [eval32, eval1000] = [ours_eval(bench, &train(32))?, ours_eval(bench, &train(1000))?];
    bench.note("two collaborators at once");
    let two_by_one = two_by_one(&data)?;
    bench.note("candle");
    let [stock_train32, stock_train128] = [stock_train(bench, &train(32))?, stock_train(bench, &train(128))?];
    let [stock_eval32, stock_eval1000] = [stock_eval(bench, &train(32))?, stock_eval(bench, &train(1000))?];
    let rows = [
        ("train_b32_img_per_cpu_s", "training, batch 32, images a CPU-second", train32),
        ("train_b128_img_per_cpu_s", "training, batch 128", train128),
        ("eval_b32_img_per_cpu_s", "evaluation, batch 32", eval32),
        ("eval_b1000_img_per_cpu_s", "evaluation, batch 1,000", eval1000),
        ("stock_train_b32_img_per_cpu_s", "candle: training, batch 32", stock_train32),
        ("stock_train_b128_img_per_cpu_s", "candle: training, batch 128", stock_train128),
        ("stock_eval_b32_img_per_cpu_s", "candle: evaluation, batch 32", stock_eval32),
        ("stock_eval_b1000_img_per_cpu_s", "candle: evaluation, batch 1,000", stock_eval1000),
        ("two_collaborators_time_ratio", "a round of two collaborators at once, by that of one", two_by_one),
        ("train_b32_ratio", "training, batch 32, by candle's", train32 / stock_train32),
        ("eval_b32_ratio", "evaluation, batch 32, by candle's", eval32 / stock_eval32),
        ("peak_gflops", "the processor's peak, one thread, GFLOP/s", peak),
        ("train_b32_part_of_peak", "training, batch 32, part of the peak", train32 * STEP / 1e9 / peak),
        ("eval_b32_part_of_peak", "evaluation, batch 32, part of the peak", eval32 * FORWARD / 1e9 / peak),
    ];
    let beside = [
        (
            ("pytorch_train_b32_img_per_cpu_s", "PyTorch: training, batch 32"),
            ("train_b32_pytorch_ratio", "training, batch 32, by PyTorch's"),
            (train32, pytorch.train_b32),
        ),
        (
            ("pytorch_train_b128_img_per_cpu_s", "PyTorch: training, batch 128"),
            ("train_b128_pytorch_ratio", "training, batch 128, by PyTorch's"),
            (train128, pytorch.train_b128),
        ),
        (
            ("pytorch_eval_b32_img_per_cpu_s", "PyTorch: evaluation, batch 32"),
            ("eval_b32_pytorch_ratio", "evaluation, batch 32, by PyTorch's"),
            (eval32, pytorch.eval_b32),
        ),
        (
            ("pytorch_eval_b1000_img_per_cpu_s", "PyTorch: evaluation, batch 1,000"),
            ("eval_b1000_pytorch_ratio", "evaluation, batch 1,000, by PyTorch's"),
            (eval1000, pytorch.eval_b1000),
        ),
    ];
    let beside = beside.into_iter().filter_map(|((key, what), (ratio_key, ratio_what), (ours, theirs))| {
        let theirs = theirs?;
        Some([(key, what, theirs), (ratio_key, ratio_what, ours / theirs)])
    });
    let rows = rows.into_iter().chain(beside.flatten());
    Ok(rows.map(|(key, what, value)| Measured { key, what, value }).collect())
}

/// The time of a round of two collaborators side by side, by the time of a round of one of them alone: 1 where each has a
/// processor of its own and they share nothing else.
fn two_by_one(data: &MnistData) -> Result<f64> {
    let round = |sites: usize| {
        let mut runtime =
            LocalRuntime::new().threads(sites).aggregator(Server::new(Cnn::new(42)?.to_flat()?));
        let hyperparameters = Hyperparameters { batch_size: 32, learning_rate: 0.01, momentum: 0.5 };
        for site in 0..sites {
            let training = LocalTraining::new(data.shard(site, 2)?, hyperparameters)?;
            runtime = runtime.collaborator(format!("site-{site}"), Site::new(training));
        }
        let start = Instant::now();
        runtime.run(&fedavg_mnist(), 1)?;
        Ok::<_, StepError>(start.elapsed())
    };
    let (mut one, mut two) = (Duration::MAX, Duration::MAX);
    // In turns, so that what else the machine does meets both.
    for _ in 0..2 * STRETCHES {
        one = one.min(round(1)?);
        two = two.min(round(2)?);
    }
    Ok(two.as_secs_f64() / one.as_secs_f64())
}

/// What `work` says that it did, per processor-second.
fn rate(bench: &Bench, mut work: impl FnMut() -> Result<f64>) -> Result<f64> {
    work()?;
    let mut best = 0.0_f64;
    for _ in 0..STRETCHES {
        let (start, mut done) = (bench.cpu(), 0.0);
        while bench.cpu() - start < STRETCH {
            done += work()?;
        }
        best = best.max(done / (bench.cpu() - start).as_secs_f64());
    }
    Ok(best)
}

fn ours_train(bench: &Bench, batch: &Batch<'_>) -> Result<f64> {
    // A rate of zero: the work is the same, and the weights cannot drift into slow denormal numbers.
    let (mut model, mut sgd) = (Cnn::new(42)?, Sgd::new(0.0, 0.5)?);
    let labels: Vec<u32> = batch.labels().collect();
    rate(bench, || {
        model.train_batch(&mut sgd, batch, &labels)?;
        Ok(labels.len() as f64)
    })
}

fn ours_eval(bench: &Bench, batch: &Batch<'_>) -> Result<f64> {
    let (mut model, mut scores) = (Cnn::new(42)?, Vec::new());
    rate(bench, || {
        scores.clear();
        model.log_probabilities(batch, &mut scores)?;
        Ok(batch.labels().count() as f64)
    })
}

fn stock_train(bench: &Bench, batch: &Batch<'_>) -> Result<f64> {
    let (parameters, images, targets) = stock(batch)?;
    rate(bench, || Ok(stock_step(&parameters, &images, &targets).map(|()| targets.elem_count() as f64)?))
}

fn stock_eval(bench: &Bench, batch: &Batch<'_>) -> Result<f64> {
    let (parameters, images, targets) = stock(batch)?;
    let detached: Vec<Tensor> = parameters.iter().map(Var::as_detached_tensor).collect();
    rate(bench, || Ok(stock_forward(&detached, &images).map(|_| targets.elem_count() as f64)?))
}

fn stock(batch: &Batch<'_>) -> Result<(Vec<Var>, Tensor, Tensor)> {
    use veilflow_nn::Images as _;

    let tensor = |parameter: crate::Parameter| Var::from_vec(parameter.data, parameter.shape, &Device::Cpu);
    let parameters = Cnn::new(42)?.parameters()?.into_iter().map(tensor).collect::<Result<_, _>>()?;
    let labels: Vec<u32> = batch.labels().collect();
    let pixels: Vec<f32> = (0..labels.len()).flat_map(|number| batch.image(number)).copied().collect();
    let images = Tensor::from_vec(pixels, (labels.len(), 1, IMAGE_SIDE, IMAGE_SIDE), &Device::Cpu)?;
    let targets = Tensor::new(&labels[..], &Device::Cpu)?.to_dtype(DType::U32)?;
    Ok((parameters, images, targets))
}

fn stock_forward(parameters: &[Tensor], images: &Tensor) -> candle_core::Result<Tensor> {
    let [w1, b1, w2, b2, w3, b3, w4, b4] = parameters else {
        candle_core::bail!("the network has eight parameters")
    };
    let channels = |bias: &Tensor| bias.reshape((1, (), 1, 1));
    let x = images.conv2d(w1, 0, 1, 1, 1)?.broadcast_add(&channels(b1)?)?.max_pool2d(2)?.relu()?;
    let x = x.conv2d(w2, 0, 1, 1, 1)?.broadcast_add(&channels(b2)?)?.max_pool2d(2)?.relu()?;
    let x = x.flatten_from(1)?.matmul(&w3.t()?)?.broadcast_add(b3)?.relu()?;
    let x = x.matmul(&w4.t()?)?.broadcast_add(b4)?;
    let x = x.broadcast_sub(&x.max_keepdim(1)?)?;
    x.broadcast_sub(&x.exp()?.sum_keepdim(1)?.log()?)
}

fn stock_step(parameters: &[Var], images: &Tensor, targets: &Tensor) -> candle_core::Result<()> {
    let tensors: Vec<Tensor> = parameters.iter().map(|var| var.as_tensor().clone()).collect();
    let output = stock_forward(&tensors, images)?;
    let loss = output.gather(&targets.unsqueeze(1)?, 1)?.mean_all()?.neg()?;
    let gradients = loss.backward()?;
    for parameter in parameters {
        if let Some(gradient) = gradients.get(parameter) {
            parameter.set(&(parameter.as_tensor() - (gradient * 0.01)?)?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is compared is one network: candle's gives the same scores.
    #[test]
    fn candle_s_network_is_the_same() {
        let data = MnistData::sample().unwrap();
        let batch = data.train.batch(0..20);
        let mut scores = Vec::new();
        Cnn::new(42).unwrap().log_probabilities(&batch, &mut scores).unwrap();
        let (parameters, images, targets) = stock(&batch).unwrap();
        let detached: Vec<Tensor> = parameters.iter().map(Var::as_detached_tensor).collect();
        let stock: Vec<f32> =
            stock_forward(&detached, &images).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(scores.len(), stock.len());
        assert!(scores.iter().zip(&stock).all(|(a, b)| (a - b).abs() < 1e-4));
        stock_step(&parameters, &images, &targets).unwrap();
    }
}
