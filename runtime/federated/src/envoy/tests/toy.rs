//! A flow whose half at the site asks the test what to do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use veilflow_engine::remote::{HostedRun, Pieces, SiteSettings, SiteTasks, TaskKey};
use veilflow_spec::{
    Cancellation, Cause, Context, Fingerprint, Flow, FlowDescription, Foreach, Inputs, Name, Result,
    StepError,
};

use crate::deployed::Deployed;
use crate::experiment::Terms;

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

pub(super) fn describe(terms: &Terms) -> FlowDescription {
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
        _setup: Option<Pieces>,
        message: Pieces,
        cancellation: &Cancellation,
    ) -> Result<Vec<u8>, Cause> {
        let (end, ended) = std::sync::mpsc::channel();
        let (task, message) = (task.clone(), message.into_bytes().to_vec());
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
