//! A director without a network, envoys at the other ends of its channels, and a flow to run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures_util::stream;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use veilflow_engine::EventKind;
use veilflow_engine::remote::{HostedRun, SiteSettings, SiteTasks, TaskKey, hosted};
use veilflow_spec::prelude::*;
use veilflow_spec::{Cause, Device, FlowDescription, Name, Origin, Placement, Signal, from_cbor, to_cbor};

use super::super::core::{Core, Parts};
use super::super::envoys::{EnvoyLimits, Envoys};
use super::super::log::Line;
use crate::deployed::{Deployed, Registry};
use crate::experiment::{ExperimentId, State, Summary, Terms};
use crate::journal::{JournalError, StateDir};
use crate::pki::{Peer, Role};
use crate::wire::messages::{
    Content, Follow, FromEnvoy, Lists, OfferedFlow, PROTOCOL, Submit, ToEnvoy, Told,
};
use crate::wire::{Budget, Chunks, Outgoing, Refusal, WireError};

/// More than anything here takes, on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns what comes, and fails a test that waits for what never does.
pub(super) async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what} never came"))
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Server {
    rounds: u32,
    totals: Vec<f64>,
}

struct Site;

impl Server {
    fn start(&mut self, rounds: u32, _cx: &Context) -> Result<Foreach<f64>> {
        self.rounds = rounds;
        Ok(Foreach::all(1.0))
    }

    fn add(&mut self, inputs: Inputs<f64>, _cx: &Context) -> Result<Loop<Foreach<f64>, Vec<f64>>> {
        let total = inputs.values().sum::<f64>();
        self.totals.push(total);
        let over = self.totals.len() >= self.rounds as usize;
        Ok(if over { Loop::Done(self.totals.clone()) } else { Loop::Again(Foreach::all(total)) })
    }
}

impl Site {
    fn double(&mut self, value: f64, _cx: &Context) -> Result<f64> {
        Ok(2.0 * value)
    }
}

