//! Cancelling in each phase, and who may.

use super::support::{FakeEnvoy, World, admin, client, soon};
use crate::experiment::State;
use crate::wire::messages::{ToEnvoy, Told};

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_experiment_is_cancelled_and_never_runs() {
    let world = World::new().await;
    let id = world.begin(&["a"], 1).await;
    let summary = world.core.cancel(&client("ann"), id).await.unwrap();
    assert_eq!((summary.state, summary.reason.as_str()), (State::Cancelled, "cancelled by ann"));
    assert_eq!(summary.started_ms, None);
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let other = world.begin(&["a"], 1).await;
    assert_eq!(a.task().await.experiment, other);
    assert_eq!(world.summary(id).state, State::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_experiment_is_cancelled_and_its_envoys_drop_it() {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let mut b = FakeEnvoy::new(&world, "b", 1).await;
    let id = world.begin(&["a", "b"], 3).await;
    let (of_a, of_b) = (a.task().await, b.task().await);
    a.say(of_a.doubled()).await;
    a.acknowledged(&of_a).await;
    let mut told = world.follow(id, 0, 64);
    let summary = world.core.cancel(&admin(), id).await.unwrap();
    assert_eq!((summary.state, summary.reason.as_str()), (State::Cancelled, "cancelled by root"));
    for envoy in [&mut a, &mut b] {
        assert_eq!(envoy.next().await, ToEnvoy::End { experiment: id });
    }
    // It is late, and disturbs nobody.
    b.say(of_b.doubled()).await;
    assert_eq!(b.next().await, ToEnvoy::End { experiment: id });
    let mut last = None;
    while let Some(message) = soon("all of it", told.recv()).await {
        last = Some(message);
    }
    let Some(Told::Over(outcome)) = last else { panic!("{last:?}") };
    assert_eq!((outcome.state, outcome.code.as_str()), (State::Cancelled, "cancelled"));
    soon("the end of its thread", world.core.idle()).await;
    let again = world.begin(&["a"], 1).await;
    a.work().await;
    assert_eq!(world.report(again).await, [2.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_or_of_another_is_not_cancelled() {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let id = world.begin(&["a"], 1).await;
    let given = a.task().await;
    assert_eq!(world.core.cancel(&client("bob"), id).await.unwrap_err().code(), "denied");
    a.say(given.doubled()).await;
    assert_eq!(world.report(id).await, [2.0]);
    let refusal = world.core.cancel(&client("ann"), id).await.unwrap_err();
    assert_eq!(refusal.to_string(), format!("experiment {id} is finished already"));
    let unknown = crate::experiment::ExperimentId::generate().unwrap();
    assert_eq!(world.core.cancel(&admin(), unknown).await.unwrap_err().code(), "unknown");
    assert!(world.core.experiment(&client("bob"), id).is_err(), "nor looked into");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_experiment_stays_so_after_a_restart() {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let running = world.begin(&["a"], 1).await;
    a.task().await;
    let queued = world.begin(&["nobody"], 1).await;
    for id in [running, queued] {
        world.core.cancel(&client("ann"), id).await.unwrap();
    }
    let world = world.restart().await;
    for id in [running, queued] {
        assert_eq!(world.summary(id).state, State::Cancelled);
        let told = world.core.experiment(&client("ann"), id).unwrap().outcome().unwrap();
        assert_eq!(told.code, "cancelled");
    }
    let a = FakeEnvoy::new(&world, "a", 1).await;
    assert!(matches!(&a.welcome, ToEnvoy::Welcome { experiments, .. } if experiments.is_empty()));
}
