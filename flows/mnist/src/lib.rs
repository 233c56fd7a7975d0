//! MNIST: data, the CNN, and the flows secure_aggregation_mnist and fedavg_mnist.

mod apps;
mod bench_train;
mod cnn;
mod dataset;
mod device;
mod error;
pub mod fedavg_mnist;
mod fetch;
mod idx;
mod local_training;
mod report;
pub mod secure_aggregation_mnist;
mod training;

pub use apps::{FedavgMnist, SecaggMnist, dataset};
pub use bench_train::bench_train;
pub use cnn::{Cnn, Parameter};
pub use dataset::{CLASSES, IMAGE_PIXELS, IMAGE_SIDE, MnistData, Shard, Split};
pub use error::{Error, FetchFailure, Result};
pub use fetch::{FetchOptions, FetchProgress, Fetched, default_cache_dir, fetch_mnist};
pub use local_training::{Hyperparameters, LocalTraining, Scores};
pub use report::TrainedModel;
pub use training::{OnBatch, Progress, evaluate, train_epoch};
pub use veilflow_nn::Sgd;
