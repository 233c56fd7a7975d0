//! The envoy itself: attaches, listens, answers, and comes back for ever.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rand::TryRng as _;
use rand::rngs::SysRng;
use serde_bytes::ByteBuf;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use veilflow_spec::Name;

use crate::deployed::Registry;
use crate::journal::FileInputJournal;
use crate::pki::{Clock, Identity};
use crate::wire::messages::{FromEnvoy, Lists, OfferedFlow, PROTOCOL, ToEnvoy};

use super::backoff::Backoff;
use super::config::EnvoyConfig;
use super::director::Director;
use super::error::EnvoyError;
use super::line::{Attached, Line, Link};
use super::lost::Lost;
use super::member::Member;
use super::notice::{Notice, SiteLog};
use super::office::{Answer, Office};
use super::renewal::renewed;
use super::roster::RosterPin;
use super::site::Site;
use super::task::Order;

/// A running envoy. It goes on until it is [shut down](Self::shutdown), or this is dropped, which is the same.
#[derive(Debug)]
pub struct Envoy {
    shutdown: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Envoy {
    /// Starts an envoy on the tokio runtime of the caller. It needs no director to start.
    ///
    /// # Errors
    /// What is wrong with its configuration, its identity or its state folder.
    pub async fn start(
        config: EnvoyConfig,
        registry: Registry,
        log: Arc<dyn SiteLog>,
    ) -> Result<Self, EnvoyError> {
        config.validate(&registry)?;
        let clock: Clock = Arc::new(SystemTime::now);
        let member = Member::open(&config)?;
        let director = Director {
            url: config.director.clone(),
            name: config.name.clone(),
            member: member.clone().filter(|_| !config.insecure_loopback),
            compression: config.compression,
            clock: Arc::clone(&clock),
        };
        let journal = FileInputJournal::open(&config.state.join("inputs"))?;
        let site = Site::new(config, registry, log, clock, journal, member);
        Self::serve(site, Arc::new(director)).map_err(EnvoyError::NoEntropy)
    }

    /// Starts an envoy of this site with this way to its director.
    pub(super) fn serve(site: Site, link: Arc<dyn Link>) -> std::io::Result<Self> {
        let mut incarnation = [0; 16];
        SysRng.try_fill_bytes(&mut incarnation).map_err(std::io::Error::other)?;
        let (shutdown, told) = watch::channel(false);
        let site = Arc::new(site);
        let running = Running {
            office: Office::new(Arc::clone(&site)),
            flows: site.offers(),
            site,
            link,
            incarnation,
            told,
            backoff: Backoff::default(),
            renewing: JoinSet::new(),
            leaving: None,
        };
        Ok(Self { shutdown, running: tokio::spawn(running.run()) })
    }

    /// Tells it to drain: no new tasks, and when the running ones are done, or their time is over, it goes.
    pub fn shutdown(&self) {
        self.shutdown.send_replace(true);
    }

    /// Returns when it is gone. A step that does not look at its cancellation may still hold its thread: leave the runtime
    /// with [`shutdown_background`](tokio::runtime::Runtime::shutdown_background).
    pub async fn wait(self) {
        // It ends with nothing, and panics only through a defect of this program, which is not to be doubled.
        let _ = self.running.await;
    }
}

/// How long tasks that were told to stop have for it.
const STOPPING: Duration = Duration::from_secs(2);

/// Who waits for this site's approval, where anybody does, and in which version of the roster.
fn waiting(pin: &RosterPin) -> Option<(u64, Vec<Name>)> {
    // Whatever is wrong with the roster is told where it is used.
    let waiting = pin.entries().ok()?.into_iter().filter(|entry| !entry.trusted);
    let waiting: Vec<_> = waiting.map(|entry| entry.name).collect();
    (!waiting.is_empty()).then_some((pin.version().ok()?, waiting))
}

/// Returns when the envoy is told to drain, or nobody holds it any more.
async fn told(told: &mut watch::Receiver<bool>) {
    let _ = told.wait_for(|told| *told).await;
}

struct Running {
    site: Arc<Site>,
    office: Office,
    link: Arc<dyn Link>,
    incarnation: [u8; 16],
    flows: Vec<OfferedFlow>,
    told: watch::Receiver<bool>,
    backoff: Backoff,
    /// Ends when there is a newer certificate; empty while no connection is open.
    renewing: JoinSet<Option<Identity>>,
    leaving: Option<Leaving>,
}

/// It is going.
struct Leaving {
    /// When the running tasks' time is over.
    until: Instant,
    /// Whether they were told.
    stopped: bool,
}

/// Where the connection stands.
enum Way {
    Dialling(BoxFuture<'static, Result<Attached, Lost>>),
    /// The director has not welcomed us yet.
    Greeting(Line),
    Open(Line),
}

/// What happened at a connection.
enum Heard {
    Attached(Attached),
    Said(Box<ToEnvoy>),
    Lost(Lost),
}

impl Way {
    async fn next(&mut self) -> Heard {
        match self {
            Way::Dialling(dialling) => match dialling.await {
                Ok(attached) => Heard::Attached(attached),
                Err(lost) => Heard::Lost(lost),
            },
            Way::Greeting(line) | Way::Open(line) => {
                line.next().await.map_or_else(Heard::Lost, |said| Heard::Said(Box::new(said)))
            }
        }
    }
}

impl Running {
    async fn run(mut self) {
        let flows = self.flows.iter().map(|flow| flow.name.clone()).collect();
        let (name, director) = (self.site.name().clone(), self.site.config.director.clone());
        self.site.tell(Notice::Started { name, director, flows });
        let mut watching = JoinSet::new();
        if let Some(member) = self.site.member.clone() {
            if let Some((version, waiting)) = waiting(&member.roster) {
                self.site.tell(Notice::RosterPinned { version, removed: Vec::new(), waiting });
            }
            let log = Arc::clone(&self.site.log);
            watching.spawn(async move { member.watch(&*log).await });
        }
        let mut way = Way::Dialling(self.link.attach());
        while !self.is_over() {
            let until = self.leaving.as_ref().map(|leaving| leaving.until);
            tokio::select! {
                // What ended is said before what it waits for is heard.
                biased;
                answer = self.office.returned() => self.answer(&mut way, answer),
                heard = way.next() => way = self.heard(way, heard).await,
                Some(renewed) = self.renewing.join_next() => way = self.renewed(way, renewed),
                () = told(&mut self.told), if until.is_none() => self.leave(&mut way),
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => self.time_is_over(),
            }
            if let count @ 1.. = self.site.crossing.lost() {
                self.site.tell(Notice::EventsLost { count });
            }
        }
        if let Way::Open(line) = way {
            // A director that is stuck does not keep it.
            let _ = timeout(STOPPING, line.hang_up()).await;
        }
        self.site.tell(Notice::Stopped { left_behind: self.office.running() });
    }

