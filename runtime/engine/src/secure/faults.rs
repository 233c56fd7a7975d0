//! Sites that send something other than they should, in sessions over LocalRuntime.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ciborium::Value;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use veilflow_secagg::{ClientPolicy, Parameters, Security, Threshold};
use veilflow_spec::{
    AtAggregator, AtCollaborators, Context, Flow, Foreach, HiddenRole, Loop, Message, MessageDigest, Needs,
    Opening, Result, SecureProtocol, SecureSum, Sends, Sum, Tensor,
};

use super::messages::{
    AddressedShares, FrozenRoster, MaskedInput, NewSession, PublicKeys, RevealedShares, Roster, RosterReveal,
    SealedShares, Survivors, Word, Words,
};
use super::{SecAgg, SecAggClient, SecAggServer};
use crate::{Event, EventKind, LocalRuntime, RunError};

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// One bit of its longest field is another; a masked vector, whose bits are anybody's, is a byte too short.
    Corrupted,
    /// It is the one of the round before.
    Replayed,
    /// It comes when nobody waits any more.
    Late,
}

/// Who sends it, from which step.
#[derive(Clone, Copy)]
struct Fate {
    fault: Fault,
    step: &'static str,
    who: &'static [&'static str],
}

/// SecAgg with sites that have a fate.
struct Faulty {
    inner: SecAgg,
    fate: Fate,
}

struct Client {
    inner: SecAggClient,
    fate: Fate,
    /// What was sent from the step in the last session.
    sent: Option<Vec<u8>>,
}

impl Client {
    fn send<M: Message>(&mut self, step: &str, message: M, cx: &Context) -> Result<M> {
        if self.fate.step != step || !self.fate.who.contains(&cx.participant().as_str()) {
            return Ok(message);
        }
        match self.fate.fault {
            Fault::Corrupted => Ok(corrupted(&message, step == "mask")),
            Fault::Replayed => {
                let before = self.sent.replace(encoded(&message));
                Ok(before.map_or(message, |before| decoded(&before)))
            }
            Fault::Late => {
                while !cx.is_cancelled() {
                    std::thread::yield_now();
                }
                Ok(message)
            }
        }
    }

    fn generate_keys(&mut self, new: &NewSession, cx: &Context) -> Result<PublicKeys> {
        let message = self.inner.generate_keys::<Update>(new, cx)?;
        self.send("generate_keys", message, cx)
    }

    fn freeze_roster(&mut self, roster: &Roster, cx: &Context) -> Result<RosterReveal> {
        let message = self.inner.freeze_roster(roster, cx)?;
        self.send("freeze_roster", message, cx)
    }

    fn share_keys(&mut self, roster: &FrozenRoster, cx: &Context) -> Result<SealedShares> {
        let message = self.inner.share_keys(roster, cx)?;
        self.send("share_keys", message, cx)
    }

    fn receive_shares(&mut self, shares: AddressedShares, cx: &Context) -> Result<()> {
        self.inner.receive_shares(shares, cx)
    }

    fn mask(&mut self, input: &Update, cx: &Context) -> Result<MaskedInput> {
        let message = self.inner.mask(input, cx)?;
        self.send("mask", message, cx)
    }

    fn check_consistency(&mut self, survivors: &Survivors, cx: &Context) -> Result<Word> {
        let message = self.inner.check_consistency(survivors, cx)?;
        self.send("check_consistency", message, cx)
    }

    fn unmask(&mut self, words: &Words, cx: &Context) -> Result<RevealedShares> {
        let message = self.inner.unmask(words, cx)?;
        self.send("unmask", message, cx)
    }
}

fn encoded<M: Serialize>(message: &M) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(message, &mut bytes).unwrap();
    bytes
}

fn decoded<M: DeserializeOwned>(bytes: &[u8]) -> M {
    ciborium::from_reader(bytes).unwrap()
}

fn corrupted<M: Message>(message: &M, shorten: bool) -> M {
    let mut value: Value = decoded(&encoded(message));
    let bytes = longest(&mut value).unwrap();
    if shorten {
        bytes.pop();
    } else {
        // The first byte: the last ones of a revealed share are a nonce, at which nobody looks where the secret is right.
        *bytes.first_mut().unwrap() ^= 1;
    }
    decoded(&encoded(&value))
}

fn longest(value: &mut Value) -> Option<&mut Vec<u8>> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        Value::Array(values) => values.iter_mut().filter_map(longest).max_by_key(|bytes| bytes.len()),
        Value::Map(pairs) => {
            pairs.iter_mut().filter_map(|(_, value)| longest(value)).max_by_key(|bytes| bytes.len())
        }
        _ => None,
    }
}

