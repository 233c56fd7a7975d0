//! The roster: who belongs to the federation, in which role and with which key, as its authority says.
//!
//! Sites pin it. It has a version, so that nobody can go back to an older one, and it ends, so that nobody can hold
//! a newer one back for ever. What changes from one version to the next is for the site to approve.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use veilflow_secagg::{Identities, PublicIdentity};
use veilflow_spec::Name;

use super::clock::{from_seconds, seconds};
use super::error::{PkiError, malformed};
use super::key::Key;
use super::role::Role;
use super::trust::{ROSTER, Thumbprint, Trust, in_time};

/// A participant of the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its role.
    pub role: Role,
    /// Its public key, of TLS and of SecAgg.
    pub key: PublicIdentity,
}

impl Member {
    /// The key's SHA-256, for people to compare.
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::of(&self.key.to_bytes())
    }
}

/// Who belongs to the federation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    version: u64,
    issued: u64,
    not_after: u64,
    members: BTreeMap<Name, Member>,
}

/// What differs between two rosters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RosterChange {
    /// New participants.
    pub added: Vec<Name>,
    /// Participants with another key or role than before. Treat them as new ones.
    pub changed: Vec<Name>,
    /// Participants that are gone.
    pub removed: Vec<Name>,
}

impl RosterChange {
    /// Whether somebody is trusted now who was not before.
    pub fn adds(&self) -> bool {
        !self.added.is_empty() || !self.changed.is_empty()
    }
}

impl Roster {
    pub(crate) fn new(
        version: u64,
        (issued, not_after): (SystemTime, SystemTime),
        members: BTreeMap<Name, Member>,
    ) -> Self {
        Self { version, issued: seconds(issued), not_after: seconds(not_after), members }
    }

    /// Grows with each roster that the authority signs.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When it was signed.
    pub fn issued(&self) -> SystemTime {
        from_seconds(self.issued)
    }

    /// When it ends.
    pub fn not_after(&self) -> SystemTime {
        from_seconds(self.not_after)
    }

    /// Who has this name.
    pub fn get(&self, name: &str) -> Option<&Member> {
        self.members.get(name)
    }

    /// Everybody, by name.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (&Name, &Member)> {
        self.members.iter()
    }

    /// The keys of the envoys, which SecAgg's clients trust.
    pub fn identities(&self) -> Identities {
        let envoys = self.members.iter().filter(|(_, member)| member.role == Role::Envoy);
        Identities::new(envoys.map(|(name, member)| (name.as_str(), member.key)))
    }

    /// What is different from an older roster.
    ///
    /// # Errors
    /// [`PkiError::Stale`] where the other is the newer one.
    pub fn changes_since(&self, older: &Roster) -> Result<RosterChange, PkiError> {
        if self.version < older.version {
            return Err(PkiError::Stale { what: "roster", have: older.version, got: self.version });
        }
        let mut change = RosterChange::default();
        for (name, member) in &self.members {
            match older.members.get(name) {
                None => change.added.push(name.clone()),
                Some(before) if before != member => change.changed.push(name.clone()),
                Some(_) => {}
            }
        }
        let gone = older.members.keys().filter(|name| !self.members.contains_key(*name));
        change.removed = gone.cloned().collect();
        Ok(change)
    }
}

/// A roster as it travels and is kept: bytes that mean nothing until they are [verified](Self::verify).
#[derive(Clone, PartialEq, Eq)]
pub struct SignedRoster(Vec<u8>);

impl SignedRoster {
    pub(crate) fn sign(key: &Key, roster: &Roster) -> Result<Self, PkiError> {
        let members = roster.members.iter().map(|(name, member)| Line {
            name: name.clone(),
            role: member.role,
            key: ByteArray::new(member.key.to_bytes()),
        });
        let encoded = Encoded {
            version: roster.version,
            issued: roster.issued,
            not_after: roster.not_after,
            members: members.collect(),
        };
        ROSTER.sign(key, &encoded).map(Self)
    }

    /// Bytes that may be a roster.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// As it travels and is kept.
    pub fn to_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The roster, where the authority signed it and it has not ended.
    ///
    /// # Errors
    /// [`PkiError::WrongAuthority`], [`PkiError::Expired`] and [`PkiError::Malformed`].
    pub fn verify(&self, trust: &Trust, now: SystemTime) -> Result<Roster, PkiError> {
        let roster = self.read(trust)?;
        let next = "ask the administrator for a newer one (`pki roster` signs it)";
        in_time("roster", "the federation", (0, roster.not_after), now, next)?;
        Ok(roster)
    }

    /// The same, whether it has ended or not: what was pinned before is compared with, not trusted.
    ///
    /// # Errors
    /// As [`verify`](Self::verify), but for the end.
    pub fn read(&self, trust: &Trust) -> Result<Roster, PkiError> {
        let encoded: Encoded = ROSTER.decode(trust.body(&ROSTER, &self.0)?)?;
        let mut members = BTreeMap::new();
        for line in encoded.members {
            line.name.validate()?;
            let key = PublicIdentity::from_bytes(&line.key);
            let key = key.ok_or_else(|| malformed(ROSTER.what, "a key is no point of P-256"))?;
            if members.insert(line.name, Member { role: line.role, key }).is_some() {
                return Err(malformed(ROSTER.what, "a name is there twice"));
            }
        }
        let Encoded { version, issued, not_after, .. } = encoded;
        Ok(Roster { version, issued, not_after, members })
    }
}

impl std::fmt::Debug for SignedRoster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignedRoster({} bytes)", self.0.len())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded {
    version: u64,
    issued: u64,
    not_after: u64,
    members: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: Name,
    role: Role,
    key: ByteArray<33>,
}
