//! Every call: it arrives, it is answered, and only who may make it gets through.

use std::time::{Duration, Instant};

use veilflow_federated::wire::messages::*;
use veilflow_federated::wire::*;

use super::support::*;

#[tokio::test]
async fn every_call_reaches_the_service_and_its_answer_comes_back() {
    let director = Running::start(Limits::default()).await;
    let client = director.dial("client", "Clio").await;
    let submitted = client.submit(submission(None)).await.unwrap();
    assert_eq!((submitted.owner.as_str(), submitted.terms), ("Clio", terms()));
    assert_eq!(client.list().await.unwrap()[0].reason, "listed");
    assert_eq!(client.show(Ask { id: id("1") }).await.unwrap().summary.reason, "shown");
    assert_eq!(client.cancel(Ask { id: id("1") }).await.unwrap().reason, "cancelled");
    assert_eq!(client.envoys().await.unwrap()[0].name.as_str(), "Clio");
    let mut told = client.follow(Follow { id: id("1"), from: 1, follow: false }).await.unwrap();
    for expected in ["1", "2"] {
        let Some(Told::State(summary)) = told.next().await.unwrap() else { panic!("no state") };
        assert_eq!(summary.reason, expected);
    }
    assert_eq!(told.next().await.unwrap(), None);
    let admin = director.dial("admin", "Ada").await;
    assert_eq!(admin.pending().await.unwrap()[0].request, enroll_request());
    admin.publish(publication()).await.unwrap();
    let nobody = dial(&director.url(), &Dialing::InsecureLoopback(None), &Limits::default()).await.unwrap();
    assert_eq!(nobody.enroll(enroll_request()).await.unwrap(), EnrollReply::Pending);
}

#[tokio::test]
async fn an_envoy_talks_in_both_directions_until_it_leaves() {
    let mut director = Running::start(Limits::default()).await;
    let envoy = director.dial("envoy", "Bengaluru").await;
    let (say, mut hear) = envoy.attach().await.unwrap();
    say.send(hello()).await.unwrap();
    assert_eq!(hear.next().await.unwrap(), Some(welcome()));
    for _ in 0..500 {
        say.send(FromEnvoy::Alive).await.unwrap();
        assert_eq!(hear.next().await.unwrap(), Some(ToEnvoy::Alive));
    }
    say.send(FromEnvoy::Leaving).await.unwrap();
    assert_eq!(hear.next().await.unwrap(), None);
    let Seen::Detached(name, over) = director.sees().await else { panic!("not detached") };
    assert_eq!((name.as_str(), over), ("Bengaluru", Ok(())));
    soon("the stream's end at the envoy", say.closed()).await;
}

#[tokio::test]
async fn a_refusal_ends_a_stream_with_all_that_it_says() {
    let director = Running::start(Limits::default()).await;
    let (say, mut hear) = director.dial("envoy", "Bengaluru").await.attach().await.unwrap();
    say.send(FromEnvoy::Events { experiment: id("1"), first: 0, events: Vec::new() }).await.unwrap();
    let refusal = Refusal::Busy("no events today".to_owned());
    assert!(matches!(hear.next().await, Err(WireError::Refused(told)) if told == refusal));
    assert_eq!(hear.next().await.unwrap(), None);
}

#[tokio::test]
async fn who_goes_is_missed_at_once() {
    let mut director = Running::start(Limits::default()).await;
    let envoy = director.dial("envoy", "Bengaluru").await;
    let (say, hear) = envoy.attach().await.unwrap();
    say.send(hello()).await.unwrap();
    drop((say, hear, envoy));
    assert!(matches!(director.sees().await, Seen::Detached(..)));
    let client = director.dial("client", "Clio").await;
    let mut told = client.follow(Follow { id: id("1"), from: 2, follow: true }).await.unwrap();
    assert!(told.next().await.unwrap().is_some());
    drop(told);
    assert!(matches!(director.sees().await, Seen::Unfollowed));
}

#[tokio::test]
async fn refusals_cross_with_their_types() {
    let director = Running::start(Limits::default()).await;
    let client = director.dial("client", "Clio").await;
    let other = Submit { fingerprint: fingerprint("b"), ..submission(None) };
    let Err(WireError::Refused(refusal)) = client.submit(other).await else { panic!("not refused") };
    let expected = Refusal::FlowMismatch {
        flow: "fedavg".to_owned(),
        director: fingerprint("a"),
        yours: fingerprint("b"),
    };
    assert_eq!(refusal, expected);
    let newer = Submit { protocol: PROTOCOL + 1, ..submission(None) };
    let error = client.submit(newer).await.unwrap_err();
    assert_eq!(error.code(), "protocol");
    assert_eq!(client.show(Ask { id: id("2") }).await.unwrap_err().code(), "unknown");
}

