//! Honest sites, and what a server can have from them.

use std::{collections::BTreeMap, sync::Arc};

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::{
    derive::{pair_mask_key, self_mask_key},
    keys::PrivateKey,
    mask::{self, Sign},
    shamir::{Share, combine},
    *,
};

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) policy: ClientPolicy,
    pub(super) session: Session,
    pub(super) names: Vec<String>,
    pub(super) keys: Vec<Arc<IdentityKey>>,
    pub(super) trusted: Arc<Identities>,
    pub(super) journals: Vec<MemoryJournal>,
    pub(super) model: ModelDigest,
    pub(super) weights: Vec<u64>,
}

/// What every site has in its vector: more than the clipping range.
const CLIPPED: f32 = 9.0;

/// What every site reports as its loss.
pub(super) const LOSS: f64 = 0.25;

/// The weights of the sites, which tell their inputs apart: 1, 2, 4, …
pub(super) fn weight(site: usize) -> u64 {
    1 << site
}

impl World {
    /// So many sites with a loss and one value each.
    pub(super) fn new(parameters: Parameters, sites: usize) -> Self {
        let plan = parameters.with_min_cohort(2).plan(sites, Layout::new(1, 1)).unwrap();
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
            weights: (0..sites).map(weight).collect(),
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
        server: FreezeRosterServer,
        roster: &RosterMessage,
        clients: Vec<FreezeRosterClient>,
    ) -> Result<(MaskedInputServer, Vec<MaskInputClient>), Error> {
        let (server, shares, clients) = self.deal(server, roster, clients, |_, _| {})?;
        Ok((server, self.open(&shares, clients)?))
    }

    /// The same without opening what was dealt, by sharers that may change what they deal.
    pub(super) fn deal(
        &self,
        mut server: FreezeRosterServer,
        roster: &RosterMessage,
        clients: Vec<FreezeRosterClient>,
        change: impl Fn(&str, &mut ShareKeysMessage),
    ) -> Result<Dealt, Error> {
        let mut frozen = Vec::new();
        for (name, client) in self.names.iter().zip(clients) {
            let (client, message) = client.freeze_roster(roster)?;
            server.receive(name, message)?;
            frozen.push(client);
        }
        let (mut server, roster) = server.reveal()?;
        let mut sharing = Vec::new();
        for (name, client) in self.names.iter().zip(frozen) {
            let (client, mut message) = client.share_keys(&roster)?;
            change(name, &mut message);
            server.receive(name, message)?;
            sharing.push(client);
        }
        let (server, shares) = server.deliver()?;
        Ok((server, shares, sharing))
    }

    pub(super) fn open(
        &self,
        shares: &BTreeMap<String, SharesMessage>,
        clients: Vec<ReceiveSharesClient>,
    ) -> Result<Vec<MaskInputClient>, Error> {
        let open = |(name, client): (&String, ReceiveSharesClient)| client.receive_shares(&shares[name]);
        self.names.iter().zip(clients).map(open).collect()
    }

    /// Rounds 2 to 4: the sum of the weights.
    pub(super) fn sum(
        &mut self,
        mut server: MaskedInputServer,
        ready: Vec<MaskInputClient>,
        absent: &[usize],
    ) -> Result<u64, Error> {
        let mut clients = Vec::new();
        for (site, client) in ready.into_iter().enumerate().filter(|(site, _)| !absent.contains(site)) {
            let (client, message) = self.mask(site, client, self.model)?;
            server.receive(&self.names[site], message)?;
            clients.push((self.names[site].clone(), client));
        }
        let (server, survivors) = server.announce(self.model)?;
        let (mut server, clients, signatures) = self.confirm(server, &survivors, clients)?;
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
        let input = Input { weight: self.weights[site], scalars: &[LOSS], vector: &[CLIPPED] };
        let id = InputId::of_parts([self.names[site].as_bytes(), &self.session.round().to_be_bytes()]);
        client.mask_input(model, id, &input, &mut ChaCha8Rng::seed_from_u64(0), &mut self.journals[site])
    }

    /// Rounds 0 to 2: the server, each client, each masked vector.
    pub(super) fn masked(&mut self) -> Result<Masked, Error> {
        self.masked_but(&[])
    }

    /// Those who are absent send their vector too late.
    fn masked_but(&mut self, absent: &[usize]) -> Result<Masked, Error> {
        let (mut server, ready) = self.ready()?;
        let (mut clients, mut vectors) = (Vec::new(), Vec::new());
        for (site, client) in ready.into_iter().enumerate() {
            let (client, message) = self.mask(site, client, self.model)?;
            if !absent.contains(&site) {
                server.receive(&self.names[site], message.clone())?;
            }
            clients.push(client);
            let mut entries = vec![0; self.plan.entries()];
            message.entries.add_to(&mut entries, self.plan.entry_bits()).unwrap();
            vectors.push(entries);
        }
        let (server, survivors) = server.announce(self.model)?;
        Ok(Masked { server, survivors, clients, vectors })
    }

