//! Where control goes: loops, branches, subsets, order.

use rand_chacha::rand_core::Rng as _;
use serde::{Deserialize, Serialize};
use veilflow_spec::{Branch, Context, Each, Flow, Foreach, Inputs, Loop, Message, Name, Quorum, Result};

use super::{Parts, Runtime};

/// An aggregator that sends a number and joins what comes back.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Server;

/// A collaborator with one private number.
pub(crate) struct Site {
    pub(crate) value: f64,
}

impl Server {
    pub(crate) fn start(&mut self, value: f64, _cx: &Context) -> Result<Foreach<f64>> {
        Ok(Foreach::all(value))
    }

    pub(crate) fn sum(&mut self, inputs: Inputs<f64>, _cx: &Context) -> Result<f64> {
        Ok(inputs.values().sum())
    }
}

impl Site {
    pub(crate) fn add(&mut self, value: f64, _cx: &Context) -> Result<f64> {
        Ok(self.value + value)
    }
}

/// The site `a` has the value 1, `b` 2, and so on.
pub(crate) fn site(name: &Name) -> Result<Site> {
    let letter = name.as_str().bytes().next().unwrap_or_default();
    Ok(Site { value: f64::from(letter - b'a') + 1.0 })
}

pub(crate) fn parts(names: &[&str]) -> Parts<Server, Site> {
    Parts::new(names, || Server, site)
}

/// Adds up what all have.
pub(crate) fn sum(quorum: impl Into<Quorum>) -> Flow<Server, Site, f64, f64> {
    Flow::new("sum", 1).start(Server::start).foreach(Site::add).quorum(quorum).join(Server::sum).end()
}

pub(crate) fn a_flow_runs_to_its_report(runtime: &impl Runtime) {
    assert_eq!(runtime.run(&sum(Quorum::ALL), parts(&["b", "a"]), 10.0).report(), 23.0);
}

/// What every step wrote down, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Message)]
struct Log(Vec<String>);

#[derive(Clone, Serialize, Deserialize)]
struct Walker {
    outer: u32,
    inner: u32,
}
struct Walked;

impl Walker {
    fn begin(&mut self, (): (), _cx: &Context) -> Result<Log> {
        Ok(Log::default())
    }
    fn prepare(&mut self, mut log: Log, cx: &Context) -> Result<Foreach<Log>> {
        log.0.push(format!("prepare {:?}", cx.loops()));
        Ok(Foreach::all(log))
    }
    fn first(&mut self, logs: Inputs<Log>, cx: &Context) -> Result<Foreach<Log>> {
        let mut log = logs.into_values().next().unwrap();
        log.0.push(format!("first {:?}", cx.loops()));
        Ok(Foreach::all(log))
    }
    fn second(&mut self, logs: Inputs<Log>, cx: &Context) -> Result<Loop<Foreach<Log>, Log>> {
        let mut log = logs.into_values().next().unwrap();
        log.0.push(format!("second {:?}", cx.loops()));
        let last = cx.loops()[1] + 1 == self.inner;
        Ok(if last { Loop::Done(log) } else { Loop::Again(Foreach::all(log)) })
    }
    fn choose(&mut self, log: Log, cx: &Context) -> Result<Branch<Log, Foreach<Log>>> {
        Ok(if cx.round() == 0 { Branch::Yes(log) } else { Branch::No(Foreach::all(log)) })
    }
    fn yes(&mut self, mut log: Log, _cx: &Context) -> Result<Log> {
        log.0.push("yes".into());
        Ok(log)
    }
    fn no(&mut self, logs: Inputs<Log>, _cx: &Context) -> Result<Log> {
        let mut log = logs.into_values().next().unwrap();
        log.0.push("no".into());
        Ok(log)
    }
    fn again(&mut self, log: Log, cx: &Context) -> Result<Loop<Log, Log>> {
        Ok(if cx.round() + 1 == self.outer { Loop::Done(log) } else { Loop::Again(log) })
    }
}

impl Walked {
    fn one(&mut self, mut log: Log, cx: &Context) -> Result<Log> {
        log.0.push(format!("one {:?}", cx.loops()));
        Ok(log)
    }
    fn two(&mut self, mut log: Log, _cx: &Context) -> Result<Log> {
        log.0.push("two".into());
        Ok(log)
    }
    fn three(&mut self, log: &Log, _cx: &Context) -> Result<Log> {
        Ok(log.clone())
    }
    fn four(&mut self, log: &Log, _cx: &Context) -> Result<Log> {
        Ok(log.clone())
    }
}

