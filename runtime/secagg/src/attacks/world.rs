//! Honest sites, and what a server can have from them.

use std::sync::Arc;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::*;

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) policy: ClientPolicy,
    pub(super) session: Session,
    pub(super) names: Vec<String>,
    pub(super) keys: Vec<Arc<IdentityKey>>,
    pub(super) trusted: Arc<Identities>,
    pub(super) journals: Vec<MemoryJournal>,
    pub(super) model: ModelDigest,
}

/// The weights of the sites, which tell their inputs apart: 1, 2, 4, …
pub(super) fn weight(site: usize) -> u64 {
    1 << site
}

impl World {
    /// So many sites with one value each.
    pub(super) fn new(parameters: Parameters, sites: usize) -> Self {
        let plan = parameters.with_min_cohort(2).plan(sites, Layout::new(0, 1)).unwrap();
        let names: Vec<String> = (0..sites).map(|i| format!("site {i}")).collect();
        let keys: Vec<_> = names.iter().map(|_| Arc::new(IdentityKey::generate().unwrap())).collect();
        let identities = names.iter().map(String::as_str).zip(keys.iter().map(|key| key.public()));
        Self {
            plan,
            policy: ClientPolicy::default().with_min_cohort(2).with_min_security(plan.security()),
            session: Session::generate(1).unwrap(),
            trusted: Arc::new(Identities::new(identities)),
            keys,
            journals: vec![MemoryJournal::new(); sites],
            names,
            model: ModelDigest::of_f32(&[1.0]),
        }
    }

    pub(super) fn malicious(colluders: usize, sites: usize, threshold: u32) -> Self {
        let adversaries = colluders as f64 / sites as f64;
        let parameters = Parameters::new().with_security(Security::Malicious { adversaries });
        Self::new(parameters.with_reconstruction_threshold(Threshold::Count(threshold)), sites)
    }

    pub(super) fn curious(sites: usize, threshold: u32) -> Self {
        let parameters = Parameters::new().with_security(Security::SemiHonest);
        Self::new(parameters.with_reconstruction_threshold(Threshold::Count(threshold)), sites)
    }

    pub(super) fn advertise(&mut self, site: usize) -> (FreezeRosterClient, AdvertiseKeysMessage) {
        let client = Client::new(self.names[site].as_str(), self.plan, self.policy).unwrap();
        let client = client.with_identity(self.keys[site].clone(), self.trusted.clone()).unwrap();
        client.advertise_keys(self.session, &mut self.journals[site]).unwrap()
    }

    /// Round 0, by a server that follows the protocol so far.
    pub(super) fn roster(
        &mut self,
    ) -> Result<(FreezeRosterServer, RosterMessage, Vec<FreezeRosterClient>), Error> {
        let mut server = AdvertiseKeysServer::new(self.session, self.plan, self.names.clone())?
            .with_identities(self.trusted.clone());
        let mut clients = Vec::new();
        for site in 0..self.names.len() {
            let (client, message) = self.advertise(site);
            server.receive(&self.names[site], message)?;
            clients.push(client);
        }
        let (server, roster) = server.freeze()?;
        Ok((server, roster, clients))
    }

    pub(super) fn ready(&mut self) -> Result<(MaskedInputServer, Vec<MaskInputClient>), Error> {
        let (server, roster, clients) = self.roster()?;
        self.share(server, &roster, clients)
    }

    /// Round 0, second exchange, and round 1.
    pub(super) fn share(
        &self,
        mut server: FreezeRosterServer,
        roster: &RosterMessage,
        clients: Vec<FreezeRosterClient>,
    ) -> Result<(MaskedInputServer, Vec<MaskInputClient>), Error> {
        let mut frozen = Vec::new();
        for (name, client) in self.names.iter().zip(clients) {
            let (client, message) = client.freeze_roster(roster)?;
            server.receive(name, message)?;
            frozen.push(client);
        }
        let (mut server, roster) = server.reveal()?;
        let mut sharing = Vec::new();
        for (name, client) in self.names.iter().zip(frozen) {
            let (client, message) = client.share_keys(&roster)?;
            server.receive(name, message)?;
            sharing.push(client);
        }
        let (server, shares) = server.deliver()?;
        let open = |(name, client): (&String, ReceiveSharesClient)| client.receive_shares(&shares[name]);
        Ok((server, self.names.iter().zip(sharing).map(open).collect::<Result<_, _>>()?))
    }

    /// Rounds 2 to 4: the sum of the weights.
    pub(super) fn sum(
        &mut self,
        mut server: MaskedInputServer,
        ready: Vec<MaskInputClient>,
        left_out: Option<usize>,
    ) -> Result<u64, Error> {
        let mut clients = Vec::new();
        for (site, client) in ready.into_iter().enumerate().filter(|(site, _)| left_out != Some(*site)) {
            let (client, message) = self.mask(site, client, self.model)?;
            server.receive(&self.names[site], message)?;
            clients.push((self.names[site].clone(), client));
        }
        let (server, survivors) = server.announce(self.model)?;
        let (mut server, clients, signatures) = confirm(server, &survivors, clients)?;
        for (name, client) in clients {
            server.receive(&name, client.unmask(&signatures)?)?;
        }
        Ok(server.aggregate()?.total_weight())
    }

    pub(super) fn mask(
        &mut self,
        site: usize,
        client: MaskInputClient,
        model: ModelDigest,
    ) -> Result<(ConsistencyCheckClient, MaskedInputMessage), Error> {
        let input = Input { weight: weight(site), scalars: &[], vector: &[0.5] };
        let id = InputId::of_parts([self.names[site].as_bytes()]);
        client.mask_input(model, id, &input, &mut ChaCha8Rng::seed_from_u64(0), &mut self.journals[site])
    }

    /// Rounds 0 to 2: the server, each client, each masked vector.
    pub(super) fn masked(&mut self) -> Result<Masked, Error> {
        let (mut server, ready) = self.ready()?;
        let (mut clients, mut vectors) = (Vec::new(), Vec::new());
        for (site, client) in ready.into_iter().enumerate() {
            let (client, message) = self.mask(site, client, self.model)?;
            server.receive(&self.names[site], message.clone())?;
            clients.push(client);
            let mut entries = vec![0; self.plan.entries()];
            message.entries.add_to(&mut entries, self.plan.entry_bits()).unwrap();
            vectors.push(entries);
        }
        let (server, survivors) = server.announce(self.model)?;
        Ok(Masked { server, survivors, clients, vectors })
    }
}

pub(super) struct Masked {
    pub(super) server: ConsistencyCheckServer,
    pub(super) survivors: SurvivorsMessage,
    pub(super) clients: Vec<ConsistencyCheckClient>,
    pub(super) vectors: Vec<Vec<u32>>,
}

type Confirmed = (UnmaskServer, Vec<(String, UnmaskClient)>, SignaturesMessage);

/// Round 3. A client whose word the server does not like is left behind.
pub(super) fn confirm(
    mut server: ConsistencyCheckServer,
    survivors: &SurvivorsMessage,
    clients: Vec<(String, ConsistencyCheckClient)>,
) -> Result<Confirmed, Error> {
    let mut next = Vec::new();
    for (name, client) in clients {
        let (client, word) = client.check_consistency(survivors)?;
        if server.receive(&name, word).is_ok() {
            next.push((name, client));
        }
    }
    let (server, signatures) = server.forward()?;
    Ok((server, next, signatures))
}
