//! What is LocalRuntime's own about a walk: threads, shared messages, when participants are built.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use veilflow_engine::LocalRuntime;
use veilflow_spec::{Context, Flow, Foreach, Inputs, Message, Quorum, Result};

use crate::suite::control::{self, Draw, Draws, draws, sum};
use crate::support::runtime;

#[test]
fn a_seed_fixes_the_result_to_the_last_bit_on_any_number_of_threads() {
    let run = |threads| {
        let names = (0..20).map(|i| format!("site-{i}"));
        let runtime = LocalRuntime::new().aggregator(Draws).collaborators(names, |_| Ok(Draw));
        runtime.seed(42).threads(threads).run(&draws(), ()).unwrap().to_bits()
    };
    assert_eq!(run(1), run(8));
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
    let report = outer.block_on(async { runtime(&["a"]).run(&sum(Quorum::ALL), 1.0) });
    assert_eq!(report.unwrap(), 2.0);
}