pub(crate) fn loops_in_loops_branches_and_several_fan_outs_run_in_order(runtime: &impl Runtime) {
    let flow: Flow<Walker, Walked, (), Log> = Flow::new("walk", 1)
        .start(Walker::begin)
        .repeat(|outer| {
            outer
                .then(Walker::prepare)
                .repeat(|inner| {
                    inner
                        .foreach(Walked::one)
                        .then(Walked::two)
                        .join(Walker::first)
                        .foreach(Walked::three)
                        .join(Walker::second)
                })
                .then(Walker::choose)
                .branch(|yes| yes.then(Walker::yes), |no| no.foreach(Walked::four).join(Walker::no))
                .then(Walker::again)
        })
        .end();
    let parts = Parts::new(&["a"], || Walker { outer: 2, inner: 2 }, |_| Ok(Walked));
    let log = runtime.run(&flow, parts, ()).report();
    let turn = |i: u32, j: u32| {
        vec![
            format!("one [{i}, {j}]"),
            "two".into(),
            format!("first [{i}, {j}]"),
            format!("second [{i}, {j}]"),
        ]
    };
    let mut expected = vec!["prepare [0]".to_owned()];
    expected.extend([turn(0, 0), turn(0, 1), vec!["yes".into(), "prepare [1]".into()]].concat());
    expected.extend([turn(1, 0), turn(1, 1), vec!["no".into()]].concat());
    assert_eq!(log.0, expected);
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Addresser;

impl Addresser {
    pub(crate) fn only(&mut self, (): (), _cx: &Context) -> Result<Foreach<f64>> {
        Ok(Foreach::only(["c", "a"], 10.0))
    }
    pub(crate) fn each(&mut self, sums: Inputs<f64>, _cx: &Context) -> Result<Foreach<f64, Each>> {
        let names: Vec<_> = sums.names().map(Name::as_str).collect();
        assert_eq!(names, ["a", "c"], "by name, whatever the order of addressing");
        Ok(Foreach::each(sums.into_iter().map(|(name, sum)| (name, 100.0 * sum))))
    }
    pub(crate) fn finish(&mut self, sums: Inputs<f64>, _cx: &Context) -> Result<Vec<f64>> {
        assert_eq!(sums.get("c"), sums.values().last());
        Ok(sums.into_values().collect())
    }
}

/// To `c` and `a`, and then to each of them with its own.
pub(crate) fn subset() -> Flow<Addresser, Site, (), Vec<f64>> {
    Flow::new("subset", 1)
        .start(Addresser::only)
        .foreach(Site::add)
        .join(Addresser::each)
        .foreach(Site::add)
        .named("add_again")
        .join(Addresser::finish)
        .end()
}

pub(crate) fn a_fan_out_reaches_those_it_names(runtime: &impl Runtime) {
    let parts = Parts::new(&["a", "b", "c"], || Addresser, site);
    assert_eq!(runtime.run(&subset(), parts, ()).report(), [1101.0, 1303.0]);
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Draws;
pub(crate) struct Draw;

impl Draws {
    fn start(&mut self, (): (), _cx: &Context) -> Result<Foreach<()>> {
        Ok(Foreach::all(()))
    }
    fn mix(&mut self, draws: Inputs<f64>, cx: &Context) -> Result<Loop<Foreach<()>, f64>> {
        // A sum whose value depends on its order.
        let sum = draws.values().fold(0.0, |sum, draw| sum / 3.0 + draw) + cx.rng().next_u32() as f64;
        Ok(if cx.round() == 2 { Loop::Done(sum) } else { Loop::Again(Foreach::all(())) })
    }
}

impl Draw {
    fn draw(&mut self, (): (), cx: &Context) -> Result<f64> {
        Ok(f64::from(cx.rng().next_u32()))
    }
}

/// Three turns of numbers from every site, in a sum that depends on each bit of them.
pub(crate) fn draws() -> Flow<Draws, Draw, (), f64> {
    Flow::new("draws", 1).start(Draws::start).repeat(|round| round.foreach(Draw::draw).join(Draws::mix)).end()
}

/// The bits of the sum that the seed 42 gives.
const GOLDEN: u64 = 4_751_376_137_362_626_686;

pub(crate) fn a_seed_fixes_the_result_to_the_last_bit(runtime: &impl Runtime) {
    let run = |seed| {
        let parts = Parts { seed, ..Parts::new(&["a", "b", "c", "d", "e"], || Draws, |_| Ok(Draw)) };
        runtime.run(&draws(), parts, ()).report().to_bits()
    };
    // What every runtime gives.
    assert_eq!(run(42), GOLDEN);
    assert_ne!(run(42), run(43));
}
