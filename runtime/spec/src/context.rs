//! What a step knows beside its participant's state and its input.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cancellation::Cancellation;
use crate::device::Device;
use crate::error::{Result, StepError};
use crate::name::Name;
use crate::provided::Provided;
use crate::signal::{Cell, Row, Signal, SignalSink};

/// Which side of a flow a step runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// The one aggregator.
    Aggregator,
    /// Each collaborator addressed.
    Collaborator,
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Placement::Aggregator => "aggregator",
            Placement::Collaborator => "collaborator",
        })
    }
}

/// Where in a run a step stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Who runs the step; the aggregator's name is `aggregator`.
    pub participant: Name,
    /// On which side.
    pub placement: Placement,
    /// The step's name.
    pub step: Arc<str>,
    /// The step's path in the graph.
    pub path: Arc<str>,
    /// The counters of the loops around the step, outermost first, from 0.
    pub loops: Arc<[u32]>,
}

impl Origin {
    /// The counter of the outermost loop, from 0; 0 outside any loop.
    pub fn round(&self) -> u32 {
        self.loops.first().copied().unwrap_or(0)
    }
}

/// What a step knows beside its participant's state and its input: who and where it is, reproducible
/// randomness, what it may use, what its place provides, whether to stop, and where to report to.
pub struct Context {
    origin: Origin,
    seed: u64,
    generators: AtomicU64,
    cpus: usize,
    device: Device,
    provided: Provided,
    cancellation: Cancellation,
    signals: Arc<dyn SignalSink>,
}

impl Context {
    /// The context of one call of a step; a runtime calls this.
    pub fn new(
        origin: Origin,
        seed: u64,
        (cpus, device): (usize, Device),
        cancellation: Cancellation,
        signals: Arc<dyn SignalSink>,
    ) -> Self {
        let (generators, provided) = (AtomicU64::new(0), Provided::nothing());
        Self { origin, seed, generators, cpus, device, provided, cancellation, signals }
    }

    /// The same context at a place that provides this; a runtime calls it.
    #[must_use]
    pub fn with_provided(mut self, provided: Provided) -> Self {
        self.provided = provided;
        self
    }

    /// The name of the participant that runs this step.
    pub fn participant(&self) -> &Name {
        &self.origin.participant
    }

    /// Where in the run this step stands.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The counter of the outermost loop around this step, from 0; 0 outside any loop.
    pub fn round(&self) -> u32 {
        self.origin.round()
    }

    /// The counters of all loops around this step, outermost first, from 0.
    pub fn loops(&self) -> &[u32] {
        &self.origin.loops
    }