#[tokio::test]
async fn each_role_makes_its_own_calls_and_no_others() {
    let director = Running::start(Limits::default()).await;
    // What each call answers to an envoy, a client, an admin, a director and to nobody.
    let (yes, no, who) = ("", "denied", "unauthenticated");
    let table = [
        ("attach", [yes, no, no, no, who]),
        ("missing", [yes, yes, yes, no, who]),
        ("fetch", ["unknown", "unknown", "unknown", no, who]),
        ("store", [yes, yes, yes, no, who]),
        ("submit", [no, yes, yes, no, who]),
        ("list", [no, yes, yes, no, who]),
        ("show", [no, yes, yes, no, who]),
        ("follow", [no, yes, yes, no, who]),
        ("cancel", [no, yes, yes, no, who]),
        ("envoys", [no, yes, yes, no, who]),
        ("pending", [no, no, yes, no, who]),
        ("publish", [no, no, yes, no, who]),
    ];
    let roles = [Some("envoy"), Some("client"), Some("admin"), Some("director"), None];
    for (column, role) in roles.into_iter().enumerate() {
        let security = Dialing::InsecureLoopback(role.map(|role| party(role, "Ada")));
        let connection = dial(&director.url(), &security, &Limits::default()).await.unwrap();
        for (call, answers) in &table {
            let answer = make(&connection, call).await.map_or_else(|error| error.code(), |()| "");
            assert_eq!(answer, answers[column], "{call} by {role:?}");
            if matches!(answer, "denied" | "unauthenticated") {
                // What is missing is asked before anything is stored.
                let logged = if *call == "store" { "missing" } else { call };
                let line = director.logged("refused").await;
                assert!(line.to_string().to_lowercase().contains(logged), "{line}");
            }
        }
    }
}

async fn make(connection: &Connection, call: &str) -> Result<(), WireError> {
    let ask = Ask { id: id("1") };
    let content = bytes(2 * INLINE_BYTES, 5);
    match call {
        "attach" => connection.attach().await.map(drop),
        "missing" => connection.missing(Vec::new()).await.map(drop),
        "fetch" => {
            let chunks = vec![ChunkHash::of(b"guessed")];
            connection.fetch_content(Content::Chunks { bytes: 7, chunks }, 10).await.map(drop)
        }
        "store" => connection.store_content(&content).await.map(drop),
        "submit" => connection.submit(submission(None)).await.map(drop),
        "list" => connection.list().await.map(drop),
        "show" => connection.show(ask).await.map(drop),
        "follow" => connection.follow(Follow { id: ask.id, from: 0, follow: false }).await.map(drop),
        "cancel" => connection.cancel(ask).await.map(drop),
        "envoys" => connection.envoys().await.map(drop),
        "pending" => connection.pending().await.map(drop),
        "publish" => connection.publish(publication()).await,
        other => panic!("no call {other}"),
    }
}

#[tokio::test]
async fn a_server_that_shuts_down_ends_in_seconds_whatever_runs() {
    let limits = Limits { drain: Duration::from_millis(300), ..Limits::default() };
    let mut director = Running::start(limits).await;
    let (address, envoy) = (director.address, director.dial("envoy", "Bengaluru").await);
    let (say, mut hear) = envoy.attach().await.unwrap();
    say.send(hello()).await.unwrap();
    assert!(hear.next().await.unwrap().is_some());
    let idle = director.dial("client", "Clio").await;
    idle.list().await.unwrap();
    let began = Instant::now();
    director.shut_down();
    // An idle connection is told and goes; one with a call that never ends is cut.
    soon("the end of the idle connection", idle.closed()).await;
    assert!(soon("the end of the stream", hear.next()).await.is_err());
    director.served().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(dial_at(address, "client", "Clio").await.unwrap_err().code(), "unreachable");
}

#[tokio::test]
async fn plaintext_stays_on_this_machine() {
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let script = std::sync::Arc::clone(&Running::start(Limits::default()).await.script);
    let log: Logger = std::sync::Arc::new(|_| ());
    let over =
        serve(listener, Security::InsecureLoopback, script, Limits::default(), log, std::future::pending());
    assert_eq!(soon("a refusal", over).await.unwrap_err().code(), "plaintext");
    // An address for documentation (RFC 5737): nobody is there, and nobody is asked.
    let anywhere = dial("http://192.0.2.1:50050", &Dialing::InsecureLoopback(None), &Limits::default()).await;
    assert_eq!(anywhere.unwrap_err().code(), "plaintext");
}

#[tokio::test]
async fn an_address_that_is_none_is_said_to_be() {
    let security = Dialing::InsecureLoopback(None);
    for url in ["localhost:1", "https://localhost:1", "http://", "http://localhost:1/path", "", "http://a b"]
    {
        let error = dial(url, &security, &Limits::default()).await.unwrap_err();
        assert_eq!(error.code(), "url", "{url}: {error}");
    }
}
