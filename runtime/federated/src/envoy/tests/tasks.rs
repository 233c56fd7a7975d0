//! What becomes of tasks.

use veilflow_spec::{Cause, StepError};

use super::stage::{AGREES, Sent, Stage, inline, key};
use super::toy::Happened;
use crate::envoy::notice::Notice;
use crate::wire::messages::{ChunkHash, Content, ToEnvoy};
use crate::wire::{Refusal, WireError};

#[tokio::test]
async fn a_task_is_done_once_and_its_answer_is_kept_until_the_next_one() {
    let mut stage = Stage::of(&format!("{AGREES}[flows.toy]\ndata-dir = '/data'\n"));
    let sent = Sent::new();
    let mut director = stage.attached(&[]).await;
    director.say(sent.task("1")).await;
    let first = stage.performing().await;
    assert_eq!((first.task.clone(), first.message.as_slice()), (key("1"), b"1".as_slice()));
    assert_eq!((first.settings.name.as_str(), first.settings.seed), ("Bengaluru", 7));
    first.end(Ok(b"one"));
    assert_eq!(director.done().await, (key("1"), Ok(b"one".to_vec())));
    // Lost on the way, or a director that was started again: the same bytes, and the task is not run.
    for acknowledged in [false, true] {
        if acknowledged {
            director.say(sent.acknowledged("1")).await;
        }
        director.say(sent.task("1")).await;
        assert_eq!(director.done().await, (key("1"), Ok(b"one".to_vec())));
    }
    stage.nothing_runs();
    // It is kept while the next one runs, and no longer.
    director.say(sent.task("2")).await;
    let second = stage.performing().await;
    second.end(Err(Cause::Failed { step: "work".into(), code: "bad".into(), text: None }));
    assert!(matches!(director.done().await, (_, Err(Cause::Failed { .. }))));
    director.say(sent.task("2")).await;
    assert!(matches!(director.done().await, (_, Err(Cause::Failed { .. }))));
    director.say(sent.task("1")).await;
    stage.performing().await.end(Ok(b"one, again"));
    assert_eq!(director.done().await.1, Ok(b"one, again".to_vec()));
    // All that with one half, built with the site's own settings.
    let place = [("data-dir".to_owned(), "/data".to_owned())].into();
    assert_eq!(stage.happened().await, Happened::Built(place));
    stage.nothing_happened();
}

#[tokio::test]
async fn a_running_task_is_joined_and_another_one_of_its_experiment_finds_the_site_busy() {
    let mut stage = Stage::new();
    let sent = Sent::new();
    let mut director = stage.attached(&[]).await;
    director.say(sent.task("1")).await;
    let running = stage.performing().await;
    director.say(sent.task("1")).await;
    director.say(sent.task("2")).await;
    assert_eq!(director.done().await, (key("2"), Err(Cause::Busy)));
    stage.nothing_runs();
    running.end(Ok(b"one"));
    assert_eq!(director.done().await, (key("1"), Ok(b"one".to_vec())));
    // Being busy was no answer to keep.
    director.say(sent.task("2")).await;
    stage.performing().await.end(Ok(b"two"));
    assert_eq!(director.done().await, (key("2"), Ok(b"two".to_vec())));
    director.has_heard_nothing();
}

#[tokio::test]
async fn experiments_run_at_once_as_far_as_there_are_processors() {
    let mut stage = Stage::new();
    let (a, b, c) = (Sent::new(), Sent::new(), Sent::new());
    let mut director = stage.attached(&[]).await;
    for sent in [&a, &b, &c] {
        director.say(sent.task("1")).await;
    }
    let (first, second) = (stage.performing().await, stage.performing().await);
    // The third waits for its turn: it starts when one of the two has returned.
    stage.nothing_runs();
    first.end(Ok(b"x"));
    director.answered().await;
    let third = stage.performing().await;
    third.end(Ok(b"x"));
    second.end(Ok(b"x"));
    director.answered().await;
    director.answered().await;
}

#[tokio::test]
async fn while_the_director_is_away_tasks_go_on_and_answers_wait() {
    let mut stage = Stage::new();
    let sent = Sent::new();
    let director = stage.attached(&[]).await;
    director.say(sent.task("1")).await;
    let running = stage.performing().await;
    drop(director);
    stage.noticed(|notice| matches!(notice, Notice::Detached { .. }).then_some(())).await;
    running.end(Ok(b"one"));
    stage.noticed(|notice| matches!(notice, Notice::TaskEnded { .. }).then_some(())).await;
    let mut director = stage.attached(&[sent.id]).await;
    assert_eq!(director.done().await, (key("1"), Ok(b"one".to_vec())));
    // Not acknowledged: it may be lost.
    drop(director);
    let mut director = stage.attached(&[sent.id]).await;
    assert_eq!(director.done().await, (key("1"), Ok(b"one".to_vec())));
    director.say(sent.acknowledged("1")).await;
    drop(director);
    let mut director = stage.attached(&[sent.id]).await;
    director.say(sent.task("2")).await;
    stage.performing().await.end(Ok(b"two"));
    assert_eq!(director.done().await, (key("2"), Ok(b"two".to_vec())));
}

