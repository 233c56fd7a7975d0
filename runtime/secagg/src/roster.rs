//! Who takes part, with which keys: frozen by the server after round 0, checked by every client.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::{
    error::{Error, SERVER, Stage},
    graph::Graph,
    identity::{Identities, PublicIdentity, Signature, Signed},
    keys::{EncodedKey, PublicKey},
    plan::Plan,
    session::Session,
    transcript::{Transcript, domain},
};

/// The frozen list of members, sent to each of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterMessage {
    pub(crate) session: Session,
    pub(crate) plan: ByteArray<32>,
    pub(crate) members: Vec<RosterEntry>,
}

/// One member: its index is its place in the roster, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterEntry {
    pub(crate) name: String,
    pub(crate) sealing_key: EncodedKey,
    pub(crate) masking_key: EncodedKey,
    /// H(r), of the random value that the member reveals next.
    pub(crate) commitment: ByteArray<32>,
    /// Of the member, over its keys; absent where nothing is signed.
    pub(crate) signature: Option<Signature>,
}

impl RosterMessage {
    /// The members' names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// A member's index, 1 to N.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.names().position(|member| member == name)?.checked_add(1)
    }

    /// N.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody takes part; no server sends such a roster.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Member {
    /// Its place by name, from 0.
    pub(crate) index: usize,
    pub(crate) sealing_key: PublicKey,
    pub(crate) masking_key: PublicKey,
    pub(crate) commitment: [u8; 32],
    /// Known where messages are signed, and only there.
    identity: Option<PublicIdentity>,
}

/// What a client signs in round 0: its keys and H(r), for one session, plan and role.
pub(crate) fn keys_statement(
    session: &Session,
    plan: &[u8; 32],
    name: &str,
    sealing_key: &EncodedKey,
    masking_key: &EncodedKey,
    commitment: &[u8; 32],
) -> Transcript {
    Transcript::new(domain!("signature/advertise-keys"))
        .session(session)
        .bytes(plan)
        .text("client")
        .text(name)
        .bytes(sealing_key.as_bytes())
        .bytes(masking_key.as_bytes())
        .bytes(commitment)
}

/// A roster that was checked: sorted by name, of valid and different keys, each signed by its owner where the server
/// is not trusted, no larger than planned.
#[derive(Clone)]
pub(crate) struct Roster {
    members: BTreeMap<String, Member>,
    digest: [u8; 32],
    /// Where not everybody is everybody's neighbour. Known once the roster is frozen.
    graph: Option<Graph>,
}

impl Roster {
    /// Both sides build it from the same message with the same checks, so they agree on its digest. `trusted` are the
    /// identities that this side pins; with none, nothing is signed.
    pub(crate) fn check(
        message: &RosterMessage,
        session: &Session,
        plan: &Plan,
        trusted: Option<&Identities>,
    ) -> Result<Self, Error> {
        session.check(SERVER, &message.session)?;
        check_plan(SERVER, plan, &message.plan)?;
        if message.members.len() > plan.clients() {
            return Err(Error::RosterTooLarge { max: plan.clients(), got: message.members.len() });
        }
        let mut transcript = Transcript::new(domain!("roster"))
            .session(session)
            .bytes(&plan.digest())
            .int(message.members.len() as u64);
        let mut owners: BTreeMap<EncodedKey, &str> = BTreeMap::new();
        let mut members = BTreeMap::new();
        let mut last: Option<&str> = None;
        for (index, entry) in message.members.iter().enumerate() {
            let name = entry.name.as_str();
            check_name(name)?;
            if last.is_some_and(|last| last >= name) {
                return Err(Error::RosterNotSorted { name: name.to_owned() });
            }
            last = Some(name);
            for key in [entry.sealing_key, entry.masking_key] {
                if let Some(first) = owners.insert(key, name) {
                    return Err(Error::DuplicateKey { first: first.to_owned(), second: name.to_owned() });
                }
                transcript = transcript.bytes(key.as_bytes());
            }
            transcript = transcript.bytes(&*entry.commitment).text(name);
            let identity = trusted.map(|trusted| known(trusted, SERVER, name)).transpose()?;
            if let Some(identity) = identity {
                let (sealing, masking) = (&entry.sealing_key, &entry.masking_key);
                let statement =
                    keys_statement(session, &message.plan, name, sealing, masking, &entry.commitment);
                let signed = Signed { stage: Stage::AdvertiseKeys, from: SERVER, signer: name };
                signed.verify(identity, &statement, entry.signature.as_ref())?;
            }
            let member = Member {
                index,
                sealing_key: entry.sealing_key.decode(SERVER, name)?,
                masking_key: entry.masking_key.decode(SERVER, name)?,
                commitment: *entry.commitment,
                identity: identity.copied(),
            };
            members.insert(entry.name.clone(), member);
        }
        Ok(Self { members, digest: transcript.hash(), graph: None })
    }

