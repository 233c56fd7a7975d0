//! Neural-network layers that are right and fast on a CPU, on [candle](candle_core).
//!
//! A [`Network`] is what trains: a chain of layers in `f32` that computes in blocks of sixteen images, with the processor's
//! widest vectors, on the threads that it is given and on no others.
//!
//! A [`DeviceNetwork`] of the same layers trains on a graphics card, by candle's operations; [`resnet18`] is one that wants it.
//!
//! The same layers as functions of candle's tensors ([`conv2d`], [`linear()`], …, or a [`Sequential`] of them) take `f32` and
//! `f64` and work under `Tensor::backward`. On the processor most are candle custom operations with their own forward and
//! backward pass, for three reasons. Of candle 0.11's own,
//!
//! - `max_pool2d` hands a window's maximum a quarter of its gradient (for 2×2 windows), so that a convolutional network
//!   hardly learns;
//! - the convolution spends half of its time on an input gradient that the first layer does not need;
//! - products, convolutions and, from 65,536 elements, element-wise operations run on pools of threads of their own. In a
//!   federation one process trains many participants side by side and decides itself what runs together.
//!
//! # Devices
//!
//! | feature | what it adds | what its build needs |
//! |---|---|---|
//! | `cuda` | [`cuda()`]: NVIDIA's cards | the CUDA toolkit with `nvcc` |
//! | `cudnn` | their convolutions by cuDNN | that and cuDNN |
//! | `metal` | [`metal()`]: Apple's graphics | macOS |
//! | `accelerate`, `mkl` | candle's own matrix products on the processor by Apple's or Intel's library | macOS; the network, for Intel's MKL |
//!
//! None is needed. The last two change nothing of a [`Network`], which multiplies by itself, only what you write with candle.
//!
//! # Numbers
//!
//! Sums are formed in an order that the shapes alone decide, and `exp` and `ln` are those of the `libm` package. The same
//! inputs therefore give the same bits in every run, on any number of cores, and on every processor that computes
//! IEEE 754; on a graphics card and in [`group_norm`] they are candle's. (A `Network` multiplies and adds in one rounding, the functions in two.)
//!
//! Shapes follow PyTorch: images are `[batch, channels, height, width]`, the weight of a convolution is
//! `[out, in, kernel, kernel]`, that of a linear layer `[out, in]`. So does the default
//! [initialisation](init) and the update rule of [`Sgd`].

mod activation;
mod candles;
mod convolution;
mod device;
mod device_network;
mod element;
mod error;
mod gemm;
pub mod init;
mod layer;
mod linear;
mod loss;
mod network;
mod normalization;
mod optimizer;
mod parametric;
mod pooling;
mod resnet;
mod sequential;

pub use activation::{log_softmax, relu};
pub use convolution::conv2d;
pub use device::{cuda, metal};
pub use device_network::DeviceNetwork;
pub use error::{Error, Result};
pub use layer::{Conv2d, Linear};
pub use linear::linear;
pub use loss::nll_loss;
pub use network::{Contiguous, Images, Network, multiply_and_add};
pub use normalization::{GroupNorm, group_norm};
pub use optimizer::{Adam, Schedule, Sgd};
pub use pooling::max_pool2d;
pub use resnet::resnet18;
pub use sequential::{Layer, Sequential};
