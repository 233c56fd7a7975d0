//! What no runtime can bring about: sites that were given different messages, steps out of their order.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use veilflow_secagg::{
    AdvertiseKeysServer, ClientPolicy, MaskedInputServer, ModelDigest, Parameters, Security, Session,
    UnmaskServer,
};
use veilflow_spec::{
    Cancellation, Context, Device, HiddenRole, Message, MessageDigest, Origin, Placement, SecureSum, Signal,
    SignalSink, StepError,
};

use super::messages::{
    AddressedShares, FrozenRoster, MaskedInput, NewSession, PublicKeys, Roster, RosterReveal, SealedShares,
    Survivors, Word, Words,
};
use super::{SecAggClient, SecureAggregator, SecureSite, SiteJournal, plan};

#[derive(Clone, Serialize, Deserialize, Message, SecureSum)]
struct Update {
    loss: f64,
    #[secure_sum(weight)]
    examples: u64,
}

struct Nowhere;

impl SignalSink for Nowhere {
    fn signal(&self, _: &Origin, _: Signal) {}
}

fn context(name: &str, turn: u32) -> Context {
    let origin = Origin {
        participant: name.into(),
        placement: Placement::Collaborator,
        step: "join.mask".into(),
        path: "0.secure.3.1".into(),
        loops: [turn].into(),
    };
    Context::new(origin, 7, (1, Device::Cpu), Cancellation::new(), Arc::new(Nowhere))
}

const NAMES: [&str; 3] = ["a", "b", "c"];

type Clients = BTreeMap<&'static str, SecAggClient>;

fn parameters() -> Parameters {
    Parameters::new().with_security(Security::SemiHonest)
}

fn clients() -> Clients {
    let policy = ClientPolicy::default().with_min_security(Security::SemiHonest);
    let site =
        || SecureSite::new(policy, SiteJournal::default(), || Err(StepError::msg("nothing is signed")));
    NAMES.map(|name| (name, SecAggClient::new(parameters(), 2, site()))).into()
}

/// A session up to its shares.
fn share(clients: &mut Clients, session: Session) -> MaskedInputServer {
    let plan = plan::<Update>(&parameters(), NAMES.len()).unwrap();
    let mut server = AdvertiseKeysServer::new(session, plan, NAMES).unwrap();
    for (name, client) in clients.iter_mut() {
        let new = NewSession { session, clients: NAMES.len() };
        let PublicKeys(keys) = client.generate_keys::<Update>(&new, &context(name, 0)).unwrap();
        server.receive(name, keys).unwrap();
    }
    let (mut server, roster) = server.freeze().unwrap();
    let roster = Roster(roster);
    for (name, client) in clients.iter_mut() {
        let RosterReveal(reveal) = client.freeze_roster(&roster, &context(name, 0)).unwrap();
        server.receive(name, reveal).unwrap();
    }
    let (mut server, frozen) = server.reveal().unwrap();
    let roster = FrozenRoster(frozen);
    for (name, client) in clients.iter_mut() {
        let SealedShares(shares) = client.share_keys(&roster, &context(name, 0)).unwrap();
        server.receive(name, shares).unwrap();
    }
    let (server, mut addressed) = server.deliver().unwrap();
    for (name, client) in clients.iter_mut() {
        let shares = AddressedShares(addressed.remove(*name).unwrap());
        client.receive_shares(shares, &context(name, 0)).unwrap();
    }
    server
}

/// Masks at each site, which was given its number, and sums.
fn sum(clients: &mut Clients, mut server: MaskedInputServer, given: [u32; 3]) -> UnmaskServer {
    for ((name, client), given) in clients.iter_mut().zip(given) {
        client.bind(MessageDigest::of(&given).unwrap());
        let MaskedInput(masked) =
            client.mask(&Update { loss: 0.5, examples: 1000 }, &context(name, 0)).unwrap();
        server.receive(name, masked).unwrap();
    }
    let (mut server, survivors) = server.announce(model(1)).unwrap();
    let survivors = Survivors(survivors);
    for (name, client) in clients.iter_mut() {
        let Word(word) = client.check_consistency(&survivors, &context(name, 0)).unwrap();
        server.receive(name, word).unwrap();
    }
    let (mut server, words) = server.forward().unwrap();
    let words = Words(words);
    for (name, client) in clients.iter_mut() {
        server.receive(name, client.unmask(&words, &context(name, 0)).unwrap().0).unwrap();
    }
    server
}

