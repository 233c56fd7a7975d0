//! A client against a director that answers from a script.

use std::sync::{Arc, Mutex};

use ciborium::cbor;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use veilflow_engine::Event;
use veilflow_engine::remote::Parcel;
use veilflow_spec::{Cause, Context, Missing};

use super::*;
use crate::pki::{EnrollReply, EnrollRequest, Peer, PendingRequest, Publication};
use crate::wire::messages::{Follow, FromEnvoy, OfferedFlow, ToEnvoy};
use crate::wire::{
    Budget, Caller, Chunks, DirectorService, Incoming, Limits, Outgoing, Refusal, Security, WireError, serve,
};

/// What the director does.
#[derive(Default)]
struct Script {
    /// How the experiment ends; it goes on until it is cancelled, where this says nothing.
    outcome: Option<Outcome>,
    report: Vec<u8>,
    envoys: Vec<EnvoyStatus>,
}

struct Scripted {
    script: Script,
    chunks: Chunks,
    submitted: Mutex<Vec<Submit>>,
    params: Mutex<Vec<Bytes>>,
    followed: Mutex<Vec<u64>>,
    cancelled: Notify,
}

fn unscripted<T>() -> Result<T, Refusal> {
    Err(Refusal::Invalid("not in the script".to_owned()))
}

fn event(sequence: u64) -> Event {
    let value = cbor!({
        "sequence" => sequence, "elapsed" => { "secs" => 0, "nanos" => 0 }, "kind" => "RunFinished"
    });
    value.unwrap().deserialized().unwrap()
}

fn summary(submit: &Submit, state: State) -> Summary {
    Summary {
        id: submit.id,
        terms: submit.terms.clone(),
        fingerprint: submit.fingerprint,
        owner: "alice".into(),
        state,
        reason: String::new(),
        submitted_ms: 0,
        started_ms: None,
        ended_ms: None,
    }
}

impl DirectorService for Scripted {
    fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    async fn attach(&self, _: Caller, _: Incoming<FromEnvoy>, _: Outgoing<ToEnvoy>) -> Result<(), Refusal> {
        unscripted()
    }

    /// The reply to the first one is lost.
    async fn submit(&self, caller: Caller, submit: Submit) -> Result<Summary, Refusal> {
        if let Some(params) = submit.params.clone() {
            let params = self.chunks.take(&caller.party(), params)?.into_bytes();
            self.params.lock().unwrap().push(params);
        }
        let mut submitted = self.submitted.lock().unwrap();
        submitted.push(submit.clone());
        if submitted.len() == 1 { Err(Refusal::Leaving) } else { Ok(summary(&submit, State::Pending)) }
    }

    async fn list(&self, _: Caller) -> Result<Vec<Summary>, Refusal> {
        unscripted()
    }

    async fn show(&self, caller: Caller, ask: Ask) -> Result<Results, Refusal> {
        let submit = self.submitted.lock().unwrap().last().cloned().unwrap();
        if submit.id != ask.id {
            return Err(Refusal::Unknown(format!("experiment {}", ask.id)));
        }
        let report = async { Ok::<_, Refusal>(Arc::new(Parcel::new(self.script.report.clone()))) };
        let report = caller.serve(&self.chunks, "report", report).await?;
        let (summary, outcome) = (summary(&submit, State::Finished), self.script.outcome.clone());
        Ok(Results { summary, outcome, report: Some(report) })
    }

    /// The connection is lost after the second event.
    async fn follow(&self, _: Caller, follow: Follow, outgoing: Outgoing<Told>) -> Result<(), Refusal> {
        let first = {
            let mut followed = self.followed.lock().unwrap();
            followed.push(follow.from);
            followed.len() == 1
        };
        let gone = |_| Refusal::Leaving;
        for sequence in follow.from..if first { 2 } else { 4 } {
            outgoing.send(Told::Event(event(sequence))).await.map_err(gone)?;
        }
        if first {
            return Err(Refusal::Leaving);
        }
        let outcome = match &self.script.outcome {
            Some(outcome) => outcome.clone(),
            None => {
                self.cancelled.notified().await;
                outcome(State::Cancelled, "cancelled")
            }
        };
        outgoing.send(Told::Over(outcome)).await.map_err(gone)
    }

