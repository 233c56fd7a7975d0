//! Both halves of a run in one process, with bytes between them, and a log that can be cut anywhere.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use veilflow_engine::remote::{
    Courier, Delivery, HostedRun, Hosting, Record, RunLog, SiteEvents, SiteSettings, SiteTasks, TaskKey,
    hosted, site_tasks,
};
use veilflow_engine::{Canceller, Event, RunError, SecureSite, SiteIdentity, SiteJournal};
use veilflow_secagg::{ClientPolicy, Identities, IdentityKey};
use veilflow_spec::{
    Cancellation, Cause, Checkpoint, Device, Flow, Message, Name, Provided, Report, Result, from_cbor,
};

/// A site that answers a task it has done before as it did then.
struct Site {
    tasks: Arc<dyn SiteTasks>,
    answers: Mutex<BTreeMap<TaskKey, Result<Vec<u8>, Cause>>>,
}

/// Sites in this process. They outlast the run that they work for.
pub(crate) struct Sites {
    sites: BTreeMap<Name, Arc<Site>>,
    identities: Arc<Identities>,
    pub(crate) performed: Arc<AtomicUsize>,
}

impl Sites {
    pub(crate) fn new<A: 'static, C: Send + 'static, P: Message, R: Report>(
        flow: &Flow<A, C, P, R>,
        names: &[&str],
        build: impl Fn(&Name) -> Result<C> + Clone + Send + Sync + 'static,
    ) -> Arc<Self> {
        let names: Vec<Name> = names.iter().map(|name| Name::from(*name)).collect();
        let keys: Vec<_> =
            names.iter().map(|name| (name.clone(), Arc::new(IdentityKey::generate().unwrap()))).collect();
        let trusted = Identities::new(keys.iter().map(|(name, key)| (name.to_string(), key.public())));
        let trusted = Arc::new(trusted);
        let sites =
            keys.into_iter().map(|(name, key)| {
                let identity = SiteIdentity { key, trusted: Arc::clone(&trusted) };
                let site = SecureSite::new(ClientPolicy::default(), SiteJournal::default(), move || {
                    Ok(identity.clone())
                });
                let settings = SiteSettings {
                    name: name.clone(),
                    participants: names.clone(),
                    seed: 7,
                    cpus: 1,
                    device: Device::Cpu,
                    provided: Provided::nothing().with(site),
                    drop: Vec::new(),
                    dropouts: 0.0,
                    observer: Arc::new(|_: &Event| ()),
                    crossing: Arc::new(|_: &Event| ()),
                };
                let tasks = site_tasks(flow, build.clone(), settings).unwrap();
                (name, Arc::new(Site { tasks, answers: Mutex::default() }))
            });
        Arc::new(Self { sites: sites.collect(), identities: trusted, performed: Arc::default() })
    }

    pub(crate) fn names(&self) -> Vec<Name> {
        self.sites.keys().cloned().collect()
    }
}

/// The way to the sites, as long as the process lives.
struct Way {
    sites: Arc<Sites>,
    dead: Arc<AtomicBool>,
}

impl Courier for Way {
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'static, Result<Bytes, Cause>> {
        let site = Arc::clone(&self.sites.sites[&delivery.to]);
        let performed = Arc::clone(&self.sites.performed);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut answers = site.answers.lock().unwrap();
            let answer = answers.entry(delivery.task.clone()).or_insert_with(|| {
                performed.fetch_add(1, Ordering::Relaxed);
                let setup = delivery.setup.as_ref().map(|setup| &**setup.bytes());
                site.tasks.perform(&delivery.task, setup, delivery.message.bytes(), &Cancellation::new())
            });
            let _ = sender.send(answer.clone().map(Bytes::from));
        });
        receiver.map(|answer| answer.unwrap_or(Err(Cause::Offline))).boxed()
    }

    fn close(&self, join: &str) {
        if !self.dead.load(Ordering::Relaxed) {
            self.sites.sites.values().for_each(|site| site.tasks.close(join));
        }
    }
}

/// Keeps its first records, and then fails as a full disk does: the process that writes dies there.
pub(crate) struct Log {
    pub(crate) records: Mutex<Vec<Record>>,
    pub(crate) room: usize,
    dead: Arc<AtomicBool>,
}

impl RunLog for Log {
    fn append(&self, record: &Record) -> io::Result<()> {
        let mut records = self.records.lock().unwrap();
        if records.len() == self.room {
            self.dead.store(true, Ordering::Relaxed);
            return Err(io::Error::other("killed here"));
        }
        records.push(record.clone());
        Ok(())
    }
}

/// Hosts a run on these sites from what an earlier process wrote. What this one wrote, and how it ended.
pub(crate) fn host(
    run: Box<dyn HostedRun>,
    sites: &Arc<Sites>,
    history: Vec<Record>,
    room: usize,
) -> (Vec<Record>, Vec<Event>, Result<Vec<u8>, RunError>) {
    let dead: Arc<AtomicBool> = Arc::default();
    let log = Arc::new(Log { records: Mutex::new(history.clone()), room, dead: Arc::clone(&dead) });
    let events = Arc::new(Mutex::new(Vec::new()));
    let (seen, identities) = (Arc::clone(&events), Arc::clone(&sites.identities));
    let outcome = run.run(Hosting {
        participants: sites.names(),
        courier: Arc::new(Way { sites: Arc::clone(sites), dead }),
        log: Arc::clone(&log) as Arc<dyn RunLog>,
        history,
        seed: 7,
        device: Device::Cpu,
        identities: Arc::new(move || Ok(Arc::clone(&identities))),
        sessions: [9; 32],
        observers: vec![Arc::new(move |event: &Event| seen.lock().unwrap().push(event.clone()))],
        site_events: SiteEvents::default(),
        canceller: Canceller::new(),
    });
    let records = log.records.lock().unwrap().clone();
    let events = events.lock().unwrap().clone();
    (records, events, outcome)
}

/// Runs a flow, kills the process at each of its records, goes on from there, and expects the same report; and that no
/// site did a task twice.
pub(crate) fn killed_everywhere<A, C, P, R>(
    flow: &Flow<A, C, P, R>,
    names: &[&str],
    aggregator: impl Fn() -> A,
    params: P,
    build: impl Fn(&Name) -> Result<C> + Clone + Send + Sync + 'static,
) -> R
where
    A: Checkpoint + Send + 'static,
    C: Send + 'static,
    P: Message,
    R: Report + PartialEq + std::fmt::Debug,
{
    let fresh = || hosted(flow.clone(), aggregator(), params.clone());
    let sites = Sites::new(flow, names, build.clone());
    let (records, _, whole) = host(fresh(), &sites, Vec::new(), usize::MAX);
    let report: R = from_cbor(&whole.unwrap()).unwrap();
    let performed = sites.performed.load(Ordering::Relaxed);
    for room in 0..records.len() {
        let sites = Sites::new(flow, names, build.clone());
        let (history, _, killed) = host(fresh(), &sites, Vec::new(), room);
        assert_eq!(killed.unwrap_err().code(), "log", "record {room}");
        let (_, _, resumed) = host(fresh(), &sites, history, usize::MAX);
        let resumed = resumed.unwrap_or_else(|error| panic!("record {room} of {}: {error}", records.len()));
        assert_eq!(from_cbor::<R>(&resumed).unwrap(), report, "record {room}");
        assert_eq!(sites.performed.load(Ordering::Relaxed), performed, "record {room}");
    }
    report
}
