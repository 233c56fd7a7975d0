//! Two sessions at once over a network that may do anything, with honest participants. Whatever it does:
//!
//! - nobody panics;
//! - a sum that comes out is that of the survivors, bit for bit, unless something that was not sent was *accepted* on
//!   the way to it (a client may be told to add another vector than its own: poisoning, which is not defended);
//! - an error names only those whose link the network disturbed, and the server only at a client that it lied to.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::AddAssign,
    sync::Arc,
};

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde::{Serialize, de::DeserializeOwned};
use veilflow_secagg::*;

use crate::{
    network::{Arrival, Network},
    script::Script,
};

/// How many settings the first byte of a script chooses from.
pub(crate) const SETTINGS: u8 = 4;

/// What came of a script.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcomes {
    /// Sums that came out.
    pub(crate) sums: usize,
    /// Errors of any participant.
    pub(crate) errors: usize,
    /// Names in them.
    pub(crate) named: usize,
    /// Accepted messages that were not sent.
    pub(crate) tampered: usize,
}

impl AddAssign for Outcomes {
    fn add_assign(&mut self, other: Self) {
        self.sums += other.sums;
        self.errors += other.errors;
        self.named += other.named;
        self.tampered += other.tampered;
    }
}

/// The first byte chooses the setting, the second how much is disturbed, the rest what.
pub(crate) fn run(script: &[u8]) -> Outcomes {
    sessions(script).0
}

/// All messages of two sessions.
#[allow(dead_code, reason = "the fuzz target of the interleavings does not need them")]
pub(crate) fn messages(script: &[u8]) -> Vec<Vec<u8>> {
    let signed = [&[1][..], script].concat();
    sessions(&signed).1
}

fn sessions(script: &[u8]) -> (Outcomes, Vec<Vec<u8>>) {
    let mut script = Script::new(script);
    let world = World::new(script.byte() % SETTINGS);
    let mut network = Network::new(script);
    let mut journals = vec![MemoryJournal::new(); world.names.len()];
    let mut runs =
        [1, 2].map(|round| Run::new(&world, Session::new([7; 32], round), &mut journals, &mut network));
    while runs.iter().any(Run::goes_on) {
        let chosen = usize::from(network.script.byte() % 2);
        let chosen = if runs[chosen].goes_on() { chosen } else { 1 - chosen };
        runs[chosen].step(&world, &mut journals, &mut network);
    }
    let mut outcomes = Outcomes::default();
    runs.into_iter().for_each(|run| outcomes += run.outcomes);
    (outcomes, network.sent)
}

struct World {
    plan: Plan,
    policy: ClientPolicy,
    names: Vec<String>,
    keys: Vec<Arc<IdentityKey>>,
    trusted: Arc<Identities>,
    model: ModelDigest,
}

impl World {
    /// Curious and malicious servers, complete graphs and sparse ones.
    fn new(setting: u8) -> Self {
        let (clients, threshold) = if setting < 2 { (4, 3) } else { (8, 3) };
        let security = match setting % 2 {
            0 => Security::SemiHonest,
            _ => Security::Malicious { adversaries: 0.0 },
        };
        let parameters = Parameters::new()
            .with_security(security)
            .with_min_cohort(2)
            .with_colluders(0.0)
            .with_dropouts(0.0)
            .with_reconstruction_threshold(Threshold::Count(threshold));
        let parameters =
            if setting < 2 { parameters } else { parameters.with_num_shares(NumShares::Count(4)) };
        let names: Vec<String> = (0..clients).map(|i| format!("site {i}")).collect();
        let key = |name: &String| {
            let seed = InputId::of_parts([name.as_bytes()]);
            Arc::new(IdentityKey::from_bytes(seed.as_bytes()).unwrap())
        };
        let keys: Vec<_> = names.iter().map(key).collect();
        let public = names.iter().map(String::as_str).zip(keys.iter().map(|key| key.public()));
        Self {
            plan: parameters.plan(clients, Layout::new(1, 2)).unwrap(),
            policy: ClientPolicy::default().with_min_cohort(2).with_min_security(security),
            trusted: Arc::new(Identities::new(public)),
            keys,
            names,
            model: ModelDigest::of_f32(&[1.0]),
        }
    }

