//! Directors that end in the middle, and those that go on.

use veilflow_engine::EventKind;
use veilflow_spec::Placement;

use super::support::{FakeEnvoy, Given, World, soon};
use crate::experiment::{ExperimentId, State};
use crate::wire::messages::{FromEnvoy, ToEnvoy, Told};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_from_its_last_step_and_nobody_works_twice() {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let mut b = FakeEnvoy::new(&world, "b", 1).await;
    let id = world.begin(&["a", "b"], 3).await;
    a.work().await;
    b.work().await;
    let (of_a, of_b) = (a.task().await, b.task().await);
    assert_eq!((*of_a.task.loops).to_vec(), [1]);
    a.say(of_a.doubled()).await;
    a.acknowledged(&of_a).await;
    let told_before = world.core.experiment(&super::support::admin(), id).unwrap().journal.events().next();
    let world = world.restart().await;
    assert_eq!(a.ended().await.unwrap_err().code(), "leaving");
    assert_eq!(b.ended().await.unwrap_err().code(), "leaving");
    let reason = world.until_it(id, "a reason", |summary| summary.reason.starts_with("resumed")).await;
    assert_eq!(reason, "resumed after a restart of the director");
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let mut b = FakeEnvoy::new(&world, "b", 1).await;
    for envoy in [&a, &b] {
        assert!(matches!(&envoy.welcome, ToEnvoy::Welcome { experiments, .. } if *experiments == [id]));
    }
    // Its answer was written down: it is in the next round at once. The other is asked again with the same key.
    assert_eq!(b.task().await, of_b);
    b.say(of_b.doubled()).await;
    b.acknowledged(&of_b).await;
    let of_a = a.task().await;
    assert_eq!((*of_a.task.loops).to_vec(), [2]);
    a.say(of_a.doubled()).await;
    b.work().await;
    assert_eq!(world.report(id).await, [4.0, 16.0, 64.0]);
    // Whoever had read all of it is told from where the run went on.
    let mut told = world.follow(id, told_before, 1024);
    let mut events = Vec::new();
    while let Some(message) = soon("all of it", told.recv()).await {
        if let Told::Event(event) = message {
            events.push(event);
        }
    }
    let EventKind::Resumed { from } = events[0].kind else { panic!("{:?}", events[0]) };
    assert!(from < told_before && events[0].sequence == from);
    assert_eq!(events.last().unwrap().kind, EventKind::RunFinished);
}

/// A director that was started again while this site's only task ran, and the site, attached again.
async fn restarted_meanwhile() -> (World, FakeEnvoy, ExperimentId, Given) {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let id = world.begin(&["a"], 1).await;
    let given = a.task().await;
    let world = world.restart().await;
    let a = FakeEnvoy::new(&world, "a", 1).await;
    (world, a, id, given)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_site_tells_before_the_run_goes_on_is_told() {
    let (world, mut a, id, given) = restarted_meanwhile().await;
    // Its number is behind those that the director before has heard.
    let events = vec![given.note("a", Placement::Collaborator, "while nobody was there")];
    a.say(FromEnvoy::Events { experiment: id, first: 3, events }).await;
    // Its task comes again too, before or behind that.
    let both = [a.next().await, a.next().await];
    assert!(both.contains(&ToEnvoy::Heard { experiment: id, next: 4 }), "{both:?}");
    a.say(given.doubled()).await;
    assert_eq!(world.notes(id).await, (vec!["while nobody was there".to_owned()], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_a_task_of_the_director_before_counts() {
    let (world, mut a, id, given) = restarted_meanwhile().await;
    // It ended while the director was away, and is said first.
    a.say(given.doubled()).await;
    let mut over = false;
    while !over {
        match a.next().await {
            // The run may not have asked again by then.
            ToEnvoy::Task { task, .. } => {
                assert_eq!(task, given.task);
                a.say(given.doubled()).await;
            }
            ToEnvoy::Acknowledged { task, .. } => assert_eq!(task, given.task),
            ToEnvoy::End { experiment } => over = experiment == id,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.report(id).await, [2.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_waits_again_and_what_is_over_stays_so() {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let finished = world.begin(&["a"], 1).await;
    a.work().await;
    assert_eq!(world.report(finished).await, [2.0]);
    let waiting = world.begin(&["a", "b"], 1).await;
    let submitted = world.summary(waiting).submitted_ms;
    let world = world.restart().await;
    assert_eq!(world.report(finished).await, [2.0]);
    assert_eq!(
        (world.summary(waiting).state, world.summary(waiting).submitted_ms),
        (State::Pending, submitted)
    );
    let mut a = FakeEnvoy::new(&world, "a", 2).await;
    let mut b = FakeEnvoy::new(&world, "b", 2).await;
    a.work().await;
    b.work().await;
    assert_eq!(world.report(waiting).await, [4.0]);
    assert_eq!(world.core.list().iter().map(|summary| summary.id).collect::<Vec<_>>(), [finished, waiting]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_director_that_ends_lets_nobody_in_and_takes_nothing() {
    let world = World::new().await;
    let running = world.begin(&["a"], 1).await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    a.task().await;
    let told = world.follow(running, 0, 64);
    world.core.close();
    assert_eq!(a.ended().await.unwrap_err().code(), "leaving");
    let late = FakeEnvoy::saying(&world, "b", super::support::hello(1, &["sums"])).await;
    assert_eq!(late.err().map(|refusal| refusal.code()), Some("leaving"));
    let submit = super::support::rounds_of(super::support::terms("sums", &["a"]), 1);
    assert_eq!(world.submit(submit).await.unwrap_err().code(), "leaving");
    soon("the end of all runs", world.core.idle()).await;
    assert_eq!(world.summary(running).state, State::Running, "for the next process");
    drop(told);
}
