//! From submission to report.

use veilflow_spec::Name;

use super::support::{FakeEnvoy, World, client, hello, rounds_of, soon, terms};
use crate::experiment::{ExperimentId, State};
use crate::wire::messages::{ToEnvoy, Told};

#[tokio::test(flavor = "multi_thread")]
async fn an_experiment_waits_for_its_participants_and_runs_to_its_report() {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let id = world.begin(&["a", "b"], 2).await;
    let reason = world.until_it(id, "a reason", |summary| summary.reason.starts_with("waits")).await;
    assert_eq!(reason, "waits for b to connect");
    let mut told = world.follow(id, 0, 1024);
    let mut b = FakeEnvoy::new(&world, "b", 1).await;
    world.until(id, State::Running).await;
    for _ in 0..2 {
        a.work().await;
        b.work().await;
    }
    assert_eq!(world.report(id).await, [4.0, 16.0], "two rounds of twice the value from each of two");
    assert_eq!(
        (a.next().await, b.next().await),
        (ToEnvoy::End { experiment: id }, ToEnvoy::End { experiment: id })
    );
    let (mut states, mut events, mut over) = (Vec::new(), Vec::new(), None);
    while let Some(message) = soon("all of it", told.recv()).await {
        assert_eq!(over, None, "nothing comes after the end");
        match message {
            Told::State(summary) => states.push(summary.state),
            Told::Event(event) => events.push(event.sequence),
            Told::Over(outcome) => over = Some(outcome),
        }
    }
    states.dedup();
    assert_eq!(states, [State::Pending, State::Running, State::Finished]);
    assert_eq!(events, (0..events.len() as u64).collect::<Vec<_>>());
    assert!(events.len() > 10);
    assert_eq!(over.map(|outcome| outcome.state), Some(State::Finished));
    let summary = world.summary(id);
    assert!(summary.submitted_ms <= summary.started_ms.unwrap());
    assert!(summary.started_ms <= summary.ended_ms);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_experiments_of_one_flow_run_at_once_and_a_third_waits_for_a_slot() {
    let world = World::with(std::time::Duration::from_secs(60), 2).await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let one = world.begin(&["a"], 1).await;
    let first = a.task().await;
    let two = world.begin(&["a"], 1).await;
    let second = a.task().await;
    assert_eq!((first.experiment, second.experiment), (one, two));
    let three = world.begin(&["a"], 1).await;
    let reason = world.until_it(three, "a reason", |summary| summary.reason.starts_with("waits")).await;
    assert_eq!(reason, "waits for one of 2 running experiments to end");
    let status = world.core.envoys();
    assert_eq!(status[0].running.map(|id| id == one || id == two), Some(true));
    // Their tasks have the same key, and each gets its own answer.
    assert_eq!(first.task, second.task);
    a.say(second.done(Ok(super::support::content(&5.0)))).await;
    assert_eq!(world.report(two).await, [5.0]);
    a.say(first.doubled()).await;
    assert_eq!(world.report(one).await, [2.0]);
    world.until(three, State::Running).await;
    let tasks = a.work_to_the_end();
    // Until the end of the first of the three that it learns of.
    assert_eq!(world.summary(three).state, State::Running);
    drop(tasks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_only_some_envoys_have_waits_and_holds_up_nobody() {
    let world = World::with(std::time::Duration::from_secs(60), 1).await;
    let _a = FakeEnvoy::saying(&world, "a", hello(1, &["sums", "others"])).await.unwrap();
    let mut b = FakeEnvoy::new(&world, "b", 1).await;
    let others = world.submit(rounds_of(terms("others", &["a", "b"]), 1)).await.unwrap().id;
    let reason = world.until_it(others, "a reason", |summary| summary.reason.starts_with("waits")).await;
    assert_eq!(reason, "waits for b to offer version 1 of `others`");
    let sums = world.begin(&["b"], 1).await;
    b.work().await;
    assert_eq!(world.report(sums).await, [2.0]);
    assert_eq!(world.summary(others).state, State::Pending);
    b.cut().await;
    let _b = FakeEnvoy::saying(&world, "b", hello(2, &["others"])).await.unwrap();
    world.until(others, State::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_counts_once_and_a_wrong_one_is_refused() {
    let world = World::new().await;
    let submit = rounds_of(terms("sums", &["a"]), 1);
    let first = world.submit(submit.clone()).await.unwrap();
    assert_eq!(world.submit(submit.clone()).await.unwrap().id, first.id);
    assert_eq!(world.core.list().len(), 1);
    let code = async |submit| world.submit(submit).await.unwrap_err().code();
    let mut other = submit.clone();
    other.terms.seed = 2;
    assert_eq!(code(other).await, "conflict");
    assert_eq!(world.core.submit(&client("bob"), submit.clone()).await.unwrap_err().code(), "conflict");
    let fresh = || {
        let mut submit = submit.clone();
        submit.id = ExperimentId::generate().unwrap();
        submit
    };
    let mut unknown = fresh();
    unknown.terms.flow = "sum".to_owned();
    let text = world.submit(unknown).await.unwrap_err().to_string();
    assert!(text.contains("did you mean `sums`?"), "{text}");
    let mut mismatch = fresh();
    mismatch.fingerprint = [7; 32].into();
    assert_eq!(code(mismatch).await, "flow-mismatch");
    let mut protocol = fresh();
    protocol.protocol = 99;
    assert_eq!(code(protocol).await, "protocol");
    for bad in [&[][..], &["a", "a"], &["a/b"]] {
        let mut submit = fresh();
        submit.terms.participants = bad.iter().map(|name| Name::from(*name)).collect();
        assert_eq!(code(submit).await, "invalid", "{bad:?}");
    }
    for _ in 1..8 {
        world.submit(fresh()).await.unwrap();
    }
    assert_eq!(code(fresh()).await, "busy", "so many wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_envoys_work_on_one_experiment() {
    let world = World::new().await;
    let names: Vec<String> = (0..300).map(|number| format!("site-{number:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let id = world.begin(&names, 2).await;
    let mut working = Vec::new();
    for name in &names {
        working.push(FakeEnvoy::new(&world, name, 1).await.work_to_the_end());
    }
    assert_eq!(world.report(id).await, [600.0, 360_000.0]);
    let mut envoys = Vec::new();
    for work in working {
        let (envoy, tasks) = soon("its end", work).await.unwrap();
        assert_eq!(tasks, 2);
        envoys.push(envoy);
    }
    assert_eq!(world.core.envoys().iter().filter(|envoy| envoy.online).count(), 300);
}
