//! Federated averaging: with `.join(..)`, where the aggregator sees each site's update and scores, and with
//! `.secure_join(..)`, where it sees their sum.
//!
//! Both train as [`secure_aggregation_mnist`](crate::secure_aggregation_mnist) does, which has the protocol written out
//! step by step.

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;

use crate::report::add_row;
use crate::{Cnn, LocalTraining, Scores, TrainedModel};

/// The aggregator's state.
pub struct Server {
    model: Vec<f32>,
    rounds: u32,
    results: Vec<Scores>,
}

/// What a site gives away after training.
#[derive(Clone, Debug, Serialize, Deserialize, Message, SecureSum)]
pub struct Update {
    /// By how much training changed each parameter.
    #[secure_sum(shape = [Cnn::PARAMETERS])]
    pub change: Tensor,
    /// The number of examples: the site's weight in the mean.
    #[secure_sum(weight)]
    pub examples: u64,
    /// The site's scores.
    pub scores: Scores,
}

/// Everything that it has.
impl Checkpoint for Server {
    type Saved = (Tensor, u32, Vec<Scores>);

    fn save(&self) -> Option<Self::Saved> {
        Some((Tensor::vector(self.model.clone()), self.rounds, self.results.clone()))
    }

    fn restore(&mut self, (model, rounds, results): Self::Saved) -> Result<()> {
        *self = Self { model: model.into_values(), rounds, results };
        Ok(())
    }
}

/// A collaborator: what it holds stays where it is.
pub struct Site(LocalTraining);

impl Server {
    /// An aggregator that starts from `model`.
    pub fn new(model: Vec<f32>) -> Self {
        Self { model, rounds: 0, results: Vec::new() }
    }

    fn start(&mut self, rounds: u32, _cx: &Context) -> Result<Foreach<Tensor>> {
        self.rounds = rounds;
        Ok(Foreach::all(Tensor::vector(self.model.clone())))
    }

    fn join(&mut self, updates: Inputs<Update>, cx: &Context) -> Result<Loop<Foreach<Tensor>, TrainedModel>> {
        let total: u64 = updates.values().map(|update| update.examples).sum();
        let mean = |pick: &dyn Fn(&Update) -> f64| {
            let weighted = updates.values().map(|update| update.examples as f64 * pick(update));
            weighted.sum::<f64>() / total as f64
        };
        let scores = Scores {
            aggregated_model: mean(&|update| update.scores.aggregated_model),
            train_loss: mean(&|update| update.scores.train_loss),
            local_model: mean(&|update| update.scores.local_model),
        };
        let mut change = vec![0.0_f64; self.model.len()];
        for update in updates.values() {
            let part = update.examples as f64 / total as f64;
            for (sum, value) in change.iter_mut().zip(update.change.values()) {
                *sum += part * f64::from(*value);
            }
        }
        let change: Vec<f32> = change.into_iter().map(|change| change as f32).collect();
        self.next_round(&change, scores, cx)
    }

    fn join_sum(&mut self, sum: Sum<Update>, cx: &Context) -> Result<Loop<Foreach<Tensor>, TrainedModel>> {
        let mean = sum.into_mean();
        self.next_round(mean.change.values(), mean.scores, cx)
    }

    fn next_round(
        &mut self,
        change: &[f32],
        scores: Scores,
        cx: &Context,
    ) -> Result<Loop<Foreach<Tensor>, TrainedModel>> {
        for (parameter, change) in self.model.iter_mut().zip(change) {
            *parameter += change;
        }
        add_row(&scores, cx);
        self.results.push(scores);
        if cx.round() + 1 < self.rounds {
            return Ok(Loop::Again(Foreach::all(Tensor::vector(self.model.clone()))));
        }
        Ok(Loop::Done(TrainedModel::new(&self.model, std::mem::take(&mut self.results))?))
    }
}

impl Site {
    /// A site that trains on its own digits.
    pub fn new(training: LocalTraining) -> Self {
        Self(training)
    }

    fn aggregated_model_validation(&mut self, model: &Tensor, cx: &Context) -> Result<()> {
        self.0.receive(model, cx)?;
        self.0.validate_aggregated_model(cx)
    }

    fn train(&mut self, (): (), cx: &Context) -> Result<()> {
        self.0.train(cx)
    }

    fn local_model_validation(&mut self, (): (), cx: &Context) -> Result<Update> {
        self.0.validate_local_model(cx)?;
        let change = Tensor::vector(self.0.update()?);
        Ok(Update { change, examples: self.0.examples(), scores: self.0.scores() })
    }
}

/// The flow. Its parameter is the number of rounds, at least 1.
pub fn fedavg_mnist() -> Flow<Server, Site, u32, TrainedModel> {
    Flow::new("fedavg-mnist", 1)
        .start(Server::start)
        .repeat(|round| {
            round
                .foreach(Site::aggregated_model_validation)
                .then(Site::train)
                .then(Site::local_model_validation)
                .join(Server::join)
        })
        .end()
}

/// The same flow, in which the aggregator sees the sum of the updates and scores of those sites that came back, at
/// least `quorum` of them, and of no one alone.
pub fn fedavg_mnist_secure(protocol: SecAgg, quorum: usize) -> Flow<Server, Site, u32, TrainedModel> {
    Flow::new("fedavg-mnist", 1)
        .start(Server::start)
        .repeat(|round| {
            round
                .foreach(Site::aggregated_model_validation)
                .then(Site::train)
                .then(Site::local_model_validation)
                .quorum(quorum)
                .secure_join(protocol, Server::join_sum)
        })
        .end()
}
