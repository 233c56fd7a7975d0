//! A cohort in one process, in which any participant can leave after any round.

use std::{collections::BTreeMap, sync::Arc};

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde::{Serialize, de::DeserializeOwned};
use veilflow_secagg::*;

/// The last thing that a participant does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Last {
    Nothing,
    AdvertisesKeys,
    FreezesRoster,
    SharesKeys,
    MasksInput,
    ChecksConsistency,
    Unmasks,
}

pub(crate) const ALL: [Last; 7] = [
    Last::Nothing,
    Last::AdvertisesKeys,
    Last::FreezesRoster,
    Last::SharesKeys,
    Last::MasksInput,
    Last::ChecksConsistency,
    Last::Unmasks,
];

#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub(crate) weight: u64,
    pub(crate) scalars: Vec<f64>,
    pub(crate) vector: Vec<f32>,
}

impl Data {
    pub(crate) fn input(&self) -> Input<'_> {
        Input { weight: self.weight, scalars: &self.scalars, vector: &self.vector }
    }
}

/// A setting in which the protocol must do the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Configuration {
    pub(crate) clients: usize,
    pub(crate) threshold: u32,
    /// None: the server is trusted to follow the protocol.
    pub(crate) colluders: Option<usize>,
    /// None: the complete graph.
    pub(crate) neighbours: Option<u32>,
    /// With differential privacy, so that the sum is the plain one and noise.
    pub(crate) private: bool,
}

/// The complete graph and k-regular ones, for a curious and a malicious server, without and with
/// colluders, and with differential privacy. Each finishes without any one of its clients.
pub(crate) const CONFIGURATIONS: [Configuration; 10] = [
    Configuration { clients: 4, threshold: 3, colluders: None, neighbours: None, private: false },
    Configuration { clients: 4, threshold: 3, colluders: Some(0), neighbours: None, private: false },
    Configuration { clients: 7, threshold: 5, colluders: Some(2), neighbours: None, private: false },
    Configuration { clients: 12, threshold: 2, colluders: None, neighbours: Some(4), private: false },
    Configuration { clients: 12, threshold: 3, colluders: None, neighbours: Some(6), private: false },
    Configuration { clients: 12, threshold: 4, colluders: Some(0), neighbours: Some(6), private: false },
    Configuration { clients: 12, threshold: 5, colluders: Some(1), neighbours: Some(8), private: false },
    Configuration { clients: 4, threshold: 3, colluders: None, neighbours: None, private: true },
    Configuration { clients: 7, threshold: 5, colluders: Some(2), neighbours: None, private: true },
    Configuration { clients: 12, threshold: 5, colluders: Some(1), neighbours: Some(8), private: true },
];

impl Configuration {
    pub(crate) fn cohort(&self) -> Cohort {
        let security = self.colluders.map_or(Security::SemiHonest, |colluders| Security::Malicious {
            adversaries: colluders as f64 / self.clients as f64,
        });
        let parameters = Parameters::new()
            .with_security(security)
            .with_min_cohort(2)
            .with_colluders(0.0)
            .with_dropouts(0.0)
            .with_reconstruction_threshold(Threshold::Count(self.threshold));
        let parameters = match self.neighbours {
            Some(neighbours) => parameters.with_num_shares(NumShares::Count(neighbours)),
            None => parameters,
        };
        let privacy = Privacy::new(2.0, 0.5, 1e-5);
        let parameters = if self.private { parameters.with_privacy(privacy) } else { parameters };
        Cohort::new(parameters.plan(self.clients, Layout::new(1, 3)).unwrap())
    }
}

/// The same test in every configuration.
#[allow(clippy::print_stdout, reason = "shown where the test fails: says in which")]
pub(crate) fn in_each_configuration(test: impl Fn(&Configuration, Cohort)) {
    for configuration in &CONFIGURATIONS {
        println!("{configuration:?}");
        test(configuration, configuration.cohort());
    }
}

