//! Images per CPU-second of the tutorial's network, and the share of the processor's peak, measured in the same run. CPU time
//! is that of the whole process, so that threads count and other work on the machine does not.
//!
//! `veilflow bench train` has the ratio to candle's own layers.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and ends at the first error"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{Criterion, SamplingMode, Throughput};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rustix::time::{ClockId, clock_gettime};
use veilflow_nn::{Contiguous, Conv2d, Layer, Linear, Network, Sequential, Sgd, multiply_and_add};

const BATCH: usize = 32;
const CLASSES: u32 = 10;
/// Multiplications and additions of one image's way there, and there and back without the images' own gradient.
const FORWARD: f64 = 2.0 * (144_000.0 + 320_000.0 + 16_000.0 + 500.0);
const STEP: f64 = 3.0 * FORWARD - 2.0 * 144_000.0;

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

/// CPU time of all threads of this process.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap())
}

/// What `work` says that it did, per CPU-second: the best of five stretches.
fn per_cpu_second(mut work: impl FnMut() -> f64) -> f64 {
    work();
    let stretch = |work: &mut dyn FnMut() -> f64| {
        let (start, mut done) = (cpu_time(), 0.0);
        while cpu_time() - start < Duration::from_millis(400) {
            done += work();
        }
        done / (cpu_time() - start).as_secs_f64()
    };
    (0..5).map(|_| stretch(&mut work)).fold(0.0, f64::max)
}

/// The wall time of two networks that train side by side, by that of one alone: the best of some turns.
fn two_by_one(layers: &Sequential, pixels: &[f32], targets: &[u32]) -> f64 {
    let train = || {
        let mut network = Network::new([1, 28, 28], layers).unwrap();
        let (images, mut sgd) = (Contiguous::new(pixels, 784).unwrap(), Sgd::new(0.0, 0.5).unwrap());
        for _ in 0..400 {
            black_box(network.loss_and_gradient(&images, targets).unwrap());
            network.update(|parameters, gradient| sgd.step(parameters, gradient)).unwrap();
        }
    };
    let wall = |networks: usize| {
        let start = Instant::now();
        std::thread::scope(|scope| (0..networks).for_each(|_| drop(scope.spawn(train))));
        start.elapsed()
    };
    let (one, two) =
        (0..8).fold((Duration::MAX, Duration::MAX), |(one, two), _| (one.min(wall(1)), two.min(wall(2))));
    two.as_secs_f64() / one.as_secs_f64()
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
    let pixels: Vec<f32> = (0..BATCH * 784).map(|_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5).collect();
    let batch = Contiguous::new(&pixels, 784).unwrap();
    let targets: Vec<u32> = (0..BATCH).map(|_| rng.next_u32() % CLASSES).collect();
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
    let peak = per_cpu_second(|| multiply_and_add(100_000) as f64);
    let rows = [
        ("train", STEP, per_cpu_second(|| images(&mut train))),
        ("evaluate", FORWARD, per_cpu_second(|| images(&mut evaluate))),
    ];
    println!("\nbatch {BATCH}; the peak is {:.0} GFLOP/s", peak / 1e9);
    for (name, operations, rate) in rows {
        println!("{name:<10} {rate:>9.0} images per CPU-second, {:.2} of the peak", rate * operations / peak);
    }
    println!(
        "two that train side by side take {:.2} × the time of one",
        two_by_one(&layers, &pixels, &targets)
    );
}

fn images(step: &mut dyn FnMut()) -> f64 {
    step();
    BATCH as f64
}
