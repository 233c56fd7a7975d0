//! Who takes part, with which keys: frozen by the server after round 0, checked by every client.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::{
    error::{Error, SERVER, Stage},
    graph::Graph,
    identity::{Claim, Identities, PublicIdentity, Signature, Signed, verify_all},
    keys::EncodedKey,
    plan::Plan,
    session::Session,
    transcript::{Transcript, domain},
};

/// The frozen list of members, sent to each of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterMessage {
    pub(crate) session: Session,
    pub(crate) plan: ByteArray<32>,
    /// Shared by all who are in one process: with many clients it would be most of what they keep.
    pub(crate) members: Arc<Vec<RosterEntry>>,
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

/// A roster that was checked: sorted by name, of different keys, each signed by its owner where the server is not
/// trusted, no larger than planned.
///
/// A key is known to be a point of the curve where it is used, and at the server when it comes. A member is known by its
/// *number*, its place in the list as it was sent, from 0; numbers are in the order of names, and keep when somebody
/// leaves.
#[derive(Clone)]
pub(crate) struct Roster {
    /// As it was sent. In one process all share it.
    entries: Arc<Vec<RosterEntry>>,
    /// The numbers of those who did not reveal, in ascending order.
    left: Vec<u32>,
    digest: [u8; 32],
    /// Who signs with which key; `None` where nothing is signed.
    trusted: Option<Arc<Identities>>,
    links: Links,
}

/// Who is whose neighbour, as far as this side has to know.
#[derive(Clone)]
enum Links {
    /// Everybody everybody's.
    Complete,
    /// Known, and computed when asked for.
    Graph(Arc<Graph>),
    /// All rows, by number: the server's.
    Rows(Arc<Vec<Vec<u32>>>),
    /// One row: a client's. With each neighbour goes this client's place among those of the neighbour.
    Own { me: u32, row: Vec<u32>, places: Vec<u8> },
}

impl Roster {
    /// A client's: everybody's signature is verified. `trusted` are the identities that this side pins; with none,
    /// nothing is signed.
    pub(crate) fn check(
        message: &RosterMessage,
        session: &Session,
        plan: &Plan,
        trusted: Option<&Arc<Identities>>,
    ) -> Result<Self, Error> {
        let roster = Self::of_verified(message, session, plan, trusted)?;
        if let Some(trusted) = trusted {
            check_signatures(message, session, trusted)?;
        }
        Ok(roster)
    }

    /// The server's, which verified each signature when it came. Both sides build it from the same message with the
    /// same other checks, so they agree on its digest.
    pub(crate) fn of_verified(
        message: &RosterMessage,
        session: &Session,
        plan: &Plan,
        trusted: Option<&Arc<Identities>>,
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
        let mut last: Option<&str> = None;
        for entry in &*message.members {
            let name = entry.name.as_str();
            check_name(name)?;
            if last.is_some_and(|last| last >= name) {
                return Err(Error::RosterNotSorted { name: name.to_owned() });
            }
            last = Some(name);
            for key in [entry.sealing_key, entry.masking_key] {
                key.check_form(SERVER, name)?;
                transcript = transcript.bytes(key.as_bytes());
            }
            transcript = transcript.bytes(&*entry.commitment).text(name);
        }
        check_different(&message.members)?;
        Ok(Self {
            entries: Arc::clone(&message.members),
            left: Vec::new(),
            digest: transcript.hash(),
            trusted: trusted.cloned(),
            links: Links::Complete,
        })
    }