pub(crate) struct Cohort {
    pub(crate) plan: Plan,
    pub(crate) policy: ClientPolicy,
    pub(crate) session: Session,
    pub(crate) model: ModelDigest,
    pub(crate) names: Vec<String>,
    pub(crate) data: Vec<Data>,
    pub(crate) journals: Vec<MemoryJournal>,
    /// How many inputs each has had before.
    pub(crate) inputs: u64,
    /// Of all who are enrolled; participants are enrolled under their own names.
    pub(crate) keys: BTreeMap<String, Arc<IdentityKey>>,
    /// Whether messages are encoded and decoded on their way.
    pub(crate) encode: bool,
}

impl Cohort {
    pub(crate) fn new(plan: Plan) -> Self {
        let clients = plan.clients();
        let data = (0..clients).map(|i| Data {
            weight: 1 + i as u64,
            scalars: vec![0.25 * i as f64; plan.layout().scalars()],
            vector: (0..plan.layout().vector()).map(|j| i as f32 - 0.01 * j as f32).collect(),
        });
        // Not in the order of their numbers, so that sorting matters.
        let places = (clients.max(11)..).find(|places| places % 7 != 0).unwrap();
        let names: Vec<String> = (0..clients).map(|i| format!("site-{:02}", (i * 7) % places)).collect();
        Self {
            plan,
            policy: ClientPolicy::default().with_min_cohort(2).with_min_security(plan.security()),
            session: Session::new([7; 32], 1),
            model: ModelDigest::of_f32(&[1.0, 2.0]),
            keys: names.iter().map(|name| (name.clone(), identity_of(name))).collect(),
            names,
            data: data.collect(),
            journals: vec![MemoryJournal::new(); clients],
            inputs: 0,
            encode: false,
        }
    }

    /// At which place of a list in a message from or to `me` the participant `of` is, where the list is about these: in the
    /// order of their names, and `me` at the end.
    pub(crate) fn place(&self, me: usize, of: usize, among: &[usize]) -> usize {
        let name = |i: usize| (i == me, self.names[i].as_str());
        among.iter().filter(|i| name(**i) < name(of)).count()
    }

    /// `clients` participants who trust the server, threshold t, cohorts from 2, one scalar and three vector entries.
    pub(crate) fn of(clients: usize, threshold: u32) -> Self {
        let parameters = Parameters::new()
            .with_security(Security::SemiHonest)
            .with_min_cohort(2)
            .with_reconstruction_threshold(Threshold::Count(threshold));
        Self::new(parameters.plan(clients, Layout::new(1, 3)).unwrap())
    }

    /// `clients` participants who do not trust the server, and assume that so many work for it.
    pub(crate) fn malicious(clients: usize, colluders: usize) -> Self {
        let adversaries = colluders as f64 / clients as f64;
        let parameters = Parameters::new()
            .with_security(Security::Malicious { adversaries })
            .with_min_cohort(2)
            .with_reconstruction_threshold(Threshold::Count(((clients + colluders) / 2 + 1) as u32));
        Self::new(parameters.plan(clients, Layout::new(1, 3)).unwrap())
    }

    /// Everybody stays to the end.
    pub(crate) fn stay(&self) -> Vec<Last> {
        vec![Last::Unmasks; self.names.len()]
    }

    /// Everybody but one, who does no more than that.
    pub(crate) fn without(&self, site: usize, last: Last) -> Vec<Last> {
        let mut stay = self.stay();
        stay[site] = last;
        stay
    }

    /// New sites under the same names.
    pub(crate) fn forget(&mut self) {
        self.journals.fill(MemoryJournal::new());
    }

    pub(crate) fn trusted(&self) -> Identities {
        Identities::new(self.keys.iter().map(|(name, key)| (name.as_str(), key.public())))
    }

    fn send<M: Serialize + DeserializeOwned>(&self, message: M) -> M {
        if self.encode { reencode(&message) } else { message }
    }

