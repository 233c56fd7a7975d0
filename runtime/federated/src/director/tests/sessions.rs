//! Connections that come, go, and take each other's place.

use std::time::Duration;

use veilflow_engine::EventKind;
use veilflow_spec::{Cause, Missing};

use super::super::envoys::Signed;
use super::support::{FakeEnvoy, World, hello, rounds_of, soon, terms};
use crate::experiment::{ExperimentId, State};
use crate::wire::messages::{FromEnvoy, Lists, PROTOCOL, Submit, ToEnvoy, Told};

/// Of one answer being enough.
fn any(participants: &[&str], rounds: u32) -> Submit {
    let mut terms = terms("sums", participants);
    terms.options.push("--any".to_owned());
    rounds_of(terms, rounds)
}

/// Whom the run lost, and why.
async fn lost(world: &World, id: ExperimentId) -> Missing {
    let mut told = world.follow(id, 0, 64);
    let wait = async {
        loop {
            match told.recv().await.expect("it ended") {
                Told::Event(event) => {
                    if let EventKind::Dropped { missing, .. } = event.kind {
                        break missing;
                    }
                }
                Told::State(_) | Told::Over(_) => {}
            }
        }
    };
    soon("a loss", wait).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_goes_on_over_a_lost_connection() {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let id = world.begin(&["a"], 2).await;
    let given = a.task().await;
    a.cut().await;
    assert!(!world.core.envoys()[0].online);
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    assert!(matches!(&a.welcome, ToEnvoy::Welcome { experiments, .. } if *experiments == [id]));
    assert_eq!(a.task().await, given, "the same task with the same key");
    a.say(given.doubled()).await;
    // The reply is lost: the envoy says it again when it is back, and that counts for nothing.
    a.cut().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    a.say(given.doubled()).await;
    let mut next = None;
    while next.is_none() {
        match a.next().await {
            ToEnvoy::Task { task, .. } => next = Some(task),
            ToEnvoy::Acknowledged { task, .. } => assert_eq!(task, given.task),
            other => panic!("{other:?}"),
        }
    }
    let next = super::support::Given { task: next.unwrap(), message: 2.0, ..given };
    assert_eq!(*next.task.loops, [1]);
    a.say(next.doubled()).await;
    assert_eq!(world.report(id).await, [2.0, 4.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_was_started_again_lost_its_task() {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let mut b = FakeEnvoy::new(&world, "b", 1).await;
    let id = world.submit(any(&["a", "b"], 2)).await.unwrap().id;
    a.task().await;
    let given = b.task().await;
    a.cut().await;
    let mut a = FakeEnvoy::new(&world, "a", 2).await;
    assert_eq!(lost(&world, id).await, Missing { participant: "a".into(), cause: Cause::Restarted });
    b.say(given.doubled()).await;
    b.acknowledged(&given).await;
    // It takes part from the next fan-out on.
    a.work().await;
    b.work().await;
    assert_eq!(world.report(id).await, [2.0, 8.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_stays_away_is_missing_after_the_grace() {
    let world = World::with(Duration::from_millis(200), 4).await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let b = FakeEnvoy::new(&world, "b", 1).await;
    let id = world.submit(any(&["a", "b"], 2)).await.unwrap().id;
    let given = a.task().await;
    b.cut().await;
    assert_eq!(lost(&world, id).await, Missing { participant: "b".into(), cause: Cause::Offline });
    a.say(given.doubled()).await;
    a.acknowledged(&given).await;
    // In the next round it is missing at once: its grace is over.
    a.work().await;
    assert_eq!(world.report(id).await, [2.0, 4.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newer_connection_of_a_name_takes_the_place_of_the_older() {
    let world = World::new().await;
    let older = FakeEnvoy::new(&world, "a", 1).await;
    let mut newer = FakeEnvoy::new(&world, "a", 1).await;
    assert_eq!(older.ended().await.unwrap_err().code(), "conflict");
    assert!(world.core.envoys()[0].online, "the end of the older one does not make it offline");
    let id = world.begin(&["a"], 1).await;
    newer.work().await;
    assert_eq!(world.report(id).await, [2.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_leaves_ends_its_task_and_gets_no_new_one() {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let id = world.begin(&["a"], 2).await;
    let given = a.task().await;
    a.say(FromEnvoy::Leaving).await;
    a.say(FromEnvoy::Alive).await;
    assert_eq!(a.next().await, ToEnvoy::Alive);
    a.say(given.doubled()).await;
    a.acknowledged(&given).await;
    let other = world.begin(&["a"], 1).await;
    let reason = world.until_it(other, "a reason", |summary| summary.reason.starts_with("waits")).await;
    assert_eq!(reason, "waits for a to connect");
    a.cut().await;
    // The second round waited for it.
    let mut a = FakeEnvoy::new(&world, "a", 2).await;
    a.work().await;
    assert_eq!(world.report(id).await, [2.0, 4.0]);
    world.until(other, State::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_message_that_is_no_hello_is_refused() {
    let world = World::new().await;
    let code = async |first| FakeEnvoy::saying(&world, "a", first).await.err().map(|refusal| refusal.code());
    assert_eq!(code(FromEnvoy::Alive).await, Some("invalid"));
    let flows: Vec<String> = (0..2000).map(|number| format!("flow-{number}")).collect();
    let flows: Vec<&str> = flows.iter().map(String::as_str).collect();
    assert_eq!(code(hello(1, &flows)).await, Some("too-large"));
    let mut old = hello(1, &[]);
    if let FromEnvoy::Hello { protocol, .. } = &mut old {
        *protocol = PROTOCOL + 1;
    }
    assert_eq!(code(old).await, Some("protocol"));
    assert!(world.core.envoys().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn newer_lists_reach_all_who_have_older_ones() {
    let world = World::new().await;
    let welcomed = |envoy: &FakeEnvoy| match &envoy.welcome {
        ToEnvoy::Welcome { lists, .. } => lists.clone(),
        other => panic!("{other:?}"),
    };
    let signed = |version| Some(Signed { version, bytes: format!("signed {version}").into() });
    let bytes = |version| Some(format!("signed {version}").into_bytes().into());
    let envoys = &world.core.parts.envoys;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    assert_eq!(welcomed(&a), Lists::default());
    envoys.pass_on(|lists| lists.roster = signed(3));
    assert_eq!(a.next().await, ToEnvoy::Lists(Lists { roster: bytes(3), revocations: None }));
    envoys.pass_on(|lists| lists.revocations = signed(2));
    // What it has is not sent again.
    assert_eq!(a.next().await, ToEnvoy::Lists(Lists { roster: None, revocations: bytes(2) }));
    let b = FakeEnvoy::new(&world, "b", 1).await;
    assert_eq!(welcomed(&b), Lists { roster: bytes(3), revocations: bytes(2) });
}
