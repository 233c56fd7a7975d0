//! One connection of an envoy.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use veilflow_engine::EventKind;
use veilflow_engine::remote::{SiteEvents, TaskKey};
use veilflow_spec::{Cause, Name, Origin, Placement, Signal};

use super::super::log::Line;
use super::outbox::Out;
use super::tasks::Taken;
use super::{Envoys, Heard, Presence, State, newer, now_ms};
use crate::experiment::ExperimentId;
use crate::wire::messages::{Content, FromEnvoy, Lists, OfferedFlow, PROTOCOL, ToEnvoy};
use crate::wire::{Outgoing, Refusal, WireError};

/// How long an envoy may take to say who it is.
const HELLO: Duration = Duration::from_secs(10);

/// How long an envoy may be silent: it says that it is there every ten seconds, and is answered.
const SILENCE: Duration = Duration::from_secs(35);

/// The most flows that an envoy may offer.
const FLOWS: usize = 1024;

/// What an envoy says first.
struct Hello {
    incarnation: [u8; 16],
    flows: Vec<OfferedFlow>,
    lists: Lists<u64>,
}

/// A session that is registered. Dropped, the envoy is away.
struct Session {
    envoys: Arc<Envoys>,
    name: Name,
    number: u64,
    /// Set when another session takes its place, or the director goes.
    end: Arc<Notify>,
    wake: Arc<Notify>,
    welcome: Option<ToEnvoy>,
    why: String,
}

impl Envoys {
    /// Talks with an envoy until it goes, another connection takes its place, or the director goes.
    pub(in super::super) async fn attach(
        self: &Arc<Self>,
        name: Name,
        mut incoming: impl Stream<Item = Result<FromEnvoy, WireError>> + Send + Unpin,
        outgoing: Outgoing<ToEnvoy>,
    ) -> Result<(), Refusal> {
        let first = timeout(HELLO, incoming.next()).await;
        let first = first.map_err(|_| Refusal::Invalid(format!("no hello within {HELLO:?}")))?;
        let hello = match first {
            Some(Ok(message)) => hello(message)?,
            Some(Err(WireError::Refused(refusal))) => return Err(refusal),
            // Nobody is left to be told.
            Some(Err(_)) | None => return Ok(()),
        };
        let mut session = self.register(name, hello)?;
        if let Some(welcome) = session.welcome.take()
            && outgoing.send(welcome).await.is_err()
        {
            return Ok(());
        }
        let over = tokio::select! {
            over = session.read(&mut incoming, &outgoing) => over,
            over = session.write(&outgoing) => over,
            () = session.end.notified() => session.ended(),
        };
        if let Err(refusal) = &over {
            session.why = refusal.to_string();
        }
        over
    }

    fn register(self: &Arc<Self>, name: Name, hello: Hello) -> Result<Session, Refusal> {
        let Hello { incarnation, flows, mut lists } = hello;
        let mut state = self.lock();
        if state.draining {
            return Err(Refusal::Leaving);
        }
        let number = state.number();
        let newer = newer(&state.lists, &mut lists);
        let experiments = state.live.iter().filter(|(_, live)| live.terms.participants.contains(&name));
        let experiments: Vec<ExperimentId> = experiments.map(|(id, _)| *id).collect();
        let offered = flows.iter().map(|flow| flow.name.clone()).collect();
        let envoy = self.envoy(&mut state, &name)?;
        let end = Arc::new(Notify::new());
        let here = Presence::Here { session: number, end: Arc::clone(&end), leaving: None };
        if let Presence::Here { end, .. } = std::mem::replace(&mut envoy.presence, here) {
            end.notify_one();
            envoy.outbox.detached();
        }
        if envoy.incarnation != Some(incarnation) {
            envoy.outbox.clear();
        }
        envoy.heard_ms = now_ms();
        envoy.incarnation = Some(incarnation);
        envoy.lists = lists;
        envoy.flows = flows;
        for (id, task) in envoy.tasks.attached(incarnation) {
            envoy.outbox.task(id, task);
        }
        let wake = envoy.outbox.wake();
        drop(state);
        (self.log)(Line::Online { envoy: name.clone(), flows: offered });
        self.changed.notify_one();
        let (protocol, incarnation) = (PROTOCOL, self.incarnation);
        let welcome = Some(ToEnvoy::Welcome { protocol, incarnation, lists: newer, experiments });
        let why = "the connection ended".to_owned();
        Ok(Session { envoys: Arc::clone(self), name, number, end, wake, welcome, why })
    }
}

