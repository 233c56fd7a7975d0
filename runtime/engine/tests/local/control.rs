//! Where control goes: loops, branches, subsets, order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};
use veilflow_engine::LocalRuntime;
use veilflow_spec::{Branch, Context, Flow, Foreach, Inputs, Loop, Message, Name, Result};

use crate::support::{Server, Site, runtime};

fn sum_flow() -> Flow<Server, Site, f64, f64> {
    Flow::new("sum", 1).start(Server::start).foreach(Site::add).join(Server::sum).end()
}

#[test]
fn a_flow_runs_to_its_report() {
    assert_eq!(runtime(&["b", "a"]).run(&sum_flow(), 10.0).unwrap(), 23.0);
}

/// What every step wrote down, in order.
#[derive(Clone, Default, Serialize, Deserialize, Message)]
struct Log(Vec<String>);

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

#[test]
fn loops_in_loops_branches_and_several_fan_outs_run_in_order() {
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
    let runtime = LocalRuntime::new().aggregator(Walker { outer: 2, inner: 2 }).collaborator("a", Walked);
    let log = runtime.run(&flow, ()).unwrap();
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

struct Addresser;

impl Addresser {
    fn only(&mut self, (): (), _cx: &Context) -> Result<Foreach<f64>> {
        Ok(Foreach::only(["c", "a"], 10.0))
    }
    fn each(&mut self, sums: Inputs<f64>, _cx: &Context) -> Result<Foreach<f64>> {
        let names: Vec<_> = sums.names().map(Name::as_str).collect();
        assert_eq!(names, ["a", "c"], "by name, whatever the order of addressing");
        Ok(Foreach::each(sums.into_iter().map(|(name, sum)| (name, 100.0 * sum))))
    }
    fn finish(&mut self, sums: Inputs<f64>, _cx: &Context) -> Result<Vec<f64>> {
        assert_eq!(sums.get("c"), sums.values().last());
        Ok(sums.into_values().collect())
    }
}

#[test]
fn a_fan_out_reaches_those_it_names() {
    let flow: Flow<Addresser, Site, (), Vec<f64>> = Flow::new("subset", 1)
        .start(Addresser::only)
        .foreach(Site::add)
        .join(Addresser::each)
        .foreach(Site::add)
        .named("add_again")
        .join(Addresser::finish)
        .end();
    let runtime = ["a", "b", "c"]
        .iter()
        .zip(1..)
        .fold(LocalRuntime::new().aggregator(Addresser), |runtime, (name, value)| {
            runtime.collaborator(*name, Site { value: f64::from(value) })
        });
    assert_eq!(runtime.run(&flow, ()).unwrap(), [1101.0, 1303.0]);
}

struct Draws;
struct Draw;

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

#[test]
fn a_seed_fixes_the_result_to_the_last_bit_on_any_number_of_threads() {
    let flow: Flow<Draws, Draw, (), f64> = Flow::new("draws", 1)
        .start(Draws::start)
        .repeat(|round| round.foreach(Draw::draw).join(Draws::mix))
        .end();
    let run = |seed, threads| {
        let names = (0..20).map(|i| format!("site-{i}"));
        let runtime = LocalRuntime::new().aggregator(Draws).collaborators(names, |_| Ok(Draw));
        runtime.seed(seed).threads(threads).run(&flow, ()).unwrap().to_bits()
    };
    assert_eq!(run(42, 1), run(42, 8));
    assert_ne!(run(42, 8), run(43, 8));
}

static CLONES: AtomicUsize = AtomicUsize::new(0);

#[derive(Serialize, Deserialize, Message)]
struct Counted(f64);

impl Clone for Counted {
    fn clone(&self) -> Self {
        CLONES.fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

struct Broadcaster;
struct Listener;

impl Broadcaster {
    fn start(&mut self, (): (), _cx: &Context) -> Result<Foreach<Counted>> {
        Ok(Foreach::all(Counted(1.0)))
    }
    fn by_reference(&mut self, answers: Inputs<f64>, _cx: &Context) -> Result<Foreach<Counted>> {
        assert_eq!((answers.len(), CLONES.load(Ordering::Relaxed)), (10, 0));
        Ok(Foreach::all(Counted(1.0)))
    }
    fn by_value(&mut self, answers: Inputs<f64>, _cx: &Context) -> Result<()> {
        // The last collaborator may get the original.
        assert!(answers.len() == 10 && CLONES.load(Ordering::Relaxed) >= 9);
        Ok(())
    }
}

impl Listener {
    fn look(&mut self, message: &Counted, _cx: &Context) -> Result<f64> {
        Ok(message.0)
    }
    fn keep(&mut self, message: Counted, _cx: &Context) -> Result<f64> {
        Ok(message.0)
    }
}

#[test]
fn a_broadcast_is_shared_unless_a_step_takes_it_by_value() {
    let flow: Flow<Broadcaster, Listener, (), ()> = Flow::new("broadcast", 1)
        .start(Broadcaster::start)
        .foreach(Listener::look)
        .join(Broadcaster::by_reference)
        .foreach(Listener::keep)
        .join(Broadcaster::by_value)
        .end();
    let names = (0..10).map(|i| format!("site-{i}"));
    let runtime = LocalRuntime::new().aggregator(Broadcaster).collaborators(names, |_| Ok(Listener));
    runtime.run(&flow, ()).unwrap();
}

#[test]
fn participants_are_built_once_and_only_when_they_first_run() {
    let built = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&built);
    let flow: Flow<Addresser, Site, (), Vec<f64>> = Flow::new("lazy", 1)
        .start(Addresser::only)
        .foreach(Site::add)
        .join(Addresser::each)
        .foreach(Site::add)
        .named("add_again")
        .join(Addresser::finish)
        .end();
    let runtime = LocalRuntime::new().aggregator(Addresser).collaborators(["a", "b", "c"], move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Site { value: 0.0 })
    });
    runtime.run(&flow, ()).unwrap();
    assert_eq!(built.load(Ordering::Relaxed), 2, "`b` was never addressed");
}

#[test]
fn a_run_may_start_inside_an_asynchronous_runtime() {
    let outer = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let sum = outer.block_on(async { runtime(&["a"]).run(&sum_flow(), 1.0) });
    assert_eq!(sum.unwrap(), 2.0);
}