    pub(crate) fn rng(&self, i: usize) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(i as u64)
    }

    pub(crate) fn input_id(&self, i: usize) -> InputId {
        InputId::of_parts([b"input".as_slice(), self.names[i].as_bytes(), &self.inputs.to_be_bytes()])
    }

    pub(crate) fn client(&self, i: usize) -> Client {
        let client = Client::new(self.names[i].as_str(), self.plan, self.policy).unwrap();
        match self.keys.get(&self.names[i]) {
            Some(key) => client.with_identity(Arc::clone(key), self.trusted()).unwrap(),
            None => client,
        }
    }

    pub(crate) fn server(&self) -> AdvertiseKeysServer {
        let server = AdvertiseKeysServer::new(self.session, self.plan, self.names.clone()).unwrap();
        server.with_identities(self.trusted())
    }

    /// Round 0.
    pub(crate) fn advertise(
        &mut self,
        last: &[Last],
    ) -> (AdvertiseKeysServer, BTreeMap<usize, FreezeRosterClient>) {
        let mut server = self.server();
        let mut clients = BTreeMap::new();
        for (i, last) in last.iter().enumerate() {
            let (client, message) =
                self.client(i).advertise_keys(self.session, &mut self.journals[i]).unwrap();
            if *last >= Last::AdvertisesKeys {
                server.receive(&self.names[i], self.send(message)).unwrap();
                clients.insert(i, client);
            }
        }
        (server, clients)
    }

    /// Round 0 with both exchanges.
    pub(crate) fn frozen(
        &mut self,
        last: &[Last],
    ) -> Result<(ShareKeysServer, BTreeMap<usize, ShareKeysClient>, FrozenRosterMessage), Error> {
        let (server, clients) = self.advertise(last);
        let (mut server, roster) = server.freeze()?;
        let roster = self.send(roster);
        let mut next = BTreeMap::new();
        for (i, client) in clients {
            let (client, message) = client.freeze_roster(&roster)?;
            if last[i] >= Last::FreezesRoster {
                server.receive(&self.names[i], self.send(message))?;
                next.insert(i, client);
            }
        }
        let (server, roster) = server.reveal()?;
        let roster = self.send(roster);
        Ok((server, next, roster))
    }

    /// Rounds 0 and 1.
    pub(crate) fn share(
        &mut self,
        last: &[Last],
    ) -> Result<(ShareKeysServer, BTreeMap<usize, ReceiveSharesClient>), Error> {
        let (mut server, clients, roster) = self.frozen(last)?;
        let mut next = BTreeMap::new();
        for (i, client) in clients {
            let (client, message) = client.share_keys(&roster)?;
            if last[i] >= Last::SharesKeys {
                server.receive(&self.names[i], self.send(message))?;
                next.insert(i, client);
            }
        }
        Ok((server, next))
    }

    /// Rounds 0 and 1 and the delivery of shares.
    pub(crate) fn receive(
        &mut self,
        last: &[Last],
    ) -> Result<(MaskedInputServer, BTreeMap<usize, MaskInputClient>), Error> {
        let (server, clients) = self.share(last)?;
        let (server, shares) = server.deliver()?;
        let ready = clients.into_iter().map(|(i, client)| {
            let message = self.send(shares[&self.names[i]].clone());
            Ok((i, client.receive_shares(&message)?))
        });
        Ok((server, ready.collect::<Result<_, Error>>()?))
    }

    pub(crate) fn mask(
        &mut self,
        i: usize,
        client: MaskInputClient,
        model: ModelDigest,
    ) -> Result<(ConsistencyCheckClient, MaskedInputMessage), Error> {
        let (id, mut rng) = (self.input_id(i), self.rng(i));
        client.mask_input(model, id, &self.data[i].input(), &mut rng, &mut self.journals[i])
    }

    /// Rounds 0 to 2.
    pub(crate) fn masked(
        &mut self,
        last: &[Last],
    ) -> Result<(MaskedInputServer, BTreeMap<usize, ConsistencyCheckClient>), Error> {
        let (mut server, clients) = self.receive(last)?;
        let mut next = BTreeMap::new();
        for (i, client) in clients {
            let (client, message) = self.mask(i, client, self.model)?;
            if last[i] >= Last::MasksInput {
                server.receive(&self.names[i], self.send(message))?;
                next.insert(i, client);
            }
        }
        Ok((server, next))
    }

    /// Rounds 0 to 3.
    pub(crate) fn checked(
        &mut self,
        last: &[Last],
    ) -> Result<(UnmaskServer, BTreeMap<usize, UnmaskClient>, SignaturesMessage), Error> {
        let (server, clients) = self.masked(last)?;
        let (mut server, survivors) = server.announce(self.model)?;
        let survivors = self.send(survivors);
        let mut next = BTreeMap::new();
        for (i, client) in clients {
            let (client, message) = client.check_consistency(&survivors, &mut self.journals[i])?;
            if last[i] >= Last::ChecksConsistency {
                server.receive(&self.names[i], self.send(message))?;
                next.insert(i, client);
            }
        }
        let (server, signatures) = server.forward()?;
        let signatures = self.send(signatures);
        Ok((server, next, signatures))
    }

    /// Everything.
    pub(crate) fn run(&mut self, last: &[Last]) -> Result<Aggregate, Error> {
        let (mut server, clients, signatures) = self.checked(last)?;
        for (i, client) in clients {
            let message = client.unmask(&signatures)?;
            if last[i] >= Last::Unmasks {
                server.receive(&self.names[i], self.send(message))?;
            }
        }
        server.aggregate()
    }

    /// What the sum must be: the same inputs, quantized with the same seeds, without a mask.
    pub(crate) fn plain(&self, last: &[Last]) -> Aggregate {
        let mut sum = FixedPointSum::new(&self.plan);
        for i in (0..self.names.len()).filter(|i| last[*i] >= Last::MasksInput) {
            let quantized = self.plan.quantize(&self.data[i].input(), &mut self.rng(i)).unwrap();
            sum.add(&self.names[i], &quantized).unwrap();
        }
        sum.decode().unwrap()
    }

    /// That a sum is what it must be: bit for bit, or with privacy but for noise that is as large as is said.
    pub(crate) fn assert_plain(&self, got: Result<Aggregate, Error>, last: &[Last]) {
        let plain = self.plain(last);
        if self.plan.parameters().privacy().is_none() {
            assert_eq!(got, Ok(plain), "{last:?}");
            return;
        }
        let got = got.unwrap();
        assert_eq!((got.survivors(), got.total_weight()), (plain.survivors(), plain.total_weight()));
        assert_eq!((got.privacy(), got.noise_std()), (plain.privacy(), plain.noise_std()));
        let values = |sum: &Aggregate| -> Vec<f64> {
            sum.scalars().iter().copied().chain(sum.mean().iter().map(|x| f64::from(*x))).collect()
        };
        for (got_value, plain) in values(&got).into_iter().zip(values(&plain)) {
            let noise = (got_value - plain).abs();
            // It is thousands of steps wide, so that none at all is no chance.
            assert!(noise <= got.max_error() && noise > 0.0, "{noise} of {}", got.max_error());
        }
    }

    /// Names of those who stop before `stage`, of those who got as far as `before`, in order.
    pub(crate) fn lost(&self, last: &[Last], before: Last, stage: Last) -> Vec<String> {
        let gone = (0..self.names.len()).filter(|i| last[*i] >= before && last[*i] < stage);
        let mut names: Vec<String> = gone.map(|i| self.names[i].clone()).collect();
        names.sort();
        names
    }
}

/// A participant's identity key, the same in every test.
pub(crate) fn identity_of(name: &str) -> Arc<IdentityKey> {
    let seed = InputId::of_parts([name.as_bytes()]);
    Arc::new(IdentityKey::from_bytes(seed.as_bytes()).unwrap())
}

/// As the network does it.
pub(crate) fn reencode<M: Serialize + DeserializeOwned>(message: &M) -> M {
    let mut bytes = Vec::new();
    ciborium::into_writer(message, &mut bytes).unwrap();
    ciborium::from_reader(bytes.as_slice()).unwrap()
}

/// A message as somebody else would have it. Byte strings are arrays of numbers here.
pub(crate) fn tamper<M: Serialize + DeserializeOwned>(
    message: &M,
    change: impl FnOnce(&mut serde_json::Value),
) -> M {
    let mut value = serde_json::to_value(message).unwrap();
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

/// Flips one bit of a byte string.
pub(crate) fn flip(byte_string: &mut serde_json::Value) {
    flip_at(byte_string, 9);
}

/// Flips one bit of the byte at this place.
pub(crate) fn flip_at(byte_string: &mut serde_json::Value, place: usize) {
    let byte = byte_string[place].as_u64().unwrap();
    byte_string[place] = (byte ^ 1).into();
}
