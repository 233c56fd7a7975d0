//! Loops, branches, subsets and several fan-outs.

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;
use veilflow_engine::LocalRuntime;

use crate::suite::Parts;
use crate::support::{Sites, batches, host, killed_everywhere};

/// An aggregator that is saved as it is.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Server {
    total: f64,
    steps: u32,
}

/// What a turn ends in: the next one, or one of two ends.
type Verdict = Loop<Foreach<f64>, Branch<f64, Foreach<f64>>>;

struct Site {
    value: f64,
    calls: f64,
}

impl Server {
    fn start(&mut self, value: f64, _cx: &Context) -> Result<Foreach<f64>> {
        self.steps += 1;
        Ok(Foreach::all(value))
    }
    fn halve(&mut self, inputs: Inputs<f64>, cx: &Context) -> Result<Foreach<f64, Each>> {
        self.steps += 1;
        self.total += inputs.values().sum::<f64>();
        cx.row([("Total", self.total.into())]);
        let half = self.total / 2.0;
        Ok(Foreach::each(inputs.names().take(2).map(|name| (name.clone(), half)).collect::<Vec<_>>()))
    }
    fn turn(&mut self, inputs: Inputs<f64>, cx: &Context) -> Result<Verdict> {
        self.steps += 1;
        self.total += inputs.values().sum::<f64>();
        Ok(match cx.loops() {
            [turn] if *turn < 2 => Loop::Again(Foreach::all(self.total)),
            _ if self.total < 0.0 => Loop::Done(Branch::Yes(self.total)),
            _ => Loop::Done(Branch::No(Foreach::only(["b"], self.total))),
        })
    }
    fn lucky(&mut self, total: f64, _cx: &Context) -> Result<(f64, u32)> {
        Ok((total, self.steps))
    }
    fn unlucky(&mut self, inputs: Inputs<f64>, _cx: &Context) -> Result<(f64, u32)> {
        Ok((inputs.values().sum::<f64>() + self.total, self.steps))
    }
}

impl Site {
    /// What it answers depends on how often it was called: a task that is done twice shows.
    fn add(&mut self, value: f64, cx: &Context) -> Result<f64> {
        use rand_chacha::rand_core::Rng as _;
        self.calls += 1.0;
        Ok(value / 3.0 + self.value + self.calls + f64::from(cx.rng().next_u32()) / 1e9)
    }
    fn sub(&mut self, value: &f64, _cx: &Context) -> Result<f64> {
        Ok(value - 1.0)
    }
}

fn flow() -> Flow<Server, Site, f64, (f64, u32)> {
    Flow::new("walk", 1)
        .start(Server::start)
        .repeat(|round| {
            round
                .foreach(Site::add)
                .named("add_first")
                .then(Site::sub)
                .join(Server::halve)
                .foreach(Site::add)
                .join(Server::turn)
        })
        .branch(
            |yes| yes.then(Server::lucky),
            |no| no.foreach(Site::add).named("add_last").join(Server::unlucky),
        )
        .end()
}

fn site(name: &Name) -> Result<Site> {
    Ok(Site { value: name.as_str().len() as f64 * 0.1, calls: 0.0 })
}

fn parts() -> Parts<Server, Site> {
    Parts::new(&["a", "b", "c"], Server::default, site)
}

#[test]
fn a_director_killed_at_any_transition_goes_on_and_nobody_works_twice() {
    let report = killed_everywhere(&flow(), parts, 1.5);
    let local = LocalRuntime::new().aggregator(Server::default()).collaborators(["a", "b", "c"], site);
    assert_eq!(local.seed(7).run(&flow(), 1.5).unwrap(), report, "to the last bit");
}

#[test]
fn answers_that_come_together_are_written_down_together() {
    let run = veilflow_engine::remote::hosted(flow(), Server::default(), 1.5);
    // To all three, and to two, in each of three turns; then to one.
    assert_eq!(batches(run, &Sites::new(&flow(), &parts())), [3, 2, 3, 2, 3, 2, 1]);
}

#[test]
fn what_was_saved_by_another_build_is_refused() {
    let sites = Sites::new(&flow(), &parts());
    let run = || veilflow_engine::remote::hosted(flow(), Server::default(), 1.5);
    let (mut records, _, _) = host(run(), &sites, 7, (Vec::new(), 6));
    for record in &mut records {
        if let veilflow_engine::remote::Record::Checkpoint { aggregator, .. } = record {
            *aggregator = vec![0xff].into();
        }
    }
    let (_, _, outcome) = host(run(), &sites, 7, (records, usize::MAX));
    assert_eq!(outcome.unwrap_err().code(), "not-resumed");
}

#[test]
fn events_are_told_again_from_the_last_checkpoint_on() {
    let sites = Sites::new(&flow(), &parts());
    let run = || veilflow_engine::remote::hosted(flow(), Server::default(), 1.5);
    let (records, before, _) = host(run(), &sites, 7, (Vec::new(), 6));
    let (_, after, _) = host(run(), &sites, 7, (records, usize::MAX));
    let veilflow_engine::EventKind::Resumed { from } = after[0].kind else { panic!("{:?}", after[0]) };
    assert_eq!(after[0].sequence, from);
    assert!(before.iter().any(|event| event.sequence >= from), "some are told again");
    let numbers: Vec<u64> = after.iter().map(|event| event.sequence).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
}
