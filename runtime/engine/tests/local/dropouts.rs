//! Dropouts at random.

use std::collections::BTreeSet;

use veilflow_engine::{EventKind, LocalRuntime, RunError};
use veilflow_spec::{Cause, Context, Flow, Foreach, Inputs, Loop, Name, Result};

use crate::support::Recorder;

const ROUNDS: u32 = 20;

/// Counts who came back from the second of two fan-outs a round.
#[derive(Default)]
struct Server {
    came_back: Vec<u32>,
}

struct Site;

impl Server {
    fn start(&mut self, (): (), _cx: &Context) -> Result<Foreach<u32>> {
        Ok(Foreach::all(0))
    }
    fn relay(&mut self, inputs: Inputs<u32>, _cx: &Context) -> Result<Foreach<u32>> {
        Ok(Foreach::only(inputs.names().cloned().collect::<Vec<_>>(), 0))
    }
    fn count(&mut self, inputs: Inputs<u32>, cx: &Context) -> Result<Loop<Foreach<u32>, Vec<u32>>> {
        self.came_back.push(inputs.len() as u32);
        Ok(match cx.round() + 1 < ROUNDS {
            true => Loop::Again(Foreach::all(0)),
            false => Loop::Done(std::mem::take(&mut self.came_back)),
        })
    }
}

impl Site {
    fn fetch(&mut self, number: u32, _cx: &Context) -> Result<u32> {
        Ok(number)
    }
    fn train(&mut self, number: u32, _cx: &Context) -> Result<u32> {
        Ok(number)
    }
    fn test(&mut self, number: u32, _cx: &Context) -> Result<u32> {
        Ok(number)
    }
}

fn flow(quorum: f64) -> Flow<Server, Site, (), Vec<u32>> {
    Flow::new("two", 1)
        .start(Server::start)
        .repeat(|round| {
            round
                .foreach(Site::fetch)
                .then(Site::train)
                .quorum(quorum)
                .join(Server::relay)
                .foreach(Site::test)
                .quorum(quorum)
                .join(Server::count)
        })
        .end()
}

type Dropped = BTreeSet<(u32, Name, String)>;

fn run(probability: f64, seed: u64, threads: usize) -> (Result<Vec<u32>, RunError>, Dropped) {
    let recorder = Recorder::new();
    let names = (0..30).map(|i| format!("site-{i:02}"));
    let runtime = LocalRuntime::new().aggregator(Server::default()).collaborators(names, |_| Ok(Site));
    let runtime = runtime.seed(seed).threads(threads).dropouts(probability).observe(recorder.clone());
    let outcome = runtime.run(&flow(0.05), ());
    let dropped = recorder.kinds().into_iter().filter_map(|kind| match kind {
        EventKind::Dropped { fan, missing } => match missing.cause {
            Cause::DroppedOut { step } => Some((fan.loops[0], missing.participant, step)),
            other => panic!("{other}"),
        },
        _ => None,
    });
    (outcome, dropped.collect())
}

#[test]
fn each_drops_out_of_a_round_with_the_probability_at_any_step_and_stays_away() {
    let (outcome, dropped) = run(0.2, 1, 2);
    let came_back = outcome.unwrap();
    assert_eq!(came_back.iter().sum::<u32>() + dropped.len() as u32, 30 * ROUNDS, "nobody twice in a round");
    // 600 draws of 0.2: 120, with a deviation of 9.8.
    assert!((80..=160).contains(&dropped.len()), "{}", dropped.len());
    for (step, at_least) in [("fetch", 10), ("train", 10), ("test", 30)] {
        let here = dropped.iter().filter(|(_, _, at)| at == step).count();
        assert!(here >= at_least, "{here} at {step}: half of them in each of the two tasks");
    }
    let rounds = |wanted: &str| dropped.iter().filter(|(_, who, _)| who.as_str() == wanted).count();
    assert!((0..30).all(|i| rounds(&format!("site-{i:02}")) < ROUNDS as usize), "they take part again");
}

#[test]
fn the_seed_decides_who_drops_out_and_threads_do_not() {
    assert_eq!(run(0.2, 1, 1).1, run(0.2, 1, 8).1);
    assert_ne!(run(0.2, 1, 8).1, run(0.2, 2, 8).1);
}

#[test]
fn none_and_all_are_probabilities_and_more_is_not() {
    assert_eq!(run(0.0, 1, 2).0.unwrap(), vec![30; ROUNDS as usize]);
    let (outcome, dropped) = run(1.0, 1, 2);
    let error = outcome.unwrap_err();
    assert!(matches!(&error, RunError::BelowQuorum { round: 0, .. }), "{error}");
    assert!(!dropped.is_empty());
    for probability in [-0.1, 1.1, f64::NAN] {
        assert_eq!(run(probability, 1, 2).0.unwrap_err().code(), "invalid-dropouts");
    }
}
