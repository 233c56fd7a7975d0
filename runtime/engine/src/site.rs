//! A site: one collaborator, and how its tasks are run. Where the task came from it does not know.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use veilflow_spec::graph::{Close, CollaboratorNode, Hidden, Payload, Value};
use veilflow_spec::{Cancellation, Cause, Device, Name, Origin, Placement, Provided, Result, StepError};

use crate::dropouts::Dropouts;
use crate::event::Stream;
use crate::steps::{self, Ended, Surroundings};

/// Builds a participant at its site.
pub(crate) type Build<C> = Arc<dyn Fn(&Name) -> Result<C> + Send + Sync>;

/// A participant's state, or how to build it.
pub(crate) enum State<C> {
    Ready(C),
    Unbuilt(Build<C>),
    /// Built, and can be built again should a step leave it in pieces.
    Built(C, Build<C>),
}

/// A site: its participant, which is away while a task works on it.
pub(crate) struct Site<C>(Mutex<Desk<C>>);

/// What lies at a site, and what is to be done when a task returns.
struct Desk<C> {
    seat: Option<Seat<C>>,
    /// The secure joins that ended meanwhile.
    ended: Vec<Close>,
}

/// The user's participant and the hidden ones beside it.
struct Seat<C> {
    state: State<C>,
    hidden: Hidden,
}

impl<C> Site<C> {
    pub(crate) fn new(state: State<C>) -> Arc<Self> {
        let seat = Some(Seat { state, hidden: Hidden::default() });
        Arc::new(Self(Mutex::new(Desk { seat, ended: Vec::new() })))
    }

    /// Takes the participant for a task. `None` where another one works on it.
    pub(crate) fn borrow(self: &Arc<Self>) -> Option<Borrowed<C>> {
        let seat = self.desk().seat.take()?;
        Some(Borrowed { site: Arc::clone(self), seat: Some(seat) })
    }

    /// Drops the secrets of a secure join: at once, or when the task that works returns.
    pub(crate) fn close(&self, close: &Close) {
        let mut desk = self.desk();
        match &mut desk.seat {
            Some(Seat { hidden, .. }) => close(hidden),
            None => desk.ended.push(Arc::clone(close)),
        }
    }

    /// A lock is only held to move a seat or to drop secrets.
    fn desk(&self) -> MutexGuard<'_, Desk<C>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A site's seat while a task works on it. Goes back to the site when dropped.
pub(crate) struct Borrowed<C> {
    site: Arc<Site<C>>,
    seat: Option<Seat<C>>,
}

impl<C> Borrowed<C> {
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

/// What every task of a run needs, whoever's it is.
pub(crate) struct Workplace {
    pub(crate) dropouts: Dropouts,
    pub(crate) seed: u64,
    pub(crate) device: Device,
    pub(crate) stream: Arc<Stream>,
}

/// A task at its site.
pub(crate) struct Work<'a, C> {
    pub(crate) name: &'a Name,
    /// The steps, in order. They always run whole.
    pub(crate) steps: &'a [CollaboratorNode<C>],
    pub(crate) loops: &'a Arc<[u32]>,
    pub(crate) payload: Payload,
    pub(crate) cpus: usize,
    pub(crate) provided: Provided,
    pub(crate) cancellation: &'a Cancellation,
}

impl Workplace {
    /// Runs a task to its end, on the thread that calls. What comes back may leave the site: without texts in a
    /// confidential flow.
    pub(crate) fn run<C>(&self, borrowed: &mut Borrowed<C>, work: Work<'_, C>) -> Result<Value, Cause> {
        let result = self.work(borrowed, work);
        result.map_err(|cause| if self.stream.confidential() { cause.without_text() } else { cause })
    }

    fn work<C>(&self, borrowed: &mut Borrowed<C>, work: Work<'_, C>) -> Result<Value, Cause> {
        let not_built = |text| Cause::NotBuilt { text: Some(text) };
        catch_unwind(AssertUnwindSafe(|| borrowed.build(work.name)))
            .map_err(|panic| not_built(format!("panicked: {}", steps::panic_text(&*panic))))?
            .map_err(|error| not_built(error.to_string()))?;
        let participants = borrowed.participants().ok_or(Cause::Busy)?;
        let result = self.run_steps(participants, work);
        if matches!(result, Err(Cause::Panicked { .. })) {
            borrowed.discard();
        }
        result
    }

    fn run_steps<C>(
        &self,
        (participant, hidden): (&mut C, &mut Hidden),
        work: Work<'_, C>,
    ) -> Result<Value, Cause> {
        let Work { name, steps, loops, mut payload, cpus, provided, cancellation } = work;
        for (position, node) in steps.iter().enumerate() {
            let info = node.info();
            let step = || info.name.to_string();
            if cancellation.is_cancelled() {
                return Err(Cause::Cancelled);
            }
            if self.dropouts.before(name, info, loops) {
                return Err(Cause::DroppedOut { step: step() });
            }
            let origin = Origin {
                participant: name.clone(),
                placement: Placement::Collaborator,
                step: Arc::clone(&info.name),
                path: Arc::clone(&info.path),
                loops: Arc::clone(loops),
            };
            let (seed, device, provided) = (self.seed, self.device, provided.clone());
            let surroundings = Surroundings { seed, cpus, device, provided };
            let ended = steps::run(origin, surroundings, cancellation, &self.stream, |cx| {
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
