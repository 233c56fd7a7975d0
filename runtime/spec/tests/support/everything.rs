//! A flow with everything that a flow can have.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;

#[derive(Default)]
pub(crate) struct Server {
    pub(crate) rounds: u32,
    epochs: u32,
    sum: f32,
}

#[derive(Default)]
pub(crate) struct Site {
    pub(crate) examples: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub(crate) struct Options {
    pub(crate) rounds: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub(crate) struct Model {
    pub(crate) weights: Tensor,
}

#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub(crate) struct Update {
    model: Model,
    examples: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize, Message)]
pub(crate) enum Verdict {
    Better,
    Worse { by: f32 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message)]
pub(crate) struct Summary {
    pub(crate) accepted: bool,
    pub(crate) sites: Vec<String>,
}

impl Model {
    fn constant(value: f32) -> Self {
        Self { weights: Tensor::vector(vec![value]) }
    }

    fn value(&self) -> f32 {
        self.weights.values().first().copied().unwrap_or(0.0)
    }
}

impl Server {
    fn open(&mut self, options: Options, _cx: &Context) -> Result<Model> {
        self.rounds = options.rounds;
        Ok(Model::constant(0.0))
    }

    fn begin(&mut self, model: Model, _cx: &Context) -> Result<Foreach<Model>> {
        Ok(Foreach::all(model))
    }

    fn aggregate(&mut self, updates: Inputs<Update>, _cx: &Context) -> Result<Foreach<Model>> {
        let examples: u32 = updates.values().map(|update| update.examples).sum();
        let sum: f32 = updates.values().map(|update| update.model.value() * update.examples as f32).sum();
        self.sum = sum / examples as f32;
        let names: Vec<_> = updates.names().cloned().collect();
        Ok(Foreach::only(names, Model::constant(self.sum)))
    }

    fn score(&mut self, scores: Inputs<f32>, cx: &Context) -> Result<Loop<Foreach<Model>, f32>> {
        let mean = scores.values().sum::<f32>() / scores.len() as f32;
        let last = cx.loops().last().is_some_and(|round| round + 1 == self.rounds);
        Ok(if last { Loop::Done(mean) } else { Loop::Again(Foreach::all(Model::constant(self.sum))) })
    }

    fn tune(&mut self, score: f32, _cx: &Context) -> Result<Loop<Foreach<Model>, Branch<Model, Verdict>>> {
        self.epochs += 1;
        Ok(match self.epochs {
            1 => Loop::Again(Foreach::all(Model::constant(self.sum))),
            _ if score > 0.0 => Loop::Done(Branch::Yes(Model::constant(self.sum))),
            _ => Loop::Done(Branch::No(Verdict::Worse { by: -score })),
        })
    }

    fn announce(&mut self, model: Model, _cx: &Context) -> Result<Foreach<Model, Each>> {
        Ok(Foreach::each([("Bengaluru", model.clone()), ("Portland", model)]))
    }

    fn publish(&mut self, installed: Inputs<bool>, _cx: &Context) -> Result<Summary> {
        let sites = installed.names().map(ToString::to_string).collect();
        Ok(Summary { accepted: installed.values().all(|done| *done), sites })
    }
}

impl Site {
    fn train(&mut self, model: &Model, _cx: &Context) -> Result<Model> {
        Ok(Model::constant(model.value() + 1.0))
    }

    fn weigh(&mut self, model: Model, _cx: &Context) -> Result<Update> {
        Ok(Update { model, examples: self.examples })
    }

    fn validate(&mut self, model: &Model, _cx: &Context) -> Result<f32> {
        Ok(model.value())
    }
}

pub(crate) fn everything() -> Flow<Server, Site, Options, Summary> {
    Flow::new("everything", 3)
        .confidential()
        .start(Server::open)
        .then(Server::begin)
        .repeat(|epoch| {
            epoch
                .repeat(|round| {
                    round
                        .foreach(Site::train)
                        .then(|_: &mut Site, model: Model, _: &Context| Ok(model))
                        .named("clip")
                        .then(Site::weigh)
                        .quorum(0.6)
                        .deadline(Duration::from_secs(90))
                        .join(Server::aggregate)
                        .foreach(Site::validate)
                        .quorum(2)
                        .join(Server::score)
                })
                .then(Server::tune)
        })
        .branch(
            |better| better.then(Server::announce).foreach(install).join(Server::publish),
            |worse| worse.then(discard),
        )
        .then(|_: &mut Server, summary: Summary, _: &Context| Ok(summary))
        .named("close")
        .end()
}

fn install(_: &mut Site, model: &Model, _cx: &Context) -> Result<bool> {
    Ok(model.value() > 0.0)
}

fn discard(_: &mut Server, verdict: &Verdict, _cx: &Context) -> Result<Summary> {
    Ok(Summary { accepted: matches!(verdict, Verdict::Better), sites: Vec::new() })
}
