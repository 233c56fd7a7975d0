//! The stage: an envoy in this process, the director's end of its connections, and a flow that asks the test what to do.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use serde_bytes::ByteBuf;
use tokio::sync::mpsc;
use tokio::time::timeout;
use veilflow_engine::EventKind;
use veilflow_engine::remote::{HostedRun, SiteSettings, SiteTasks, TaskKey};
use veilflow_secagg::MemoryJournal;
use veilflow_spec::{
    Cancellation, Cause, Context, Fingerprint, Flow, FlowDescription, Foreach, Inputs, Name, Result,
    StepError,
};

use crate::deployed::{Deployed, Registry};
use crate::envoy::config::EnvoyConfig;
use crate::envoy::line::{Attached, Link, Lost};
use crate::envoy::notice::Notice;
use crate::envoy::process::Envoy;
use crate::envoy::site::{Clock, Site};
use crate::envoy::task::Contents;
use crate::experiment::{ExperimentId, Terms};
use crate::wire::messages::{Content, FromEnvoy, PROTOCOL, ToEnvoy};
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
        let (dial, dials) = mpsc::unbounded_channel();
        let (flow, performing, happened) = Toy::new();
        let (tell, notices) = mpsc::unbounded_channel();
        let registry = Registry::new().with(Arc::new(flow.clone()));
        let log = Arc::new(move |notice: &Notice| drop(tell.send(notice.clone())));
        let site = Site::new(config, registry, log, clock, MemoryJournal::new(), None);
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
            return Box::pin(async { Err("nobody is there".to_owned()) });
        }
        let (outgoing, said) = Outgoing::channel(64);
        let (say, incoming) = mpsc::channel(64);
        let contents = FakeContents::default();
        let end = DirectorEnd { said, say, contents: contents.clone() };
        let dialled = self.dial.send(end);
        Box::pin(async move {
            dialled.map_err(|_| "the test is over".to_owned())?;
            let incoming = tokio_stream::wrappers::ReceiverStream::new(incoming).boxed();
            Ok(Attached { outgoing, incoming, contents: Arc::new(contents) })
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

pub(super) fn inline(bytes: &[u8]) -> Content {
    Content::Inline(ByteBuf::from(bytes.to_vec()))
}

/// The director's end of a connection.
pub(super) struct DirectorEnd {
    said: mpsc::Receiver<FromEnvoy>,
    say: mpsc::Sender<Result<ToEnvoy, WireError>>,
    pub(super) contents: FakeContents,
}

impl DirectorEnd {
    pub(super) async fn say(&self, message: ToEnvoy) {
        self.say.send(Ok(message)).await.expect("the envoy has hung up");
    }

    pub(super) async fn welcome(&self, known: &[ExperimentId]) {
        let (protocol, incarnation) = (PROTOCOL, [1; 16]);
        self.say(ToEnvoy::Welcome { protocol, incarnation, roster: None, experiments: known.to_vec() }).await;
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

/// A flow whose half at the site asks the test what to do.
#[derive(Clone)]
pub(super) struct Toy(Arc<Script>);

struct Script {
    perform: mpsc::UnboundedSender<Performing>,
    happen: mpsc::UnboundedSender<Happened>,
    /// What building it waits for.
    gate: Mutex<Option<std::sync::mpsc::Receiver<Result<()>>>>,
}

/// What happened to the flow's half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    Built(BTreeMap<String, String>),
    Closed(String),
    Dropped,
}

/// A task that runs: it holds its thread until the test says how it ends.
pub(super) struct Performing {
    pub(super) task: TaskKey,
    pub(super) message: Vec<u8>,
    pub(super) cancellation: Cancellation,
    pub(super) settings: Arc<SiteSettings>,
    end: std::sync::mpsc::Sender<End>,
}

enum End {
    Answer(Result<Vec<u8>, Cause>),
    Panic,
}

impl Performing {
    pub(super) fn end(self, answer: Result<&[u8], Cause>) {
        self.end.send(End::Answer(answer.map(<[u8]>::to_vec))).unwrap();
    }

    pub(super) fn panic(self) {
        self.end.send(End::Panic).unwrap();
    }
}

impl Toy {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Performing>, mpsc::UnboundedReceiver<Happened>) {
        let (perform, performing) = mpsc::unbounded_channel();
        let (happen, happened) = mpsc::unbounded_channel();
        (Self(Arc::new(Script { perform, happen, gate: Mutex::default() })), performing, happened)
    }

    /// Holds whoever builds the half until what is returned is told how that goes.
    pub(super) fn hold_building(&self) -> std::sync::mpsc::Sender<Result<()>> {
        let (go, gate) = std::sync::mpsc::channel();
        *self.0.gate.lock().unwrap() = Some(gate);
        go
    }
}

struct Server;
struct Worker;

impl Server {
    fn start(&mut self, params: u32, _cx: &Context) -> Result<Foreach<u32>> {
        Ok(Foreach::all(params))
    }

    fn add(&mut self, parts: Inputs<u32>, _cx: &Context) -> Result<u32> {
        Ok(parts.values().sum())
    }
}

impl Worker {
    fn work(&mut self, number: u32, _cx: &Context) -> Result<u32> {
        Ok(number)
    }
}

fn describe(terms: &Terms) -> FlowDescription {
    let has = |option: &str| terms.options.iter().any(|given| given == option);
    let flow = Flow::new("toy", if has("--newer") { 2 } else { 1 });
    let flow = if has("--plain") { flow } else { flow.confidential() };
    flow.start(Server::start).foreach(Worker::work).join(Server::add).end().describe()
}

impl Deployed for Toy {
    fn name(&self) -> &str {
        "toy"
    }

    fn about(&self) -> &str {
        "Asks the test"
    }

    fn collaborators(&self) -> Vec<Name> {
        vec!["Bengaluru".into(), "Portland".into()]
    }

    fn describe(&self, terms: &Terms) -> Result<FlowDescription> {
        if terms.options.iter().any(|option| option == "--nonsense") {
            return Err(StepError::msg("there is no option --nonsense"));
        }
        Ok(describe(terms))
    }

    fn host(
        &self,
        _terms: &Terms,
        _place: &BTreeMap<String, String>,
        _params: Option<&[u8]>,
    ) -> Result<Box<dyn HostedRun>> {
        Err(StepError::msg("an envoy hosts nothing"))
    }

    fn site(
        &self,
        terms: &Terms,
        place: &BTreeMap<String, String>,
        settings: SiteSettings,
    ) -> Result<Arc<dyn SiteTasks>> {
        let gate = self.0.gate.lock().unwrap().take();
        gate.map_or(Ok(()), |gate| gate.recv().unwrap())?;
        let _ = self.0.happen.send(Happened::Built(place.clone()));
        let flow = describe(terms);
        Ok(Arc::new(ToySite { script: Arc::clone(&self.0), flow, settings: Arc::new(settings) }))
    }
}

struct ToySite {
    script: Arc<Script>,
    flow: FlowDescription,
    settings: Arc<SiteSettings>,
}

impl SiteTasks for ToySite {
    fn fingerprint(&self) -> Fingerprint {
        self.flow.fingerprint()
    }

    fn confidential(&self) -> bool {
        self.flow.confidential
    }

    fn perform(
        &self,
        task: &TaskKey,
        _setup: Option<&[u8]>,
        message: &[u8],
        cancellation: &Cancellation,
    ) -> Result<Vec<u8>, Cause> {
        let (end, ended) = std::sync::mpsc::channel();
        let (task, message) = (task.clone(), message.to_vec());
        let (cancellation, settings) = (cancellation.clone(), Arc::clone(&self.settings));
        // A test that is over waits for nothing.
        let _ = self.script.perform.send(Performing { task, message, cancellation, settings, end });
        match ended.recv() {
            Ok(End::Answer(answer)) => answer,
            Ok(End::Panic) => panic!("told to"),
            Err(_) => Err(Cause::Cancelled),
        }
    }

    fn close(&self, join: &str) {
        let _ = self.script.happen.send(Happened::Closed(join.to_owned()));
    }
}

impl Drop for ToySite {
    fn drop(&mut self) {
        let _ = self.script.happen.send(Happened::Dropped);
    }
}
