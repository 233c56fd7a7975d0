//! Both halves of a run in one process, with bytes between them, and a log that can be cut anywhere.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use veilflow_engine::remote::{
    Courier, Delivery, HostedRun, Hosting, Pieces, Record, RunLog, SiteEvents, SiteSettings, SiteTasks,
    TaskKey, hosted, site_tasks,
};
use veilflow_engine::{Canceller, Event, RunError, SecureSite, SiteIdentity, SiteJournal};
use veilflow_secagg::{Identities, IdentityKey};
use veilflow_spec::{
    Cancellation, Cause, Checkpoint, Device, Flow, Message, Name, Provided, Report, Result, from_cbor,
};

use crate::suite::{Failed, Parts, Ran, Runtime};

type Answer = Arc<OnceLock<Result<Vec<u8>, Cause>>>;

/// A site that answers a task it has done before as it did then.
struct Site {
    tasks: Arc<dyn SiteTasks>,
    answers: Mutex<BTreeMap<TaskKey, Answer>>,
}

/// Sites in this process. They outlast the run that they work for.
pub(crate) struct Sites {
    sites: BTreeMap<Name, Arc<Site>>,
    crossing: SiteEvents,
    identities: Arc<Identities>,
    pub(crate) performed: Arc<AtomicUsize>,
}

impl Sites {
    pub(crate) fn new<A: 'static, C: Send + 'static, P: Message, R: Report>(
        flow: &Flow<A, C, P, R>,
        parts: &Parts<A, C>,
    ) -> Arc<Self> {
        let names = &parts.names;
        let keys: Vec<_> =
            names.iter().map(|name| (name.clone(), Arc::new(IdentityKey::generate().unwrap()))).collect();
        let trusted = Identities::new(keys.iter().map(|(name, key)| (name.to_string(), key.public())));
        let (trusted, crossing) = (Arc::new(trusted), SiteEvents::default());
        let mut sites = BTreeMap::new();
        for (name, key) in keys {
            let identity = SiteIdentity { key, trusted: Arc::clone(&trusted) };
            let site = SecureSite::new(parts.policy, SiteJournal::default(), move || Ok(identity.clone()));
            let crossing = crossing.clone();
            let settings = SiteSettings {
                name: name.clone(),
                participants: names.clone(),
                seed: parts.seed,
                cpus: 1,
                device: Device::Cpu,
                provided: Provided::nothing().with(site),
                drop: parts.drop.clone(),
                dropouts: parts.dropouts,
                observer: Arc::new(|_: &Event| ()),
                crossing: Arc::new(move |event: &Event| crossing.emit(event.kind.clone())),
            };
            let build = Arc::clone(&parts.build);
            let tasks = site_tasks(flow, move |name| build(name), settings).unwrap();
            sites.insert(name, Arc::new(Site { tasks, answers: Mutex::default() }));
        }
        Arc::new(Self { sites, crossing, identities: trusted, performed: Arc::default() })
    }

    pub(crate) fn names(&self) -> Vec<Name> {
        self.sites.keys().cloned().collect()
    }
}

/// The way to the sites, as long as the process lives.
struct Way {
    sites: Arc<Sites>,
    /// Whether the process may die: one that does tells nobody to stop.
    mortal: bool,
    /// Whether every answer is there before anybody waits for one.
    at_once: bool,
    dead: Arc<AtomicBool>,
}

impl Courier for Way {
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'static, Result<Pieces, Cause>> {
        let site = Arc::clone(&self.sites.sites[&delivery.to]);
        let performed = Arc::clone(&self.sites.performed);
        let cancellation = match self.mortal {
            true => Cancellation::new(),
            false => delivery.cancellation.clone(),
        };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let work = move || {
            let answer = Arc::clone(site.answers.lock().unwrap().entry(delivery.task.clone()).or_default());
            let answer = answer.get_or_init(|| {
                performed.fetch_add(1, Ordering::Relaxed);
                let setup = delivery.setup.as_ref().map(|setup| setup.bytes().clone().into());
                let message = delivery.message.bytes().clone().into();
                site.tasks.perform(&delivery.task, setup, message, &cancellation)
            });
            let _ = sender.send(answer.clone().map(Pieces::from));
        };
        if self.at_once {
            work();
        } else {
            std::thread::spawn(work);
        }
        receiver.map(|answer| answer.unwrap_or(Err(Cause::Offline))).boxed()
    }

    fn close(&self, join: &str) {
        if !self.dead.load(Ordering::Relaxed) {
            self.sites.sites.values().for_each(|site| site.tasks.close(join));
        }
    }
}

/// Room for all records.
pub(crate) const IMMORTAL: usize = usize::MAX;

/// Keeps its first records, and then fails as a full disk does: the process that writes dies there.
pub(crate) struct Log {
    pub(crate) records: Mutex<Vec<Record>>,
    pub(crate) room: usize,
    /// How many records were given together.
    batches: Mutex<Vec<usize>>,
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

