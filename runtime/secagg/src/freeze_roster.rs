//! Round 0, second exchange: every client signs the roster and reveals its random value, and from all of them follows
//! who is whose neighbour (`SECURITY.md`, rows 4 and 5).
//!
//! *Commit, freeze, reveal.* Round 0 carried H(r). A client reveals r only for a roster that it has checked, and signs
//! that roster in the same breath. What the members go on with is SHA-256 of the roster and every revealed r: the
//! frozen roster's digest, which everything later is bound to, and the seed of the [`graph`](crate::graph). An honest
//! r is random and unknown until its owner has seen all commitments, so nobody can choose the graph.
//!
//! Who does not reveal is not in the frozen roster. A server could use that: it sees all r before it says which of
//! them arrived, and each choice is another graph. Where the graph matters, clients refuse a frozen roster that is one
//! of more choices than neighbours and threshold leave room for within 2⁻⁴⁰, and of more than [2¹⁰](REDRAWS) in any
//! case: with shares that just hold, nobody may be left out, and the next attempt is made without whom this one missed.
//! A server that starts sessions over and over until it likes a graph has a new draw in each of them, as in every
//! attempt: a site's policy bounds how many it [begins](crate::ClientPolicy::with_max_unfinished) in a row.

use std::collections::BTreeMap;

use rand::TryRng as _;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::{
    admission::{of_one, take_all},
    cohort::{Site, check_size, missing},
    defences::{Defence, stands},
    error::{Error, SERVER, Stage},
    identity::{Claim, Signature, verify_all},
    keys::PrivateKey,
    plan::Plan,
    random::Generator,
    redacted::redacted_debug,
    roster::{Roster, RosterEntry, RosterMessage},
    session::Session,
    share_keys::{ShareKeysClient, ShareKeysServer},
    transcript::{Transcript, domain},
};

const STAGE: Stage = Stage::FreezeRoster;

/// How many graphs a server may choose from at most, by leaving members out. The probability that a random graph is bad
/// for somebody grows by this factor, and [`Plan::graphs_to_choose_from`] says what it may grow by.
const REDRAWS: u64 = 1 << 10;

/// A client's part of the seed. It is secret until it is revealed, and protects nothing afterwards.
#[derive(Clone, Copy)]
pub(crate) struct Randomness([u8; 32]);

impl Randomness {
    pub(crate) fn generate() -> Result<Self, Error> {
        let mut bytes = [0; 32];
        Generator.try_fill_bytes(&mut bytes).map_err(|_| Error::NoEntropy)?;
        Ok(Self(bytes))
    }

    /// H(r).
    pub(crate) fn commitment(&self, session: &Session, name: &str) -> [u8; 32] {
        commitment(session, name, &self.0)
    }
}

fn commitment(session: &Session, name: &str, r: &[u8; 32]) -> [u8; 32] {
    Transcript::new(domain!("randomness")).session(session).text(name).bytes(r).hash()
}

fn statement(session: &Session, roster: &Roster) -> Transcript {
    Transcript::new(domain!("signature/freeze-roster")).session(session).bytes(roster.digest())
}

/// A client that advertised its keys and waits for the roster. Secret: it holds both private keys.
pub struct FreezeRosterClient {
    pub(crate) site: Site,
    pub(crate) sealing: PrivateKey,
    pub(crate) masking: PrivateKey,
    pub(crate) randomness: Randomness,
    /// What the roster has to say of this client.
    pub(crate) own: RosterEntry,
}

redacted_debug!(FreezeRosterClient, site.session);

impl FreezeRosterClient {
    /// Checks the roster, signs it, and reveals this client's random value for it.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the roster: [`BadSignature`](Error::BadSignature),
    /// [`IdentityUnknown`](Error::IdentityUnknown), [`TooManyAdversaries`](Error::TooManyAdversaries) and others.
    pub fn freeze_roster(
        self,
        message: &RosterMessage,
    ) -> Result<(ShareKeysClient, FreezeRosterMessage), Error> {
        let Self { site, sealing, masking, randomness, own } = self;
        let roster = Roster::check(message, &site.session, &site.plan, site.trusted())?;
        check_own(&own, &roster)?;
        site.check_adversaries(&roster)?;
        site.check_size(STAGE, roster.len(), std::iter::empty())?;
        site.check_fixed(roster.names())?;
        let statement = statement(&site.session, &roster);
        let message = FreezeRosterMessage {
            session: site.session,
            randomness: ByteArray::new(randomness.0),
            signature: site.identity.as_ref().map(|identity| identity.sign(&statement)),
        };
        Ok((ShareKeysClient { site, sealing, masking, roster }, message))
    }
}

