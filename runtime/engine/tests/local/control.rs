//! Where control goes: loops, branches, subsets, order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};
use veilflow_engine::LocalRuntime;
use veilflow_spec::{Context, Flow, Foreach, Inputs, Loop, Message, Result};

use crate::suite::control;
use crate::support::{Server, Site, runtime};

fn sum_flow() -> Flow<Server, Site, f64, f64> {
    Flow::new("sum", 1).start(Server::start).foreach(Site::add).join(Server::sum).end()
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
    let runtime =
        LocalRuntime::new().aggregator(control::Addresser).collaborators(["a", "b", "c"], move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(control::Site { value: 0.0 })
        });
    runtime.run(&control::subset(), ()).unwrap();
    assert_eq!(built.load(Ordering::Relaxed), 2, "`b` was never addressed");
}

#[test]
fn a_run_may_start_inside_an_asynchronous_runtime() {
    let outer = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let sum = outer.block_on(async { runtime(&["a"]).run(&sum_flow(), 1.0) });
    assert_eq!(sum.unwrap(), 2.0);
}
