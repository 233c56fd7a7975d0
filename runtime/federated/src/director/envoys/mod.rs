//! The envoys: who is there, what they offer, and the tasks that they were given.
//!
//! An envoy is its certificate's name, whatever a message says. It is there as long as one session of it is; what it was
//! given outlasts sessions, so that a task goes on over a lost connection.

mod outbox;
mod session;
mod tasks;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rand::TryRng as _;
use rand::rngs::SysRng;
use serde_bytes::ByteBuf;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use veilflow_engine::remote::SiteEvents;
use veilflow_spec::Name;

use self::outbox::Outbox;
use self::tasks::Tasks;
use super::log::{Line, Log};
use crate::experiment::{ExperimentId, Terms};
use crate::wire::messages::{EnvoyStatus, Lists, OfferedFlow};
use crate::wire::{Chunks, Refusal};

/// All envoys that have been heard of.
pub(super) struct Envoys {
    state: Mutex<State>,
    chunks: Chunks,
    limits: EnvoyLimits,
    log: Log,
    /// Told whenever somebody comes, goes, or offers something else.
    changed: Arc<Notify>,
    /// Runs the timers, whatever thread starts them.
    runtime: Handle,
    /// Before it nobody could connect.
    started: Instant,
    /// Random for each start of this process.
    incarnation: [u8; 16],
    own: Weak<Envoys>,
}

/// How long and how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct EnvoyLimits {
    /// How long a task waits for an envoy that is away.
    pub(super) grace: Duration,
    /// The most envoys.
    pub(super) envoys: usize,
}

#[derive(Default)]
struct State {
    envoys: BTreeMap<Name, Envoy>,
    /// The running experiments.
    live: BTreeMap<ExperimentId, Live>,
    /// Counts sessions and open tasks.
    numbers: u64,
    /// The newest.
    lists: Lists<Option<Signed>>,
    /// Nobody is let in any more, and nobody is told that a task is off: it goes on when the director is back.
    draining: bool,
}

/// A running experiment, as far as envoys have to do with it.
pub(super) struct Live {
    /// What its flow is built from.
    pub(super) terms: Arc<Terms>,
    /// Where its sites' events go.
    events: SiteEvents,
    /// Which events of each site are there.
    heard: BTreeMap<Name, Heard>,
}

impl Live {
    pub(super) fn new(terms: Arc<Terms>, events: SiteEvents) -> Self {
        Self { terms, events, heard: BTreeMap::new() }
    }
}

/// The number after the last event that one process of an envoy told.
#[derive(Clone, Copy, Default)]
struct Heard {
    process: Option<[u8; 16]>,
    next: u64,
}

/// A list that the authority signed.
pub(super) struct Signed {
    pub(super) version: u64,
    pub(super) bytes: Bytes,
}

/// What an envoy that has these versions is to be sent. It has the newest then.
fn newer(newest: &Lists<Option<Signed>>, has: &mut Lists<u64>) -> Lists<Option<ByteBuf>> {
    let of_one = |newest: &Option<Signed>, has: &mut u64| {
        let newer = newest.as_ref().filter(|list| list.version > *has)?;
        *has = newer.version;
        Some(ByteBuf::from(newer.bytes.to_vec()))
    };
    Lists {
        roster: of_one(&newest.roster, &mut has.roster),
        revocations: of_one(&newest.revocations, &mut has.revocations),
    }
}

struct Envoy {
    presence: Presence,
    /// Milliseconds since 1970.
    heard_ms: u64,
    /// The last one that it said.
    incarnation: Option<[u8; 16]>,
    flows: Vec<OfferedFlow>,
    /// The versions of the authority's lists that it has.
    lists: Lists<u64>,
    tasks: Tasks,
    outbox: Outbox,
}

enum Presence {
    Here {
        session: u64,
        /// Ends the session.
        end: Arc<Notify>,
        /// Set where it takes no new tasks.
        leaving: Option<Absence>,
    },
    Away(Absence),
}

/// How long somebody has been away.
struct Absence {
    since: Instant,
    /// The timer that ends the waiting.
    timer: AbortHandle,
}

impl Drop for Absence {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

/// Whether an experiment's participants can start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Ready,
    /// And what they wait for.
    Waits(String),
}