    fn with_input<T>(
        &self,
        site: usize,
        round: u64,
        then: impl FnOnce(&Input<'_>, &mut ChaCha8Rng) -> T,
    ) -> T {
        let vector = [site as f32 - 0.3, 0.7 * round as f32];
        let input = Input { weight: 10 * round + site as u64, scalars: &[0.1], vector: &vector };
        then(&input, &mut ChaCha8Rng::seed_from_u64(site as u64))
    }

    /// The sum of those who are in it, without any mask.
    fn plain(&self, survivors: &[String], round: u64) -> Aggregate {
        let mut sum = FixedPointSum::new(&self.plan);
        for (site, name) in self.names.iter().enumerate().filter(|(_, name)| survivors.contains(name)) {
            let quantized =
                self.with_input(site, round, |input, rng| self.plan.quantize(input, rng)).unwrap();
            sum.add(name, &quantized).unwrap();
        }
        sum.decode().unwrap()
    }
}

/// A server between two rounds, with the clients that are still there and what it sends them.
enum State {
    Advertised(AdvertiseKeysServer, Clients<FreezeRosterClient>),
    Frozen(FreezeRosterServer, Clients<ShareKeysClient>),
    Shared(ShareKeysServer, Clients<ReceiveSharesClient>),
    Masked(MaskedInputServer, Clients<ConsistencyCheckClient>),
    Checked(ConsistencyCheckServer, Clients<UnmaskClient>),
    Answered(Box<UnmaskServer>),
    Over,
}

type Clients<C> = BTreeMap<usize, C>;

struct Run {
    session: Session,
    state: State,
    /// Whether something was accepted that was not sent.
    is_tampered: bool,
    outcomes: Outcomes,
}

impl Run {
    fn new(
        world: &World,
        session: Session,
        journals: &mut [MemoryJournal],
        network: &mut Network<'_>,
    ) -> Self {
        let mut run = Self { session, state: State::Over, is_tampered: false, outcomes: Outcomes::default() };
        let server = AdvertiseKeysServer::new(session, world.plan, world.names.clone()).unwrap();
        let mut server = server.with_identities(world.trusted.clone());
        let mut clients = BTreeMap::new();
        for (site, name) in world.names.iter().enumerate() {
            let client = Client::new(name.as_str(), world.plan, world.policy).unwrap();
            let client = client.with_identity(world.keys[site].clone(), world.trusted.clone()).unwrap();
            let (client, message) = client.advertise_keys(session, &mut journals[site]).unwrap();
            if run.send(network, name, message, |message| server.receive(name, message)) {
                clients.insert(site, client);
            }
        }
        run.state = State::Advertised(server, clients);
        run
    }

    fn goes_on(&self) -> bool {
        !matches!(self.state, State::Over)
    }

    /// Ends a round at the server, and lets each client answer.
    fn step(&mut self, world: &World, journals: &mut [MemoryJournal], network: &mut Network<'_>) {
        let state = std::mem::replace(&mut self.state, State::Over);
        match self.next(state, world, journals, network) {
            Ok(state) => self.state = state,
            Err(error) => self.judge(&error, None, network),
        }
    }