/// Sums over rounds; one answer is enough for each with the option `--any`.
pub(super) struct Sums(pub(super) &'static str);

impl Sums {
    fn flow(&self, terms: &Terms) -> Flow<Server, Site, u32, Vec<f64>> {
        let any = terms.options.iter().any(|option| option == "--any");
        let name = self.0;
        Flow::new(name, 1)
            .start(Server::start)
            .repeat(|round| {
                let fan = round.foreach(Site::double);
                if any { fan.quorum(1).join(Server::add) } else { fan.join(Server::add) }
            })
            .end()
    }
}

impl Deployed for Sums {
    fn name(&self) -> &str {
        self.0
    }

    fn about(&self) -> &str {
        "sums over rounds"
    }

    fn collaborators(&self) -> Vec<Name> {
        vec!["a".into(), "b".into()]
    }

    fn describe(&self, terms: &Terms) -> Result<FlowDescription> {
        Ok(self.flow(terms).describe())
    }

    fn host(
        &self,
        terms: &Terms,
        _place: &BTreeMap<String, String>,
        params: Option<&[u8]>,
    ) -> Result<Box<dyn HostedRun>> {
        let rounds = params.map_or(Ok(1), from_cbor)?;
        Ok(hosted(self.flow(terms), Server::default(), rounds))
    }

    fn site(
        &self,
        _terms: &Terms,
        _place: &BTreeMap<String, String>,
        _settings: SiteSettings,
    ) -> Result<Arc<dyn SiteTasks>> {
        Err(StepError::msg("these envoys say what a test has them say"))
    }
}

/// A director, and the directory that outlasts it.
pub(super) struct World {
    pub(super) core: Arc<Core>,
    pub(super) lines: Arc<Mutex<Vec<Line>>>,
    pub(super) chunks: Chunks,
    schedule: JoinHandle<()>,
    dir: Arc<TempDir>,
    grace: Duration,
    slots: usize,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(Duration::from_secs(60), 4).await
    }

    pub(super) async fn with(grace: Duration, slots: usize) -> Self {
        Self::at(Arc::new(tempfile::tempdir().unwrap()), grace, slots).await
    }

    async fn at(dir: Arc<TempDir>, grace: Duration, slots: usize) -> Self {
        let lines: Arc<Mutex<Vec<Line>>> = Arc::default();
        let seen = Arc::clone(&lines);
        let log: super::super::Log = Arc::new(move |line| seen.lock().unwrap().push(line));
        let wake = Arc::new(Notify::new());
        let chunks = Chunks::new(Budget::default());
        let limits = EnvoyLimits { grace, envoys: 1000 };
        let envoys = Envoys::new(chunks.clone(), limits, Arc::clone(&wake), Arc::clone(&log)).unwrap();
        // Whoever let go of the director before last may still be putting it away, its lock among the rest.
        let state = soon("the lock of the directory", async {
            loop {
                match StateDir::open(dir.path()) {
                    Err(JournalError::Locked { .. }) => tokio::task::yield_now().await,
                    opened => break opened,
                }
            }
        });
        let state = state.await.unwrap();
        let parts = Parts {
            registry: Registry::new().with(Arc::new(Sums("sums"))).with(Arc::new(Sums("others"))),
            places: BTreeMap::new(),
            slots,
            queue: 8,
            device: Device::Cpu,
            state,
            envoys,
            wake,
            identities: Arc::new(|| Err(StepError::msg("nobody signs here"))),
            log,
        };
        let core = Core::new(parts).unwrap();
        let schedule = tokio::spawn(Arc::clone(&core).schedule());
        Self { core, lines, chunks, schedule, dir, grace, slots }
    }

    /// Ends the director as its process would end, and starts another one where it was.
    pub(super) async fn restart(self) -> Self {
        self.core.close();
        soon("the end of all runs", self.core.idle()).await;
        soon("the end of the schedule", self.schedule).await.unwrap();
        let core = Arc::downgrade(&self.core);
        drop(self.core);
        let (dir, grace, slots) = (self.dir, self.grace, self.slots);
        // Sessions and readers let go of it when they have seen that it goes.
        while core.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
        Self::at(dir, grace, slots).await
    }

    pub(super) async fn submit(&self, submit: Submit) -> Result<Summary, Refusal> {
        self.core.submit(&client("ann"), submit).await
    }

    /// Submits so many rounds of `sums` among these.
    pub(super) async fn begin(&self, participants: &[&str], rounds: u32) -> ExperimentId {
        self.submit(rounds_of(terms("sums", participants), rounds)).await.unwrap().id
    }

    pub(super) fn summary(&self, id: ExperimentId) -> Summary {
        self.core.list().into_iter().find(|summary| summary.id == id).unwrap()
    }

    /// What a reader is told, who has room for `queue` unread messages.
    pub(super) fn follow(&self, id: ExperimentId, from: u64, queue: usize) -> mpsc::Receiver<Told> {
        let (outgoing, incoming) = Outgoing::channel(queue);
        let core = Arc::clone(&self.core);
        tokio::spawn(async move {
            let ask = Follow { id, from, follow: true };
            let _ = core.follow(&client("ann"), ask, &outgoing).await;
        });
        incoming
    }

    /// Waits until the experiment is in this state and says why it is.
    pub(super) async fn until(&self, id: ExperimentId, state: State) -> String {
        self.until_it(id, &state.to_string(), |summary| summary.state == state).await
    }

    pub(super) async fn until_it(
        &self,
        id: ExperimentId,
        what: &str,
        is: impl Fn(&Summary) -> bool,
    ) -> String {
        let mut told = self.follow(id, 0, 64);
        let wait = async {
            loop {
                match told.recv().await {
                    Some(Told::State(summary)) if is(&summary) => break summary.reason,
                    Some(_) => {}
                    None => panic!("experiment {id} ended: {:?}", self.summary(id)),
                }
            }
        };
        soon(what, wait).await
    }

    /// The report of an experiment that finishes.
    pub(super) async fn report(&self, id: ExperimentId) -> Vec<f64> {
        self.until(id, State::Finished).await;
        let experiment = self.core.experiment(&client("ann"), id).unwrap();
        from_cbor(&experiment.journal.report().unwrap().unwrap()).unwrap()
    }

    /// The notes of an experiment that ends, and how often it ended.
    pub(super) async fn notes(&self, id: ExperimentId) -> (Vec<String>, usize) {
        let mut told = self.follow(id, 0, 64);
        let (mut notes, mut ends) = (Vec::new(), 0);
        while let Some(message) = soon("all of it", told.recv()).await {
            if let Told::Event(event) = message {
                match event.kind {
                    EventKind::Signal { signal: Signal::Note(text), .. } => notes.push(text),
                    EventKind::RunFinished => ends += 1,
                    _ => {}
                }
            }
        }
        (notes, ends)
    }

    pub(super) fn ignored(&self) -> Vec<&'static str> {
        let lines = self.lines.lock().unwrap();
        let why = |line: &Line| match line {
            Line::Ignored { why, .. } => Some(*why),
            _ => None,
        };
        lines.iter().filter_map(why).collect()
    }
}

fn peer(name: &str, role: Role) -> Peer {
    let not_after = SystemTime::now() + Duration::from_secs(3600);
    Peer { name: name.into(), role, serial: vec![1], not_after }
}

pub(super) fn client(name: &str) -> Peer {
    peer(name, Role::Client)
}

pub(super) fn admin() -> Peer {
    peer("root", Role::Admin)
}

pub(super) fn terms(flow: &str, participants: &[&str]) -> Terms {
    Terms {
        flow: flow.to_owned(),
        options: Vec::new(),
        participants: participants.iter().map(|name| Name::from(*name)).collect(),
        seed: 1,
        drop: Vec::new(),
        dropouts: 0.0,
    }
}

/// A submission of so many rounds.
pub(super) fn rounds_of(terms: Terms, rounds: u32) -> Submit {
    let name = if terms.flow == "others" { "others" } else { "sums" };
    Submit {
        protocol: PROTOCOL,
        id: ExperimentId::generate().unwrap(),
        fingerprint: Sums(name).flow(&terms).fingerprint(),
        terms,
        params: Some(content(&rounds)),
    }
}

