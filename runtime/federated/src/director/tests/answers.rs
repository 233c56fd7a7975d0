//! Answers: which count, and which do not.

use bytes::Bytes;
use veilflow_engine::EventKind;
use veilflow_engine::remote::TaskKey;
use veilflow_spec::{Cause, Name, Placement, to_cbor};

use super::support::{FakeEnvoy, Given, World, content, rounds_of, soon, terms};
use crate::experiment::{ExperimentId, State};
use crate::wire::messages::{ChunkHash, Content, FromEnvoy, ToEnvoy, Told};
use crate::wire::{CHUNK_BYTES, Party, hash_chunks};

#[tokio::test(flavor = "multi_thread")]
async fn only_the_first_answer_of_who_was_asked_counts() {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let mut b = FakeEnvoy::new(&world, "b", 1).await;
    let mut stranger = FakeEnvoy::new(&world, "stranger", 1).await;
    let id = world.begin(&["a", "b"], 1).await;
    let (of_a, of_b) = (a.task().await, b.task().await);
    // The key is the same for all who are addressed; the certificate's name tells them apart.
    stranger.say(of_a.done(Ok(content(&1e9)))).await;
    assert_eq!(stranger.next().await, ToEnvoy::End { experiment: id });
    a.say(of_a.doubled()).await;
    a.acknowledged(&of_a).await;
    a.say(of_a.done(Ok(content(&1e9)))).await;
    a.acknowledged(&of_a).await;
    // Of a task that nobody gave it, and of an experiment that is not there.
    let never = TaskKey { path: "elsewhere".into(), loops: [9].into(), attempt: 0 };
    let unasked = Given { experiment: id, task: never, message: 0.0 };
    a.say(unasked.doubled()).await;
    a.acknowledged(&unasked).await;
    let unknown = Given { experiment: ExperimentId::generate().unwrap(), ..unasked };
    a.say(unknown.doubled()).await;
    assert_eq!(a.next().await, ToEnvoy::End { experiment: unknown.experiment });
    b.say(of_b.doubled()).await;
    assert_eq!(world.report(id).await, [4.0]);
    assert_eq!(world.ignored().len(), 4, "{:?}", world.ignored());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_is_put_together_from_its_chunks() {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let id = world.begin(&["a"], 1).await;
    let given = a.task().await;
    // CBOR of a number, and more than it: large enough for two chunks, and refused by the flow once it is whole.
    let mut bytes = to_cbor(&2.0).unwrap();
    bytes.resize(CHUNK_BYTES + 1, 0);
    let bytes = Bytes::from(bytes);
    let answer = || given.done(Ok(Content::new(&bytes, &hash_chunks(&bytes))));
    // Its chunks are not there: it is asked again, and no other answer is made up.
    a.say(answer()).await;
    assert_eq!(a.task().await, given);
    let party = Party::envoy("a".into());
    for chunk in bytes.chunks(CHUNK_BYTES) {
        world.chunks.put(&party, ChunkHash::of(chunk), Bytes::copy_from_slice(chunk)).unwrap();
    }
    a.say(answer()).await;
    world.until(id, State::Failed).await;
    let outcome = outcome(&world, id).await;
    let cause =
        Cause::Refused { step: "double".to_owned(), code: "message-not-decoded".to_owned(), at_fault: false };
    assert_eq!(outcome.missing[0].cause, cause);
    assert_eq!(world.chunks.usage().stored, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_becomes_whole_is_refused() {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let id = world.begin(&["a"], 1).await;
    let given = a.task().await;
    let lie = Content::Chunks { bytes: 100_000, chunks: vec![ChunkHash([7; 32])] };
    a.say(given.done(Ok(lie.clone()))).await;
    for _ in 0..2 {
        assert_eq!(a.task().await, given);
        a.say(given.done(Ok(lie.clone()))).await;
    }
    world.until(id, State::Failed).await;
    let missing = outcome(&world, id).await.missing;
    let cause =
        Cause::Refused { step: given.task.path.to_string(), code: "unknown".to_owned(), at_fault: false };
    assert_eq!((&missing[0].participant, &missing[0].cause), (&Name::from("a"), &cause));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_a_site_is_told_and_its_text_is_bounded() {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let id = world.begin(&["a"], 1).await;
    let given = a.task().await;
    let cause = Cause::Declined { code: "flow-not-allowed".to_owned(), text: "ä".repeat(100_000) };
    a.say(given.done(Err(cause))).await;
    world.until(id, State::Failed).await;
    let outcome = outcome(&world, id).await;
    assert_eq!(outcome.code, "below-quorum");
    let Cause::Declined { code, text } = &outcome.missing[0].cause else { panic!("{outcome:?}") };
    assert_eq!((code.as_str(), text.len()), ("flow-not-allowed", 4096));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_tells_of_its_own_steps_and_of_nothing_else() {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let id = world.submit(rounds_of(terms("sums", &["a"]), 1)).await.unwrap().id;
    let given = a.task().await;
    let note = |who: &str, placement, text: &str| given.note(who, placement, text);
    let events = vec![
        note("b", Placement::Collaborator, "of another"),
        note("a", Placement::Aggregator, "of the aggregator"),
        EventKind::RunFinished,
        note("a", Placement::Collaborator, "its own"),
    ];
    a.say(FromEnvoy::Events { experiment: id, first: 0, events }).await;
    assert_eq!(a.next().await, ToEnvoy::Heard { experiment: id, next: 4 });
    a.say(given.doubled()).await;
    assert_eq!(world.notes(id).await, (vec!["its own".to_owned()], 1));
    assert_eq!(world.ignored(), ["events that are not of its own steps"]);
    while a.next().await != (ToEnvoy::End { experiment: id }) {}
    // What is told when it is over need not be kept either.
    a.say(FromEnvoy::Events { experiment: id, first: 4, events: vec![EventKind::RunFinished] }).await;
    assert_eq!(a.next().await, ToEnvoy::End { experiment: id });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_told_again_counts_once() {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let id = world.submit(rounds_of(terms("sums", &["a"]), 1)).await.unwrap().id;
    let given = a.task().await;
    let events = |first: u64, texts: &[&str]| {
        let events =
            texts.iter().map(|text| given.note("a", Placement::Collaborator, text)).collect::<Vec<_>>();
        FromEnvoy::Events { experiment: id, first, events }
    };
    let heard = |next| ToEnvoy::Heard { experiment: id, next };
    a.say(events(0, &["one", "two"])).await;
    assert_eq!(a.next().await, heard(2));
    a.say(events(0, &["one"])).await;
    assert_eq!(a.next().await, heard(2));
    a.cut().await;

    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    assert_eq!(a.task().await, given);
    // The last of what was lost with the connection, and one that is new.
    a.say(events(1, &["two", "three"])).await;
    assert_eq!(a.next().await, heard(3));
    // Some that had no room at the site are missing.
    a.say(events(9, &["ten"])).await;
    assert_eq!(a.next().await, heard(10));
    a.say(given.doubled()).await;
    let notes = ["one", "two", "three", "ten"].map(str::to_owned).to_vec();
    assert_eq!(world.notes(id).await, (notes, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_of_an_envoy_counts_its_events_anew() {
    let world = World::new().await;
    let mut a = FakeEnvoy::new(&world, "a", 1).await;
    let mut b = FakeEnvoy::new(&world, "b", 1).await;
    let mut terms = terms("sums", &["a", "b"]);
    terms.options.push("--any".to_owned());
    let id = world.submit(rounds_of(terms, 2)).await.unwrap().id;
    let (of_a, of_b) = (a.task().await, b.task().await);
    let one = |given: &Given, text: &str| {
        let events = vec![given.note("a", Placement::Collaborator, text)];
        FromEnvoy::Events { experiment: id, first: 0, events }
    };
    a.say(one(&of_a, "before")).await;
    assert_eq!(a.next().await, ToEnvoy::Heard { experiment: id, next: 1 });
    a.cut().await;
    let mut a = FakeEnvoy::new(&world, "a", 2).await;
    b.say(of_b.doubled()).await;
    let of_a = a.task().await;
    a.say(one(&of_a, "after")).await;
    assert_eq!(a.next().await, ToEnvoy::Heard { experiment: id, next: 1 });
    a.say(of_a.doubled()).await;
    b.acknowledged(&of_b).await;
    let of_b = b.task().await;
    b.say(of_b.doubled()).await;
    assert_eq!(world.notes(id).await.0, ["before", "after"]);
}

async fn outcome(world: &World, id: ExperimentId) -> crate::experiment::Outcome {
    let mut told = world.follow(id, 0, 64);
    loop {
        if let Told::Over(outcome) = soon("its end", told.recv()).await.unwrap() {
            return outcome;
        }
    }
}