    /// Whether it is to go, and nothing keeps it.
    fn is_over(&self) -> bool {
        match &self.leaving {
            None => false,
            Some(leaving) => {
                let out_of_time = leaving.stopped && Instant::now() >= leaving.until;
                out_of_time || self.office.is_done()
            }
        }
    }

    fn answer(&self, way: &mut Way, answer: Option<Answer>) {
        // Without a connection it waits in the office.
        if let (Way::Open(line), Some(answer)) = (way, answer) {
            line.answer(answer);
        }
    }

    async fn heard(&mut self, way: Way, heard: Heard) -> Way {
        match (way, heard) {
            (_, Heard::Attached(attached)) => {
                let hello = FromEnvoy::Hello {
                    protocol: PROTOCOL,
                    incarnation: self.incarnation,
                    flows: self.flows.clone(),
                    lists: self.site.member.as_ref().map(Member::versions).unwrap_or_default(),
                };
                let crossing = Arc::clone(&self.site.crossing);
                Way::Greeting(Line::new(attached, hello, crossing, self.site.config.keepalive))
            }
            (Way::Greeting(line), Heard::Said(message)) => self.greeted(line, *message).await,
            (Way::Open(mut line), Heard::Said(message)) => {
                self.said(&mut line, *message).await;
                Way::Open(line)
            }
            (Way::Greeting(_), Heard::Lost(lost)) => self.redial(lost.unanswered()),
            (_, Heard::Lost(lost)) => self.redial(lost),
            // Nothing is said before there is a connection.
            (way @ Way::Dialling(_), Heard::Said(_)) => way,
        }
    }

