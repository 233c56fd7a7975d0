//! The collaborators of a LocalRuntime: the in-process port.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use veilflow_spec::graph::{Close, Hidden, Payload, Value};
use veilflow_spec::{Cause, Device, Name, Origin, Placement, Provided, Result, StepError};

use super::dropouts::Dropouts;
use super::provisions::Places;
use super::resources::{Pool, Resources};
use crate::error::RunError;
use crate::event::Stream;
use crate::port::{Port, Task};
use crate::steps::{self, Ended, Surroundings};

/// Builds a participant at its site.
pub(super) type Build<C> = Arc<dyn Fn(&Name) -> Result<C> + Send + Sync>;

/// A participant's state, or how to build it.
pub(super) enum State<C> {
    Ready(C),
    Unbuilt(Build<C>),
    /// Built, and can be built again should a step leave it in pieces.
    Built(C, Build<C>),
}

/// A site.
struct Site<C> {
    desk: Mutex<Desk<C>>,
    resources: Resources,
    /// What it has for secure joins, from its first step on.
    provided: OnceLock<Provided>,
}

/// What lies at a site, and what is to be done when a task returns.
struct Desk<C> {
    /// Away while a task works on it.
    seat: Option<Seat<C>>,
    /// The secure joins that ended meanwhile.
    ended: Vec<Close>,
}

/// The user's participant and the hidden ones beside it.
struct Seat<C> {
    state: State<C>,
    hidden: Hidden,
}

pub(super) struct Sites<C> {
    names: Vec<Name>,
    sites: BTreeMap<Name, Arc<Site<C>>>,
    pool: Pool,
    shared: Arc<Shared>,
}

/// What every task needs.
pub(super) struct Shared {
    pub(super) dropouts: Dropouts,
    pub(super) places: Places,
    pub(super) seed: u64,
    pub(super) device: Device,
    pub(super) stream: Arc<Stream>,
}

impl<C> Sites<C> {
    pub(super) fn new(
        collaborators: Vec<(Name, State<C>)>,
        resources: &BTreeMap<Name, Resources>,
        pool: Pool,
        shared: impl FnOnce(&[Name]) -> Result<Shared, RunError>,
    ) -> Result<Self, RunError> {
        let mut sites = BTreeMap::new();
        for (name, state) in collaborators {
            name.validate()?;
            let resources = resources.get(&name).copied().unwrap_or_default();
            check_resources(&name, resources, &pool)?;
            let seat = Some(Seat { state, hidden: Hidden::default() });
            let desk = Mutex::new(Desk { seat, ended: Vec::new() });
            let site = Arc::new(Site { desk, resources, provided: OnceLock::new() });
            if sites.insert(name.clone(), site).is_some() {
                return Err(RunError::DuplicateCollaborator { name });
            }
        }
        if sites.is_empty() {
            return Err(RunError::NoCollaborators);
        }
        let names: Vec<_> = sites.keys().cloned().collect();
        if let Some(name) = resources.keys().find(|name| !sites.contains_key(*name)) {
            return Err(unknown("`resources`", name, &names));
        }
        let shared = Arc::new(shared(&names)?);
        Ok(Self { names, sites, pool, shared })
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn all(&self) -> &[Name] {
        &self.names
    }

    /// What the aggregator's place provides.
    pub(super) fn aggregator_place(&self) -> Provided {
        self.shared.places.aggregator()
    }
}

pub(super) fn unknown(what: &str, name: &Name, known: &[Name]) -> RunError {
    RunError::UnknownCollaborator { what: what.to_owned(), name: name.clone(), known: known.to_vec() }
}

fn check_resources(name: &Name, resources: Resources, pool: &Pool) -> Result<(), RunError> {
    let too_few = |resource, asked, available| {
        Err(RunError::TooFewResources { name: name.clone(), resource, asked, available })
    };
    let share = resources.device_share();
    if resources.processors() > pool.cpus() {
        return too_few("the processors", resources.processors() as f64, pool.cpus() as f64);
    }
    if !(0.0..=1.0).contains(&share) {
        return too_few("the device", share, 1.0);
    }
    Ok(())
}

impl<C: Send + 'static> Port<C> for Sites<C> {
    fn names(&self) -> &[Name] {
        &self.names
    }

    async fn perform(&self, task: Task<C>) -> Result<Value, Cause> {
        let Some(site) = self.sites.get(&task.name) else { return Err(Cause::Busy) };
        let mut borrowed = Borrowed::take(site).ok_or(Cause::Busy)?;
        // Held by the one who waits, not by the task: a task that is cut off makes room for others.
        let _held = self.pool.acquire(site.resources).await.ok_or(Cause::Cancelled)?;
        let provided = site.provided.get_or_init(|| self.shared.places.site(&task.name)).clone();
        let (shared, cpus) = (Arc::clone(&self.shared), site.resources.processors());
        let confidential = shared.stream.confidential();
        let running = tokio::task::spawn_blocking(move || shared.run(&mut borrowed, (cpus, provided), task));
        let result = running.await.unwrap_or(Err(Cause::Cancelled));
        // Where the site ends: nothing that it wrote crosses in a confidential flow.
        result.map_err(|cause| if confidential { cause.without_text() } else { cause })
    }

