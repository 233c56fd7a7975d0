//! Who plays, with which inputs, and who leaves when: all of it from the seed.

use std::sync::Arc;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use super::{Leaving, Simulation};
use crate::{
    advertise_keys::Client,
    error::{Error, Stage},
    identity::{Identities, IdentityKey},
    plan::Plan,
    policy::ClientPolicy,
    quantize::Input,
};

/// The rounds after which a client can be gone, each with the first one that it misses.
const ROUNDS: [Stage; 5] =
    [Stage::FreezeRoster, Stage::ShareKeys, Stage::MaskedInput, Stage::ConsistencyCheck, Stage::Unmask];

/// All who are invited.
pub(super) struct Cast {
    pub(super) names: Vec<String>,
    /// The first round that each of them misses.
    misses: Vec<Option<Stage>>,
    keys: Vec<Arc<IdentityKey>>,
    pub(super) trusted: Arc<Identities>,
    plan: Plan,
    seed: u64,
}

impl Cast {
    pub(super) fn new(simulation: &Simulation) -> Result<Self, Error> {
        let plan = simulation.plan;
        let clients = plan.clients();
        let digits = clients.to_string().len();
        let names: Vec<String> = (0..clients).map(|number| format!("site-{number:0digits$}")).collect();
        let keys: Vec<Arc<IdentityKey>> = if plan.security().is_malicious() {
            names.iter().map(|_| IdentityKey::generate().map(Arc::new)).collect::<Result<_, _>>()?
        } else {
            Vec::new()
        };
        let public = names.iter().zip(&keys).map(|(name, key)| (name.as_str(), key.public()));
        let trusted = Arc::new(Identities::new(public));
        Ok(Self { misses: misses(simulation, clients), names, keys, trusted, plan, seed: simulation.seed })
    }

    /// A client that asks for no more than the plan gives: what a run would refuse is to be measured all the same.
    pub(super) fn client(&self, number: usize) -> Result<Client, Error> {
        let name = self.names.get(number).ok_or(Error::Internal { operation: "simulated client" })?;
        let policy = ClientPolicy::default()
            .with_min_cohort(2)
            .with_min_security(self.plan.security())
            .with_allow_refused_plans(true);
        let client = Client::new(name.as_str(), self.plan, policy)?;
        match self.keys.get(number) {
            Some(key) => client.with_identity(Arc::clone(key), Arc::clone(&self.trusted)),
            None => Ok(client),
        }
    }

    /// Whether a client still takes part in a round.
    pub(super) fn takes_part(&self, number: usize, round: Stage) -> bool {
        self.misses.get(number).copied().flatten().is_none_or(|first| round < first)
    }

    pub(super) fn name(&self, number: usize) -> &str {
        self.names.get(number).map_or("", String::as_str)
    }

    /// A client's input, made anew with each call.
    pub(super) fn contribution(&self, number: usize) -> Contribution {
        let mut rng = self.generator(number, 0);
        let weight = rng.random_range(1..=self.plan.parameters().max_weight());
        let layout = self.plan.layout();
        let limit = (self.plan.parameters().clipping_range() as f32).min(1.0);
        let scalars = (0..layout.scalars()).map(|_| rng.random::<f64>() * f64::from(limit)).collect();
        let vector = (0..layout.vector()).map(|_| (rng.random::<f32>() * 2.0 - 1.0) * limit).collect();
        Contribution { weight, scalars, vector }
    }

    /// The generator that rounds a client's input: the same each time, so that the plain sum is rounded alike.
    pub(super) fn rounding(&self, number: usize) -> StdRng {
        self.generator(number, 1)
    }

    fn generator(&self, number: usize, purpose: u64) -> StdRng {
        let mut seed = [0; 32];
        let (words, _) = seed.as_chunks_mut::<8>();
        for (word, value) in words.iter_mut().zip([self.seed, number as u64, purpose]) {
            *word = value.to_le_bytes();
        }
        StdRng::from_seed(seed)
    }
}

/// An input that is owned.
pub(super) struct Contribution {
    weight: u64,
    scalars: Vec<f64>,
    vector: Vec<f32>,
}

impl Contribution {
    pub(super) fn input(&self) -> Input<'_> {
        Input { weight: self.weight, scalars: &self.scalars, vector: &self.vector }
    }
}

fn misses(simulation: &Simulation, clients: usize) -> Vec<Option<Stage>> {
    // 0.07 · 100 is a little off 7 in binary; whoever wrote it meant 7.
    let leaving = (simulation.dropouts * clients as f64 + 1e-9).floor() as usize;
    let mut order: Vec<usize> = (0..clients).collect();
    order.shuffle(&mut StdRng::seed_from_u64(simulation.seed));
    let mut misses = vec![None; clients];
    for (number, round) in order.into_iter().take(leaving).zip(ROUNDS.into_iter().cycle()) {
        let first = match simulation.leaving {
            Leaving::BeforeMaskedInput => Stage::MaskedInput,
            Leaving::AnyRound => round,
        };
        if let Some(slot) = misses.get_mut(number) {
            *slot = Some(first);
        }
    }
    misses
}