/// A roster without this client, or with keys that it did not make, is not one to share secrets with.
fn check_own(own: &RosterEntry, roster: &Roster) -> Result<(), Error> {
    match roster.get(&own.name) {
        None => Err(Error::NotInRoster { client: own.name.clone() }),
        Some(listed) if listed == own => Ok(()),
        Some(_) => Err(Error::OwnKeysReplaced { client: own.name.clone() }),
    }
}

/// A client's random value, for the roster that it signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreezeRosterMessage {
    pub(crate) session: Session,
    pub(crate) randomness: ByteArray<32>,
    pub(crate) signature: Option<Signature>,
}

/// Everybody's random values and signatures. Who is not in here takes no further part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrozenRosterMessage {
    pub(crate) session: Session,
    pub(crate) reveals: BTreeMap<String, FreezeRosterMessage>,
}

impl FrozenRosterMessage {
    /// The members' names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.reveals.keys().map(String::as_str)
    }
}

/// Checks what one member revealed, but for its signature.
fn check_reveal(
    member: Option<&RosterEntry>,
    session: &Session,
    from: &str,
    name: &str,
    message: &FreezeRosterMessage,
) -> Result<(), Error> {
    session.check(from, &message.session)?;
    let member = member.ok_or_else(|| Error::StrangerPassedOn {
        stage: STAGE,
        from: from.to_owned(),
        name: name.to_owned(),
    })?;
    let is_committed = commitment(session, name, &message.randomness) == *member.commitment;
    if !is_committed && stands(Defence::CommittedRandomness) {
        return Err(Error::WrongReveal { from: from.to_owned(), name: name.to_owned() });
    }
    Ok(())
}

/// The roster of those who revealed, and its digest: both sides compute it from the same message.
pub(crate) fn frozen(roster: Roster, plan: &Plan, reveals: &BTreeMap<String, FreezeRosterMessage>) -> Roster {
    let start = Transcript::new(domain!("frozen-roster")).bytes(roster.digest()).int(reveals.len() as u64);
    let add = |transcript: Transcript, (name, reveal): (&String, &FreezeRosterMessage)| {
        transcript.text(name).bytes(&*reveal.randomness)
    };
    let digest = reveals.iter().fold(start, add).hash();
    roster.freeze(digest, plan, reveals.keys())
}

/// A client's view of the frozen roster.
pub(crate) fn check_frozen(
    site: &Site,
    roster: Roster,
    message: &FrozenRosterMessage,
) -> Result<Roster, Error> {
    site.session.check(SERVER, &message.session)?;
    let digest = statement(&site.session, &roster).hash();
    let mut claims = Vec::new();
    // Both are in the order of names.
    let mut members = roster.members().map(|(_, member)| member).peekable();
    for (name, reveal) in &message.reveals {
        while members.next_if(|member| member.name < *name).is_some() {}
        let member = members.next_if(|member| member.name == *name);
        check_reveal(member, &site.session, SERVER, name, reveal)?;
        if let Some(key) = roster.identity(name)? {
            claims.push(Claim { signer: name, key, digest, signature: reveal.signature.as_ref() });
        }
    }
    verify_all(STAGE, SERVER, &claims)?;
    drop((claims, members));
    if !message.reveals.contains_key(&site.name) {
        return Err(Error::NotInRoster { client: site.name.clone() });
    }
    let everybody = message.reveals.len() == roster.len();
    let left = if everybody { Vec::new() } else { missing(roster.names(), &message.reveals) };
    site.check_size(STAGE, message.reveals.len(), left.iter().copied())?;
    site.check_fixed(message.reveals.keys())?;
    check_withheld(&site.plan, roster.len(), site.colluders, &left)?;
    let roster = frozen(roster, &site.plan, &message.reveals).seen_by(&site.name);
    site.check_adversaries(&roster)?;
    check_degree(&site.plan, &roster)?;
    Ok(roster)
}

/// Whether those who were left out of a sparse graph are so few that nobody could have chosen it.
fn check_withheld(plan: &Plan, members: usize, colluders: usize, left: &[&String]) -> Result<(), Error> {
    if !plan.security().is_malicious() || plan.is_complete() {
        return Ok(());
    }
    if choices(members, left.len()) > plan.graphs_to_choose_from(members, colluders).min(REDRAWS) {
        return Err(Error::TooManyWithheld { missing: left.iter().map(|name| (*name).clone()).collect() });
    }
    Ok(())
}

