//! Cancelling a run from outside.

use veilflow_engine::{EventKind, LocalRuntime, RunError};
use veilflow_spec::{Context, Flow, Foreach, Inputs, Result};

use crate::support::until_cancelled;

/// Each step waits for its cancellation if told to.
struct Waits(&'static str);

impl Waits {
    fn wait(&self, step: &str, cx: &Context) -> Result<()> {
        if self.0 == step {
            until_cancelled(cx)?;
        }
        Ok(())
    }
    fn start(&mut self, (): (), cx: &Context) -> Result<Foreach<()>> {
        self.wait("start", cx)?;
        Ok(Foreach::all(()))
    }
    fn join(&mut self, _: Inputs<()>, cx: &Context) -> Result<()> {
        self.wait("join", cx)
    }
    fn work(&mut self, (): (), cx: &Context) -> Result<()> {
        self.wait("work", cx)
    }
}

#[test]
fn a_run_is_cancelled_inside_a_step_of_either_side() {
    let flow: Flow<Waits, Waits, (), ()> =
        Flow::new("waits", 1).start(Waits::start).foreach(Waits::work).join(Waits::join).end();
    for step in ["start", "work", "join"] {
        let runtime = LocalRuntime::new().aggregator(Waits(step)).collaborator("a", Waits(step));
        let canceller = runtime.canceller();
        let runtime = runtime.observe(std::sync::Arc::new(move |event: &veilflow_engine::Event| {
            if matches!(&event.kind, EventKind::StepStarted { origin } if &*origin.step == step) {
                canceller.cancel();
            }
        }));
        let error = runtime.run(&flow, ()).unwrap_err();
        assert!(matches!(&error, RunError::Cancelled { step: at, .. } if at == step), "{step}: {error}");
    }
}

#[test]
fn a_step_that_ignores_its_cancellation_is_left_behind() {
    struct Deaf(std::sync::mpsc::Receiver<()>);
    impl Deaf {
        fn start(&mut self, (): (), _cx: &Context) -> Result<()> {
            // Returns when the test is over and drops the sender.
            let _ = self.0.recv();
            Ok(())
        }
    }
    let (keep, receiver) = std::sync::mpsc::channel();
    let flow: Flow<Deaf, (), (), ()> = Flow::new("deaf", 1).start(Deaf::start).end();
    let runtime = LocalRuntime::new().aggregator(Deaf(receiver)).collaborator("a", ());
    runtime.canceller().cancel();
    assert!(matches!(runtime.run(&flow, ()), Err(RunError::Cancelled { .. })));
    drop(keep);
}