fn hello(message: FromEnvoy) -> Result<Hello, Refusal> {
    match message {
        FromEnvoy::Hello { protocol, .. } if protocol != PROTOCOL => {
            Err(Refusal::Protocol { director: PROTOCOL, yours: protocol })
        }
        FromEnvoy::Hello { flows, .. } if flows.len() > FLOWS => {
            Err(Refusal::TooLarge(format!("{} flows, and {FLOWS} are the most", flows.len())))
        }
        FromEnvoy::Hello { incarnation, flows, lists, .. } => Ok(Hello { incarnation, flows, lists }),
        _ => Err(Refusal::Invalid("an envoy's first message is its hello".to_owned())),
    }
}

impl Session {
    /// Takes what the envoy says. Its answers wait for it to read: it cannot fill this process's memory.
    async fn read(
        &self,
        incoming: &mut (impl Stream<Item = Result<FromEnvoy, WireError>> + Send + Unpin),
        outgoing: &Outgoing<ToEnvoy>,
    ) -> Result<(), Refusal> {
        loop {
            let message = match timeout(SILENCE, incoming.next()).await {
                Ok(Some(Ok(message))) => message,
                Ok(Some(Err(WireError::Refused(refusal)))) => return Err(refusal),
                // The connection broke; the envoy dials again.
                Ok(Some(Err(_)) | None) => return Ok(()),
                Err(_) => return Err(Refusal::Conflict(format!("nothing was heard for {SILENCE:?}"))),
            };
            if !self.heard() {
                return self.ended();
            }
            let reply = match message {
                FromEnvoy::Hello { .. } => return Err(Refusal::Invalid("a second hello".to_owned())),
                FromEnvoy::Done { experiment, task, outcome } => self.done(experiment, task, outcome),
                FromEnvoy::Events { experiment, first, events } => self.events(experiment, first, events),
                FromEnvoy::Leaving => {
                    self.leaving();
                    None
                }
                FromEnvoy::Alive => Some(ToEnvoy::Alive),
            };
            if let Some(reply) = reply
                && outgoing.send(reply).await.is_err()
            {
                return Ok(());
            }
        }
    }