    fn next(
        &mut self,
        state: State,
        world: &World,
        journals: &mut [MemoryJournal],
        network: &mut Network<'_>,
    ) -> Result<State, Error> {
        Ok(match state {
            State::Advertised(server, clients) => {
                let (mut server, roster) = server.freeze()?;
                let next = self.round(
                    network,
                    world,
                    clients,
                    |_| Some(roster.clone()),
                    |_, client, message| client.freeze_roster(message),
                    |name, message| server.receive(name, message),
                );
                State::Frozen(server, next)
            }
            State::Frozen(server, clients) => {
                let (mut server, roster) = server.reveal()?;
                let next = self.round(
                    network,
                    world,
                    clients,
                    |_| Some(roster.clone()),
                    |_, client, message| client.share_keys(message),
                    |name, message| server.receive(name, message),
                );
                State::Shared(server, next)
            }
            State::Shared(server, clients) => {
                let (mut server, mut shares) = server.deliver()?;
                let round = self.session.round();
                let next = self.round(
                    network,
                    world,
                    clients,
                    |name| shares.remove(name),
                    |site, client, message| {
                        let client = client.receive_shares(message)?;
                        let id = InputId::of_parts([&round.to_be_bytes()[..]]);
                        world.with_input(site, round, |input, rng| {
                            client.mask_input(world.model, id, input, rng, &mut journals[site])
                        })
                    },
                    |name, message| server.receive(name, message),
                );
                State::Masked(server, next)
            }
            State::Masked(server, clients) => {
                let (mut server, survivors) = server.announce(world.model)?;
                let next = self.round(
                    network,
                    world,
                    clients,
                    |_| Some(survivors.clone()),
                    |site, client, message| client.check_consistency(message, &mut journals[site]),
                    |name, message| server.receive(name, message),
                );
                State::Checked(server, next)
            }
            State::Checked(server, clients) => {
                let (mut server, signatures) = server.forward()?;
                self.round(
                    network,
                    world,
                    clients,
                    |_| Some(signatures.clone()),
                    |_, client, message| Ok(((), client.unmask(message)?)),
                    |name, message| server.receive(name, message),
                );
                State::Answered(Box::new(server))
            }
            State::Answered(server) => {
                let aggregate = server.aggregate()?;
                let plain = world.plain(aggregate.survivors(), self.session.round());
                assert!(self.is_tampered || aggregate == plain, "a wrong sum: {aggregate:?}, not {plain:?}");
                self.outcomes.sums += 1;
                State::Over
            }
            State::Over => State::Over,
        })
    }

    /// The server's message to each client, the client's step, and its answer.
    #[allow(clippy::too_many_arguments, reason = "one round, as three functions")]
    fn round<C, N, D, U>(
        &mut self,
        network: &mut Network<'_>,
        world: &World,
        clients: Clients<C>,
        mut message_to: impl FnMut(&str) -> Option<D>,
        mut answer: impl FnMut(usize, C, &D) -> Result<(N, U), Error>,
        mut receive: impl FnMut(&str, U) -> Result<(), Error>,
    ) -> Clients<N>
    where
        D: Serialize + DeserializeOwned + PartialEq,
        U: Serialize + DeserializeOwned + PartialEq,
    {
        let mut order: Vec<(usize, C)> = clients.into_iter().collect();
        let mut next = BTreeMap::new();
        while !order.is_empty() {
            let (site, client) = order.swap_remove(network.script.below(order.len()));
            let name = &world.names[site];
            let Some(message) = message_to(name) else { continue };
            let Some(Arrival { message, is_genuine }) = network.down(name, &message) else { continue };
            match answer(site, client, &message) {
                Ok((client, message)) => {
                    self.accepted(is_genuine);
                    // The server goes on with those it heard from.
                    if self.send(network, name, message, |message| receive(name, message)) {
                        next.insert(site, client);
                    }
                }
                Err(error) => self.judge(&error, Some(name), network),
            }
        }
        next
    }

    /// Whether the server accepted anything.
    fn send<M: Serialize + DeserializeOwned + PartialEq>(
        &mut self,
        network: &mut Network<'_>,
        name: &str,
        message: M,
        mut receive: impl FnMut(M) -> Result<(), Error>,
    ) -> bool {
        let mut is_heard = false;
        for Arrival { message, is_genuine } in network.up(name, message) {
            match receive(message) {
                Ok(()) => {
                    self.accepted(is_genuine);
                    is_heard = true;
                }
                Err(error) => self.judge(&error, None, network),
            }
        }
        is_heard
    }

    fn accepted(&mut self, is_genuine: bool) {
        self.is_tampered |= !is_genuine;
        self.outcomes.tampered += usize::from(!is_genuine);
    }

    /// `at` is the client that has the error; none is the server.
    fn judge(&mut self, error: &Error, at: Option<&str>, network: &Network<'_>) {
        let named: BTreeSet<&str> = error.culprits().into_iter().collect();
        for name in &named {
            let is_server = *name == "the server" && at.is_some_and(|at| network.lied_to.contains(at));
            assert!(is_server || network.disturbed.contains(*name), "an innocent is named: {error}");
        }
        assert_ne!(error.code(), "internal", "{error}");
        self.outcomes.errors += 1;
        self.outcomes.named += named.len();
    }
}