    fn append_all(&self, records: &[Record]) -> io::Result<()> {
        self.batches.lock().unwrap().push(records.len());
        records.iter().try_for_each(|record| self.append(record))
    }
}

/// Hosts a run on these sites from what an earlier process wrote. What this one wrote, and how it ended.
pub(crate) fn host(
    run: Box<dyn HostedRun>,
    sites: &Arc<Sites>,
    seed: u64,
    past: (Vec<Record>, usize),
) -> (Vec<Record>, Vec<Event>, Result<Vec<u8>, RunError>) {
    let (log, events, outcome) = host_with(run, sites, seed, past, false);
    let records = log.records.lock().unwrap().clone();
    (records, events, outcome)
}

/// Hosts a run whose answers are all there before anybody waits. How many of them were written down together.
pub(crate) fn batches(run: Box<dyn HostedRun>, sites: &Arc<Sites>) -> Vec<usize> {
    let (log, _, outcome) = host_with(run, sites, 7, (Vec::new(), IMMORTAL), true);
    outcome.unwrap();
    log.batches.lock().unwrap().clone()
}

fn host_with(
    run: Box<dyn HostedRun>,
    sites: &Arc<Sites>,
    seed: u64,
    (history, room): (Vec<Record>, usize),
    at_once: bool,
) -> (Arc<Log>, Vec<Event>, Result<Vec<u8>, RunError>) {
    let dead: Arc<AtomicBool> = Arc::default();
    let records = Mutex::new(history.clone());
    let log = Arc::new(Log { records, room, batches: Mutex::default(), dead: Arc::clone(&dead) });
    let events = Arc::new(Mutex::new(Vec::new()));
    let (seen, identities) = (Arc::clone(&events), Arc::clone(&sites.identities));
    let outcome = run.run(Hosting {
        participants: sites.names(),
        courier: Arc::new(Way { sites: Arc::clone(sites), mortal: room != IMMORTAL, at_once, dead }),
        log: Arc::clone(&log) as Arc<dyn RunLog>,
        history,
        seed,
        device: Device::Cpu,
        identities: Arc::new(move || Ok(Arc::clone(&identities))),
        sessions: [9; 32],
        observers: vec![Arc::new(move |event: &Event| seen.lock().unwrap().push(event.clone()))],
        site_events: sites.crossing.clone(),
        canceller: Canceller::new(),
    });
    let events = events.lock().unwrap().clone();
    (log, events, outcome)
}

/// Runs a flow, kills the process at each of its records, goes on from there, and expects the same report; and that no
/// site did a task twice.
pub(crate) fn killed_everywhere<A, C, P, R>(
    flow: &Flow<A, C, P, R>,
    parts: impl Fn() -> Parts<A, C>,
    params: P,
) -> R
where
    A: Checkpoint + Send + 'static,
    C: Send + 'static,
    P: Message,
    R: Report + PartialEq + std::fmt::Debug,
{
    let seed = parts().seed;
    let fresh = || hosted(flow.clone(), (parts().aggregator)(), params.clone());
    let sites = Sites::new(flow, &parts());
    let (records, _, whole) = host(fresh(), &sites, seed, (Vec::new(), IMMORTAL));
    let report: R = from_cbor(&whole.unwrap()).unwrap();
    let performed = sites.performed.load(Ordering::Relaxed);
    for room in 0..records.len() {
        let sites = Sites::new(flow, &parts());
        let (history, _, killed) = host(fresh(), &sites, seed, (Vec::new(), room));
        assert_eq!(killed.unwrap_err().code(), "log", "record {room}");
        let (_, _, resumed) = host(fresh(), &sites, seed, (history, usize::MAX));
        let resumed = resumed.unwrap_or_else(|error| panic!("record {room} of {}: {error}", records.len()));
        assert_eq!(from_cbor::<R>(&resumed).unwrap(), report, "record {room}");
        assert_eq!(sites.performed.load(Ordering::Relaxed), performed, "record {room}");
    }
    report
}

/// The two halves as a runtime.
pub(crate) struct Halves;

impl Runtime for Halves {
    fn run<A, C, P, R>(&self, flow: &Flow<A, C, P, R>, parts: Parts<A, C>, params: P) -> Ran<R>
    where
        A: Checkpoint + Send + Sync + 'static,
        C: Send + 'static,
        P: Message,
        R: Report,
    {
        let run = hosted(flow.clone(), (parts.aggregator)(), params);
        let (_, events, outcome) = host(run, &Sites::new(flow, &parts), parts.seed, (Vec::new(), IMMORTAL));
        let outcome = outcome.map(|report| from_cbor(&report).unwrap()).map_err(Failed::from);
        Ran { outcome, events: events.into_iter().map(|event| event.kind).collect() }
    }
}
