//! Neural-network layers that are right and fast on a CPU, on [candle](candle_core).
//!
//! A [`Network`] is what trains: a chain of layers in `f32` that computes in blocks of sixteen images, with the processor's
//! widest vectors, on the threads that it is given and on no others.
//!
//! The same layers as functions of candle's tensors ([`conv2d`], [`linear()`], …, or a [`Sequential`] of them) take `f32` and
//! `f64` and work under `Tensor::backward`. Each is a candle custom operation with its own forward and backward pass, for
//! three reasons. Of candle 0.11's own,
//!
//! - `max_pool2d` hands a window's maximum a quarter of its gradient (for 2×2 windows), so that a convolutional network
//!   hardly learns;
//! - the convolution spends half of its time on an input gradient that the first layer does not need;
//! - products, convolutions and, from 65,536 elements, element-wise operations run on pools of threads of their own. In a
//!   federation one process trains many participants side by side and decides itself what runs together.
//!
//! # Numbers
//!
//! Sums are formed in an order that the shapes alone decide, and `exp` and `ln` are those of the `libm` package. The same
//! inputs therefore give the same bits in every run, on any number of cores, and on every processor that computes
//! IEEE 754. (A `Network` multiplies and adds in one rounding, the functions in two.)
//!
//! Shapes follow PyTorch: images are `[batch, channels, height, width]`, the weight of a convolution is
//! `[out, in, kernel, kernel]`, that of a linear layer `[out, in]`. So does the default
//! [initialisation](init) and the update rule of [`Sgd`].

mod activation;
mod convolution;
mod element;
mod error;
mod gemm;
pub mod init;
mod layer;
mod linear;
mod loss;
mod network;
mod optimizer;
mod parametric;
mod pooling;
mod sequential;

pub use activation::{log_softmax, relu};
pub use convolution::conv2d;
pub use error::{Error, Result};
pub use layer::{Conv2d, Linear};
pub use linear::linear;
pub use loss::nll_loss;
pub use network::{Contiguous, Images, Network, multiply_and_add};
pub use optimizer::{Adam, Schedule, Sgd};
pub use pooling::max_pool2d;
pub use sequential::{Layer, Sequential};
