//! Images per CPU-second of the tutorial's network, and the ratio to the same network on candle's own
//! layers, measured in the same run. CPU time is that of the whole process, so that threads count and other work on
//! the machine does not.
//!
//! candle's `max_pool2d` has a wrong backward pass; that changes what the network learns, not what a step costs.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and ends at the first error"
)]

use std::hint::black_box;
use std::time::Duration;

use candle_core::{Device, Tensor, Var};
use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, SamplingMode, Throughput};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rustix::time::{ClockId, clock_gettime};
use veilflow_nn::{Contiguous, Conv2d, Layer, Linear, Network, Sequential, Sgd};

const BATCH: usize = 32;
const CLASSES: u32 = 10;

fn network(rng: &mut impl Rng) -> Sequential {
    Sequential::new(vec![
        Layer::Conv2d(Conv2d::new(1, 10, 5, rng).unwrap()),
        Layer::MaxPool2d { size: 2 },
        Layer::Relu,
        Layer::Conv2d(Conv2d::new(10, 20, 5, rng).unwrap()),
        Layer::MaxPool2d { size: 2 },
        Layer::Relu,
        Layer::Flatten,
        Layer::Linear(Linear::new(320, 50, rng).unwrap()),
        Layer::Relu,
        Layer::Linear(Linear::new(50, 10, rng).unwrap()),
        Layer::LogSoftmax,
    ])
}

/// The same network from candle's operations, as its users write it.
fn candle_forward(parameters: &[Tensor], images: &Tensor) -> candle_core::Result<Tensor> {
    let [w1, b1, w2, b2, w3, b3, w4, b4] = parameters else { panic!("eight parameters") };
    let channels = |bias: &Tensor| bias.reshape((1, (), 1, 1));
    let x = images.conv2d(w1, 0, 1, 1, 1)?.broadcast_add(&channels(b1)?)?.max_pool2d(2)?.relu()?;
    let x = x.conv2d(w2, 0, 1, 1, 1)?.broadcast_add(&channels(b2)?)?.max_pool2d(2)?.relu()?;
    let x = x.flatten_from(1)?.matmul(&w3.t()?)?.broadcast_add(b3)?.relu()?;
    let x = x.matmul(&w4.t()?)?.broadcast_add(b4)?;
    let x = x.broadcast_sub(&x.max_keepdim(1)?)?;
    x.broadcast_sub(&x.exp()?.sum_keepdim(1)?.log()?)
}

fn candle_step(parameters: &[Var], images: &Tensor, targets: &Tensor) -> candle_core::Result<()> {
    let tensors: Vec<Tensor> = parameters.iter().map(|var| var.as_tensor().clone()).collect();
    let output = candle_forward(&tensors, images)?;
    let loss = output.gather(&targets.unsqueeze(1)?, 1)?.mean_all()?.neg()?;
    let gradients = loss.backward()?;
    for parameter in parameters {
        let gradient = gradients.get(parameter).unwrap();
        parameter.set(&(parameter.as_tensor() - (gradient * 0.01)?)?)?;
    }
    Ok(())
}

/// CPU time of all threads of this process.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap())
}

/// Images per CPU-second of `step`, which processes one batch: the best of five stretches.
fn images_per_cpu_second(mut step: impl FnMut()) -> f64 {
    step();
    let stretch = |step: &mut dyn FnMut()| {
        let (start, mut batches) = (cpu_time(), 0);
        while cpu_time() - start < Duration::from_millis(400) {
            step();
            batches += 1;
        }
        (batches * BATCH) as f64 / (cpu_time() - start).as_secs_f64()
    };
    (0..5).map(|_| stretch(&mut step)).fold(0.0, f64::max)
}

struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        cpu_time()
    }

    fn end(&self, start: Duration) -> Duration {
        cpu_time() - start
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &CpuTime
    }
}

impl ValueFormatter for CpuTime {
    fn scale_values(&self, _typical: f64, values: &mut [f64]) -> &'static str {
        values.iter_mut().for_each(|value| *value /= 1e6);
        "CPU-ms"
    }

    fn scale_throughputs(&self, _typical: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        let Throughput::Elements(images) = *throughput else { return "" };
        values.iter_mut().for_each(|value| *value = images as f64 / (*value / 1e9));
        "images/CPU-s"
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "CPU-ns"
    }
}

fn main() {
    let mut rng = ChaCha8Rng::seed_from_u64(42);
    let layers = network(&mut rng);
    let mut ours = Network::new([1, 28, 28], &layers).unwrap();
    let candle: Vec<Var> = layers
        .parameters()
        .iter()
        .map(|parameter| Var::from_tensor(&parameter.as_tensor().detach().copy().unwrap()).unwrap())
        .collect();
    let pixels: Vec<f32> = (0..BATCH * 784).map(|_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5).collect();
    let batch = Contiguous::new(&pixels, 784).unwrap();
    let images = Tensor::from_slice(&pixels, (BATCH, 1, 28, 28), &Device::Cpu).unwrap();
    let targets: Vec<u32> = (0..BATCH).map(|_| rng.next_u32() % CLASSES).collect();
    let target_tensor = Tensor::new(&targets[..], &Device::Cpu).unwrap();
    // A rate of zero: the work is the same, and the weights cannot drift into slow denormal numbers.
    let mut sgd = Sgd::new(0.0, 0.5).unwrap();

    let ours = std::cell::RefCell::new(&mut ours);
    let mut train = || {
        let mut ours = ours.borrow_mut();
        black_box(ours.loss_and_gradient(black_box(&batch), &targets).unwrap());
        ours.update(|parameters, gradient| sgd.step(parameters, gradient)).unwrap();
    };
    let mut outputs = Vec::new();
    let mut evaluate = || {
        outputs.clear();
        ours.borrow_mut().forward(black_box(&batch), &mut outputs).unwrap();
        black_box(&outputs);
    };
    let candle_train = || candle_step(&candle, black_box(&images), &target_tensor).unwrap();
    let detached: Vec<Tensor> = candle.iter().map(Var::as_detached_tensor).collect();
    let candle_evaluate = || drop(black_box(candle_forward(&detached, black_box(&images)).unwrap()));

    let mut criterion = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut group = criterion.benchmark_group("mnist_cnn");
    group.throughput(Throughput::Elements(BATCH as u64)).sampling_mode(SamplingMode::Flat);
    group.bench_function("train", |bencher| bencher.iter(&mut train));
    group.bench_function("evaluate", |bencher| bencher.iter(&mut evaluate));
    group.finish();
    criterion.final_summary();

    // Both sides are measured here, one after the other, so that the ratio holds on a busy machine, too.
    let rows = [
        ("train", images_per_cpu_second(&mut train), images_per_cpu_second(candle_train)),
        ("evaluate", images_per_cpu_second(evaluate), images_per_cpu_second(candle_evaluate)),
    ];
    println!("\nimages per CPU-second, batch {BATCH}");
    println!("{:<10} {:>12} {:>12} {:>8}", "", "veilflow-nn", "candle", "ratio");
    for (name, ours, candle) in rows {
        println!("{name:<10} {ours:>12.0} {candle:>12.0} {:>8.1}", ours / candle);
    }
}