    /// The roster of those who are kept, under its new digest, with the graph that follows from it.
    pub(crate) fn freeze<'a>(
        mut self,
        digest: [u8; 32],
        plan: &Plan,
        kept: impl Iterator<Item = &'a String>,
    ) -> Self {
        // Both are in the order of names.
        let mut kept = kept.peekable();
        let mut is_kept = |entry: &RosterEntry| kept.next_if(|name| **name == entry.name).is_some();
        let gone = (0..).zip(&*self.entries).filter(|(_, entry)| !is_kept(entry)).map(|(number, _)| number);
        self.left = gone.collect();
        self.digest = digest;
        if !plan.is_complete() {
            let members = self.members().map(|(number, entry)| (number, &entry.name));
            self.links = Links::Graph(Arc::new(Graph::new(&digest, members, plan.shares())));
        }
        self
    }

    /// Keeps of the graph what one client has to know of it: its own row, and its place among the neighbours of each
    /// neighbour.
    pub(crate) fn seen_by(mut self, name: &str) -> Self {
        if let (Links::Graph(graph), Some(me)) = (&self.links, self.number(name)) {
            let row = graph.neighbours(me);
            let place = |from: &u32| u8::try_from(graph.place_among(*from, me)?).ok();
            let places = row.iter().map(|from| place(from).unwrap_or(u8::MAX)).collect();
            self.links = Links::Own { me, row, places };
        }
        self
    }

    /// Computes all rows at once: a server needs each of them many times.
    pub(crate) fn seen_by_server(mut self) -> Self {
        if let Links::Graph(graph) = &self.links {
            let mut rows = vec![Vec::new(); self.numbers()];
            for (number, _) in self.members() {
                if let Some(row) = rows.get_mut(number as usize) {
                    *row = graph.neighbours(number);
                }
            }
            self.links = Links::Rows(Arc::new(rows));
        }
        self
    }

    /// All members with their numbers.
    pub(crate) fn members(&self) -> impl Iterator<Item = (u32, &RosterEntry)> {
        let mut left = self.left.iter().peekable();
        (0..).zip(&*self.entries).filter(move |(number, _)| left.next_if_eq(&number).is_none())
    }

    /// A member's number.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        let number = self.entries.binary_search_by(|entry| entry.name.as_str().cmp(name)).ok()?;
        u32::try_from(number).ok().filter(|number| self.left.binary_search(number).is_err())
    }

    /// More than the largest number.
    pub(crate) fn numbers(&self) -> usize {
        self.entries.len()
    }

    /// The member of a number.
    pub(crate) fn entry(&self, number: u32) -> Option<&RosterEntry> {
        self.entries.get(number as usize)
    }

    /// The numbers of those with whom a member shares and masks, in ascending order.
    pub(crate) fn row(&self, member: u32) -> Cow<'_, [u32]> {
        match &self.links {
            Links::Complete => {
                self.members().map(|(number, _)| number).filter(|number| *number != member).collect()
            }
            Links::Graph(graph) => graph.neighbours(member).into(),
            Links::Rows(rows) => rows.get(member as usize).map_or(&[][..], Vec::as_slice).into(),
            Links::Own { me, row, .. } if *me == member => row.as_slice().into(),
            Links::Own { .. } => Cow::default(),
        }
    }

    /// Those with whom a member shares and masks, by name.
    pub(crate) fn neighbours(&self, name: &str) -> Vec<(&String, &RosterEntry)> {
        let Some(member) = self.number(name) else { return Vec::new() };
        let row = self.row(member);
        row.iter().filter_map(|number| self.entry(*number)).map(|entry| (&entry.name, entry)).collect()
    }

    /// Among how many each member's secrets are shared: all, or its neighbours.
    pub(crate) fn shares(&self) -> usize {
        match self.links {
            Links::Complete => self.len(),
            _ => self.degree(),
        }
    }

    /// k: how many neighbours each member has.
    pub(crate) fn degree(&self) -> usize {
        match &self.links {
            Links::Complete => self.len().saturating_sub(1),
            Links::Graph(graph) => graph.degree(),
            Links::Rows(rows) => rows.iter().map(Vec::len).max().unwrap_or(0),
            Links::Own { row, .. } => row.len(),
        }
    }

    /// The position of the share that `holder` has of a secret of `owner`, from 1. On the complete graph everybody has
    /// one place; else it is the place among the owner's neighbours.
    pub(crate) fn share_position(&self, owner: &str, holder: &str) -> Option<u8> {
        self.position(self.number(owner)?, self.number(holder)?)
    }

    /// [`share_position`](Self::share_position) by numbers.
    pub(crate) fn position(&self, owner: u32, holder: u32) -> Option<u8> {
        let place = match &self.links {
            Links::Complete => self.index(holder),
            _ => self.place_among(owner, holder)?,
        };
        u8::try_from(place.checked_add(1)?).ok()
    }

    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Whether messages are signed.
    pub(crate) fn is_signed(&self) -> bool {
        self.trusted.is_some()
    }

    /// A member's identity key; `None` where nothing is signed.
    pub(crate) fn identity(&self, name: &str) -> Result<Option<&PublicIdentity>, Error> {
        let Some(trusted) = &self.trusted else { return Ok(None) };
        trusted.get(name).map(Some).ok_or(Error::Internal { operation: "roster lookup" })
    }

    /// Whether a member signed this statement; nothing is asked where nothing is signed.
    pub(crate) fn verify(
        &self,
        signed: &Signed<'_>,
        statement: &Transcript,
        signature: Option<&Signature>,
    ) -> Result<(), Error> {
        match self.identity(signed.signer)? {
            Some(identity) => signed.verify(identity, statement, signature),
            None => Ok(()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len().saturating_sub(self.left.len())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&RosterEntry> {
        self.entry(self.number(name)?)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.members().map(|(_, entry)| &entry.name)
    }

    /// At which place of those to whom `from` deals `to` is; `None` where they are one.
    pub(crate) fn place_among(&self, from: u32, to: u32) -> Option<usize> {
        match &self.links {
            Links::Complete => (to != from).then(|| self.index(to).saturating_sub(usize::from(to > from))),
            Links::Graph(graph) => graph.place_among(from, to),
            Links::Rows(rows) => rows.get(from as usize)?.binary_search(&to).ok(),
            Links::Own { me, row, .. } if *me == from => row.binary_search(&to).ok(),
            Links::Own { me, row, places } if *me == to => {
                places.get(row.binary_search(&from).ok()?).copied().map(usize::from)
            }
            Links::Own { .. } => None,
        }
    }

    /// A member's place among all that are left, from 0.
    fn index(&self, member: u32) -> usize {
        (member as usize).saturating_sub(self.left.partition_point(|left| *left < member))
    }
}

/// No key may be in the roster twice, whoever has it.
fn check_different(entries: &[RosterEntry]) -> Result<(), Error> {
    let keys = entries.iter().flat_map(|entry| [(entry.sealing_key, entry), (entry.masking_key, entry)]);
    let mut keys: Vec<(EncodedKey, &str)> = keys.map(|(key, entry)| (key, entry.name.as_str())).collect();
    keys.sort_unstable();
    let twice = keys.array_windows().find(|[first, second]| first.0 == second.0);
    match twice {
        Some([first, second]) => {
            Err(Error::DuplicateKey { first: first.1.to_owned(), second: second.1.to_owned() })
        }
        None => Ok(()),
    }
}

/// Each member signed its keys.
fn check_signatures(message: &RosterMessage, session: &Session, trusted: &Identities) -> Result<(), Error> {
    let mut claims = Vec::with_capacity(message.members.len());
    for entry in &*message.members {
        let name = entry.name.as_str();
        let (sealing, masking) = (&entry.sealing_key, &entry.masking_key);
        let statement = keys_statement(session, &message.plan, name, sealing, masking, &entry.commitment);
        let key = known(trusted, SERVER, name)?;
        claims.push(Claim {
            signer: name,
            key,
            digest: statement.hash(),
            signature: entry.signature.as_ref(),
        });
    }
    verify_all(Stage::AdvertiseKeys, SERVER, &claims)
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
            members: Arc::new(names.iter().map(member).collect()),
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
        let places = [0, 1, 2].map(|to| roster.place_among(1, to));
        assert_eq!(places, [Some(0), None, Some(1)]);
        assert_eq!(roster.neighbours("b").into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn row_04_duplicate_names_and_keys_are_refused() {
        assert_eq!(check(&roster(&["a", "a"])).err(), Some(Error::RosterNotSorted { name: "a".into() }));
        assert_eq!(check(&roster(&["b", "a"])).err(), Some(Error::RosterNotSorted { name: "a".into() }));
        let mut shared = roster(&["a", "b", "c"]);
        let key = shared.members[0].sealing_key;
        Arc::make_mut(&mut shared.members)[2].masking_key = key;
        let error = check(&shared).err().unwrap();
        assert_eq!(error, Error::DuplicateKey { first: "a".into(), second: "c".into() });
        let mut twice = roster(&["a"]);
        let key = twice.members[0].sealing_key;
        Arc::make_mut(&mut twice.members)[0].masking_key = key;
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
    fn a_malformed_key_names_who_passed_it_on() {
        let mut bad = roster(&["a", "b", "c"]);
        Arc::make_mut(&mut bad.members)[1].sealing_key = EncodedKey::from_bytes([0; 33]);
        assert_eq!(
            check(&bad).err(),
            Some(Error::InvalidPublicKey { from: SERVER.into(), owner: "b".into() })
        );
    }

    #[test]
    fn digest_covers_every_key() {
        let message = roster(&["a", "b", "c"]);
        let mut swapped = message.clone();
        let entry = &mut Arc::make_mut(&mut swapped.members)[1];
        std::mem::swap(&mut entry.sealing_key, &mut entry.masking_key);
        assert_ne!(check(&message).unwrap().digest(), check(&swapped).unwrap().digest());
    }
}
