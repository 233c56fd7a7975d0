//! Images a second of one device, whatever it is.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use veilflow::cli::{Bench, Measured};
use veilflow::prelude::*;
use veilflow::spec::Device;
use veilflow_nn::{Contiguous, DeviceNetwork, Sgd, resnet18 as layers};

use crate::{Cnn, MnistData, device};

/// How long each measurement takes at the least, and how many there are, of which the best counts.
const STRETCH: Duration = Duration::from_millis(500);
const STRETCHES: usize = 3;

/// Channels, height and width of the images of ResNet-18, and its classes, as in CIFAR-10.
const INPUT: [usize; 3] = [3, 32, 32];
const CLASSES: usize = 10;

/// The tutorial's network as the flows run it: batches are copied to the device, and each loss is read.
pub(super) fn mnist_cnn(bench: &Bench, device: Device) -> Result<Vec<Measured>> {
    let data = MnistData::sample()?;
    let mut model = Cnn::new(42)?;
    model.place(device, NonZeroUsize::MIN)?;
    // A rate of zero: the work is the same, and the weights cannot drift into slow denormal numbers.
    let mut sgd = Sgd::new(0.0, 0.5)?;
    let mut measured = Vec::new();
    for (key, what, size) in [
        ("train_b32_img_per_s", "training, batch 32, images a second", 32),
        ("train_b128_img_per_s", "training, batch 128", 128),
    ] {
        bench.note(what);
        let batch = data.train.batch(0..size);
        let labels: Vec<u32> = batch.labels().collect();
        let value = rate(size, || Ok(model.train_batch(&mut sgd, &batch, &labels).map(drop)?), || Ok(()))?;
        measured.push(Measured { key, what, value });
    }
    for (key, what, size) in [
        ("eval_b32_img_per_s", "evaluation, batch 32", 32),
        ("eval_b1000_img_per_s", "evaluation, batch 1,000", 1000),
    ] {
        bench.note(what);
        let (batch, mut scores) = (data.train.batch(0..size), Vec::new());
        let work = || {
            scores.clear();
            Ok(model.log_probabilities(&batch, &mut scores)?)
        };
        measured.push(Measured { key, what, value: rate(size, work, || Ok(()))? });
    }
    Ok(measured)
}

/// ResNet-18 on images of noise, which cost what any cost.
pub(super) fn resnet18(
    bench: &Bench,
    device: Device,
    batch_size: Option<NonZeroUsize>,
) -> Result<Vec<Measured>> {
    let size = batch_size.map_or(if device == Device::Cpu { 8 } else { 128 }, NonZeroUsize::get);
    let mut rng = ChaCha8Rng::seed_from_u64(42);
    let [channels, ..] = INPUT;
    let layers = layers(channels, CLASSES, &mut rng)?;
    let mut network = DeviceNetwork::new(INPUT, &layers, &device::open(device)?)?;
    let image: usize = INPUT.iter().product();
    let pixels: Vec<f32> = (0..size * image).map(|_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5).collect();
    let images = Contiguous::new(&pixels, image)?;
    let targets: Vec<u32> = (0..size).map(|_| rng.next_u32() % CLASSES as u32).collect();
    let mut sgd = Sgd::new(0.0, 0.9)?.with_weight_decay(5e-4)?;

    bench.note("ResNet-18: training");
    // No loss is read: a graphics card goes on with the next step meanwhile, and is waited for at the end.
    let network = std::cell::RefCell::new(&mut network);
    let work = || Ok(network.borrow_mut().train(&mut sgd, &images, &targets).map(drop)?);
    let train = rate(size, work, || Ok(network.borrow().synchronize()?))?;
    bench.note("ResNet-18: evaluation");
    let mut outputs = Vec::new();
    let work = || {
        outputs.clear();
        Ok(network.borrow_mut().forward(&images, &mut outputs)?)
    };
    let eval = rate(size, work, || Ok(()))?;
    let rows = [
        ("resnet18_batch_size", "ResNet-18: images in a batch", size as f64),
        ("resnet18_train_img_per_s", "ResNet-18: training, images a second", train),
        ("resnet18_eval_img_per_s", "ResNet-18: evaluation", eval),
    ];
    Ok(rows.map(|(key, what, value)| Measured { key, what, value }).to_vec())
}

/// Images a second of a `step` on so many, once `finish` has waited for the last.
fn rate(images: usize, mut step: impl FnMut() -> Result<()>, finish: impl Fn() -> Result<()>) -> Result<f64> {
    step()?;
    finish()?;
    let mut best = 0.0_f64;
    for _ in 0..STRETCHES {
        let (start, mut done) = (Instant::now(), 0);
        while start.elapsed() < STRETCH {
            step()?;
            done += images;
        }
        finish()?;
        best = best.max(done as f64 / start.elapsed().as_secs_f64());
    }
    Ok(best)
}