impl Envoys {
    /// # Errors
    /// No randomness from the operating system.
    pub(super) fn new(
        chunks: Chunks,
        limits: EnvoyLimits,
        changed: Arc<Notify>,
        log: Log,
    ) -> io::Result<Arc<Self>> {
        let mut incarnation = [0; 16];
        SysRng.try_fill_bytes(&mut incarnation).map_err(io::Error::other)?;
        Ok(Arc::new_cyclic(|own| Self {
            state: Mutex::default(),
            chunks,
            limits,
            log,
            changed,
            runtime: Handle::current(),
            started: Instant::now(),
            incarnation,
            own: Weak::clone(own),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics between two writes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The director's own threads.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(super) fn chunks(&self) -> &Chunks {
        &self.chunks
    }

    /// All envoys, in the order of their names.
    pub(super) fn statuses(&self) -> Vec<EnvoyStatus> {
        let state = self.lock();
        let status = |(name, envoy): (&Name, &Envoy)| {
            let takes_part = |live: &Live| live.terms.participants.contains(name);
            let busy = state.live.iter().find(|(id, _)| envoy.tasks.works_on(id));
            let running = busy.or_else(|| state.live.iter().find(|(_, live)| takes_part(live)));
            EnvoyStatus {
                name: name.clone(),
                online: matches!(envoy.presence, Presence::Here { .. }),
                updated_ms: envoy.heard_ms,
                running: running.map(|(id, _)| *id),
                flow: running.map(|(_, live)| live.terms.flow.clone()),
                flows: envoy.flows.clone(),
            }
        };
        state.envoys.iter().map(status).collect()
    }

    /// Whether all participants are there and offer this version of the flow.
    pub(super) fn readiness(&self, terms: &Terms, version: u32) -> Readiness {
        let state = self.lock();
        let (mut absent, mut without) = (Vec::new(), Vec::new());
        for name in &terms.participants {
            match state.envoys.get(name) {
                Some(Envoy { presence: Presence::Here { leaving: None, .. }, flows, .. }) => {
                    let offered = flows.iter().find(|flow| flow.name == terms.flow);
                    match offered.map(|flow| flow.version) {
                        Some(offered) if offered == version => {}
                        Some(offered) => without.push(format!("{name} (it has version {offered})")),
                        None => without.push(name.to_string()),
                    }
                }
                _ => absent.push(name.to_string()),
            }
        }
        let mut waits = Vec::new();
        if !absent.is_empty() {
            waits.push(format!("waits for {} to connect", listed(&absent)));
        }
        if !without.is_empty() {
            let flow = &terms.flow;
            waits.push(format!("waits for {} to offer version {version} of `{flow}`", listed(&without)));
        }
        if waits.is_empty() { Readiness::Ready } else { Readiness::Waits(waits.join("; ")) }
    }

    /// Passes newer lists on to every envoy whose own are older.
    pub(super) fn pass_on(&self, set: impl FnOnce(&mut Lists<Option<Signed>>)) {
        let mut state = self.lock();
        set(&mut state.lists);
        for envoy in state.envoys.values_mut() {
            if matches!(envoy.presence, Presence::Here { .. }) {
                envoy.outbox.lists();
            }
        }
    }

    /// An experiment runs from now on.
    pub(super) fn begin(&self, id: ExperimentId, live: Live) {
        self.lock().live.insert(id, live);
    }

    /// An experiment is over: its envoys drop what they keep for it.
    pub(super) fn end(&self, id: &ExperimentId) {
        let mut state = self.lock();
        let Some(live) = state.live.remove(id) else { return };
        for name in &live.terms.participants {
            let Some(envoy) = state.envoys.get_mut(name) else { continue };
            envoy.tasks.end(id);
            // Who is away learns it from the list of its next welcome.
            let here = matches!(envoy.presence, Presence::Here { .. });
            envoy.outbox.end(*id, here);
            if envoy.tasks.is_empty() {
                self.chunks.forget(&crate::wire::Party::envoy(name.clone()));
            }
        }
    }

    /// Ends all sessions and lets nobody in. Tasks stay where they are.
    pub(super) fn drain(&self) {
        let mut state = self.lock();
        state.draining = true;
        for envoy in state.envoys.values() {
            if let Presence::Here { end, .. } = &envoy.presence {
                end.notify_one();
            }
        }
    }

    /// Begins to wait for somebody, from `since` on.
    fn absence(&self, name: &Name, since: Instant) -> Absence {
        let (own, who) = (Weak::clone(&self.own), name.clone());
        let over = since + self.limits.grace;
        let timer = self.runtime.spawn(async move {
            sleep_until(over).await;
            if let Some(envoys) = own.upgrade() {
                envoys.expire(&who);
            }
        });
        Absence { since, timer: timer.abort_handle() }
    }

    fn envoy<'a>(&self, state: &'a mut State, name: &Name) -> Result<&'a mut Envoy, Refusal> {
        if !state.envoys.contains_key(name) && state.envoys.len() >= self.limits.envoys {
            return Err(Refusal::Busy(format!("{} envoys are the most here", self.limits.envoys)));
        }
        Ok(state.envoys.entry(name.clone()).or_insert_with(|| Envoy {
            presence: Presence::Away(self.absence(name, self.started)),
            heard_ms: 0,
            incarnation: None,
            flows: Vec::new(),
            lists: Lists::default(),
            tasks: Tasks::default(),
            outbox: Outbox::default(),
        }))
    }

    fn ignored(&self, envoy: &Name, experiment: ExperimentId, why: &'static str) {
        (self.log)(Line::Ignored { envoy: envoy.clone(), experiment, task: None, why });
    }
}

impl Envoy {
    /// Since when it takes no tasks.
    fn absent_since(&self) -> Option<Instant> {
        match &self.presence {
            Presence::Here { leaving, .. } => leaving.as_ref().map(|absence| absence.since),
            Presence::Away(absence) => Some(absence.since),
        }
    }

    fn in_session(&self, number: u64) -> bool {
        matches!(self.presence, Presence::Here { session, .. } if session == number)
    }
}

impl State {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

/// The most who are named in a reason; the rest is counted.
const LISTED: usize = 10;

fn listed(names: &[String]) -> String {
    let text = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > LISTED { format!("{text} and {} more", names.len() - LISTED) } else { text }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