    async fn cancel(&self, _: Caller, _: Ask) -> Result<Summary, Refusal> {
        self.cancelled.notify_one();
        let submit = self.submitted.lock().unwrap().last().cloned().unwrap();
        Ok(summary(&submit, State::Cancelled))
    }

    async fn envoys(&self, _: Caller) -> Result<Vec<EnvoyStatus>, Refusal> {
        Ok(self.script.envoys.clone())
    }

    async fn enroll(
        &self,
        _: std::net::SocketAddr,
        _: Option<Peer>,
        _: EnrollRequest,
    ) -> Result<EnrollReply, Refusal> {
        unscripted()
    }

    async fn pending(&self, _: Caller) -> Result<Vec<PendingRequest>, Refusal> {
        unscripted()
    }

    async fn publish(&self, _: Caller, _: Publication) -> Result<(), Refusal> {
        unscripted()
    }
}

fn outcome(state: State, code: &str) -> Outcome {
    Outcome {
        state,
        code: code.to_owned(),
        error: code.to_owned(),
        missing: Vec::new(),
        culprits: Vec::new(),
    }
}

/// A director, until it is dropped.
struct Director {
    service: Arc<Scripted>,
    url: String,
    _stop: oneshot::Sender<()>,
    _serving: JoinHandle<Result<(), WireError>>,
}