#[tokio::test]
async fn what_the_director_does_not_know_any_more_is_dropped() {
    let mut stage = Stage::new();
    let (idle, busy, kept) = (Sent::new(), Sent::new(), Sent::new());
    let mut director = stage.attached(&[]).await;
    for sent in [&idle, &kept] {
        director.say(sent.task("1")).await;
        stage.performing().await.end(Ok(b"one"));
        director.answered().await;
    }
    director.say(busy.task("1")).await;
    let running = stage.performing().await;
    for _ in 0..3 {
        assert!(matches!(stage.happened().await, Happened::Built(_)));
    }
    drop(director);
    let mut director = stage.attached(&[kept.id]).await;
    assert_eq!(director.done().await.0, key("1"));
    assert_eq!(stage.happened().await, Happened::Dropped);
    assert!(running.cancellation.is_cancelled());
    // Nobody hears of its answer, and what it held goes when it returns.
    running.end(Ok(b"late"));
    assert_eq!(stage.happened().await, Happened::Dropped);
    director.say(kept.task("1")).await;
    assert_eq!(director.done().await.1, Ok(b"one".to_vec()));
    stage.nothing_happened();
}

#[tokio::test]
async fn a_task_is_cancelled_by_its_own_name_only() {
    let mut stage = Stage::new();
    let sent = Sent::new();
    let mut director = stage.attached(&[]).await;
    director.say(sent.task("1")).await;
    let running = stage.performing().await;
    director.say(sent.cancel("2")).await;
    director.say(Sent::new().cancel("1")).await;
    director.say(sent.task("2")).await;
    assert_eq!(director.done().await, (key("2"), Err(Cause::Busy)));
    assert!(!running.cancellation.is_cancelled());
    director.say(sent.cancel("1")).await;
    stage.noticed(|notice| matches!(notice, Notice::Cancelled { .. }).then_some(())).await;
    assert!(running.cancellation.is_cancelled());
    running.end(Err(Cause::Cancelled));
    assert_eq!(director.done().await, (key("1"), Err(Cause::Cancelled)));
}

#[tokio::test]
async fn a_task_that_waits_for_its_turn_is_cancelled_at_once() {
    let mut stage = Stage::of("[policy]\nallowed-flows = ['toy']\n[resources]\ncpus = 1\n");
    let (first, second) = (Sent::new(), Sent::new());
    let mut director = stage.attached(&[]).await;
    director.say(first.task("1")).await;
    let running = stage.performing().await;
    director.say(second.task("1")).await;
    director.say(second.cancel("1")).await;
    assert_eq!(director.done().await.1, Err(Cause::Cancelled));
    stage.nothing_runs();
    running.end(Ok(b"one"));
    assert_eq!(director.done().await.1, Ok(b"one".to_vec()));
}

#[tokio::test]
async fn a_session_that_is_over_is_closed_even_while_its_half_is_being_built() {
    let mut stage = Stage::new();
    let sent = Sent::new();
    let mut director = stage.attached(&[]).await;
    let go = stage.flow.hold_building();
    director.say(sent.task("1")).await;
    director.say(sent.close("join")).await;
    stage.noticed(|notice| matches!(notice, Notice::Closed { .. }).then_some(())).await;
    go.send(Ok(())).unwrap();
    let running = stage.performing().await;
    assert!(matches!(stage.happened().await, Happened::Built(_)));
    director.say(sent.close("other")).await;
    assert_eq!(stage.happened().await, Happened::Closed("other".into()));
    running.end(Ok(b"one"));
    assert_eq!(stage.happened().await, Happened::Closed("join".into()));
    director.answered().await;
    // A session of an experiment that is not here is nobody's.
    director.say(Sent::new().close("join")).await;
    director.say(sent.task("1")).await;
    director.answered().await;
    stage.nothing_happened();
}

#[tokio::test]
async fn an_experiment_that_is_over_takes_all_with_it_when_its_task_has_returned() {
    let mut stage = Stage::new();
    let sent = Sent::new();
    let mut director = stage.attached(&[]).await;
    director.say(sent.task("1")).await;
    let running = stage.performing().await;
    assert!(matches!(stage.happened().await, Happened::Built(_)));
    director.say(sent.end()).await;
    stage.noticed(|notice| matches!(notice, Notice::Ended { .. }).then_some(())).await;
    assert!(running.cancellation.is_cancelled());
    // No second task of one experiment beside the one that is still there, whatever it is called.
    director.say(sent.task("1")).await;
    assert_eq!(director.done().await.1, Err(Cause::Busy));
    running.end(Ok(b"late"));
    assert_eq!(stage.happened().await, Happened::Dropped);
    director.say(sent.task("1")).await;
    stage.performing().await.end(Ok(b"anew"));
    assert_eq!(director.done().await.1, Ok(b"anew".to_vec()));
    assert!(matches!(stage.happened().await, Happened::Built(_)));
    director.say(sent.end()).await;
    assert_eq!(stage.happened().await, Happened::Dropped);
}

