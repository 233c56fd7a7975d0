//! Large contents: shared, addressed, resumed, and never larger than allowed.

use std::sync::Arc;

use bytes::Bytes;
use veilflow_engine::remote::Parcel;
use veilflow_federated::wire::messages::*;
use veilflow_federated::wire::*;

use super::support::*;

const MIB: usize = 1024 * 1024;
const MAX: u64 = 64 * MIB as u64;

/// An envoy that said hello, and the task that it got.
async fn tasked(connection: &Connection) -> (Outgoing<FromEnvoy>, Incoming<ToEnvoy>, Content) {
    let (say, mut hear) = connection.attach().await.unwrap();
    say.send(hello()).await.unwrap();
    assert_eq!(hear.next().await.unwrap(), Some(welcome()));
    let Some(ToEnvoy::Task { message, .. }) = soon("a task", hear.next()).await.unwrap() else {
        panic!("no task")
    };
    (say, hear, message)
}

fn done(content: Content) -> FromEnvoy {
    FromEnvoy::Done { experiment: id("1"), task: task_key(), outcome: Ok(content) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_reaches_many_from_one_copy() {
    let director = Running::start(Limits::default()).await;
    let model = bytes(9 * MIB + 17, 1);
    *director.script.task.lock().await = Some(Arc::new(Parcel::new(model.clone())));
    let envoys = (0..8).map(|number| {
        let director = &director;
        let model = &model;
        async move {
            let connection = director.dial("envoy", &format!("Site{number}")).await;
            let (_say, _hear, content) = tasked(&connection).await;
            assert_eq!(content.chunks().len(), 10);
            assert_eq!(&connection.fetch_content(content, MAX).await.unwrap().into_bytes(), model);
            assert_eq!(director.chunks().usage().served, model.len() as u64);
        }
    });
    soon("all envoys", futures_util::future::join_all(envoys)).await;
}

#[tokio::test]
async fn chunks_go_to_whom_they_are_meant_for_and_as_long_as_they_are() {
    let director = Running::start(Limits::default()).await;
    let model = bytes(3 * MIB, 2);
    *director.script.task.lock().await = Some(Arc::new(Parcel::new(model.clone())));
    let envoy = director.dial("envoy", "Bengaluru").await;
    let (say, mut hear, content) = tasked(&envoy).await;
    // Another envoy that knows the hashes, and one of the same name in another role.
    for (role, name) in [("envoy", "Portland"), ("client", "Bengaluru")] {
        let other = director.dial(role, name).await;
        let guess = other.fetch_content(content.clone(), MAX).await;
        assert_eq!(guess.unwrap_err().code(), "unknown", "{role}/{name}");
        assert_eq!(other.missing(content.chunks().to_vec()).await.unwrap().len(), 3, "{role}/{name}");
    }
    assert_eq!(envoy.fetch_content(content.clone(), MAX).await.unwrap().into_bytes(), model);
    // The delivery ends, and its chunks with it.
    let over =
        FromEnvoy::Done { experiment: id("1"), task: task_key(), outcome: Err(veilflow_spec::Cause::Busy) };
    say.send(over).await.unwrap();
    assert_eq!(hear.next().await.unwrap(), Some(ToEnvoy::Alive));
    assert_eq!(director.chunks().usage().served, 0);
    assert_eq!(envoy.fetch_content(content, MAX).await.unwrap_err().code(), "unknown");
}

#[tokio::test]
async fn an_answer_is_stored_once_and_taken_whole() {
    let mut director = Running::start(Limits::default()).await;
    let model = bytes(2 * MIB, 3);
    *director.script.task.lock().await = Some(Arc::new(Parcel::new(model.clone())));
    let envoy = director.dial("envoy", "Bengaluru").await;
    let (say, mut hear, _) = tasked(&envoy).await;
    // Its first half is the model that it was sent, and its second half twice the same.
    let half = bytes(MIB, 4);
    let answer = Bytes::from([&model[..], &half, &half, &half[..5]].concat());
    let content = envoy.store_content(&answer).await.unwrap();
    assert_eq!(content.chunks().len(), 5);
    assert_eq!(director.chunks().usage().stored, 2 * MIB as u64);
    assert!(envoy.missing(content.chunks().to_vec()).await.unwrap().is_empty());
    say.send(done(content)).await.unwrap();
    assert!(matches!(hear.next().await.unwrap(), Some(ToEnvoy::Acknowledged { .. })));
    let Seen::Answer(name, taken) = director.sees().await else { panic!("no answer") };
    assert_eq!((name.as_str(), taken), ("Bengaluru", answer));
    assert_eq!(director.chunks().usage().stored, 0);
}

#[tokio::test]
async fn nobody_answers_with_the_chunks_of_another() {
    let director = Running::start(Limits::default()).await;
    let secret = bytes(2 * MIB, 5);
    let content = director.dial("envoy", "Bengaluru").await.store_content(&secret).await.unwrap();
    let thief = director.dial("envoy", "Portland").await;
    assert_eq!(thief.missing(content.chunks().to_vec()).await.unwrap().len(), 2);
    let (say, mut hear) = thief.attach().await.unwrap();
    say.send(done(content)).await.unwrap();
    assert_eq!(hear.next().await.unwrap_err().code(), "unknown");
}

#[tokio::test]
async fn a_client_gets_and_gives_large_contents_too() {
    let director = Running::start(Limits::default()).await;
    let client = director.dial("client", "Clio").await;
    let params = bytes(MIB + 1, 6);
    let content = client.store_content(&params).await.unwrap();
    let summary = client.submit(submission(Some(content))).await.unwrap();
    assert_eq!(summary.reason, format!("{} bytes of parameters", MIB + 1));
    let report = bytes(5 * MIB, 7);
    *director.script.report.lock().await = Some(Arc::new(Parcel::new(report.clone())));
    for _ in 0..3 {
        let results = client.show(Ask { id: id("1") }).await.unwrap();
        assert_eq!(client.fetch_content(results.report.unwrap(), MAX).await.unwrap().into_bytes(), report);
        assert_eq!(director.chunks().usage().served, report.len() as u64);
    }
    let closed = client.clone();
    drop(client);
    let other = director.dial("client", "Other").await;
    let content = other.show(Ask { id: id("1") }).await.unwrap().report.unwrap();
    assert_eq!(other.fetch_content(content, MAX).await.unwrap().into_bytes(), report);
    drop(closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_download_goes_on_where_it_stopped() {
    let director = Running::start(Limits::default()).await;
    let model = bytes(24 * MIB + 3, 8);
    *director.script.task.lock().await = Some(Arc::new(Parcel::new(model.clone())));
    let calm = director.dial("envoy", "Bengaluru").await;
    let (_say, _hear, content) = tasked(&calm).await;
    let proxy = Proxy::before(director.address, Way::CutAfter(7 * MIB)).await;
    let mut download = Download::new(content, MAX).unwrap();
    let mut cuts = 0;
    loop {
        let connection = dial_at(proxy.address, "envoy", "Bengaluru").await.unwrap();
        let before = download.arrived();
        match soon("a download or its cut", download.run(&connection)).await {
            Ok(()) => break,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        assert!(download.arrived() >= before + 5 * MIB as u64, "{before} then {}", download.arrived());
        cuts += 1;
    }
    assert!(cuts >= 3, "{cuts} cuts");
    assert_eq!(download.finish().unwrap().into_bytes(), model);
    // What a cut catches in flight is sent again, and nothing else.
    assert!(proxy.passed() < model.len() + cuts * 3 * MIB, "{} bytes passed", proxy.passed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_upload_stores_only_what_is_missing() {
    let mut director = Running::start(Limits::default()).await;
    let answer = bytes(20 * MIB, 9);
    // Some of it is there from a connection that is gone.
    let first = director.dial("envoy", "Bengaluru").await;
    first.store_content(&answer.slice(..12 * MIB)).await.unwrap();
    drop(first);
    let again = director.dial("envoy", "Bengaluru").await;
    let content = Content::new(&answer, &hash_chunks(&answer));
    assert_eq!(again.missing(content.chunks().to_vec()).await.unwrap().len(), 8);
    assert_eq!(again.store_content(&answer).await.unwrap(), content);
    let (say, mut hear) = again.attach().await.unwrap();
    say.send(done(content)).await.unwrap();
    assert!(matches!(hear.next().await.unwrap(), Some(ToEnvoy::Acknowledged { .. })));
    let Seen::Answer(_, taken) = director.sees().await else { panic!("no answer") };
    assert_eq!(taken, answer);
}

#[tokio::test]
async fn a_peer_that_stores_too_much_loses_its_own_oldest_and_nobody_elses() {
    let budget = Budget { total: 6 * MIB as u64, per_peer: 4 * MIB as u64, content: 32 * MIB as u64 };
    let director = Running::serve(Limits::default(), budget, Security::InsecureLoopback).await;
    let (greedy, modest) = (director.dial("envoy", "Greedy").await, director.dial("envoy", "Modest").await);
    let kept = modest.store_content(&bytes(2 * MIB, 10)).await.unwrap();
    let first = greedy.store_content(&bytes(2 * MIB, 11)).await.unwrap();
    let second = greedy.store_content(&bytes(3 * MIB, 12)).await.unwrap();
    assert_eq!(greedy.missing(first.chunks().to_vec()).await.unwrap().len(), 1);
    assert!(greedy.missing(second.chunks().to_vec()).await.unwrap().is_empty());
    assert!(modest.missing(kept.chunks().to_vec()).await.unwrap().is_empty());
    // All together are full, and another peer waits.
    let third = director.dial("envoy", "Third").await;
    let error = third.store_content(&bytes(MIB, 13)).await.unwrap_err();
    assert_eq!((error.code(), error.is_transient()), ("busy", true));
    // A content that could never be whole is refused before its chunks are looked for.
    let (say, mut hear) = greedy.attach().await.unwrap();
    let chunks = (0..5_u8).map(|number| ChunkHash([number; 32])).collect();
    say.send(done(Content::Chunks { bytes: 5 * MIB as u64, chunks })).await.unwrap();
    assert_eq!(hear.next().await.unwrap_err().code(), "too-large");
    director.chunks().forget(&Party::envoy("Greedy".into()));
    assert_eq!(director.chunks().usage().stored, 2 * MIB as u64);
}

#[tokio::test]
async fn a_claim_is_checked_before_memory_is_reserved() {
    let chunks = vec![ChunkHash([0; 32]); 3];
    let claim =
        |bytes, chunks: &[ChunkHash]| Download::new(Content::Chunks { bytes, chunks: chunks.to_vec() }, MAX);
    assert_eq!(claim(u64::MAX, &chunks).unwrap_err().code(), "too-large");
    assert_eq!(claim(MAX, &chunks).unwrap_err().code(), "chunk-count");
    assert_eq!(claim(0, &chunks).unwrap_err().code(), "chunk-count");
    // A short chunk with the hash of a whole one.
    assert_eq!(claim(2 * MIB as u64 + 1, &chunks).unwrap_err().code(), "corrupt");
    let inline = Content::Inline(vec![0; INLINE_BYTES + 1].into());
    assert_eq!(Download::new(inline, MAX).unwrap_err().code(), "too-large");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_does_not_read_holds_up_nobody() {
    let director = Running::start(Limits::default()).await;
    let model = bytes(32 * MIB, 14);
    *director.script.task.lock().await = Some(Arc::new(Parcel::new(model.clone())));
    let proxy = Proxy::before(director.address, Way::Open).await;
    let stuck = dial_at(proxy.address, "envoy", "Stuck").await.unwrap();
    let (_say, _hear, content) = tasked(&stuck).await;
    let stuck = tokio::spawn(async move { stuck.fetch_content(content, MAX).await });
    proxy.set(Way::Silent);
    let envoy = director.dial("envoy", "Bengaluru").await;
    let (_say, _hear, content) = tasked(&envoy).await;
    assert_eq!(soon("the model", envoy.fetch_content(content, MAX)).await.unwrap().into_bytes(), model);
    assert!(!stuck.is_finished());
    proxy.set(Way::Open);
    assert_eq!(soon("the model, late", stuck).await.unwrap().unwrap().into_bytes(), model);
}

/// A model as it may be: much of it the same, some of it noise.
fn compressible() -> Bytes {
    let noise = bytes(MIB, 15);
    let whole = (0..6).flat_map(|part| if part == 2 { noise.to_vec() } else { vec![part; MIB] });
    whole.chain(*b"end").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_compresses_and_what_arrives_is_the_same() {
    let model = compressible();
    let mut crossed = Vec::new();
    for compression in [Compression::None, Compression::Zstd] {
        let limits = Limits { compression, ..Limits::default() };
        let mut director = Running::start(limits.clone()).await;
        *director.script.task.lock().await = Some(Arc::new(Parcel::new(model.clone())));
        let proxy = Proxy::before(director.address, Way::Open).await;
        let security = Dialing::InsecureLoopback(Some(party("envoy", "Bengaluru")));
        let envoy = dial(&format!("http://{}", proxy.address), &security, &limits).await.unwrap();
        let (say, _hear, content) = tasked(&envoy).await;
        assert_eq!(envoy.fetch_content(content, MAX).await.unwrap().into_bytes(), model);
        // The chunks that it was sent need not be sent back.
        let mut answer = model.to_vec();
        answer.iter_mut().for_each(|byte| *byte = byte.wrapping_add(100));
        say.send(done(envoy.store_content(&answer.clone().into()).await.unwrap())).await.unwrap();
        loop {
            if let Seen::Answer(_, got) = director.sees().await {
                assert_eq!(got, answer);
                break;
            }
        }
        crossed.push((proxy.passed(), proxy.sent()));
    }
    let [(plain_down, plain_up), (down, up)] = crossed[..] else { panic!("{crossed:?}") };
    assert!(plain_down > model.len() && plain_up > model.len(), "{crossed:?}");
    // The noise crosses as it is, and nearly nothing else.
    for crossed in [down, up] {
        assert!((MIB..MIB + MIB / 4).contains(&crossed), "{crossed} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_chunk_crosses_to_who_sends_plain_ones() {
    let model = compressible();
    let limits = Limits { compression: Compression::Zstd, ..Limits::default() };
    let director = Running::start(limits).await;
    *director.script.task.lock().await = Some(Arc::new(Parcel::new(model.clone())));
    for name in ["Bengaluru", "Portland"] {
        let envoy = director.dial("envoy", name).await;
        let (_say, _hear, content) = tasked(&envoy).await;
        assert_eq!(envoy.fetch_content(content, MAX).await.unwrap().into_bytes(), model);
    }
}