impl HiddenRole for Client {
    fn close(&mut self) {
        self.inner.close();
    }
}

impl SecureProtocol<Update> for Faulty {
    type Server = SecAggServer;
    type Client = Client;

    fn name(&self) -> &'static str {
        "faulty"
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn needs(&self, invited: usize) -> Result<Needs> {
        SecureProtocol::<Update>::needs(&self.inner, invited)
    }

    fn attempts(&self) -> u32 {
        SecureProtocol::<Update>::attempts(&self.inner)
    }

    fn server(&self, cx: &Context) -> Result<SecAggServer> {
        SecureProtocol::<Update>::server(&self.inner, cx)
    }

    fn client(&self, cx: &Context) -> Result<Client> {
        let inner = SecureProtocol::<Update>::client(&self.inner, cx)?;
        Ok(Client { inner, fate: self.fate, sent: None })
    }

    fn setup(
        &self,
        start: AtAggregator<SecAggServer, Client, Opening, Opening>,
    ) -> AtCollaborators<SecAggServer, Client, Opening, (), impl Sends> {
        start
            .then(SecAggServer::open_session::<Update>)
            .foreach(Client::generate_keys)
            .join(SecAggServer::collect_keys)
            .foreach(Client::freeze_roster)
            .join(SecAggServer::reveal_roster)
            .foreach(Client::share_keys)
            .join(SecAggServer::deliver_shares)
            .foreach(Client::receive_shares)
    }

    fn bind(client: &mut Client, message: MessageDigest) {
        client.inner.bind(message);
    }

    fn rounds(
        &self,
        input: AtCollaborators<SecAggServer, Client, Update, Update>,
    ) -> AtAggregator<SecAggServer, Client, Update, Sum<Update>> {
        input
            .then(Client::mask)
            .join(SecAggServer::add_up)
            .foreach(Client::check_consistency)
            .join(SecAggServer::forward_words)
            .foreach(Client::unmask)
            .join(SecAggServer::reconstruct::<Update>)
    }
}

#[derive(Clone, Serialize, Deserialize, Message, SecureSum)]
struct Update {
    /// So long that a masked vector is the longest field of its message.
    #[secure_sum(shape = [32])]
    values: Tensor,
    #[secure_sum(weight)]
    weight: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message)]
struct Told {
    weight: u64,
    missing: Vec<String>,
}

struct Server {
    rounds: u32,
    told: Vec<Told>,
}

struct Site {
    weight: u64,
    trained: Arc<AtomicU32>,
}

impl Server {
    fn start(&mut self, (): (), _cx: &Context) -> Result<Foreach<u32>> {
        Ok(Foreach::all(0))
    }

    fn average(&mut self, sum: Sum<Update>, cx: &Context) -> Result<Loop<Foreach<u32>, Vec<Told>>> {
        let missing = sum.missing().iter().map(ToString::to_string).collect();
        self.told.push(Told { weight: sum.total_weight(), missing });
        Ok(match cx.round() + 1 < self.rounds {
            true => Loop::Again(Foreach::all(cx.round() + 1)),
            false => Loop::Done(std::mem::take(&mut self.told)),
        })
    }
}

impl Site {
    fn train(&mut self, _: u32, _cx: &Context) -> Result<Update> {
        self.trained.fetch_add(1, Ordering::SeqCst);
        Ok(Update { values: Tensor::vector(vec![0.5; 32]), weight: self.weight })
    }
}

const SITES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// The steps that send something.
const STEPS: [&str; 6] =
    ["generate_keys", "freeze_roster", "share_keys", "mask", "check_consistency", "unmask"];

struct Run {
    outcome: Result<Vec<Told>, RunError>,
    trained: u32,
    restarts: u32,
}

/// Rounds of six sites of the weights 1, 2, 4, …, of which so many must answer. Nobody is assumed to help the server, so
/// that the threshold may be low.
fn run(fate: Fate, rounds: u32, threshold: Threshold) -> Run {
    let security = Security::Malicious { adversaries: 0.0 };
    let parameters = Parameters::new().with_security(security).with_max_weight(32);
    let inner = SecAgg::new(parameters.with_reconstruction_threshold(threshold));
    let flow: Flow<Server, Site, (), Vec<Told>> = Flow::new("faulty", 1)
        .start(Server::start)
        .repeat(|round| {
            let fan = round.foreach(Site::train).quorum(3).deadline(Duration::from_secs(1));
            fan.secure_join(Faulty { inner, fate }, Server::average)
        })
        .end();
    let (trained, restarts) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(0)));
    let counter = Arc::clone(&restarts);
    let runtime = LocalRuntime::new()
        .aggregator(Server { rounds, told: Vec::new() })
        .policy(ClientPolicy::default().with_min_security(security))
        .threads(SITES.len())
        .observe(Arc::new(move |event: &Event| {
            if let EventKind::Restarted { .. } = event.kind {
                *counter.lock().unwrap() += 1;
            }
        }));
    let runtime = (0..).zip(SITES).fold(runtime, |runtime, (place, name)| {
        runtime.collaborator(name, Site { weight: 1 << place, trained: Arc::clone(&trained) })
    });
    let outcome = runtime.run(&flow, ());
    let restarts = *restarts.lock().unwrap();
    Run { outcome, trained: trained.load(Ordering::SeqCst), restarts }
}

