//! What a site does with its own digits, in either flow.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;

use crate::training::{self, Progress};
use crate::{Cnn, Error, MnistData, Sgd};

/// Images that are evaluated together, at least: enough for many threads and for a graphics card.
const EVALUATION_BATCH: usize = 1000;

/// How a site trains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyperparameters {
    /// Images in a batch.
    pub batch_size: usize,
    /// The step size of stochastic gradient descent.
    pub learning_rate: f64,
    /// Its momentum.
    pub momentum: f64,
}

impl Hyperparameters {
    /// Checks them before anything runs.
    ///
    /// # Errors
    /// If one is out of its range.
    pub fn validate(&self) -> crate::Result<()> {
        if self.batch_size == 0 {
            return Err(Error::BatchSize);
        }
        Sgd::new(self.learning_rate, self.momentum)?;
        Ok(())
    }
}

/// What a round is judged by, at one site or averaged over all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, Message, Averaged)]
pub struct Scores {
    /// The part of the test images that the round's aggregated model finds, from 0 to 1.
    pub aggregated_model: f64,
    /// The mean loss per image while training.
    pub train_loss: f64,
    /// The part of the test images that the locally trained model finds, from 0 to 1.
    pub local_model: f64,
}

/// A site's digits, and the model that it trains on them.
pub struct LocalTraining {
    data: MnistData,
    hyperparameters: Hyperparameters,
    model: Cnn,
    received: Vec<f32>,
    scores: Scores,
}

impl LocalTraining {
    /// A site that holds `data`.
    ///
    /// # Errors
    /// If memory for a model cannot be had.
    pub fn new(data: MnistData, hyperparameters: Hyperparameters) -> crate::Result<Self> {
        let scores = Scores::default();
        Ok(Self { data, hyperparameters, model: Cnn::new(0)?, received: Vec::new(), scores })
    }

    /// Takes the round's aggregated model, to where the context lets it compute.
    ///
    /// # Errors
    /// If it is not one of [`Cnn::PARAMETERS`] values, or there is no such device.
    pub fn receive(&mut self, model: &Tensor, cx: &Context) -> crate::Result<()> {
        self.model.place(cx.device(), NonZeroUsize::new(cx.cpus()).unwrap_or(NonZeroUsize::MIN))?;
        self.model.load_flat(model.values())?;
        self.received = model.values().to_vec();
        Ok(())
    }

    /// The model received, to which [`update`](Self::update) is relative.
    pub fn received(&self) -> &[f32] {
        &self.received
    }

    /// Validates the model just received.
    ///
    /// # Errors
    /// If the step is told to stop.
    pub fn validate_aggregated_model(&mut self, cx: &Context) -> Result<()> {
        self.scores.aggregated_model = self.validate(cx)?;
        Ok(())
    }

    /// Trains the model for one epoch, with an optimizer that starts anew each round.
    ///
    /// # Errors
    /// If the step is told to stop, or a hyperparameter is out of range.
    pub fn train(&mut self, cx: &Context) -> Result<()> {
        let Hyperparameters { batch_size, learning_rate, momentum } = self.hyperparameters;
        let mut sgd = Sgd::new(learning_rate, momentum)?;
        let mut report = |progress| tell(progress, cx);
        let loss =
            training::train_epoch(&mut self.model, &mut sgd, &self.data.train, batch_size, &mut report);
        self.scores.train_loss = loss.map_err(stopped)?;
        Ok(())
    }

    /// Validates the model just trained.
    ///
    /// # Errors
    /// If the step is told to stop.
    pub fn validate_local_model(&mut self, cx: &Context) -> Result<()> {
        self.scores.local_model = self.validate(cx)?;
        Ok(())
    }

    /// By how much training changed each parameter of the model that was received.
    ///
    /// # Errors
    /// If the trained model cannot be read from the device.
    pub fn update(&self) -> crate::Result<Vec<f32>> {
        let trained = self.model.to_flat()?;
        Ok(trained.iter().zip(&self.received).map(|(trained, received)| trained - received).collect())
    }

    /// The number of examples it trains on: its weight in the mean.
    pub fn examples(&self) -> u64 {
        self.data.train.len() as u64
    }

    /// The round's scores at this site.
    pub fn scores(&self) -> Scores {
        self.scores
    }

    fn validate(&mut self, cx: &Context) -> Result<f64> {
        let mut report = |progress| tell(progress, cx);
        let batch_size = self.hyperparameters.batch_size.max(EVALUATION_BATCH);
        training::evaluate(&mut self.model, &self.data.test, batch_size, &mut report).map_err(stopped)
    }
}

fn tell(progress: Progress, cx: &Context) -> ControlFlow<()> {
    cx.progress(progress.images_done as u64, progress.images as u64, "images");
    if cx.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

fn stopped(error: Error) -> StepError {
    match error {
        Error::Cancelled { .. } => StepError::with_code(StepError::CANCELLED_CODE, error),
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use veilflow::spec::{Cancellation, Device, Origin, Placement, Signal, SignalSink};

    use super::*;

    struct Nowhere;
    impl SignalSink for Nowhere {
        fn signal(&self, _: &Origin, _: Signal) {}
    }

    fn context(cpus: usize, device: Device) -> Context {
        let origin = Origin {
            participant: "Portland".into(),
            placement: Placement::Collaborator,
            step: "train".into(),
            path: "1.0".into(),
            loops: [0].into(),
        };
        Context::new(origin, 42, (cpus, device), Cancellation::new(), Arc::new(Nowhere))
    }

    #[test]
    fn it_computes_where_the_context_says_with_the_same_result_on_any_number_of_threads() {
        let results = [1, 2, 4].map(|cpus| {
            let cx = context(cpus, Device::Cpu);
            let data = MnistData::sample().unwrap().limited(Some(330), Some(90)).unwrap();
            let hyperparameters = Hyperparameters { batch_size: 100, learning_rate: 0.01, momentum: 0.5 };
            let mut training = LocalTraining::new(data, hyperparameters).unwrap();
            let model = Tensor::vector(Cnn::new(42).unwrap().to_flat().unwrap());
            training.receive(&model, &cx).unwrap();
            assert_eq!(format!("{:?}", training.model), format!("Cnn {{ threads: {cpus}, .. }}"));
            training.validate_aggregated_model(&cx).unwrap();
            training.train(&cx).unwrap();
            training.validate_local_model(&cx).unwrap();
            let update = training.update().unwrap();
            (training.scores(), update.iter().map(|value| value.to_bits()).collect::<Vec<_>>())
        });
        assert!(results.iter().all(|result| *result == results[0]));
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_site_told_to_use_a_device_that_is_not_built_in_says_so() {
        let data = MnistData::sample().unwrap().limited(Some(10), Some(10)).unwrap();
        let hyperparameters = Hyperparameters { batch_size: 10, learning_rate: 0.01, momentum: 0.5 };
        let mut training = LocalTraining::new(data, hyperparameters).unwrap();
        let model = Tensor::vector(Cnn::new(42).unwrap().to_flat().unwrap());
        let error = training.receive(&model, &context(1, Device::Cuda(0))).unwrap_err();
        assert!(error.to_string().contains("--features cuda"), "{error}");
    }
}
