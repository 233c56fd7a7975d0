//! Who drops out, simulated.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use veilflow_spec::graph::{Block, NodeInfo};
use veilflow_spec::{FlowDescription, Name, Placement};

use crate::error::RunError;

/// The simulated dropouts of a run.
pub(crate) struct Dropouts {
    named: Vec<(Name, String)>,
    random: Option<Random>,
}

/// Each collaborator drops out in a round with a probability, before a random step. It depends on the seed, the
/// collaborator and the round, and on nothing that timing could change.
struct Random {
    probability: f64,
    seed: u64,
    steps: BTreeMap<Arc<str>, Position>,
    /// The number of steps of each task of each outermost block.
    tasks: Vec<Vec<u64>>,
}

/// Where a step stands. Its tasks make up a round of the outermost block.
struct Position {
    block: usize,
    task: u64,
    step: u64,
}

impl Dropouts {
    /// Those of `named` at a step, and any at random with the `probability`.
    ///
    /// # Errors
    /// Names and steps that are not there, a probability that is none.
    pub(crate) fn new<A, C>(
        collaborators: &[Name],
        named: Vec<(Name, String)>,
        (probability, seed): (f64, u64),
        flow: (&FlowDescription, &[Block<A, C>]),
    ) -> Result<Self, RunError> {
        if !(0.0..=1.0).contains(&probability) {
            return Err(RunError::InvalidDropouts { probability });
        }
        let (description, blocks) = flow;
        let named = resolve(named, collaborators, description)?;
        let random = (probability > 0.0).then(|| Random::new(probability, seed, blocks));
        Ok(Self { named, random })
    }

    /// Whether a collaborator is gone before this step.
    pub(crate) fn before(&self, name: &Name, step: &NodeInfo, loops: &[u32]) -> bool {
        self.named.iter().any(|(who, at)| who == name && **at == *step.name)
            || self.random.as_ref().is_some_and(|random| random.before(name, &step.path, loops))
    }
}

/// Finds the steps that are meant. Without its join's name, a step of a protocol is meant in every secure join.
fn resolve(
    named: Vec<(Name, String)>,
    collaborators: &[Name],
    flow: &FlowDescription,
) -> Result<Vec<(Name, String)>, RunError> {
    let steps = flow.steps();
    let steps = || steps.iter().filter(|step| step.placement == Placement::Collaborator);
    let mut resolved = Vec::with_capacity(named.len());
    for (name, step) in named {
        if collaborators.binary_search(&name).is_err() {
            return Err(RunError::unknown("a simulated dropout", &name, collaborators));
        }
        if steps().any(|known| *known.name == *step) {
            resolved.push((name, step));
            continue;
        }
        let before = resolved.len();
        let meant = steps().filter(|known| known.hidden && known.name.rsplit('.').next() == Some(&step));
        resolved.extend(meant.map(|known| (name.clone(), known.name.to_string())));
        if resolved.len() == before {
            let known = steps().map(|step| step.name.to_string()).collect();
            return Err(RunError::UnknownStep { step, known });
        }
    }
    Ok(resolved)
}

impl Random {
    fn new<A, C>(probability: f64, seed: u64, blocks: &[Block<A, C>]) -> Self {
        let (mut steps, mut tasks) = (BTreeMap::new(), Vec::new());
        for (block, outermost) in blocks.iter().enumerate() {
            let mut found = Vec::new();
            tasks_of(std::slice::from_ref(outermost), &mut found);
            for (task, paths) in (0..).zip(&found) {
                let position = |step| Position { block, task, step };
                steps.extend((0..).zip(paths).map(|(step, path)| (Arc::clone(path), position(step))));
            }
            tasks.push(found.iter().map(|paths| paths.len() as u64).collect());
        }
        Self { probability, seed, steps, tasks }
    }

    fn before(&self, name: &Name, path: &str, loops: &[u32]) -> bool {
        let Some(at) = self.steps.get(path) else { return false };
        let Some(tasks) = self.tasks.get(at.block) else { return false };
        let mut hash = Sha256::new_with_prefix(b"veilflow/dropouts/1");
        hash.update(self.seed.to_le_bytes());
        hash.update((at.block as u64).to_le_bytes());
        hash.update(loops.first().copied().unwrap_or(0).to_le_bytes());
        hash.update(name.as_str());
        let digest: [u8; 32] = hash.finalize().into();
        let mut numbers = digest.chunks_exact(8).map(|bytes| {
            let bytes: [u8; 8] = bytes.try_into().unwrap_or_default();
            u64::from_le_bytes(bytes)
        });
        let mut number = || numbers.next().unwrap_or_default();
        // 53 bits, which is what a number below 1 can hold: a probability of 1 is above all of them.
        let drops_out = ((number() >> 11) as f64) / ((1_u64 << 53) as f64) < self.probability;
        // So few tasks and steps that a remainder favours none by more than 2^-50.
        let task = number().checked_rem(tasks.len() as u64).unwrap_or(0);
        let steps = usize::try_from(task).ok().and_then(|task| tasks.get(task)).copied().unwrap_or(1);
        let step = number().checked_rem(steps).unwrap_or(0);
        // Who is gone stays away for the rest of the round.
        drops_out && (at.task, at.step) >= (task, step)
    }
}

fn tasks_of<A, C>(blocks: &[Block<A, C>], found: &mut Vec<Vec<Arc<str>>>) {
    for block in blocks {
        match block {
            Block::Step(_) => {}
            Block::Fan(fan) => {
                found.push(fan.task().iter().map(|node| Arc::clone(&node.info().path)).collect());
            }
            Block::Secure(secure) => tasks_of(secure.blocks(), found),
            Block::Repeat(repeat) => tasks_of(repeat.body(), found),
            Block::Branch(fork) => {
                tasks_of(fork.yes(), found);
                tasks_of(fork.no(), found);
            }
        }
    }
}