    /// The roster of those who are kept, under its new digest, with the graph that follows from it.
    pub(crate) fn freeze(mut self, digest: [u8; 32], plan: &Plan, keep: impl Fn(&str) -> bool) -> Self {
        self.members.retain(|name, _| keep(name));
        self.members.values_mut().zip(0..).for_each(|(member, index)| member.index = index);
        self.digest = digest;
        self.graph = (!plan.is_complete()).then(|| Graph::new(&digest, self.members.keys(), plan.shares()));
        self
    }

    /// Those with whom a member shares and masks, by name.
    pub(crate) fn neighbours<'a>(&'a self, name: &'a str) -> Vec<(&'a String, &'a Member)> {
        let Some(graph) = &self.graph else { return self.others(name).collect() };
        let Some(member) = self.members.get(name) else { return Vec::new() };
        // Both in ascending order: one pass over the members finds all.
        let mut wanted = graph.neighbours(member.index).into_iter().peekable();
        let is_wanted = |(_, other): &(&String, &Member)| wanted.next_if_eq(&other.index).is_some();
        self.members.iter().filter(is_wanted).collect()
    }

    /// Among how many a member's secrets are shared: all, or its neighbours.
    pub(crate) fn shares(&self, name: &str) -> usize {
        match &self.graph {
            None => self.len(),
            Some(_) => self.neighbours(name).len(),
        }
    }

    /// The position of the share that `holder` has of a secret of `owner`, from 1. On the complete graph everybody has
    /// one place; else it is the place among the owner's neighbours.
    pub(crate) fn share_position(&self, owner: &str, holder: &str) -> Option<u8> {
        let place = match &self.graph {
            None => self.get(holder)?.index,
            Some(_) => self.place_among_recipients(owner, holder)?,
        };
        u8::try_from(place.checked_add(1)?).ok()
    }

    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Whether a member signed this statement; nothing is asked where nothing is signed.
    pub(crate) fn verify(
        &self,
        signed: &Signed<'_>,
        statement: &Transcript,
        signature: Option<&Signature>,
    ) -> Result<(), Error> {
        match self.get(signed.signer).ok_or(Error::Internal { operation: "roster lookup" })?.identity {
            Some(identity) => signed.verify(&identity, statement, signature),
            None => Ok(()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Member> {
        self.members.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.members.keys()
    }

    /// At which place of those to whom `from` deals `to` is; `None` where they are one.
    pub(crate) fn place_among_recipients(&self, from: &str, to: &str) -> Option<usize> {
        let (from, to) = (self.get(from)?.index, self.get(to)?.index);
        match &self.graph {
            None => (to != from).then_some(to.saturating_sub(usize::from(to > from))),
            Some(graph) => graph.neighbours(from).binary_search(&to).ok(),
        }
    }

    /// Everybody but one.
    fn others<'a>(&'a self, me: &'a str) -> impl Iterator<Item = (&'a String, &'a Member)> {
        self.members.iter().filter(move |(name, _)| name.as_str() != me)
    }
}

/// The key that is pinned under a name.
pub(crate) fn known<'a>(
    trusted: &'a Identities,
    from: &str,
    name: &str,
) -> Result<&'a PublicIdentity, Error> {
    trusted.get(name).ok_or_else(|| Error::IdentityUnknown { from: from.to_owned(), name: name.to_owned() })
}

/// Longest name in bytes: names go into every key derivation.
const MAX_NAME: usize = 255;

pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Error::InvalidName { max: MAX_NAME, got: name.len() });
    }
    Ok(())
}

