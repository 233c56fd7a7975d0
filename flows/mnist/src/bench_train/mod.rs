//! `veilflow bench train`: how fast models train and are evaluated.

mod mnist_cnn;
mod on_device;
mod pytorch;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use veilflow::cli::clap::{self, Args, ValueEnum};
use veilflow::cli::{Bench, Benchmark, Measured};
use veilflow::prelude::*;
use veilflow::spec::Device;

use self::pytorch::PyTorch;

/// `veilflow bench train`.
pub fn bench_train() -> Benchmark {
    Benchmark {
        name: "train",
        about: "Images a processor-second of training and evaluation, beside candle's own layers and the processor's peak",
        flags: Options::augment_args,
        measure,
    }
}

#[derive(Args, Debug)]
struct Options {
    /// What is trained
    #[arg(long, value_enum, value_name = "MODEL", default_value_t)]
    model: Model,
    /// What it computes on: cpu, cuda:0 or metal:0; images a second are measured then
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: Device,
    /// Images in a batch of resnet18 [default: 128, on the processor 8]
    #[arg(long, value_name = "N")]
    batch_size: Option<NonZeroUsize>,
    /// What PyTorch reached on this machine, as JSON (threads, batch_size, epochs), to be compared with; again for another batch size
    #[arg(long, value_name = "FILE")]
    pytorch: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Model {
    /// The tutorial's network, on its digits
    #[default]
    MnistCnn,
    /// ResNet-18, on 32×32 images of noise: one that wants a graphics card
    Resnet18,
}

fn measure(bench: &Bench) -> Result<Vec<Measured>> {
    let options: Options = bench.options()?;
    let pytorch = PyTorch::read(&options.pytorch)?;
    match (options.model, options.device) {
        (Model::MnistCnn, Device::Cpu) => mnist_cnn::measure(bench, &pytorch),
        (Model::MnistCnn, device) => on_device::mnist_cnn(bench, device),
        (Model::Resnet18, device) => on_device::resnet18(bench, device, options.batch_size),
    }
}
