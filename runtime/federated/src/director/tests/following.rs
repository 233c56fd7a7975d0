//! Readers of events.

use super::support::{FakeEnvoy, World, client, soon};
use crate::experiment::State;
use crate::wire::Outgoing;
use crate::wire::messages::{Follow, Told};

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_up_nobody_and_misses_nothing() {
    let world = World::new().await;
    let a = FakeEnvoy::new(&world, "a", 1).await;
    let id = world.begin(&["a"], 100).await;
    // It has room for one message and does not look at it until all is over.
    let mut slow = world.follow(id, 0, 1);
    let working = a.work_to_the_end();
    assert_eq!(world.report(id).await.len(), 100);
    soon("the envoy's end", working).await.unwrap();
    let (mut next, mut states, mut over) = (0, Vec::new(), false);
    while let Some(message) = soon("all of it", slow.recv()).await {
        match message {
            Told::Event(event) => {
                assert_eq!(event.sequence, next);
                next += 1;
            }
            Told::State(summary) => states.push(summary.state),
            Told::Over(outcome) => over = outcome.state == State::Finished,
        }
    }
    states.dedup();
    assert_eq!(states.last(), Some(&State::Finished));
    assert!(over && next > 300, "{next} events");
    let stored = world.core.experiment(&client("ann"), id).unwrap().journal.events().next();
    assert_eq!(stored, next);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_begins_where_it_says_and_ends_when_it_wants() {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let id = world.begin(&["a"], 2).await;
    a.work().await;
    let given = a.task().await;
    let all = async |from, follow| {
        let (outgoing, mut incoming) = Outgoing::channel(1024);
        world.core.follow(&client("ann"), Follow { id, from, follow }, &outgoing).await.unwrap();
        drop(outgoing);
        let mut told = Vec::new();
        while let Some(message) = incoming.recv().await {
            told.push(message);
        }
        told
    };
    let so_far = all(3, false).await;
    let Told::State(last) =
        &so_far[so_far.iter().position(|told| matches!(told, Told::Event(_))).unwrap() - 1]
    else {
        panic!("{so_far:?}")
    };
    assert_eq!(last.state, State::Running);
    assert!(
        matches!(so_far.iter().find(|told| matches!(told, Told::Event(_))), Some(Told::Event(event)) if event.sequence == 3)
    );
    assert!(!matches!(so_far.last(), Some(Told::Over(_))), "it runs still");
    a.say(given.doubled()).await;
    world.report(id).await;
    // Over: it ends by itself, whether it wants to follow or not.
    assert_eq!(all(u64::MAX, true).await.len(), all(u64::MAX, false).await.len());
    assert!(matches!(all(0, true).await.last(), Some(Told::Over(_))));
}