#[tokio::test]
async fn what_panics_or_cannot_be_built_is_a_task_without_an_answer_and_no_more() {
    let mut stage = Stage::new();
    let sent = Sent::new();
    let mut director = stage.attached(&[]).await;
    director.say(sent.task("1")).await;
    stage.performing().await.panic();
    assert_eq!(director.done().await.1, Err(Cause::Panicked { step: "1".into(), text: None }));
    let other = Sent::new();
    stage.flow.hold_building().send(Err(StepError::msg("no data in /secret/place"))).unwrap();
    director.say(other.task("1")).await;
    assert_eq!(director.done().await.1, Err(Cause::NotBuilt { text: None }));
    let reason = stage.noticed(|notice| match notice {
        Notice::NotBuilt { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await, "no data in /secret/place");
    // It is tried again at the next fan-out.
    director.say(other.task("2")).await;
    stage.performing().await.end(Ok(b"two"));
    assert_eq!(director.done().await.1, Ok(b"two".to_vec()));
}

#[tokio::test]
async fn a_message_that_was_cut_off_is_fetched_on_when_the_task_comes_again() {
    let mut stage = Stage::new();
    let sent = Sent::new();
    let director = stage.attached(&[]).await;
    director.contents.failing.store(1, std::sync::atomic::Ordering::SeqCst);
    director.say(sent.task("1")).await;
    stage.noticed(|notice| matches!(notice, Notice::Interrupted { .. }).then_some(())).await;
    drop(director);
    let mut director = stage.attached(&[sent.id]).await;
    stage.nothing_runs();
    director.say(sent.task("1")).await;
    stage.performing().await.end(Ok(b"one"));
    assert_eq!(director.done().await.1, Ok(b"one".to_vec()));
    director.has_heard_nothing();
}

#[tokio::test]
async fn a_message_above_the_limit_is_declined_before_it_takes_memory() {
    let mut stage = Stage::of(
        "[policy]\nallowed-flows = ['toy']\n[resources]\nmax-message = '1 MiB'\nmax-experiments = 1\n",
    );
    let sent = Sent::new();
    let mut director = stage.attached(&[]).await;
    let ToEnvoy::Task { experiment, terms, fingerprint, task, .. } = sent.task("1") else { panic!() };
    let chunks = vec![ChunkHash([7; 32]); 2];
    let message = Content::Chunks { bytes: 2 * 1024 * 1024, chunks };
    director
        .say(ToEnvoy::Task { experiment, terms, fingerprint, task, setup: Some(inline(b"")), message })
        .await;
    let (code, text) = director.declined().await;
    assert_eq!(code, "too-large");
    assert!(text.contains("2097152"), "{text}");
    // It left nothing behind: another experiment finds room.
    director.say(Sent::new().task("1")).await;
    stage.performing().await.end(Ok(b"one"));
    assert_eq!(director.done().await.1, Ok(b"one".to_vec()));
}

#[tokio::test]
async fn no_more_experiments_are_held_than_the_site_allows() {
    let mut stage = Stage::of("[policy]\nallowed-flows = ['toy']\n[resources]\nmax-experiments = 1\n");
    let (first, second) = (Sent::new(), Sent::new());
    let mut director = stage.attached(&[]).await;
    director.say(first.task("1")).await;
    stage.performing().await.end(Ok(b"one"));
    director.answered().await;
    director.say(second.task("1")).await;
    assert_eq!(director.declined().await.0, "too-many-experiments");
    director.say(first.end()).await;
    director.say(second.task("1")).await;
    stage.performing().await.end(Ok(b"two"));
    assert_eq!(director.done().await.1, Ok(b"two".to_vec()));
}

#[tokio::test]
async fn an_answer_waits_for_room_at_the_director_and_is_none_where_it_will_never_be_taken() {
    let mut stage = Stage::new();
    let sent = Sent::new();
    let mut director = stage.attached(&[]).await;
    let busy = || WireError::Refused(Refusal::Busy("full".to_owned()));
    director.contents.storing.lock().unwrap().extend([busy(), busy()]);
    director.say(sent.task("1")).await;
    stage.performing().await.end(Ok(b"one"));
    assert_eq!(director.done().await.1, Ok(b"one".to_vec()));
    let large = WireError::Refused(Refusal::TooLarge("1 TB".to_owned()));
    director.contents.storing.lock().unwrap().push(large);
    director.say(sent.task("2")).await;
    stage.performing().await.end(Ok(b"two"));
    let (code, text) = director.declined().await;
    assert_eq!((code.as_str(), text.contains("1 TB")), ("too-large", true));
    // What a lost connection leaves open is said over the next one.
    director.contents.storing.lock().unwrap().push(WireError::Lost("cut".to_owned()));
    director.say(sent.task("3")).await;
    stage.performing().await.end(Ok(b"three"));
    let mut director = stage.attached(&[sent.id]).await;
    assert_eq!(director.done().await, (key("3"), Ok(b"three".to_vec())));
}