    fn redial(&mut self, lost: Lost) -> Way {
        self.renewing = JoinSet::new();
        let retry = self.backoff.wait();
        let (code, reason) = (lost.code().to_owned(), lost.to_string());
        self.site.tell(Notice::Detached { code, reason, retry });
        let link = Arc::clone(&self.link);
        Way::Dialling(sleep(retry).then(move |()| link.attach()).boxed())
    }

    async fn greeted(&mut self, mut line: Line, message: ToEnvoy) -> Way {
        let ToEnvoy::Welcome { protocol, incarnation, lists, experiments } = message else {
            let what = "the director said something before its welcome: it is no director";
            return self.redial(Lost::NoDirector(what.to_owned()));
        };
        if protocol != PROTOCOL {
            return self.redial(Lost::NoDirector(format!(
                "the director speaks version {protocol} of the protocol, this envoy {PROTOCOL}: install the same release"
            )));
        }
        self.backoff.reset();
        self.site.tell(Notice::Attached);
        self.take(lists).await;
        let answers = self.office.welcome(&experiments);
        line.welcomed(incarnation);
        answers.into_iter().for_each(|answer| line.answer(answer));
        if self.leaving.is_some() {
            line.leave();
        }
        if let Some(member) = self.site.member.clone().filter(|_| !self.site.config.insecure_loopback) {
            self.renewing.spawn(renewed(Arc::clone(&self.site), member, line.relay()));
        }
        Way::Open(line)
    }

    /// Uses the newer certificate at once: tasks go on while the connection is made again, and answers wait.
    fn renewed(&mut self, way: Way, renewed: Result<Option<Identity>, JoinError>) -> Way {
        match (way, renewed) {
            (Way::Open(line), Ok(Some(_))) if self.leaving.is_none() => {
                drop(line);
                Way::Dialling(self.link.attach())
            }
            (way, _) => way,
        }
    }

    async fn said(&mut self, line: &mut Line, message: ToEnvoy) {
        match message {
            // Once is enough, and it changes nothing.
            ToEnvoy::Welcome { .. } | ToEnvoy::Alive => {}
            ToEnvoy::Lists(lists) => self.take(lists).await,
            ToEnvoy::Task { experiment, terms, fingerprint, task, setup, message } => {
                let order = Order { experiment, terms: Arc::new(terms), fingerprint, task, setup, message };
                if let Some(answer) = self.office.task(order, line.contents()) {
                    line.answer(answer);
                }
            }
            ToEnvoy::Cancel { experiment, task } => self.office.cancel(experiment, &task),
            ToEnvoy::Acknowledged { experiment, task } => self.office.acknowledged(experiment, &task),
            ToEnvoy::Heard { experiment, next } => self.site.crossing.heard(experiment, next),
            ToEnvoy::Close { experiment, join } => self.office.close(experiment, join),
            ToEnvoy::End { experiment } => self.office.end(experiment),
        }
    }

    /// Takes the authority's lists that the director passed on.
    async fn take(&self, lists: Lists<Option<ByteBuf>>) {
        let Some(member) = self.site.member.clone() else { return };
        let (now, log) = ((self.site.clock)(), Arc::clone(&self.site.log));
        // Fails only through a defect of this program, which is not to be doubled.
        let _ = spawn_blocking(move || member.take(&lists, now, &*log)).await;
    }

    fn leave(&mut self, way: &mut Way) {
        self.site.tell(Notice::Draining);
        self.leaving = Some(Leaving { until: Instant::now() + self.site.config.drain, stopped: false });
        self.office.leave();
        if let Way::Open(line) = way {
            line.leave();
        }
    }

    /// The running tasks are told to stop; a little later nothing keeps the envoy.
    fn time_is_over(&mut self) {
        if let Some(leaving) = &mut self.leaving
            && !leaving.stopped
        {
            *leaving = Leaving { until: Instant::now() + STOPPING, stopped: true };
            self.office.stop();
        }
    }
}
