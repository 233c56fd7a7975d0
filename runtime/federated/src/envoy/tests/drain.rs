//! Shutting down: in seconds, whatever a step or a director does.

use std::time::Duration;

use veilflow_spec::Cause;

use super::stage::{AGREES, Sent, Stage, key};
use crate::envoy::notice::Notice;
use crate::wire::messages::FromEnvoy;

#[tokio::test]
async fn one_that_does_nothing_says_that_it_leaves_and_goes() {
    let mut stage = Stage::new();
    let mut director = stage.attached(&[]).await;
    stage.noticed(|notice| (notice == Notice::Attached).then_some(())).await;
    let envoy = stage.envoy.take().unwrap();
    envoy.shutdown();
    assert_eq!(director.heard().await, FromEnvoy::Leaving);
    assert_eq!(director.any().await, None);
    drop(director);
    envoy.wait().await;
    assert_eq!(
        stage
            .noticed(|notice| match notice {
                Notice::Stopped { left_behind } => Some(left_behind),
                _ => None,
            })
            .await,
        0
    );
}

#[tokio::test]
async fn a_running_task_is_finished_and_its_answer_heard_before_it_goes() {
    let mut stage = Stage::of(&format!("{AGREES}[connection]\ndrain = '1h'\n"));
    let mut director = stage.attached(&[]).await;
    let (sent, other) = (Sent::new(), Sent::new());
    director.say(sent.task("1")).await;
    let running = stage.performing().await;
    let envoy = stage.envoy.take().unwrap();
    envoy.shutdown();
    assert_eq!(director.heard().await, FromEnvoy::Leaving);
    director.say(other.task("1")).await;
    assert_eq!(director.declined().await.0, "leaving");
    // The connection is lost meanwhile: it comes back with the answer, and says again that it leaves.
    drop(director);
    running.end(Ok(b"one"));
    let mut director = stage.attached(&[sent.id]).await;
    let heard = [director.heard().await, director.heard().await];
    assert!(heard.contains(&FromEnvoy::Leaving), "{heard:?}");
    assert!(
        heard
            .iter()
            .any(|heard| matches!(heard, FromEnvoy::Done { task, outcome: Ok(_), .. } if *task == key("1")))
    );
    director.say(sent.acknowledged("1")).await;
    assert_eq!(director.any().await, None);
    drop(director);
    envoy.wait().await;
}

#[tokio::test]
async fn a_task_that_takes_too_long_is_told_to_stop() {
    let mut stage = Stage::of(&format!("{AGREES}[connection]\ndrain = '100ms'\n"));
    let mut director = stage.attached(&[]).await;
    let sent = Sent::new();
    director.say(sent.task("1")).await;
    let running = stage.performing().await;
    let envoy = stage.envoy.take().unwrap();
    envoy.shutdown();
    assert_eq!(director.heard().await, FromEnvoy::Leaving);
    stage.noticed(|notice| matches!(notice, Notice::Cancelled { .. }).then_some(())).await;
    assert!(running.cancellation.is_cancelled());
    running.end(Err(Cause::Cancelled));
    assert_eq!(director.done().await, (key("1"), Err(Cause::Cancelled)));
    director.say(sent.acknowledged("1")).await;
    drop(director);
    envoy.wait().await;
}

#[tokio::test]
async fn a_step_that_does_not_stop_is_left_behind() {
    let mut stage = Stage::of(&format!("{AGREES}[connection]\ndrain = '100ms'\n"));
    let director = stage.attached(&[]).await;
    director.say(Sent::new().task("1")).await;
    let running = stage.performing().await;
    let envoy = stage.envoy.take().unwrap();
    let since = std::time::Instant::now();
    envoy.shutdown();
    // It does not even hang up.
    envoy.wait().await;
    assert!(since.elapsed() < Duration::from_secs(30));
    let left_behind = stage.noticed(|notice| match notice {
        Notice::Stopped { left_behind } => Some(left_behind),
        _ => None,
    });
    assert_eq!(left_behind.await, 1);
    running.end(Ok(b"late"));
    drop(director);
}

#[tokio::test]
async fn one_that_is_dropped_drains_as_well() {
    let mut stage = Stage::new();
    let mut director = stage.attached(&[]).await;
    stage.noticed(|notice| (notice == Notice::Attached).then_some(())).await;
    drop(stage.envoy.take());
    assert_eq!(director.heard().await, FromEnvoy::Leaving);
}