    /// Sends what is to be sent.
    async fn write(&self, outgoing: &Outgoing<ToEnvoy>) -> Result<(), Refusal> {
        loop {
            let Some(next) = self.next() else {
                self.wake.notified().await;
                continue;
            };
            if outgoing.send(next).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Why a session was ended from here.
    fn ended(&self) -> Result<(), Refusal> {
        if self.envoys.lock().draining {
            return Err(Refusal::Leaving);
        }
        Err(Refusal::Conflict(format!("another connection of {} took the place of this one", self.name)))
    }

    /// The envoy is there. Whether this is still its session.
    fn heard(&self) -> bool {
        let mut state = self.envoys.lock();
        let Some(envoy) = state.envoys.get_mut(&self.name) else { return false };
        if envoy.in_session(self.number) {
            envoy.heard_ms = now_ms();
        }
        envoy.in_session(self.number)
    }

    fn done(
        &self,
        experiment: ExperimentId,
        task: TaskKey,
        outcome: Result<Content, Cause>,
    ) -> Option<ToEnvoy> {
        match self.envoys.answered(&self.name, experiment, task.clone(), outcome) {
            Taken::Counted | Taken::Ignored => None,
            Taken::Settled => Some(ToEnvoy::Acknowledged { experiment, task }),
            Taken::Over => Some(ToEnvoy::End { experiment }),
        }
    }

    /// Takes what happened at the site: what a site can tell of its own steps, and nothing of others. Each event counts
    /// once, however often it is told.
    fn events(&self, experiment: ExperimentId, first: u64, mut events: Vec<EventKind>) -> Option<ToEnvoy> {
        let Some((sink, known)) = self.hear(experiment, first, events.len()) else {
            // The run may have ended while they were on their way: they need not be kept.
            return Some(ToEnvoy::End { experiment });
        };
        events.drain(..known);
        let (own, others): (Vec<_>, Vec<_>) = events.into_iter().partition(|kind| is_own(kind, &self.name));
        if !others.is_empty() {
            self.envoys.ignored(&self.name, experiment, "events that are not of its own steps");
        }
        own.into_iter().for_each(|kind| sink.emit(kind));
        if let Some(envoy) = self.envoys.lock().envoys.get_mut(&self.name) {
            envoy.outbox.heard(experiment);
        }
        None
    }

    /// Notes that so many events came, the first of this number, and says where they go and how many of them came before.
    /// None where the experiment does not run here with this envoy.
    fn hear(&self, experiment: ExperimentId, first: u64, count: usize) -> Option<(SiteEvents, usize)> {
        let mut state = self.envoys.lock();
        let State { envoys, live, .. } = &mut *state;
        let process = envoys.get(&self.name)?.incarnation;
        let live = live.get_mut(&experiment).filter(|live| live.terms.participants.contains(&self.name))?;
        let heard = live.heard.entry(self.name.clone()).or_default();
        if heard.process != process {
            *heard = Heard { process, next: 0 };
        }
        let known = usize::try_from(heard.next.saturating_sub(first)).unwrap_or(usize::MAX).min(count);
        heard.next = heard.next.max(first.saturating_add(count as u64));
        Some((live.events.clone(), known))
    }

    fn leaving(&self) {
        let absence = self.envoys.absence(&self.name, Instant::now());
        let mut state = self.envoys.lock();
        if let Some(envoy) = state.envoys.get_mut(&self.name)
            && let Presence::Here { session, leaving, .. } = &mut envoy.presence
            && *session == self.number
        {
            leaving.get_or_insert(absence);
        }
        drop(state);
        self.envoys.changed.notify_one();
    }

    /// The next message that is worth sending.
    fn next(&self) -> Option<ToEnvoy> {
        let mut state = self.envoys.lock();
        let State { envoys, live, lists, .. } = &mut *state;
        let envoy = envoys.get_mut(&self.name).filter(|envoy| envoy.in_session(self.number))?;
        let leaving = envoy.absent_since().is_some();
        loop {
            return Some(match envoy.outbox.next()? {
                // It stays open, for the envoy's next session.
                Out::Task(..) if leaving => continue,
                Out::Task(id, task) => match envoy.tasks.send(id, task, envoy.incarnation) {
                    Some(message) => ToEnvoy::clone(&message),
                    None => continue,
                },
                Out::Cancel(experiment, task) => ToEnvoy::Cancel { experiment, task },
                Out::Acknowledged(experiment, task) => ToEnvoy::Acknowledged { experiment, task },
                Out::Heard(experiment) => {
                    let heard = live.get(&experiment).and_then(|live| live.heard.get(&self.name));
                    match heard.filter(|heard| heard.process == envoy.incarnation) {
                        Some(heard) => ToEnvoy::Heard { experiment, next: heard.next },
                        None => continue,
                    }
                }
                Out::Close(experiment, join) => ToEnvoy::Close { experiment, join },
                Out::End(experiment) => ToEnvoy::End { experiment },
                Out::Lists => match newer(lists, &mut envoy.lists) {
                    Lists { roster: None, revocations: None } => continue,
                    newer => ToEnvoy::Lists(newer),
                },
            });
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let envoys = &self.envoys;
        let absence = envoys.absence(&self.name, Instant::now());
        let mut state = envoys.lock();
        let Some(envoy) = state.envoys.get_mut(&self.name) else { return };
        // Another connection may have taken its place already.
        if !envoy.in_session(self.number) {
            return;
        }
        envoy.presence = Presence::Away(absence);
        envoy.outbox.detached();
        drop(state);
        (envoys.log)(Line::Offline { envoy: self.name.clone(), why: std::mem::take(&mut self.why) });
        envoys.changed.notify_one();
    }
}

/// Whether this happened in a step of the envoy's own. Progress stays at the site.
fn is_own(kind: &EventKind, name: &Name) -> bool {
    let own = |origin: &Origin| origin.participant == *name && origin.placement == Placement::Collaborator;
    match kind {
        EventKind::StepStarted { origin } | EventKind::StepFinished { origin, .. } => own(origin),
        EventKind::Signal { origin, signal } => own(origin) && !matches!(signal, Signal::Progress { .. }),
        _ => false,
    }
}
