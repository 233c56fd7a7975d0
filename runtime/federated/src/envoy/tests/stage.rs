//! The stage: an envoy in this process, and the director's end of its connections.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use serde_bytes::ByteBuf;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use veilflow_engine::EventKind;
use veilflow_engine::remote::TaskKey;
use veilflow_secagg::MemoryJournal;
use veilflow_spec::{Cause, Fingerprint, Name};

use super::toy::{Happened, Performing, Toy, describe};
use crate::deployed::Registry;
use crate::envoy::config::EnvoyConfig;
use crate::envoy::line::{Attached, Link};
use crate::envoy::lost::Lost;
use crate::envoy::member::Member;
use crate::envoy::notice::Notice;
use crate::envoy::process::Envoy;
use crate::envoy::renewal::Relays;
use crate::envoy::site::Site;
use crate::envoy::task::Contents;
use crate::experiment::{ExperimentId, Terms};
use crate::pki::{Clock, EnrollReply, EnrollRequest};
use crate::wire::messages::{Content, FromEnvoy, Lists, PROTOCOL, ToEnvoy};
use crate::wire::{Download, Outgoing, WireError};

/// Nothing takes this long; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Stage {
    pub(super) envoy: Option<Envoy>,
    dials: mpsc::UnboundedReceiver<DirectorEnd>,
    pub(super) flow: Toy,
    performing: mpsc::UnboundedReceiver<Performing>,
    happened: mpsc::UnboundedReceiver<Happened>,
    notices: mpsc::UnboundedReceiver<Notice>,
    pub(super) refuse: Arc<AtomicUsize>,
}

/// A site as it is written in a file, with what a test changes.
pub(super) fn config(more: &str) -> EnvoyConfig {
    let text = format!(
        "name = 'Bengaluru'\ndirector = 'http://127.0.0.1:1'\ninsecure-loopback = true\nstate-dir = 'state'\n{more}"
    );
    EnvoyConfig::parse(Path::new("site.toml"), &text).unwrap()
}

pub(super) const AGREES: &str = "[policy]\nallowed-flows = ['toy']\n[resources]\ncpus = 2\n";

impl Stage {
    pub(super) fn new() -> Self {
        Self::with(config(AGREES), Arc::new(SystemTime::now))
    }

    pub(super) fn of(more: &str) -> Self {
        Self::with(config(more), Arc::new(SystemTime::now))
    }

    pub(super) fn with(config: EnvoyConfig, clock: Clock) -> Self {
        Self::member(config, clock, None)
    }

    /// The stage of a site with an identity.
    pub(super) fn member(config: EnvoyConfig, clock: Clock, member: Option<Member>) -> Self {
        let (dial, dials) = mpsc::unbounded_channel();
        let (flow, performing, happened) = Toy::new();
        let (tell, notices) = mpsc::unbounded_channel();
        let registry = Registry::new().with(Arc::new(flow.clone()));
        let log = Arc::new(move |notice: &Notice| drop(tell.send(notice.clone())));
        let site = Site::new(config, registry, log, clock, MemoryJournal::new(), member);
        let refuse = Arc::new(AtomicUsize::new(0));
        let link = Arc::new(FakeLink { dial, refuse: Arc::clone(&refuse) });
        let envoy = Some(Envoy::serve(site, link).unwrap());
        Self { envoy, dials, flow, performing, happened, notices, refuse }
    }

    /// The envoy's next connection, which has said hello.
    pub(super) async fn dialled(&mut self) -> (DirectorEnd, FromEnvoy) {
        let mut director = soon(self.dials.recv()).await;
        let hello = director.heard().await;
        assert!(matches!(hello, FromEnvoy::Hello { .. }), "{hello:?}");
        (director, hello)
    }

    /// The same, and it is welcomed.
    pub(super) async fn attached(&mut self, known: &[ExperimentId]) -> DirectorEnd {
        let (director, _) = self.dialled().await;
        director.welcome(known).await;
        director
    }

    /// The next task that runs.
    pub(super) async fn performing(&mut self) -> Performing {
        soon(self.performing.recv()).await
    }

    pub(super) fn nothing_runs(&mut self) {
        assert!(self.performing.try_recv().is_err());
    }

