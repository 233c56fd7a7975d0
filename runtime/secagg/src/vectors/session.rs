//! A whole session with fixed randomness: every byte of every message, and the sum, as [session.py](session.py) computed
//! them. It is a malicious server's setting on a sparse graph, with one dropout, so everything that is derived, signed,
//! committed to or sealed is in it.

use std::collections::BTreeMap;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{bytes, hex, read};
use crate::{commitment::tree, derive::Binding, random::with_fixed, *};

#[derive(Deserialize)]
struct Vectors {
    session_id: String,
    round: u64,
    attempt: u32,
    names: Vec<String>,
    drops: String,
    model_values: Vec<f32>,
    identities: BTreeMap<String, String>,
    inputs: BTreeMap<String, Given>,
    parameters: String,
    plan: String,
    model: String,
    roster: String,
    frozen_roster: String,
    binding: String,
    neighbours: BTreeMap<String, Vec<String>>,
    messages: Vec<Sent>,
    sum: Vec<u64>,
    trees: Vec<Tree>,
}

#[derive(Deserialize)]
struct Given {
    weight: u64,
    scalar: f64,
    vector: Vec<f32>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Sent {
    kind: String,
    /// Who sends it, or gets it; empty where all get the same.
    name: String,
    bytes: usize,
    sha256: String,
}

#[derive(Deserialize)]
struct Tree {
    leaves: usize,
    root: String,
}

fn vectors() -> Vectors {
    read(include_str!("session.json"))
}

/// The messages as they were sent, in order.
#[derive(Default)]
struct Log(Vec<Sent>);

impl Log {
    fn sent<M: Serialize>(&mut self, kind: &str, name: &str, message: M) -> M {
        let mut encoded = Vec::new();
        ciborium::into_writer(&message, &mut encoded).unwrap();
        self.0.push(Sent {
            kind: kind.into(),
            name: name.into(),
            bytes: encoded.len(),
            sha256: hex(&Sha256::digest(&encoded)),
        });
        message
    }
}

fn parameters() -> Parameters {
    Parameters::new()
        .with_security(Security::Malicious { adversaries: 0.0 })
        .with_reconstruction_threshold(Threshold::Count(3))
        .with_num_shares(NumShares::Count(4))
        .with_colluders(0.0)
        .with_dropouts(0.0)
        .with_max_weight(4)
        .with_quantization_range(65_537)
}

#[test]
fn row_07_known_answers_of_a_whole_session() {
    let v = vectors();
    let plan = parameters().plan(v.names.len(), Layout::new(1, 3)).unwrap();
    assert_eq!(hex(&parameters().digest()), v.parameters);
    assert_eq!(hex(&plan.digest()), v.plan);
    let model = ModelDigest::of_f32(&v.model_values);
    assert_eq!(hex(model.as_bytes()), v.model);
    let (log, aggregate) = with_fixed(1, || session(&v, plan, model));
    for (ours, theirs) in log.0.iter().zip(&v.messages) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(log.0.len(), v.messages.len());
    let sum: Vec<u64> = aggregate.fixed_point_sum().collect();
    assert_eq!(sum, v.sum);
}

fn session(v: &Vectors, plan: Plan, model: ModelDigest) -> (Log, Aggregate) {
    let mut log = Log::default();
    let session = Session::new(bytes(&v.session_id), v.round).with_attempt(v.attempt);
    let keys: BTreeMap<&String, IdentityKey> = v
        .identities
        .iter()
        .map(|(name, key)| (name, IdentityKey::from_bytes(&bytes(key)).unwrap()))
        .collect();
    let trusted = Identities::new(keys.iter().map(|(name, key)| (name.as_str(), key.public())));
    let trusted = std::sync::Arc::new(trusted);
    let policy = ClientPolicy::default().with_min_security(plan.security());
    let mut journals: BTreeMap<&String, MemoryJournal> =
        v.names.iter().map(|name| (name, MemoryJournal::new())).collect();

    let mut server = AdvertiseKeysServer::new(session, plan, v.names.clone()).unwrap();
    server = server.with_identities(trusted.clone());
    let mut clients = Vec::new();
    for name in &v.names {
        let client = Client::new(name.as_str(), plan, policy).unwrap();
        let client = client.with_identity(keys[name].clone(), trusted.clone()).unwrap();
        let (client, message) = client.advertise_keys(session, journals.get_mut(name).unwrap()).unwrap();
        server.receive(name, log.sent("advertise-keys", name, message)).unwrap();
        clients.push((name, client));
    }
    let (mut server, roster) = server.freeze().unwrap();
    log.sent("roster", "", &roster);
    let mut frozen = Vec::new();
    for (name, client) in clients {
        let (client, message) = client.freeze_roster(&roster).unwrap();
        assert_eq!(hex(client.roster.digest()), v.roster);
        server.receive(name, log.sent("freeze-roster", name, message)).unwrap();
        frozen.push((name, client));
    }
    let (mut server, roster) = server.reveal().unwrap();
    log.sent("frozen-roster", "", &roster);
    let mut sharing = Vec::new();
    for (name, client) in frozen {
        let (client, message) = client.share_keys(&roster).unwrap();
        assert_eq!(hex(client.roster.digest()), v.frozen_roster);
        let neighbours = client.roster.neighbours(name).into_iter().map(|(name, _)| name);
        assert!(neighbours.eq(&v.neighbours[name]), "of {name}");
        server.receive(name, log.sent("share-keys", name, message)).unwrap();
        sharing.push((name, client));
    }
    let (mut server, shares) = server.deliver().unwrap();
    let mut ready = Vec::new();
    for (name, client) in sharing {
        ready.push((name, client.receive_shares(log.sent("shares", name, &shares[name])).unwrap()));
    }
    let mut masked = Vec::new();
    for (name, client) in ready.into_iter().filter(|(name, _)| **name != v.drops) {
        let Given { weight, scalar, vector } = &v.inputs[name];
        let input = Input { weight: *weight, scalars: &[*scalar], vector };
        let (id, journal) = (InputId::from_bytes([0; 32]), journals.get_mut(name).unwrap());
        // Whole numbers of steps: whatever this draws, they stay.
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let (client, message) = client.mask_input(model, id, &input, &mut rng, journal).unwrap();
        assert_eq!(hex(client.binding.as_bytes()), v.binding);
        server.receive(name, log.sent("masked-input", name, message)).unwrap();
        masked.push((name, client));
    }
    let (mut server, survivors) = server.announce(model).unwrap();
    log.sent("survivors", "", &survivors);
    let mut confirmed = Vec::new();
    for (name, client) in masked {
        let journal = journals.get_mut(name).unwrap();
        let (client, message) = client.check_consistency(&survivors, journal).unwrap();
        server.receive(name, log.sent("consistency-check", name, message)).unwrap();
        confirmed.push((name, client));
    }
    let (mut server, signatures) = server.forward().unwrap();
    log.sent("signatures", "", &signatures);
    for (name, client) in confirmed {
        let message = client.unmask(&signatures).unwrap();
        server.receive(name, log.sent("unmask", name, message)).unwrap();
    }
    (log, server.aggregate().unwrap())
}

#[test]
fn row_07_known_answers_of_bindings_and_trees() {
    let v = vectors();
    let binding =
        Binding::new(&ModelDigest::from_bytes(bytes(&v.model)), &bytes(&v.plan), &bytes(&v.frozen_roster));
    assert_eq!(hex(binding.as_bytes()), v.binding);
    assert_eq!(v.trees.len(), 7);
    for tree in &v.trees {
        let leaf = |i: usize| Sha256::digest(format!("leaf {i}")).into();
        let leaves: Vec<tree::Node> = (0..tree.leaves).map(leaf).collect();
        assert_eq!(hex(&tree::Tree::new(leaves).root()), tree.root, "{} leaves", tree.leaves);
    }
}