    fn close(&self, close: &Close) {
        for site in self.sites.values() {
            let mut desk = site.desk();
            match &mut desk.seat {
                Some(Seat { hidden, .. }) => close(hidden),
                None => desk.ended.push(Arc::clone(close)),
            }
        }
    }
}

/// A site's seat while a task works on it. Goes back to the site when dropped.
struct Borrowed<C> {
    site: Arc<Site<C>>,
    seat: Option<Seat<C>>,
}

impl<C> Site<C> {
    /// A lock is only held to move a seat or to drop secrets.
    fn desk(&self) -> MutexGuard<'_, Desk<C>> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C> Borrowed<C> {
    /// `None` where another task works on it.
    fn take(site: &Arc<Site<C>>) -> Option<Self> {
        let seat = site.desk().seat.take()?;
        Some(Self { site: Arc::clone(site), seat: Some(seat) })
    }

    /// Builds the participant, if that was not done yet.
    fn build(&mut self, name: &Name) -> Result<()> {
        if let Some(Seat { state, .. }) = &mut self.seat
            && let State::Unbuilt(build) = state
        {
            let build = Arc::clone(build);
            *state = State::Built(build(name)?, build);
        }
        Ok(())
    }

    fn participants(&mut self) -> Option<(&mut C, &mut Hidden)> {
        let Seat { state, hidden } = self.seat.as_mut()?;
        match state {
            State::Ready(participant) | State::Built(participant, _) => Some((participant, hidden)),
            State::Unbuilt(_) => None,
        }
    }

    /// After a panic the state may be in pieces: it is built anew where that is possible, as a restarted site would.
    fn discard(&mut self) {
        if let Some(Seat { state, .. }) = &mut self.seat
            && let State::Built(_, build) = state
        {
            *state = State::Unbuilt(Arc::clone(build));
        }
    }
}

impl<C> Drop for Borrowed<C> {
    fn drop(&mut self) {
        let mut desk = self.site.desk();
        let mut seat = self.seat.take();
        for close in std::mem::take(&mut desk.ended) {
            if let Some(Seat { hidden, .. }) = &mut seat {
                close(hidden);
            }
        }
        desk.seat = seat;
    }
}

impl Shared {
    /// Runs a task to its end, on the thread that calls.
    fn run<C>(
        &self,
        borrowed: &mut Borrowed<C>,
        place: (usize, Provided),
        task: Task<C>,
    ) -> Result<Value, Cause> {
        let not_built = |text| Cause::NotBuilt { text: Some(text) };
        catch_unwind(AssertUnwindSafe(|| borrowed.build(&task.name)))
            .map_err(|panic| not_built(format!("panicked: {}", steps::panic_text(&*panic))))?
            .map_err(|error| not_built(error.to_string()))?;
        let participants = borrowed.participants().ok_or(Cause::Busy)?;
        let result = self.run_steps(participants, place, task);
        if matches!(result, Err(Cause::Panicked { .. })) {
            borrowed.discard();
        }
        result
    }

    fn run_steps<C>(
        &self,
        (participant, hidden): (&mut C, &mut Hidden),
        (cpus, provided): (usize, Provided),
        task: Task<C>,
    ) -> Result<Value, Cause> {
        let Task { name, steps, mut payload, loops, cancellation } = task;
        for (position, node) in steps.iter().enumerate() {
            let info = node.info();
            let step = || info.name.to_string();
            if cancellation.is_cancelled() {
                return Err(Cause::Cancelled);
            }
            if self.dropouts.before(&name, info, &loops) {
                return Err(Cause::DroppedOut { step: step() });
            }
            let origin = Origin {
                participant: name.clone(),
                placement: Placement::Collaborator,
                step: Arc::clone(&info.name),
                path: Arc::clone(&info.path),
                loops: Arc::clone(&loops),
            };
            let (seed, device, provided) = (self.seed, self.device, provided.clone());
            let surroundings = Surroundings { seed, cpus, device, provided };
            let ended = steps::run(origin, surroundings, &cancellation, &self.stream, |cx| {
                node.step()(participant, hidden, payload, cx)
            });
            let output = ended.map_err(|ended| match ended {
                Ended::Failed(error) if error.code() == StepError::CANCELLED_CODE => Cause::Cancelled,
                Ended::Failed(error) => Cause::Failed {
                    step: step(),
                    code: error.code().to_owned(),
                    text: Some(error.to_string()),
                },
                Ended::Panicked(text) => Cause::Panicked { step: step(), text: Some(text) },
            })?;
            if position + 1 == steps.len() {
                return Ok(output);
            }
            payload = Payload::Owned(output);
        }
        // A builder gives each task at least one step.
        Err(Cause::Cancelled)
    }
}