    /// What happened next to the flow's half.
    pub(super) async fn happened(&mut self) -> Happened {
        soon(self.happened.recv()).await
    }

    pub(super) fn nothing_happened(&mut self) {
        assert_eq!(self.happened.try_recv().ok(), None);
    }

    /// The next of the envoy's notices that `pick` wants.
    pub(super) async fn noticed<T>(&mut self, pick: impl Fn(Notice) -> Option<T>) -> T {
        loop {
            if let Some(picked) = pick(soon(self.notices.recv()).await) {
                return picked;
            }
        }
    }
}

pub(super) async fn soon<T>(what: impl Future<Output = Option<T>>) -> T {
    timeout(PATIENCE, what).await.expect("nothing came").expect("nothing can come any more")
}

struct FakeLink {
    dial: mpsc::UnboundedSender<DirectorEnd>,
    refuse: Arc<AtomicUsize>,
}

impl Link for FakeLink {
    fn attach(&self) -> BoxFuture<'static, Result<Attached, Lost>> {
        let refused =
            self.refuse.try_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1));
        if refused.is_ok() {
            return Box::pin(async { Err(Lost::NoDirector("nobody is there".to_owned())) });
        }
        let (outgoing, said) = Outgoing::channel(64);
        let (say, incoming) = mpsc::channel(64);
        let contents = FakeContents::default();
        let (relay, requests) = FakeRelay::new();
        let end = DirectorEnd { said, say, contents: contents.clone(), requests };
        let dialled = self.dial.send(end);
        Box::pin(async move {
            dialled.map_err(|_| Lost::Gone)?;
            let incoming = tokio_stream::wrappers::ReceiverStream::new(incoming).boxed();
            Ok(Attached { outgoing, incoming, contents: Arc::new(contents), relay: Arc::new(relay) })
        })
    }
}

/// Contents that fail as often as they are told to.
#[derive(Clone, Default)]
pub(super) struct FakeContents {
    /// How many downloads are cut.
    pub(super) failing: Arc<AtomicUsize>,
    /// What comes of the next attempts to store.
    pub(super) storing: Arc<Mutex<Vec<WireError>>>,
}

impl FakeContents {
    fn fails(&self) -> bool {
        self.failing.try_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
    }
}

impl Contents for FakeContents {
    fn fetch<'a>(&'a self, _download: &'a mut Download) -> BoxFuture<'a, Result<(), WireError>> {
        let fails = self.fails();
        Box::pin(async move { if fails { Err(WireError::Lost("cut".to_owned())) } else { Ok(()) } })
    }

    fn store(&self, bytes: Bytes) -> BoxFuture<'static, Result<Content, WireError>> {
        let fails = self.storing.lock().unwrap().pop();
        Box::pin(async move { fails.map_or_else(|| Ok(inline(&bytes)), Err) })
    }
}

/// Hands requests for certificates to the test.
struct FakeRelay(mpsc::UnboundedSender<Asked>);

/// A request, and where its answer goes.
pub(super) type Asked = (EnrollRequest, oneshot::Sender<EnrollReply>);

impl FakeRelay {
    fn new() -> (Self, mpsc::UnboundedReceiver<Asked>) {
        let (ask, requests) = mpsc::unbounded_channel();
        (Self(ask), requests)
    }
}

impl Relays for FakeRelay {
    fn enroll(&self, request: EnrollRequest) -> BoxFuture<'static, Result<EnrollReply, WireError>> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.send((request, answer));
        Box::pin(async move {
            let lost = || WireError::Lost("cut".to_owned());
            sent.map_err(|_| lost())?;
            answered.await.map_err(|_| lost())
        })
    }
}

pub(super) fn inline(bytes: &[u8]) -> Content {
    Content::Inline(ByteBuf::from(bytes.to_vec()))
}

/// The director's end of a connection.
pub(super) struct DirectorEnd {
    said: mpsc::Receiver<FromEnvoy>,
    say: mpsc::Sender<Result<ToEnvoy, WireError>>,
    pub(super) contents: FakeContents,
    requests: mpsc::UnboundedReceiver<Asked>,
}

impl DirectorEnd {
    /// The next request for a certificate, however long it takes to come.
    pub(super) async fn asked(&mut self) -> Asked {
        self.requests.recv().await.expect("the envoy has hung up")
    }

