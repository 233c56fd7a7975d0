//! Flows whose steps stop at the [`gate`](crate::gate) and whose results tell who contributed, and how often.
//!
//! The site at place i of the cohort counts 2^i in each round, so the sum of a round is the set of its contributors, and a
//! contribution that was counted twice is seen. A site's update also depends on all its trainings before, so that the
//! model tells whether a site trained twice.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use veilflow_cli::{App, Cohort, FlowOf, Registry, Setup, clap};
use veilflow_engine::SecAgg;
use veilflow_secagg::{Parameters, Threshold};
use veilflow_spec::{
    Context, Flow, Foreach, Inputs, Loop, Message, Name, Result, SecureSum, StepError, Sum, Tensor,
};

use crate::gate;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    /// How many rounds to run
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// How many sites have to come back
    #[arg(long, default_value_t = 1)]
    quorum: usize,
    /// After how many milliseconds a fan-out is over
    #[arg(long)]
    deadline: Option<u64>,
    /// The round in which the aggregator's step fails
    #[arg(long)]
    fail: Option<u32>,
    /// How many numbers the model has
    #[arg(long, default_value_t = 4)]
    size: usize,
}

/// What a site returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message, SecureSum)]
pub(crate) struct Update {
    #[secure_sum(shape = [4])]
    values: Tensor,
    #[secure_sum(weight)]
    weight: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    rounds: u32,
    fail: Option<u32>,
    model: Tensor,
}

pub(crate) struct Site {
    weight: u64,
    momentum: Vec<f32>,
}

impl Server {
    fn new(options: &Options) -> Self {
        Self { rounds: options.rounds, fail: options.fail, model: Tensor::vector(vec![0.0; options.size]) }
    }

    fn start(&mut self, (): (), cx: &Context) -> Result<Foreach<Tensor>> {
        gate::pass("start", cx)?;
        Ok(Foreach::all(self.model.clone()))
    }

    fn average(&mut self, updates: Inputs<Update>, cx: &Context) -> Result<Loop<Foreach<Tensor>, Tensor>> {
        let contributed = updates.values().map(|update| update.weight).sum();
        let mut sum = vec![0.0; self.model.values().len()];
        for update in updates.values() {
            for (sum, value) in sum.iter_mut().zip(update.values.values()) {
                *sum += value * update.weight as f32 / contributed as f32;
            }
        }
        self.turn(Tensor::vector(sum), contributed, cx)
    }

    fn average_sum(&mut self, sum: Sum<Update>, cx: &Context) -> Result<Loop<Foreach<Tensor>, Tensor>> {
        let mean = sum.mean();
        self.turn(mean.values.clone(), mean.weight, cx)
    }

    fn turn(
        &mut self,
        model: Tensor,
        contributed: u64,
        cx: &Context,
    ) -> Result<Loop<Foreach<Tensor>, Tensor>> {
        gate::pass("average", cx)?;
        if self.fail == Some(cx.round()) {
            return Err(StepError::with_code("no-sense", "the sum makes no sense"));
        }
        self.model = model;
        cx.row([("Round", f64::from(cx.round()).into()), ("Contributed", (contributed as f64).into())]);
        let last = cx.round() + 1 >= self.rounds;
        Ok(if last { Loop::Done(self.model.clone()) } else { Loop::Again(Foreach::all(self.model.clone())) })
    }
}

impl Site {
    fn train(&mut self, model: &Tensor, cx: &Context) -> Result<Update> {
        gate::pass("train", cx)?;
        self.momentum.resize(model.values().len(), 0.0);
        for (momentum, value) in self.momentum.iter_mut().zip(model.values()) {
            *momentum = 0.5 * *momentum + 0.125 * (self.weight as f32 / 16.0 - value);
        }
        let values = model.values().iter().zip(&self.momentum).map(|(value, momentum)| value + momentum);
        Ok(Update { values: Tensor::vector(values.collect()), weight: self.weight })
    }
}

/// A flow that averages what sites made of a model: plainly, or with a secure join. Of five sites four suffice for that.
pub(crate) struct Averages<const SECURE: bool>;

impl<const SECURE: bool> App for Averages<SECURE> {
    const NAME: &'static str = if SECURE { "secure" } else { "plain" };
    const ABOUT: &'static str = "Averages what sites made of a model";
    type Options = Options;
    type Aggregator = Server;
    type Collaborator = Site;
    type Params = ();
    type Report = Tensor;

    fn flow(options: &Options, cohort: &Cohort) -> Result<FlowOf<Self>> {
        let deadline = Duration::from_millis(options.deadline.unwrap_or(600_000));
        let flow = Flow::new(Self::NAME, 1).start(Server::start);
        if !SECURE {
            let quorum = options.quorum;
            let flow = flow.repeat(|round| {
                round.foreach(Site::train).quorum(quorum).deadline(deadline).join(Server::average)
            });
            return Ok(flow.end());
        }
        let enough = 2 * cohort.len() / 3 + 1;
        let threshold = Threshold::Count(u32::try_from(enough)?);
        let protocol = SecAgg::new(Parameters::new().with_reconstruction_threshold(threshold));
        let flow = flow.repeat(|round| {
            let fan = round.foreach(Site::train).quorum(enough).deadline(deadline);
            fan.secure_join(protocol, Server::average_sum)
        });
        Ok(flow.end())
    }

    fn setup(options: &Options, cohort: &Cohort) -> Result<Setup<Self>> {
        let cohort = cohort.clone();
        Ok(Setup::new(Server::new(options), (), move |name: &Name| {
            let place = cohort.index_of(name).unwrap_or_default();
            Ok(Site { weight: 1 << (place % 45), momentum: Vec::new() })
        }))
    }

    fn model(report: &Tensor) -> Vec<(String, Tensor)> {
        vec![("model".to_owned(), report.clone())]
    }
}

/// The test's program has both.
pub(crate) fn registry() -> Registry {
    Registry::new().app(Averages::<false>).app(Averages::<true>)
}