async fn director(script: Script) -> Director {
    let service = Arc::new(Scripted {
        script,
        chunks: Chunks::new(Budget::default()),
        submitted: Mutex::default(),
        params: Mutex::default(),
        followed: Mutex::default(),
        cancelled: Notify::new(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let own = Arc::clone(&service);
    let log = Arc::new(|_| ());
    let serving =
        tokio::spawn(serve(listener, Security::InsecureLoopback, own, Limits::default(), log, shutdown));
    Director { service, url, _stop: stop, _serving: serving }
}

async fn connect(director: &Director) -> FederatedRuntime {
    FederatedRuntime::connect(&director.url, Credentials::InsecureLoopback("alice".into())).await.unwrap()
}

fn envoy(name: &str, online: bool, flow: &str) -> EnvoyStatus {
    let flow = OfferedFlow { name: flow.to_owned(), version: 1, fingerprint: None };
    EnvoyStatus { name: name.into(), online, updated_ms: 0, running: None, flow: None, flows: vec![flow] }
}

fn count() -> Flow<(), (), u32, u32> {
    fn begin(_: &mut (), count: u32, _: &Context) -> veilflow_spec::Result<u32> {
        Ok(count)
    }
    Flow::new("count", 1).start(begin).end()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_survives_lost_replies_and_lost_connections() {
    let script = Script {
        outcome: Some(outcome(State::Finished, "")),
        report: to_cbor(&7_u32).unwrap(),
        envoys: vec![
            envoy("c", true, "count"),
            envoy("a", true, "count"),
            envoy("b", false, "count"),
            envoy("d", true, "other"),
        ],
    };
    let director = director(script).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let own = Arc::clone(&seen);
    let observer = move |event: &Event| own.lock().unwrap().push(event.sequence);
    let runtime = connect(&director).await.options(["--rounds=2"]).seed(9).observe(Arc::new(observer));
    assert_eq!(runtime.run(&count(), 10).await.unwrap(), 7);
    // One experiment, however often it was submitted.
    let submitted = director.service.submitted.lock().unwrap();
    assert_eq!(submitted.len(), 2);
    assert_eq!(submitted[0].id, submitted[1].id);
    let terms = &submitted[0].terms;
    assert_eq!((terms.options.as_slice(), terms.seed), (&["--rounds=2".to_owned()][..], 9));
    assert_eq!(terms.participants, ["a", "c"], "who is online and offers the flow");
    assert_eq!(submitted[0].fingerprint, count().fingerprint());
    assert_eq!(director.service.params.lock().unwrap().last().unwrap(), &to_cbor(&10_u32).unwrap());
    // Each event once, and none asked for twice.
    assert_eq!(*seen.lock().unwrap(), [0, 1, 2, 3]);
    assert_eq!(*director.service.followed.lock().unwrap(), [0, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_and_reports_of_any_size_cross() {
    let large: Vec<u8> = (0..3_000_001_u32).map(|byte| byte.to_le_bytes()[0]).collect();
    let script =
        Script { outcome: Some(outcome(State::Finished, "")), report: large.clone(), ..Script::default() };
    let director = director(script).await;
    let runtime = connect(&director).await;
    let terms = Terms {
        flow: "count".to_owned(),
        options: Vec::new(),
        participants: vec!["a".into()],
        seed: 0,
        drop: Vec::new(),
        dropouts: 0.0,
    };
    let params = Bytes::from(large.clone());
    let experiment = Experiment { terms, fingerprint: [7; 32].into(), params: Some(params) };
    assert_eq!(runtime.execute(experiment.clone(), &mut |_| {}).await.unwrap(), large);
    assert_eq!(director.service.params.lock().unwrap().last().unwrap(), &large);
    let frugal = connect(&director).await.max_report_bytes(1_000_000);
    assert_eq!(frugal.execute(experiment, &mut |_| {}).await.unwrap_err().code(), "too-large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_a_typed_error() {
    let missing = Missing { participant: "b".into(), cause: Cause::Offline };
    let failed = Outcome {
        missing: vec![missing.clone()],
        culprits: vec!["c".into()],
        ..outcome(State::Failed, "below-quorum")
    };
    let director = director(Script { outcome: Some(failed), ..Script::default() }).await;
    let runtime = connect(&director).await.participants(["a", "b"]);
    let error = runtime.run(&count(), 1).await.unwrap_err();
    assert_eq!(
        (error.code(), error.missing(), error.is_cancelled()),
        ("below-quorum", &[missing][..], false)
    );
    assert_eq!(error.culprits(), ["c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_cancels_at_the_director() {
    let director = director(Script::default()).await;
    let runtime = connect(&director).await.participants(["a"]);
    let canceller = runtime.canceller();
    let mut told = |told: &Told| {
        if matches!(told, Told::Event(event) if event.sequence == 3) {
            canceller.cancel();
        }
    };
    let terms = Terms {
        flow: "count".to_owned(),
        options: Vec::new(),
        participants: vec!["a".into()],
        seed: 0,
        drop: Vec::new(),
        dropouts: 0.0,
    };
    let experiment = Experiment { terms, fingerprint: [7; 32].into(), params: None };
    let error = runtime.execute(experiment.clone(), &mut told).await.unwrap_err();
    assert!(error.is_cancelled() && error.code() == "cancelled", "{error}");
    // What is cancelled before it starts is not submitted.
    let submitted = director.service.submitted.lock().unwrap().len();
    assert!(runtime.execute(experiment, &mut |_| {}).await.unwrap_err().is_cancelled());
    assert_eq!(director.service.submitted.lock().unwrap().len(), submitted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_run_from_starting_is_told() {
    let director = director(Script { envoys: vec![envoy("a", true, "other")], ..Script::default() }).await;
    let runtime = connect(&director).await;
    assert_eq!(runtime.run(&count(), 1).await.unwrap_err().code(), "nobody-offers");
    assert_eq!(runtime.list().await.unwrap_err().code(), "invalid");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let nobody = Credentials::InsecureLoopback("alice".into());
    let error = FederatedRuntime::connect(&format!("http://{closed}"), nobody).await.unwrap_err();
    assert_eq!(error.code(), "unreachable");
}

#[tokio::test(flavor = "multi_thread")]
async fn patience_with_a_director_that_stays_away_ends() {
    let away = director(Script::default()).await;
    let runtime = connect(&away).await.patience(std::time::Duration::from_millis(150));
    let Director { _stop, _serving, .. } = away;
    drop(_stop);
    _serving.await.unwrap().unwrap();
    assert_eq!(runtime.envoys().await.unwrap_err().code(), "director-away");
}