/// With few members left a sparse graph has fewer neighbours for each than a threshold may need.
fn check_degree(plan: &Plan, roster: &Roster) -> Result<(), Error> {
    if plan.is_complete() {
        return Ok(());
    }
    check_size(STAGE, roster.degree(), plan.threshold(), 0, std::iter::empty())
}

/// How many sets of at most `left` of the members there are, or more than [`REDRAWS`].
fn choices(members: usize, left: usize) -> u64 {
    let (mut sum, mut term) = (0_u64, 1_u64);
    for out in 0..=left as u64 {
        sum = sum.saturating_add(term);
        if sum > REDRAWS {
            break;
        }
        let next = term.saturating_mul((members as u64).saturating_sub(out));
        term = next.checked_div(out.saturating_add(1)).unwrap_or(0);
    }
    sum
}

/// The server, collecting what the members reveal.
pub struct FreezeRosterServer {
    session: Session,
    plan: Plan,
    roster: Roster,
    received: BTreeMap<String, FreezeRosterMessage>,
}

redacted_debug!(FreezeRosterServer, session);

impl FreezeRosterServer {
    pub(crate) fn new(session: Session, plan: Plan, roster: Roster) -> Self {
        Self { session, plan, roster, received: BTreeMap::new() }
    }

    /// Takes what `from` reveals, the name that the transport authenticated.
    pub fn receive(&mut self, from: &str, message: FreezeRosterMessage) -> Result<(), Error> {
        of_one(self.receive_all([(from.to_owned(), message)]))
    }

    /// [`receive`](Self::receive) for all that came together, by name: it takes less time. Returns those that are
    /// refused, each with its error; all others are taken.
    pub fn receive_all(
        &mut self,
        messages: impl IntoIterator<Item = (String, FreezeRosterMessage)>,
    ) -> Vec<(String, Error)> {
        let Self { session, roster, received, .. } = self;
        let digest = statement(session, roster).hash();
        let check = |from: &str, message: FreezeRosterMessage| {
            check_reveal(roster.get(from), session, from, from, &message)?;
            let signed = roster.signed(from, || digest, message.signature)?;
            Ok((message, signed))
        };
        take_all(STAGE, received, messages, |from| roster.get(from).is_some(), check)
    }

    /// Who revealed.
    pub fn received(&self) -> impl Iterator<Item = &str> {
        self.received.keys().map(String::as_str)
    }

    /// Who did not.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        missing(self.roster.names(), &self.received).into_iter().map(String::as_str)
    }

    /// Ends the exchange with those who answered. The message goes to each of them.
    ///
    /// # Errors
    ///
    /// [`BelowThreshold`](Error::BelowThreshold), [`CohortTooSmall`](Error::CohortTooSmall) and
    /// [`TooManyWithheld`](Error::TooManyWithheld) name who is missing. After the last, the clients would refuse the
    /// roster: the next attempt is made without those.
    pub fn reveal(self) -> Result<(ShareKeysServer, FrozenRosterMessage), Error> {
        let Self { session, plan, roster, received } = self;
        let absent = missing(roster.names(), &received);
        check_size(STAGE, received.len(), plan.threshold(), plan.min_cohort(), absent.iter().copied())?;
        check_withheld(&plan, roster.len(), plan.colluders(), &absent)?;
        let roster = frozen(roster, &plan, &received).seen_by_server();
        check_degree(&plan, &roster)?;
        let message = FrozenRosterMessage { session, reveals: received };
        Ok((ShareKeysServer::new(session, plan, roster), message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_05_choices_are_counted() {
        assert_eq!([choices(100, 0), choices(100, 1), choices(44, 2)], [1, 101, 991]);
        assert_eq!(choices(10, 10), 1024);
        assert!(choices(100, 2) > REDRAWS && choices(1000, usize::MAX) > REDRAWS);
    }

    #[test]
    fn row_05_a_commitment_is_to_one_value_of_one_member() {
        let session = Session::new([1; 32], 1);
        let r = Randomness([2; 32]);
        let base = r.commitment(&session, "a");
        assert_ne!(base, r.commitment(&session, "b"));
        assert_ne!(base, r.commitment(&session.with_attempt(1), "a"));
        assert_ne!(base, Randomness([3; 32]).commitment(&session, "a"));
        assert_ne!(Randomness::generate().unwrap().0, Randomness::generate().unwrap().0);
    }
}
