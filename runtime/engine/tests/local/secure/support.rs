//! A toy federation whose updates are summed.

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;
use veilflow_engine::{LocalRuntime, SecAgg};
use veilflow_secagg::{Parameters, Threshold};

/// What a site returns, and in a mean what all returned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message, SecureSum)]
pub(crate) struct Update {
    #[secure_sum(shape = [2, 2])]
    pub(crate) values: Tensor,
    #[secure_sum(weight)]
    pub(crate) weight: u64,
    pub(crate) loss: f64,
}

/// What the aggregator was told in a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message)]
pub(crate) struct Told {
    pub(crate) mean: Update,
    pub(crate) survivors: Vec<Name>,
    pub(crate) missing: Vec<String>,
}

/// An aggregator that goes through so many rounds.
pub(crate) struct Server {
    pub(crate) rounds: u32,
    pub(crate) told: Vec<Told>,
}

/// A site of a weight.
pub(crate) struct Site {
    pub(crate) weight: u64,
    pub(crate) loss: f64,
}

pub(crate) fn model(value: f32) -> Tensor {
    Tensor::new([2, 2], vec![value; 4]).unwrap()
}

impl Server {
    pub(crate) fn new(rounds: u32) -> Self {
        Self { rounds, told: Vec::new() }
    }

    pub(crate) fn start(&mut self, (): (), _cx: &Context) -> Result<Foreach<Tensor>> {
        Ok(Foreach::all(model(0.25)))
    }

    pub(crate) fn note(&mut self, sum: Sum<Update>) {
        let missing = sum.missing().iter().map(ToString::to_string).collect();
        self.told.push(Told { mean: sum.mean().clone(), survivors: sum.survivors().to_vec(), missing });
    }

    pub(crate) fn average(
        &mut self,
        sum: Sum<Update>,
        cx: &Context,
    ) -> Result<Loop<Foreach<Tensor>, Vec<Told>>> {
        self.note(sum);
        match cx.loops().last() {
            Some(turn) if turn + 1 < self.rounds => Ok(Loop::Again(Foreach::all(model(0.25)))),
            _ => Ok(Loop::Done(std::mem::take(&mut self.told))),
        }
    }
}

impl Site {
    pub(crate) fn train(&mut self, model: &Tensor, cx: &Context) -> Result<Update> {
        cx.metric("weight", self.weight as f64);
        cx.note(format_args!("patient 17 weighs {}", self.weight));
        let values = model.values().iter().map(|value| value * self.weight as f32).collect();
        Ok(Update { values: Tensor::new([2, 2], values)?, weight: self.weight, loss: self.loss })
    }
}

pub(crate) fn parameters() -> Parameters {
    Parameters::new().with_max_weight(10).with_reconstruction_threshold(Threshold::Count(3))
}

pub(crate) fn secagg() -> SecAgg {
    SecAgg::new(parameters())
}

/// Trains for as many rounds as the server wants, and needs 3.
pub(crate) fn flow() -> Flow<Server, Site, (), Vec<Told>> {
    Flow::new("secure", 1)
        .start(Server::start)
        .repeat(|round| round.foreach(Site::train).quorum(3).secure_join(secagg(), Server::average))
        .end()
}

/// Sites of the weights 1, 2, 3, …
pub(crate) fn runtime(names: &[&str], rounds: u32) -> LocalRuntime<Server, Site> {
    let runtime = LocalRuntime::new().aggregator(Server::new(rounds)).seed(7);
    let sites = names.iter().zip(1..);
    sites.fold(runtime, |runtime, (name, weight)| {
        runtime.collaborator(*name, Site { weight, loss: weight as f64 / 8.0 })
    })
}