    /// The seed of the run.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A generator that gives the same numbers in every run with the same seed, and others at every
    /// participant, step and turn of a loop; called again in the same step, again others.
    ///
    /// It is for shuffling, initial weights and rounding. Everybody who knows the run's seed knows its
    /// numbers: keys, masks and noise come from the operating system instead.
    pub fn rng(&self) -> ChaCha12Rng {
        let mut hash = self.randomness(b"veilflow/context/rng/1", self.origin.path.as_bytes());
        hash.update(self.generators.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        ChaCha12Rng::from_seed(hash.finalize().into())
    }

    /// A generator as [`rng`](Self::rng), but of `purpose` in place of the step: any step of this participant and turn
    /// that names the same one gets the same numbers, wherever in a graph it stands.
    pub fn rng_for(&self, purpose: &[u8]) -> ChaCha12Rng {
        ChaCha12Rng::from_seed(self.randomness(b"veilflow/context/rng-for/1", purpose).finalize().into())
    }

    fn randomness(&self, domain: &[u8], purpose: &[u8]) -> Sha256 {
        let mut hash = Sha256::new_with_prefix(domain);
        hash.update(self.seed.to_le_bytes());
        for bytes in [self.origin.participant.as_str().as_bytes(), purpose] {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
        hash.update((self.origin.loops.len() as u64).to_le_bytes());
        for counter in self.origin.loops.iter() {
            hash.update(counter.to_le_bytes());
        }
        hash
    }

    /// The number of processors that the participant may use.
    pub fn cpus(&self) -> usize {
        self.cpus
    }

    /// The device on which the participant computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// What the place where the step runs has of this type: at a site, what is the site's own and no part of the flow.
    pub fn provided<T: Any>(&self) -> Option<&T> {
        self.provided.get()
    }

    /// Whether the step should stop: the run was cancelled, or the step's deadline has passed.
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// `?` after it ends a step that should stop; call it inside long work, once a batch.
    ///
    /// # Errors
    /// An error with [`StepError::CANCELLED_CODE`] where [`is_cancelled`](Self::is_cancelled).
    pub fn check_cancelled(&self) -> Result<()> {
        if self.is_cancelled() {
            return Err(StepError::with_code(StepError::CANCELLED_CODE, "the step was told to stop"));
        }
        Ok(())
    }

    /// Reports a named number. In a confidential flow a collaborator's stays at its site.
    pub fn metric(&self, name: &str, value: f64) {
        self.signals.signal(&self.origin, Signal::Metric { name: name.to_owned(), value });
    }

    /// Reports a line of text. In a confidential flow a collaborator's stays at its site.
    pub fn note(&self, text: impl fmt::Display) {
        self.signals.signal(&self.origin, Signal::Note(text.to_string()));
    }

    /// Reports how far long work has come, in `unit`s such as `images`. It is shown at the participant
    /// itself and never crosses.
    pub fn progress(&self, done: u64, total: u64, unit: &'static str) {
        self.signals.signal(&self.origin, Signal::Progress { done, total, unit: unit.into() });
    }

    /// Adds a row to the table of results. In a confidential flow a collaborator's stays at its site.
    pub fn row<'a>(&self, cells: impl IntoIterator<Item = (&'a str, Cell)>) {
        let cells = cells.into_iter().map(|(title, cell)| (title.to_owned(), cell)).collect();
        self.signals.signal(&self.origin, Signal::Row(Row(cells)));
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("origin", &self.origin)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::Rng;

    struct Nowhere;
    impl SignalSink for Nowhere {
        fn signal(&self, _: &Origin, _: Signal) {}
    }

    fn context(participant: &str, path: &str, loops: &[u32], seed: u64) -> Context {
        let origin = Origin {
            participant: participant.into(),
            placement: Placement::Collaborator,
            step: "train".into(),
            path: path.into(),
            loops: loops.into(),
        };
        Context::new(origin, seed, (1, Device::Cpu), Cancellation::new(), Arc::new(Nowhere))
    }

    #[test]
    fn random_numbers_repeat_with_the_seed_and_differ_everywhere_else() {
        let first = |cx: Context| cx.rng().next_u64();
        let base = first(context("a", "1.0", &[0], 42));
        assert_eq!(base, first(context("a", "1.0", &[0], 42)));
        for other in [
            context("b", "1.0", &[0], 42),
            context("a", "1.1", &[0], 42),
            context("a", "1.0", &[1], 42),
            context("a", "1.0", &[0, 0], 42),
            context("a", "1.0", &[0], 43),
        ] {
            assert_ne!(base, first(other));
        }
        let cx = context("a", "1.0", &[0], 42);
        assert_eq!(cx.rng().next_u64(), base);
        assert_ne!(cx.rng().next_u64(), base, "a second generator of one step starts elsewhere");
    }

    #[test]
    fn numbers_for_a_purpose_are_those_of_every_step_of_a_turn() {
        let first = |cx: Context, purpose: &[u8]| cx.rng_for(purpose).next_u64();
        let base = first(context("a", "1.0", &[0], 42), b"rounding");
        assert_eq!(base, first(context("a", "7.3", &[0], 42), b"rounding"));
        for other in
            [context("b", "1.0", &[0], 42), context("a", "1.0", &[1], 42), context("a", "1.0", &[0], 43)]
        {
            assert_ne!(base, first(other, b"rounding"));
        }
        assert_ne!(base, first(context("a", "1.0", &[0], 42), b"shuffling"));
    }

    #[test]
    fn a_step_has_what_its_place_provides() {
        let cx = context("a", "1.0", &[0], 42);
        assert_eq!(cx.provided::<u16>(), None);
        assert_eq!(cx.with_provided(Provided::nothing().with(5_u16)).provided(), Some(&5_u16));
    }
}
