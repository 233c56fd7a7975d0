//! Connections: made again for ever, and never trusted to be there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use veilflow_engine::{Event, EventKind};

use super::stage::{Sent, Stage};
use crate::envoy::notice::Notice;
use crate::wire::messages::{FromEnvoy, Lists, PROTOCOL, ToEnvoy};

fn detached(notice: Notice) -> Option<(String, Duration)> {
    match notice {
        Notice::Detached { reason, retry, .. } => Some((reason, retry)),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn it_dials_for_ever_with_longer_and_longer_waits() {
    let mut stage = Stage::new();
    stage.refuse.store(40, Ordering::SeqCst);
    let mut waits = Vec::new();
    for _ in 0..40 {
        let (reason, retry) = stage.noticed(detached).await;
        assert_eq!(reason, "nobody is there");
        waits.push(retry);
    }
    assert!(waits[0] <= Duration::from_millis(100) && waits[39] >= Duration::from_secs(15), "{waits:?}");
    let director = stage.attached(&[]).await;
    // A welcome is what ends the waiting: the next one is short again.
    stage.noticed(|notice| (notice == Notice::Attached).then_some(())).await;
    drop(director);
    assert!(stage.noticed(detached).await.1 <= Duration::from_millis(100));
    stage.attached(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn each_connection_begins_with_the_same_incarnation() {
    let mut stage = Stage::new();
    let mut incarnations = Vec::new();
    for _ in 0..2 {
        let (_, hello) = stage.dialled().await;
        let FromEnvoy::Hello { protocol, incarnation, lists, .. } = hello else { panic!() };
        assert_eq!((protocol, lists), (PROTOCOL, Lists::default()));
        incarnations.push(incarnation);
    }
    assert_eq!(incarnations[0], incarnations[1]);
    let (_, hello) = Stage::new().dialled().await;
    let FromEnvoy::Hello { incarnation, .. } = hello else { panic!() };
    assert_ne!(incarnation, incarnations[0]);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_begin_with_a_welcome_of_this_version_is_no_director() {
    let mut stage = Stage::new();
    let (director, _) = stage.dialled().await;
    let (protocol, incarnation, lists) = (99, [1; 16], Lists::default());
    director.say(ToEnvoy::Welcome { protocol, incarnation, lists, experiments: Vec::new() }).await;
    let (reason, _) = stage.noticed(detached).await;
    assert!(reason.contains("99") && reason.contains(&PROTOCOL.to_string()), "{reason}");
    let (director, _) = stage.dialled().await;
    director.say(Sent::new().task("1")).await;
    let (reason, _) = stage.noticed(detached).await;
    assert!(reason.contains("before its welcome"), "{reason}");
    stage.attached(&[]).await;
    stage.nothing_runs();
}

#[tokio::test(start_paused = true)]
async fn both_sides_say_that_they_are_there_and_a_silent_director_is_given_up() {
    let mut stage = Stage::new();
    let mut director = stage.attached(&[]).await;
    // As long as it says something, it stays.
    for _ in 0..10 {
        assert_eq!(director.any().await, Some(FromEnvoy::Alive));
        director.say(ToEnvoy::Alive).await;
    }
    let since = tokio::time::Instant::now();
    let (reason, _) = stage.noticed(detached).await;
    assert_eq!(reason, "the director has gone silent");
    assert_eq!(since.elapsed().as_secs(), 35);
    stage.attached(&[]).await;
}

/// An event can only be made by an engine, or read.
fn event(kind: EventKind) -> Event {
    #[derive(serde::Serialize)]
    struct Written {
        sequence: u64,
        elapsed: Duration,
        kind: EventKind,
    }
    let bytes =
        crate::wire::encode(&Written { sequence: 3, elapsed: Duration::from_millis(7), kind }).unwrap();
    crate::wire::decode(&bytes).unwrap()
}

#[tokio::test]
async fn what_may_cross_crosses_before_the_answer_and_the_site_logs_all() {
    let mut stage = Stage::new();
    let mut director = stage.attached(&[]).await;
    let sent = Sent::new();
    director.say(sent.task("1")).await;
    let running = stage.performing().await;
    let happened = |text: &str| event(EventKind::RunFailed { error: text.to_owned() });
    let settings = Arc::clone(&running.settings);
    settings.observer.event(&happened("stays"));
    settings.crossing.event(&happened("crosses"));
    assert_eq!(director.events().await, (sent.id, 0, vec![happened("crosses").kind]));
    settings.crossing.event(&happened("last"));
    running.end(Ok(b"one"));
    assert_eq!(director.events().await, (sent.id, 1, vec![happened("last").kind]));
    director.answered().await;
    let logged = stage.noticed(|notice| match notice {
        Notice::Event { experiment, event } => Some((experiment, event)),
        _ => None,
    });
    assert_eq!(logged.await, (sent.id, happened("stays")));
}

#[tokio::test]
async fn events_that_a_lost_connection_had_in_hand_are_told_again_before_the_answer() {
    let mut stage = Stage::new();
    let mut director = stage.attached(&[]).await;
    let sent = Sent::new();
    director.say(sent.task("1")).await;
    let running = stage.performing().await;
    let crossing = Arc::clone(&running.settings.crossing);
    let happened = |text: &str| event(EventKind::RunFailed { error: text.to_owned() });
    crossing.event(&happened("one"));
    assert_eq!(director.events().await.1, 0);
    crossing.event(&happened("two"));
    assert_eq!(director.events().await.1, 1);
    director.say(ToEnvoy::Heard { experiment: sent.id, next: 1 }).await;
    // Read when what follows it is answered.
    director.say(sent.task("another")).await;
    assert!(director.done().await.1.is_err(), "one task at a time");
    drop(director);
    stage.noticed(detached).await;
    crossing.event(&happened("three"));
    running.end(Ok(b"one"));
    let mut director = stage.attached(&[sent.id]).await;
    let again = vec![happened("two").kind, happened("three").kind];
    assert_eq!(director.events().await, (sent.id, 1, again));
    director.answered().await;

    // An experiment that the director does not know any more has nothing to tell.
    drop(director);
    stage.noticed(detached).await;
    let mut director = stage.attached(&[]).await;
    director.say(Sent::new().task("2")).await;
    let running = stage.performing().await;
    running.settings.crossing.event(&happened("of the next one"));
    assert_eq!(director.events().await.2, [happened("of the next one").kind]);
    running.end(Ok(b"two"));
}
