//! Secure joins: one session, whichever process of the director is at work.

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;
use veilflow_engine::{LocalRuntime, SecAgg};
use veilflow_secagg::{Parameters, Threshold};

use crate::suite::Parts;
use crate::support::killed_everywhere;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message, SecureSum)]
struct Update {
    #[secure_sum(shape = [3])]
    values: Tensor,
    #[secure_sum(weight)]
    weight: u64,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Server {
    told: Told,
}

/// The mean of each round, and whose it is.
type Told = Vec<(Update, Vec<Name>)>;

struct Site(u64);

impl Server {
    fn start(&mut self, (): (), _cx: &Context) -> Result<Foreach<Tensor>> {
        Ok(Foreach::all(Tensor::vector(vec![0.25, 0.5, 1.0])))
    }
    fn average(&mut self, sum: Sum<Update>, cx: &Context) -> Result<Loop<Foreach<Tensor>, Told>> {
        let survivors = sum.survivors().to_vec();
        let mean = sum.into_mean();
        let next = mean.values.clone();
        self.told.push((mean, survivors));
        Ok(if cx.round() == 0 {
            Loop::Again(Foreach::all(next))
        } else {
            Loop::Done(std::mem::take(&mut self.told))
        })
    }
}

impl Site {
    fn train(&mut self, model: &Tensor, cx: &Context) -> Result<Update> {
        if self.0 == 4 && cx.round() == 1 {
            return Err(StepError::msg("no power"));
        }
        let values = model.values().iter().map(|value| value * self.0 as f32).collect();
        Ok(Update { values: Tensor::vector(values), weight: self.0 })
    }
}

fn flow() -> Flow<Server, Site, (), Told> {
    let parameters = Parameters::new().with_max_weight(10).with_reconstruction_threshold(Threshold::Count(3));
    Flow::new("secure", 1)
        .start(Server::start)
        .repeat(|round| {
            round.foreach(Site::train).quorum(3).secure_join(SecAgg::new(parameters), Server::average)
        })
        .end()
}

fn site(name: &Name) -> Result<Site> {
    Ok(Site(name.as_str().parse()?))
}

#[test]
fn a_session_goes_on_with_the_same_masks_after_the_director_was_killed() {
    let names = ["1", "2", "3", "4"];
    let report = killed_everywhere(&flow(), || Parts::new(&names, Server::default, site), ());
    assert_eq!(report[1].1.len(), 3, "one dropped out of the second round");
    let local = LocalRuntime::new().aggregator(Server::default()).collaborators(names, site);
    assert_eq!(local.seed(7).run(&flow(), ()).unwrap(), report, "to the last bit");
}
