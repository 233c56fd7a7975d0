//! Peers that do not follow the protocol: each is turned away and logged, and nobody else notices.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::Request;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::body::Body;
use veilflow_federated::wire::messages::*;
use veilflow_federated::wire::*;

use super::support::*;

/// Limits in which what is too slow is so soon.
fn strict() -> Limits {
    let short = Duration::from_millis(500);
    Limits { handshake: short, first_request: short, request: short, ..Limits::default() }
}

/// Waits until the other end has closed.
async fn closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    // A reset is as good an end as a close.
    soon("the end of the connection", stream.read_to_end(&mut rest)).await.ok();
}

/// HTTP/2 without any of our own client.
async fn raw(director: &Running) -> SendRequest<Body> {
    let stream = TcpStream::connect(director.address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn request(path: &str, body: Body) -> Request<Body> {
    let request = Request::post(format!("http://director{path}"));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    request.header("veilflow-party", "client/Eve").body(body).unwrap()
}

/// gRPC's framing around these bytes, or around what they claim to be.
fn frame(claimed: usize, bytes: &[u8]) -> Bytes {
    Bytes::from([&[0], &u32::try_from(claimed).unwrap().to_be_bytes()[..], bytes].concat())
}

fn body(frames: Vec<Bytes>, ends: bool) -> Body {
    let frames = frames.into_iter().map(|bytes| Ok::<_, tonic::Status>(http_body::Frame::data(bytes)));
    let rest = futures_util::stream::pending().take(if ends { 0 } else { 1 });
    Body::new(http_body_util::StreamBody::new(futures_util::stream::iter(frames).chain(rest)))
}

async fn status(sender: &mut SendRequest<Body>, request: Request<Body>) -> i32 {
    let answer = soon("an answer", sender.send_request(request)).await.unwrap();
    let headers = answer.headers().get("grpc-status").expect("a status without a message");
    headers.to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn garbage_is_closed_and_logged() {
    let director = Running::start(strict()).await;
    let calm = director.dial("client", "Calm").await;
    calm.list().await.unwrap();
    for garbage in [&b"GET / HTTP/1.1\r\nhost: director\r\n\r\n"[..], &[0x16; 300], &bytes(100_000, 1)] {
        let mut stream = TcpStream::connect(director.address).await.unwrap();
        // The other end may close before it has read everything.
        stream.write_all(garbage).await.ok();
        closed(stream).await;
        director.logged("broken").await;
    }
    calm.list().await.unwrap();
    director.still_serves().await;
}

#[tokio::test]
async fn who_asks_nothing_is_closed() {
    let director = Running::start(strict()).await;
    let calm = director.dial("client", "Calm").await;
    calm.list().await.unwrap();
    let began = Instant::now();
    let silent = TcpStream::connect(director.address).await.unwrap();
    let mut slow = TcpStream::connect(director.address).await.unwrap();
    slow.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0").await.unwrap();
    closed(silent).await;
    closed(slow).await;
    director.logged("no-request").await;
    director.logged("no-request").await;
    assert!(began.elapsed() < Duration::from_secs(5));
    // Whoever asked once may be quiet for longer.
    calm.list().await.unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_end_is_refused() {
    let director = Running::start(strict()).await;
    let mut sender = raw(&director).await;
    for frames in [vec![], vec![frame(100, b"half")]] {
        let answer = status(&mut sender, request("/veilflow.Director/List", body(frames, false))).await;
        assert_eq!(answer, tonic::Code::InvalidArgument as i32);
        assert!(director.logged("refused").await.to_string().contains("no whole message arrived"));
    }
    // A chunk that trickles.
    let trickle = request("/veilflow.Director/Store", body(vec![frame(CHUNK_BYTES, &[0; 1000])], false));
    assert_eq!(status(&mut sender, trickle).await, tonic::Code::InvalidArgument as i32);
    director.still_serves().await;
}

#[tokio::test]
async fn an_oversized_message_is_refused_before_it_is_read() {
    let director = Running::start(Limits::default()).await;
    let mut sender = raw(&director).await;
    for path in ["/veilflow.Director/Submit", "/veilflow.Director/Store"] {
        let claim = request(path, body(vec![frame(1 << 31, &[])], false));
        assert_eq!(status(&mut sender, claim).await, tonic::Code::OutOfRange as i32);
        assert!(director.logged("refused").await.to_string().contains("too large"));
    }
    // From our own client, which learns why.
    let client = director.dial("client", "Clio").await;
    let mut submit = submission(None);
    submit.terms.options = vec!["-".repeat(2 << 20)];
    assert_eq!(client.submit(submit).await.unwrap_err().code(), "too-large");
    client.list().await.unwrap();
    director.still_serves().await;
}

#[tokio::test]
async fn a_message_that_is_none_is_refused() {
    let director = Running::start(Limits::default()).await;
    let mut sender = raw(&director).await;
    let nested = [vec![0x81; 900_000], vec![0]].concat();
    let bomb = [&[0x9b, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], &[0; 64]].concat();
    for bytes in [&b""[..], b"garbage", &nested, &bomb, &[0xf6, 0xf6]] {
        let call = request("/veilflow.Director/Submit", body(vec![frame(bytes.len(), bytes)], true));
        assert_eq!(status(&mut sender, call).await, tonic::Code::InvalidArgument as i32);
        assert!(director.logged("refused").await.to_string().contains("malformed"));
    }
    let nowhere = request("/veilflow.Director/Shell", body(vec![frame(1, &[0xf6])], true));
    assert_eq!(status(&mut sender, nowhere).await, tonic::Code::NotFound as i32);
    director.logged("no-such-call").await;
    director.still_serves().await;
}

#[tokio::test]
async fn a_chunk_that_unpacks_to_more_than_a_chunk_is_refused() {
    let director = Running::start(Limits::default()).await;
    let mut sender = raw(&director).await;
    let marked = |mark: u8, bytes: &[u8]| {
        let bytes = [&[mark], bytes].concat();
        frame(bytes.len(), &bytes)
    };
    // 64 MiB in a few KiB.
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
    assert!(bomb.len() < 64 * 1024);
    let whole = zstd::bulk::compress(&[7; 1000], 3).unwrap();
    for (chunk, code, text) in [
        (marked(1, &bomb), tonic::Code::OutOfRange, "67108864 bytes unpacked"),
        (marked(1, &whole[..whole.len() - 1]), tonic::Code::InvalidArgument, "malformed"),
        (marked(2, &whole), tonic::Code::InvalidArgument, "marked 2"),
        (frame(0, &[]), tonic::Code::InvalidArgument, "does not say how it is packed"),
    ] {
        let store = request("/veilflow.Director/Store", body(vec![chunk], true));
        assert_eq!(status(&mut sender, store).await, code as i32, "{text}");
        assert!(director.logged("refused").await.to_string().contains(text), "{text}");
    }
    assert_eq!(director.chunks().usage().stored, 0);
    director.still_serves().await;
}

#[tokio::test]
async fn storing_without_asking_needs_the_same_role() {
    let director = Running::start(Limits::default()).await;
    let mut sender = raw(&director).await;
    for (party, code) in [
        ("director/Eve", tonic::Code::PermissionDenied),
        ("envoy/../Eve", tonic::Code::Unauthenticated),
        ("Eve", tonic::Code::Unauthenticated),
    ] {
        let mut store = request("/veilflow.Director/Store", body(vec![frame(2, &[0, 1])], true));
        store.headers_mut().insert("veilflow-party", party.parse().unwrap());
        assert_eq!(status(&mut sender, store).await, code as i32, "{party}");
        director.logged("refused").await;
    }
    assert_eq!(director.chunks().usage().stored, 0);
}

#[tokio::test]
async fn headers_without_end_close_nothing_but_their_own_connection() {
    let director = Running::start(Limits::default()).await;
    let mut sender = raw(&director).await;
    let mut large = request("/veilflow.Director/List", body(vec![frame(1, &[0xf6])], true));
    large.headers_mut().insert("x-large", "y".repeat(1 << 20).parse().unwrap());
    // HTTP's own refusal, or the connection's end.
    if let Ok(answer) = soon("an answer", sender.send_request(large)).await {
        assert_eq!(answer.status(), 431);
    }
    director.still_serves().await;
}

#[tokio::test]
async fn more_connections_than_allowed_are_turned_away() {
    let limits = Limits { connections_per_address: 3, ..Limits::default() };
    let director = Running::start(limits).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let client = director.dial("client", "Clio").await;
        client.list().await.unwrap();
        open.push(client);
    }
    let fourth = dial_at(director.address, "client", "Clio").await;
    let refused = match fourth {
        Ok(connection) => connection.list().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(refused.is_transient(), "{refused}");
    director.logged("too-many-connections").await;
    // The others go on, and a place that is free again is given again.
    for client in &open {
        client.list().await.unwrap();
    }
    let freed = open.pop().unwrap();
    let mut told = freed.follow(Follow { id: id("1"), from: 3, follow: false }).await.unwrap();
    assert!(told.next().await.unwrap().is_none());
    drop((freed, told));
    let again = async {
        loop {
            if let Ok(client) = dial_at(director.address, "client", "Clio").await
                && client.list().await.is_ok()
            {
                return;
            }
        }
    };
    soon("a free place", again).await;
}

#[tokio::test]
async fn a_peer_that_is_dead_is_missed() {
    let short = Duration::from_secs(1);
    let limits = Limits { keepalive: short, keepalive_timeout: short, ..Limits::default() };
    let mut director = Running::start(limits.clone()).await;
    let proxy = Proxy::before(director.address, Way::Open).await;
    let security = Dialing::InsecureLoopback(Some(party("envoy", "Bengaluru")));
    let envoy = dial(&format!("http://{}", proxy.address), &security, &limits).await.unwrap();
    let (say, mut hear) = envoy.attach().await.unwrap();
    say.send(hello()).await.unwrap();
    assert_eq!(hear.next().await.unwrap(), Some(welcome()));
    proxy.set(Way::Silent);
    // Both ends notice by themselves, though nothing tells them.
    assert!(matches!(director.sees().await, Seen::Detached(..)));
    assert!(soon("the envoy's end", hear.next()).await.unwrap_err().is_transient());
    soon("the connection's end", envoy.closed()).await;
}