pub(crate) fn check_plan(from: &str, plan: &Plan, got: &[u8; 32]) -> Result<(), Error> {
    let expected = plan.digest();
    if expected == *got {
        Ok(())
    } else {
        Err(Error::PlanMismatch { from: from.to_owned(), expected, got: *got })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layout, Parameters, keys::PrivateKey};

    fn key() -> EncodedKey {
        PrivateKey::generate().unwrap().encoded_public_key().unwrap()
    }

    fn plan() -> Plan {
        Parameters::new().plan(3, Layout::new(0, 1)).unwrap()
    }

    fn roster(names: &[&str]) -> RosterMessage {
        let member = |name: &&str| RosterEntry {
            name: (*name).into(),
            sealing_key: key(),
            masking_key: key(),
            commitment: ByteArray::new([0; 32]),
            signature: None,
        };
        RosterMessage {
            session: Session::new([1; 32], 1),
            plan: ByteArray::new(plan().digest()),
            members: names.iter().map(member).collect(),
        }
    }

    fn check(message: &RosterMessage) -> Result<Roster, Error> {
        Roster::check(message, &Session::new([1; 32], 1), &plan(), None)
    }

    #[test]
    fn indices_follow_the_names() {
        let message = roster(&["a", "b", "c"]);
        let roster = check(&message).unwrap();
        for (name, index) in [("a", 1), ("b", 2), ("c", 3)] {
            assert_eq!(message.index_of(name), Some(index));
            assert_eq!(roster.share_position("b", name).map(usize::from), Some(index));
        }
        assert_eq!(message.index_of("d"), None);
        let places = ["a", "b", "c"].map(|to| roster.place_among_recipients("b", to));
        assert_eq!(places, [Some(0), None, Some(1)]);
        assert_eq!(roster.others("b").map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn row_04_duplicate_names_and_keys_are_refused() {
        assert_eq!(check(&roster(&["a", "a"])).err(), Some(Error::RosterNotSorted { name: "a".into() }));
        assert_eq!(check(&roster(&["b", "a"])).err(), Some(Error::RosterNotSorted { name: "a".into() }));
        let mut shared = roster(&["a", "b", "c"]);
        shared.members[2].masking_key = shared.members[0].sealing_key;
        let error = check(&shared).err().unwrap();
        assert_eq!(error, Error::DuplicateKey { first: "a".into(), second: "c".into() });
        let mut twice = roster(&["a"]);
        twice.members[0].masking_key = twice.members[0].sealing_key;
        assert_eq!(check(&twice).err(), Some(Error::DuplicateKey { first: "a".into(), second: "a".into() }));
    }

    #[test]
    fn row_04_a_padded_roster_is_refused() {
        let error = check(&roster(&["a", "b", "c", "d"])).err();
        assert_eq!(error, Some(Error::RosterTooLarge { max: 3, got: 4 }));
    }

    #[test]
    fn names_are_bounded() {
        let error = check(&roster(&[""])).err();
        assert_eq!(error, Some(Error::InvalidName { max: 255, got: 0 }));
        assert!(check_name(&"x".repeat(255)).is_ok());
        assert!(check_name(&"x".repeat(256)).is_err());
    }

    #[test]
    fn row_07_a_roster_of_another_session_or_plan_is_refused() {
        let mut other = roster(&["a", "b", "c"]);
        other.session = other.session.with_attempt(1);
        assert_eq!(check(&other).err().unwrap().code(), "session-mismatch");
        let mut other = roster(&["a", "b", "c"]);
        other.plan = ByteArray::new([0; 32]);
        assert_eq!(check(&other).err().unwrap().code(), "plan-mismatch");
    }

    #[test]
    fn a_key_off_the_curve_names_who_passed_it_on() {
        let mut bad = roster(&["a", "b", "c"]);
        bad.members[1].sealing_key = EncodedKey::from_bytes([0; 33]);
        assert_eq!(
            check(&bad).err(),
            Some(Error::InvalidPublicKey { from: SERVER.into(), owner: "b".into() })
        );
    }

    #[test]
    fn digest_covers_every_key() {
        let message = roster(&["a", "b", "c"]);
        let mut swapped = message.clone();
        let entry = &mut swapped.members[1];
        std::mem::swap(&mut entry.sealing_key, &mut entry.masking_key);
        assert_ne!(check(&message).unwrap().digest(), check(&swapped).unwrap().digest());
    }
}