/// Whether the sum was settled before this step: then its input is in it.
fn settled(step: &str) -> bool {
    ["check_consistency", "unmask"].contains(&step)
}

#[test]
fn a_corrupted_message_is_refused_and_its_sender_is_known_to_be_at_fault() {
    for step in STEPS {
        let run = run(Fate { fault: Fault::Corrupted, step, who: &["b"] }, 1, Threshold::Count(4));
        let told = run.outcome.unwrap().remove(0);
        assert_eq!(told.weight, if settled(step) { 63 } else { 61 }, "{step}");
        let proof = told.missing.iter().any(|line| line.starts_with("b: ") && line.contains("at fault"));
        assert_eq!(proof, !settled(step), "{step}: {told:?}");
        assert_eq!(run.restarts, 0, "enough are left");
    }
}

#[test]
fn a_message_of_an_earlier_session_is_refused() {
    for step in STEPS {
        let run = run(Fate { fault: Fault::Replayed, step, who: &["b"] }, 2, Threshold::Count(4));
        let told = run.outcome.unwrap();
        assert_eq!(told[0].weight, 63, "{step}: nothing to replay yet");
        assert_eq!(told[1].weight, if settled(step) { 63 } else { 61 }, "{step}");
        let refused = told[1].missing.iter().any(|line| line.contains("session-mismatch"));
        assert_eq!(refused, !settled(step), "{step}: {told:?}");
    }
}

#[test]
fn who_is_late_is_missing_at_any_step_and_nobody_calls_it_guilty() {
    for step in STEPS {
        let run = run(Fate { fault: Fault::Late, step, who: &["b"] }, 1, Threshold::Count(4));
        let told = run.outcome.unwrap().remove(0);
        assert_eq!(told.weight, if settled(step) { 63 } else { 61 }, "{step}");
        assert!(told.missing.iter().all(|line| line.contains("deadline")), "{step}: {told:?}");
    }
}

#[test]
fn below_the_threshold_the_error_names_who_is_missing_and_who_is_at_fault() {
    for step in STEPS {
        let who: &[&str] = &["b", "d", "e"];
        let run = run(Fate { fault: Fault::Corrupted, step, who }, 1, Threshold::Count(4));
        let error = run.outcome.unwrap_err();
        let culprits: BTreeSet<String> = error.culprits().iter().map(ToString::to_string).collect();
        assert_eq!(culprits, who.iter().map(ToString::to_string).collect(), "{step}: {error}");
        let RunError::SecureSession { missing, .. } = &error else { panic!("{step}: {error}") };
        assert_eq!(missing.len(), 3, "{step}");
        assert_eq!(error.code(), "below-threshold", "{step}: {error}");
        assert_eq!(run.restarts, 0, "three are fewer than four, whatever the attempt");
        assert_eq!(run.trained, if STEPS[..3].contains(&step) { 0 } else { 6 }, "{step}");
    }
}

#[test]
fn a_setup_that_failed_is_started_again_without_those_at_fault_and_trains_once() {
    for step in &STEPS[..3] {
        let who = &["b", "d"];
        let run = run(Fate { fault: Fault::Corrupted, step, who }, 2, Threshold::TwoThirds);
        let told = run.outcome.unwrap();
        assert_eq!(told.len(), 2, "they are invited again in the next round");
        for told in told {
            assert_eq!(told.weight, 63 - 2 - 8, "{step}");
            assert_eq!(told.missing.len(), 2, "{step}: {told:?}");
        }
        assert_eq!((run.restarts, run.trained), (2, 2 * 4), "{step}: once a round");
    }
}

#[test]
fn from_the_masked_inputs_on_a_session_is_not_started_again() {
    for step in &STEPS[3..] {
        let run = run(Fate { fault: Fault::Corrupted, step, who: &["b", "d"] }, 1, Threshold::TwoThirds);
        let error = run.outcome.unwrap_err();
        assert_eq!(error.code(), "below-threshold", "{step}: {error}");
        assert_eq!((run.restarts, run.trained), (0, 6), "{step}: each site trained once");
    }
}