fn model(given: u32) -> ModelDigest {
    ModelDigest::from_bytes(*MessageDigest::of(&given).unwrap().as_bytes())
}

#[test]
fn masks_of_sites_that_were_given_different_messages_do_not_cancel() {
    let mut honest = clients();
    let server = share(&mut honest, Session::generate(0).unwrap());
    let mean = sum(&mut honest, server, [1, 1, 1]).aggregate().unwrap();
    assert!((mean.scalars()[0] - 0.5).abs() < 1e-4);

    let mut told_apart = clients();
    let server = share(&mut told_apart, Session::generate(0).unwrap());
    let wrong = sum(&mut told_apart, server, [1, 1, 2]).aggregate();
    // Noise, which is mostly no plausible sum at all.
    assert!(wrong.is_err() || (wrong.unwrap().scalars()[0] - 0.5).abs() > 1e-4);
}

#[test]
fn one_place_of_a_run_is_masked_once_whatever_the_session_is_called() {
    let mut clients = clients();
    let server = share(&mut clients, Session::generate(0).unwrap());
    sum(&mut clients, server, [1, 1, 1]);
    clients.values_mut().for_each(HiddenRole::close);
    share(&mut clients, Session::generate(0).unwrap());
    let client = clients.get_mut("a").unwrap();
    client.bind(MessageDigest::of(&1_u32).unwrap());
    let error = client.mask(&Update { loss: 0.5, examples: 1000 }, &context("a", 0)).unwrap_err();
    assert_eq!(error.code(), "input-already-masked");
}

#[test]
fn a_site_starts_a_session_as_often_as_the_flow_says_and_no_more() {
    let mut clients = clients();
    let (client, first) = (clients.get_mut("a").unwrap(), Session::generate(0).unwrap());
    let mut start = |attempt| {
        let new = NewSession { session: first.with_attempt(attempt), clients: NAMES.len() };
        client.generate_keys::<Update>(&new, &context("a", 0)).map_err(|error| error.code())
    };
    assert!(start(0).is_ok() && start(1).is_ok());
    assert_eq!(start(1).unwrap_err(), "session-not-newer");
    assert_eq!(start(2).unwrap_err(), "too-many-attempts");
}

#[test]
fn after_a_session_is_closed_no_step_of_it_goes_on() {
    let mut clients = clients();
    share(&mut clients, Session::generate(0).unwrap());
    let client = clients.get_mut("a").unwrap();
    client.bind(MessageDigest::of(&1_u32).unwrap());
    client.close();
    let error = client.mask(&Update { loss: 0.5, examples: 1000 }, &context("a", 0)).unwrap_err();
    assert_eq!(error.code(), "out-of-order");
}

#[test]
fn without_what_a_site_was_given_nothing_is_masked() {
    let mut clients = clients();
    share(&mut clients, Session::generate(0).unwrap());
    let client = clients.get_mut("a").unwrap();
    let error = client.mask(&Update { loss: 0.5, examples: 1000 }, &context("a", 0)).unwrap_err();
    assert_eq!(error.code(), "out-of-order");
}

#[test]
fn a_place_that_provides_nothing_is_told_what_to_do() {
    for error in [SecureSite::of(&context("a", 0)).err(), SecureAggregator::of(&context("a", 0)).err()] {
        let error = error.unwrap();
        assert_eq!(error.code(), "nothing-provided");
        assert!(error.to_string().contains("LocalRuntime"), "{error}");
    }
}