    /// Rounds 0 to 4, with all that the server has in the end.
    pub(super) fn answers(&mut self, absent: &[usize]) -> Result<Answers, Error> {
        let Masked { server, survivors, clients, vectors } = self.masked_but(absent)?;
        let clients = self.names.iter().cloned().zip(clients).enumerate();
        let clients = clients.filter(|(site, _)| !absent.contains(site)).map(|(_, client)| client).collect();
        let (server, clients, signatures) = self.confirm(server, &survivors, clients)?;
        let mut messages = Vec::new();
        for (name, client) in clients {
            messages.push((name, client.unmask(&signatures)?));
        }
        Ok(Answers { session: self.session, server, messages, vectors })
    }

    /// Round 3. A client whose word the server does not like is left behind.
    pub(super) fn confirm(
        &mut self,
        mut server: ConsistencyCheckServer,
        survivors: &SurvivorsMessage,
        clients: Vec<(String, ConsistencyCheckClient)>,
    ) -> Result<Confirmed, Error> {
        let mut next = Vec::new();
        for (name, client) in clients {
            let site = self.names.iter().position(|known| *known == name).unwrap();
            let (client, word) = client.check_consistency(survivors, &mut self.journals[site])?;
            if server.receive(&name, word).is_ok() {
                next.push((name, client));
            }
        }
        let (server, signatures) = server.forward()?;
        Ok((server, next, signatures))
    }
}

pub(super) struct Masked {
    pub(super) server: ConsistencyCheckServer,
    pub(super) survivors: SurvivorsMessage,
    pub(super) clients: Vec<ConsistencyCheckClient>,
    pub(super) vectors: Vec<Vec<u32>>,
}

type Dealt = (MaskedInputServer, BTreeMap<String, SharesMessage>, Vec<ReceiveSharesClient>);
type Confirmed = (UnmaskServer, Vec<(String, UnmaskClient)>, SignaturesMessage);

/// What a session gives to the server: each answer, and each masked vector, late ones too.
pub(super) struct Answers {
    pub(super) session: Session,
    pub(super) server: UnmaskServer,
    pub(super) messages: Vec<(String, UnmaskMessage)>,
    pub(super) vectors: Vec<Vec<u32>>,
}

impl Answers {
    /// All shares of one site's secret, by position.
    pub(super) fn shares(&self, kind: ShareKind, of: &str) -> Vec<(u8, Share)> {
        let found = |(holder, answer): &(String, UnmaskMessage)| {
            let position = self.server.roster.share_position(of, holder)?;
            Some((position, share_in(&self.server, holder, answer, kind, of)?.share()))
        };
        self.messages.iter().filter_map(found).collect()
    }
}

/// One site's share in an answer; of a masking key also where the answer has those of all, which is one too many of each
/// that arrived.
pub(super) fn share_in<'a>(
    server: &UnmaskServer,
    holder: &str,
    answer: &'a UnmaskMessage,
    kind: ShareKind,
    of: &str,
) -> Option<&'a RevealedShare> {
    let (holder, of) = (server.roster.number(holder)?, server.roster.number(of)?);
    let numbers = |members: Vec<(u32, u8)>| members.into_iter().map(|(number, _)| number).collect();
    let [survived, dropped]: [Vec<u32>; 2] = server.held_by(holder).map(numbers);
    let (members, shares) = match kind {
        ShareKind::Seed => (survived, &answer.seeds),
        ShareKind::MaskingKey if answer.masking_keys.len() == dropped.len() => {
            (dropped, &answer.masking_keys)
        }
        ShareKind::MaskingKey => (server.roster.row(holder).into_owned(), &answer.masking_keys),
    };
    shares.get(members.iter().position(|member| *member == of)?)
}

/// The weight in one masked vector, with the masks taken off that shares of one site's secrets open.
pub(super) fn weight_in(
    server: &UnmaskServer,
    name: &str,
    vector: &[u32],
    seeds: Option<&[(u8, Share)]>,
    keys: &[(u8, Share)],
) -> u64 {
    let mut entries = vector.to_vec();
    if let Some(seeds) = seeds {
        let key = self_mask_key(combine(seeds).unwrap().as_bytes(), &server.session, name).unwrap();
        mask::apply(&mut entries, &key, Sign::Minus).unwrap();
    }
    let masking = PrivateKey::from_bytes(combine(keys).unwrap().as_bytes()).unwrap();
    for (other, member) in server.roster.neighbours(name) {
        let agreed = masking.agree_with(&member.masking_key, other).unwrap();
        let key = pair_mask_key(&agreed, &server.session, name, other, &server.binding).unwrap();
        mask::apply(&mut entries, &key, Sign::of_pair(name, other).opposite()).unwrap();
    }
    u64::from(entries[0] & server.plan.entry_mask::<u32>())
}
