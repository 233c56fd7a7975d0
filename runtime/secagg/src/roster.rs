//! Who takes part, with which keys: frozen by the server after round 0, checked by every client.

mod message;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, sync::Arc};

pub(crate) use self::message::keys_statement;
pub use self::message::{RosterEntry, RosterMessage};
use crate::{
    admission::Signed,
    error::{Error, SERVER, Stage},
    graph::Graph,
    identity::{Claim, Identities, PublicIdentity, Signature, verify_all},
    keys::EncodedKey,
    plan::Plan,
    session::Session,
    transcript::{Transcript, domain},
};

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
    /// All rows, by number: the server's. With each neighbour goes the member's place among those of the neighbour.
    Rows(Arc<Vec<Vec<(u32, u8)>>>),
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
        check_plan(SERVER, plan.digest(), &message.plan)?;
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
            // How many of each member's neighbours come before this one.
            let mut before = vec![0_u8; self.numbers()];
            for (number, _) in self.members() {
                let with_place = |other: u32| {
                    let count = before.get_mut(other as usize)?;
                    let place = *count;
                    *count = place.saturating_add(1);
                    Some((other, place))
                };
                if let Some(row) = rows.get_mut(number as usize) {
                    *row = graph.neighbours(number).into_iter().filter_map(with_place).collect();
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
            Links::Rows(_) => self.row_with_places(member).iter().map(|(number, _)| *number).collect(),
            Links::Own { me, row, .. } if *me == member => row.as_slice().into(),
            Links::Own { .. } => Cow::default(),
        }
    }

    /// How many those are.
    pub(crate) fn row_len(&self, member: u32) -> usize {
        match &self.links {
            Links::Complete => self.len().saturating_sub(1),
            Links::Rows(_) => self.row_with_places(member).len(),
            _ => self.row(member).len(),
        }
    }

    fn row_with_places(&self, member: u32) -> &[(u32, u8)] {
        match &self.links {
            Links::Rows(rows) => rows.get(member as usize).map_or(&[], Vec::as_slice),
            _ => &[],
        }
    }

    /// Those with whom a member shares, in ascending order, each with the position of the share that it holds of their
    /// secrets.
    pub(crate) fn positions_of(&self, holder: u32) -> Vec<(u32, u8)> {
        if let Links::Rows(_) = &self.links {
            let row = self.row_with_places(holder).iter();
            return row.map(|(owner, place)| (*owner, place.saturating_add(1))).collect();
        }
        let row = self.row(holder);
        row.iter().filter_map(|owner| Some((*owner, self.position(*owner, holder)?))).collect()
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

    /// What a member is to have signed; nothing where nothing is signed.
    pub(crate) fn signed(
        &self,
        signer: &str,
        digest: impl FnOnce() -> [u8; 32],
        signature: Option<Signature>,
    ) -> Result<Option<Signed<'_>>, Error> {
        Ok(self.identity(signer)?.map(|key| Signed { key, digest: digest(), signature }))
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
            Links::Rows(_) => {
                self.row_with_places(from).binary_search_by_key(&to, |(number, _)| *number).ok()
            }
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

pub(crate) fn check_plan(from: &str, expected: [u8; 32], got: &[u8; 32]) -> Result<(), Error> {
    if expected == *got {
        Ok(())
    } else {
        Err(Error::PlanMismatch { from: from.to_owned(), expected, got: *got })
    }
}