    pub(super) fn nothing_is_asked(&mut self) {
        assert!(self.requests.try_recv().is_err());
    }

    pub(super) async fn say(&self, message: ToEnvoy) {
        self.say.send(Ok(message)).await.expect("the envoy has hung up");
    }

    pub(super) async fn welcome(&self, known: &[ExperimentId]) {
        let (protocol, incarnation, lists) = (PROTOCOL, [1; 16], Lists::default());
        self.say(ToEnvoy::Welcome { protocol, incarnation, lists, experiments: known.to_vec() }).await;
    }

    /// The events that the envoy tells next, and the number of the first.
    pub(super) async fn events(&mut self) -> (ExperimentId, u64, Vec<EventKind>) {
        match self.heard().await {
            FromEnvoy::Events { experiment, first, events } => (experiment, first, events),
            other => panic!("no events: {other:?}"),
        }
    }

    /// What the envoy says next, but for signs of life.
    pub(super) async fn heard(&mut self) -> FromEnvoy {
        loop {
            match soon(self.said.recv()).await {
                FromEnvoy::Alive => {}
                message => return message,
            }
        }
    }

    /// What it says next, sign of life or not; none once it has hung up.
    pub(super) async fn any(&mut self) -> Option<FromEnvoy> {
        timeout(PATIENCE, self.said.recv()).await.expect("nothing came")
    }

    /// The next answer.
    pub(super) async fn done(&mut self) -> (TaskKey, Result<Vec<u8>, Cause>) {
        match self.heard().await {
            FromEnvoy::Done { task, outcome, .. } => {
                let bytes = outcome.map(|content| match content {
                    Content::Inline(bytes) => bytes.into_vec(),
                    Content::Chunks { .. } => panic!("chunks"),
                });
                (task, bytes)
            }
            other => panic!("no answer: {other:?}"),
        }
    }

    /// The next answer, whatever it is.
    pub(super) async fn answered(&mut self) -> TaskKey {
        self.done().await.0
    }

    /// The code of the next answer, which declines.
    pub(super) async fn declined(&mut self) -> (String, String) {
        match self.done().await.1 {
            Err(Cause::Declined { code, text }) => (code, text),
            other => panic!("not declined: {other:?}"),
        }
    }

    pub(super) fn has_heard_nothing(&mut self) {
        assert!(self.said.try_recv().is_err());
    }
}

/// An experiment, as a director sends it.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) id: ExperimentId,
    pub(super) terms: Terms,
    pub(super) fingerprint: Fingerprint,
}

impl Sent {
    pub(super) fn new() -> Self {
        Self::with(&[])
    }

    pub(super) fn with(options: &[&str]) -> Self {
        let terms = Terms {
            flow: "toy".to_owned(),
            options: options.iter().map(ToString::to_string).collect(),
            participants: ["Bengaluru", "Portland", "Leuven"].map(Name::from).to_vec(),
            seed: 7,
            drop: Vec::new(),
            dropouts: 0.0,
        };
        let fingerprint = describe(&terms).fingerprint();
        Self { id: ExperimentId::generate().unwrap(), terms, fingerprint }
    }

    pub(super) fn task(&self, path: &str) -> ToEnvoy {
        ToEnvoy::Task {
            experiment: self.id,
            terms: self.terms.clone(),
            fingerprint: self.fingerprint,
            task: key(path),
            setup: None,
            message: inline(path.as_bytes()),
        }
    }

    pub(super) fn cancel(&self, path: &str) -> ToEnvoy {
        ToEnvoy::Cancel { experiment: self.id, task: key(path) }
    }

    pub(super) fn acknowledged(&self, path: &str) -> ToEnvoy {
        ToEnvoy::Acknowledged { experiment: self.id, task: key(path) }
    }

    pub(super) fn close(&self, join: &str) -> ToEnvoy {
        ToEnvoy::Close { experiment: self.id, join: join.to_owned() }
    }

    pub(super) fn end(&self) -> ToEnvoy {
        ToEnvoy::End { experiment: self.id }
    }
}

pub(super) fn key(path: &str) -> TaskKey {
    TaskKey { path: path.into(), loops: [0].into(), attempt: 0 }
}