/// A value as it travels.
pub(super) fn content(value: &impl Serialize) -> Content {
    Content::Inline(to_cbor(value).unwrap().into())
}

/// A task that an envoy was given.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Given {
    pub(super) experiment: ExperimentId,
    pub(super) task: TaskKey,
    pub(super) message: f64,
}

impl Given {
    pub(super) fn done(&self, outcome: Result<Content, Cause>) -> FromEnvoy {
        FromEnvoy::Done { experiment: self.experiment, task: self.task.clone(), outcome }
    }

    /// A note of a step of this task.
    pub(super) fn note(&self, who: &str, placement: Placement, text: &str) -> EventKind {
        let (path, loops) = (self.task.path.clone(), self.task.loops.clone());
        let origin = Origin { participant: who.into(), placement, step: "double".into(), path, loops };
        EventKind::Signal { origin, signal: Signal::Note(text.to_owned()) }
    }

    /// Twice the message: what the site's step returns.
    pub(super) fn doubled(&self) -> FromEnvoy {
        self.done(Ok(content(&(2.0 * self.message))))
    }
}

/// The other end of an envoy's stream.
pub(super) struct FakeEnvoy {
    pub(super) welcome: ToEnvoy,
    to: mpsc::Sender<Result<FromEnvoy, WireError>>,
    from: mpsc::Receiver<ToEnvoy>,
    session: JoinHandle<Result<(), Refusal>>,
}

pub(super) fn hello(process: u8, flows: &[&str]) -> FromEnvoy {
    let offered = |name: &&str| OfferedFlow { name: (*name).to_owned(), version: 1, fingerprint: None };
    let flows = flows.iter().map(offered).collect();
    FromEnvoy::Hello { protocol: PROTOCOL, incarnation: [process; 16], flows, lists: Lists::default() }
}

impl FakeEnvoy {
    /// The envoy of this name, in its n-th process, which offers `sums`.
    pub(super) async fn new(world: &World, name: &str, process: u8) -> Self {
        Self::saying(world, name, hello(process, &["sums"])).await.unwrap()
    }

    pub(super) async fn saying(world: &World, name: &str, first: FromEnvoy) -> Result<Self, Refusal> {
        let (to, incoming) = mpsc::channel(16);
        let incoming = Box::pin(stream::unfold(incoming, async |mut incoming| {
            let message = incoming.recv().await?;
            Some((message, incoming))
        }));
        let (outgoing, mut from) = Outgoing::channel(16);
        let (core, name) = (Arc::clone(&world.core), Name::from(name));
        let session = tokio::spawn(async move { core.parts.envoys.attach(name, incoming, outgoing).await });
        to.send(Ok(first)).await.unwrap();
        match soon("a welcome", from.recv()).await {
            Some(welcome) => Ok(Self { welcome, to, from, session }),
            None => Err(session.await.unwrap().unwrap_err()),
        }
    }

    pub(super) async fn say(&self, message: FromEnvoy) {
        self.to.send(Ok(message)).await.unwrap();
    }

    pub(super) async fn next(&mut self) -> ToEnvoy {
        soon("a message", self.from.recv()).await.expect("the session ended")
    }

    /// The next message, which is a task.
    pub(super) async fn task(&mut self) -> Given {
        match self.next().await {
            ToEnvoy::Task { experiment, task, message: Content::Inline(message), .. } => {
                Given { experiment, task, message: from_cbor(&message).unwrap() }
            }
            other => panic!("not a task: {other:?}"),
        }
    }

    /// The next message, which acknowledges this task.
    pub(super) async fn acknowledged(&mut self, given: &Given) {
        let Given { experiment, task, .. } = given.clone();
        assert_eq!(self.next().await, ToEnvoy::Acknowledged { experiment, task });
    }

    /// Does one task as a real one would.
    pub(super) async fn work(&mut self) {
        let given = self.task().await;
        self.say(given.doubled()).await;
        self.acknowledged(&given).await;
    }

    /// Does all tasks of one experiment, until it is over.
    pub(super) fn work_to_the_end(mut self) -> JoinHandle<(Self, usize)> {
        tokio::spawn(async move {
            let mut tasks = 0;
            loop {
                match self.next().await {
                    ToEnvoy::Task { experiment, task, message: Content::Inline(message), .. } => {
                        let given = Given { experiment, task, message: from_cbor(&message).unwrap() };
                        tasks += 1;
                        self.say(given.doubled()).await;
                    }
                    ToEnvoy::End { .. } => return (self, tasks),
                    _ => {}
                }
            }
        })
    }

    /// Cuts the connection, and returns when the director has seen it.
    pub(super) async fn cut(self) {
        drop((self.to, self.from));
        let _ = soon("the end of the session", self.session).await.unwrap();
    }

    /// How the director ends the session.
    pub(super) async fn ended(self) -> Result<(), Refusal> {
        soon("the end of the session", self.session).await.unwrap()
    }
}
