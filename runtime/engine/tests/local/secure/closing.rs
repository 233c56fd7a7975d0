//! What a protocol keeps of a session is dropped at its end, however it ends.

#[path = "../../../../spec/tests/support/disclosing.rs"]
mod disclosing;

use std::sync::atomic::Ordering;
use std::time::Duration;

use veilflow_engine::{LocalRuntime, RunError};
use veilflow_spec::{Context, Flow, Result, Tensor};

use self::disclosing::Disclosing;
use super::support::{Server, Site, Told, Update};
use crate::support::until_cancelled;

/// Panics at a weight of 3, does not come back at 4 until it is told to.
struct Fragile(Site);

impl Fragile {
    fn train(&mut self, model: &Tensor, cx: &Context) -> Result<Update> {
        assert!(self.0.weight != 3, "half way");
        if self.0.weight == 4 {
            until_cancelled(cx)?;
        }
        self.0.train(model, cx)
    }
}

/// How it ended, and how many roles were closed in the middle of something.
fn run(weights: &[u64], quorum: usize) -> (Result<Vec<Told>, RunError>, usize, usize) {
    let protocol = Disclosing::default();
    let flow: Flow<Server, Fragile, (), Vec<Told>> = Flow::new("closing", 1)
        .start(Server::start)
        .repeat(|round| {
            let deadline = Duration::from_millis(500);
            let fan = round.foreach(Fragile::train).quorum(quorum).deadline(deadline);
            fan.secure_join(protocol.clone(), Server::average)
        })
        .end();
    let runtime = LocalRuntime::new().aggregator(Server::new(2)).threads(8);
    let runtime = weights.iter().enumerate().fold(runtime, |runtime, (position, weight)| {
        runtime.collaborator(format!("site-{position}"), Fragile(Site { weight: *weight, loss: 0.0 }))
    });
    let result = runtime.run(&flow, ());
    let count = |counter: &std::sync::atomic::AtomicUsize| counter.load(Ordering::SeqCst);
    (result, count(&protocol.closed.servers), count(&protocol.closed.clients))
}

#[test]
fn after_each_sum_every_site_and_the_aggregator_are_closed() {
    let (result, servers, clients) = run(&[1, 2], 2);
    assert_eq!(result.unwrap().len(), 2);
    assert_eq!((servers, clients), (2, 4));
}

#[test]
fn after_a_panic_and_below_the_quorum_they_are_too() {
    let (result, servers, clients) = run(&[1, 2, 3], 2);
    assert_eq!(result.unwrap()[0].missing.len(), 1);
    assert_eq!((servers, clients), (2, 6));
    let (result, servers, clients) = run(&[1, 2, 3], 3);
    assert!(matches!(result, Err(RunError::BelowQuorum { .. })));
    assert_eq!((servers, clients), (1, 3));
}

#[test]
fn a_late_site_is_closed_when_its_task_returns() {
    let (result, servers, clients) = run(&[1, 2, 4], 2);
    let told = result.unwrap();
    assert!(told[0].missing[0].contains("deadline"), "{told:?}");
    assert_eq!(servers, 2);
    // Those who came back, twice; and the late one at least once, if it returned before the run did.
    assert!(clients >= 4, "{clients}");
}
