//! MNIST: data, the CNN, and the flows secure_aggregation_mnist and fedavg_mnist.

mod cnn;
mod dataset;
mod error;
mod fetch;
mod idx;
mod training;

pub use cnn::{Cnn, Parameter};
pub use dataset::{CLASSES, IMAGE_PIXELS, IMAGE_SIDE, MnistData, Shard, Split};
pub use error::{Error, FetchFailure, Result};
pub use fetch::{FetchOptions, FetchProgress, Fetched, default_cache_dir, fetch_mnist};
pub use training::{OnBatch, Progress, evaluate, train_epoch};
pub use veilflow_nn::Sgd;
