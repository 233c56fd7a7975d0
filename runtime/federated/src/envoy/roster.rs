//! Whose keys a site trusts (`SECURITY.md`, row 4): the newest roster that the federation's authority signed, less those
//! additions that the site has not approved.
//!
//! The director only carries rosters. A site takes none that is older than the one it has, or that has ended; who is
//! gone from a roster is gone at once. Everything is in files of the state folder, read when it is needed, so that
//! `veilflow envoy roster` can look and approve while the envoy runs.
//!
//! Does not defend against the authority itself where `additions = "accept"`.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::SystemTime;

use serde_bytes::ByteBuf;
use veilflow_secagg::{Identities, PublicIdentity};
use veilflow_spec::Name;

use crate::config::unknown;
use crate::journal::JournalError;
use crate::journal::files::{create_directory, read, write_atomically};
use crate::pki::{Identity, Member, PkiError, Role, Roster, SignedRoster, Thumbprint, Trust};

/// What a site does about somebody new in the authority's roster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Additions {
    /// It trusts the authority.
    Accept,
    /// It trusts nobody new before somebody at the site has approved.
    #[default]
    Approve,
}

/// A text that is neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no answer to additions: write `accept` or `approve`")]
pub struct UnknownAdditions(String);

impl FromStr for Additions {
    type Err = UnknownAdditions;

    fn from_str(text: &str) -> Result<Self, UnknownAdditions> {
        match text {
            "accept" => Ok(Additions::Accept),
            "approve" => Ok(Additions::Approve),
            other => Err(UnknownAdditions(other.chars().take(40).collect())),
        }
    }
}

impl fmt::Display for Additions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Additions::Accept => "accept",
            Additions::Approve => "approve",
        })
    }
}

/// What is wrong with a roster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RosterError {
    /// The authority did not sign it, or it has ended.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// An older one than the site has.
    #[error(
        "roster {got} is older than the pinned roster {have}: a director must not go back to an older one"
    )]
    Older {
        /// The version that is pinned.
        have: u64,
        /// The version that came.
        got: u64,
    },
    /// Another one of the same version.
    #[error(
        "another roster {version} than the pinned one: the authority signed two of one version; tell its administrator"
    )]
    Ambiguous {
        /// Their version.
        version: u64,
    },
    /// There is none.
    #[error("no roster of identities is pinned yet: the director sends it when the envoy attaches")]
    None,
    /// A name that is not in it.
    #[error("{}", unknown("participant", name.as_str(), known))]
    UnknownName {
        /// The name.
        name: Name,
        /// Those that are.
        known: Vec<String>,
    },
    /// The file of approvals is not what was written.
    #[error("{} is damaged: {what}; remove it, and approve again with `veilflow envoy roster`", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The files cannot be read or written.
    #[error(transparent)]
    Storage(#[from] JournalError),
}

impl RosterError {
    /// The error in one word.
    pub fn code(&self) -> &'static str {
        match self {
            RosterError::Pki(error) => error.code(),
            RosterError::Older { .. } => "roster-older",
            RosterError::Ambiguous { .. } => "roster-ambiguous",
            RosterError::None => "roster-none",
            RosterError::UnknownName { .. } => "roster-unknown-name",
            RosterError::Damaged { .. } => "roster-damaged",
            RosterError::Storage(error) => error.code(),
        }
    }
}

/// A site of the pinned roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterEntry {
    /// Its name.
    pub name: Name,
    /// SHA-256 of its key, for people to compare.
    pub key: Thumbprint,
    /// Whether this site trusts it. If not, it waits for approval.
    pub trusted: bool,
}

/// What a newly pinned roster changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// Its version.
    pub version: u64,
    /// Who is gone, or has another key now.
    pub removed: Vec<Name>,
    /// Who waits for approval.
    pub waiting: Vec<Name>,
}

/// The roster that a site has pinned, in its state folder.
#[derive(Clone, Debug)]
pub struct RosterPin {
    folder: PathBuf,
    trust: Trust,
    additions: Additions,
    /// Its own name and key need nobody's approval.
    own: (Name, PublicIdentity),
}

/// Who was approved, under which key.
type Approved = BTreeSet<(Name, [u8; 33])>;

impl RosterPin {
    /// The one in this state folder. Where the folder has none yet, or an older one, it is the one that came with the
    /// identity.
    ///
    /// # Errors
    /// Files that cannot be read or written, or were not signed by the identity's authority.
    pub fn open(state: &Path, identity: &Identity, additions: Additions) -> Result<Self, RosterError> {
        create_directory(state)?;
        let own = (identity.name().clone(), identity.signing_key()?.public());
        let pin = Self { folder: state.to_owned(), trust: identity.authority().clone(), additions, own };
        if let Ok(enrolled) = identity.roster()
            && enrolled.read(&pin.trust)?.version() > pin.version()?
        {
            pin.take(&enrolled, &enrolled.read(&pin.trust)?)?;
        }
        Ok(pin)
    }

    /// The version that is pinned; 0 where there is none.
    ///
    /// # Errors
    /// A file that cannot be read, or is not the authority's.
    pub fn version(&self) -> Result<u64, RosterError> {
        Ok(self.pinned()?.map_or(0, |(_, roster)| roster.version()))
    }

    /// Pins a roster that the director sent. `None` where it is the one that is pinned already.
    ///
    /// # Errors
    /// One that the authority did not sign, that has ended, or that is older.
    pub fn offer(&self, bytes: &[u8], now: SystemTime) -> Result<Option<Pinned>, RosterError> {
        let signed = SignedRoster::from_bytes(bytes);
        let roster = signed.verify(&self.trust, now)?;
        if let Some((pinned, before)) = self.pinned()? {
            let (have, got) = (before.version(), roster.version());
            if got < have {
                return Err(RosterError::Older { have, got });
            }
            if got == have {
                // Two signatures of one roster are the same roster.
                return if pinned == signed || before == roster {
                    Ok(None)
                } else {
                    Err(RosterError::Ambiguous { version: got })
                };
            }
        }
        self.take(&signed, &roster).map(Some)
    }

    fn take(&self, signed: &SignedRoster, roster: &Roster) -> Result<Pinned, RosterError> {
        let _lock = self.lock()?;
        let before = self.pinned()?.map(|(_, roster)| roster);
        let gone = |(name, member): (&Name, &Member)| {
            let kept = roster.get(name.as_str()).is_some_and(|now| now == member);
            (!kept).then(|| name.clone())
        };
        let removed = before.iter().flat_map(|before| before.members().filter_map(gone)).collect();
        // The roster first: were the approvals first and the process stopped between, a removed site would still be
        // trusted; as it is, it only has to be approved again should it come back.
        write_atomically(&self.folder.join(ROSTER), signed.to_bytes())?;
        let mut approved = self.approved()?;
        approved.retain(|(name, key)| {
            roster.get(name.as_str()).is_some_and(|member| member.key.to_bytes() == *key)
        });
        if self.additions == Additions::Accept {
            approved.extend(sites(roster).map(|(name, member)| (name.clone(), member.key.to_bytes())));
        }
        self.write_approved(&approved)?;
        let waiting =
            sites(roster).filter(|site| !self.trusts(&approved, *site)).map(|(name, _)| name.clone());
        Ok(Pinned { version: roster.version(), removed, waiting: waiting.collect() })
    }

    /// Whom the site trusts now, and how many are enrolled.
    ///
    /// # Errors
    /// No roster, or one that has ended: the site takes part in no signed session then.
    pub fn identities(&self, now: SystemTime) -> Result<Identities, RosterError> {
        let (signed, _) = self.pinned()?.ok_or(RosterError::None)?;
        let roster = signed.verify(&self.trust, now)?;
        let approved = self.approved()?;
        let trusted = sites(&roster).filter(|site| self.trusts(&approved, *site));
        let trusted = Identities::new(trusted.map(|(name, member)| (name.as_str(), member.key)));
        // Who waits for approval is enrolled all the same, and may work for the director.
        Ok(trusted.with_enrolled(sites(&roster).count()))
    }

    /// The sites of the pinned roster: those that are trusted, and those that wait.
    ///
    /// # Errors
    /// No roster.
    pub fn entries(&self) -> Result<Vec<RosterEntry>, RosterError> {
        let (_, roster) = self.pinned()?.ok_or(RosterError::None)?;
        let approved = self.approved()?;
        let entry = |(name, member): (&Name, &Member)| RosterEntry {
            name: name.clone(),
            key: member.thumbprint(),
            trusted: self.trusts(&approved, (name, member)),
        };
        Ok(sites(&roster).map(entry).collect())
    }

    /// Approves these sites with the keys that they have in the pinned roster, or all of it where none are named. Returns
    /// who is trusted now and was not.
    ///
    /// # Errors
    /// Names that are not in the roster.
    pub fn approve(&self, names: &[Name]) -> Result<Vec<Name>, RosterError> {
        let _lock = self.lock()?;
        let (_, roster) = self.pinned()?.ok_or(RosterError::None)?;
        if let Some(name) = names.iter().find(|name| sites(&roster).all(|(known, _)| known != *name)) {
            let known = sites(&roster).map(|(name, _)| name.to_string()).collect();
            return Err(RosterError::UnknownName { name: name.clone(), known });
        }
        let mut approved = self.approved()?;
        let mut new = Vec::new();
        for (name, member) in sites(&roster).filter(|(name, _)| names.is_empty() || names.contains(name)) {
            if !self.trusts(&approved, (name, member)) {
                new.push(name.clone());
            }
            approved.insert((name.clone(), member.key.to_bytes()));
        }
        self.write_approved(&approved)?;
        Ok(new)
    }

    fn trusts(&self, approved: &Approved, (name, member): (&Name, &Member)) -> bool {
        self.additions == Additions::Accept
            || self.own == (name.clone(), member.key)
            || approved.contains(&(name.clone(), member.key.to_bytes()))
    }

    fn pinned(&self) -> Result<Option<(SignedRoster, Roster)>, RosterError> {
        let Some(bytes) = read(&self.folder.join(ROSTER))? else { return Ok(None) };
        let signed = SignedRoster::from_bytes(bytes);
        let roster = signed.read(&self.trust)?;
        Ok(Some((signed, roster)))
    }

    fn approved(&self) -> Result<Approved, RosterError> {
        let path = self.folder.join(APPROVED);
        let Some(bytes) = read(&path)? else { return Ok(Approved::new()) };
        let damaged = |what: String| RosterError::Damaged { path: path.clone(), what };
        let lines: Vec<(Name, ByteBuf)> =
            ciborium::from_reader(bytes.as_slice()).map_err(|error| damaged(error.to_string()))?;
        let line = |(name, key): (Name, ByteBuf)| {
            let key = key.into_vec().try_into().map_err(|_| damaged("a key has not 33 bytes".to_owned()))?;
            Ok((name, key))
        };
        lines.into_iter().map(line).collect()
    }

    fn write_approved(&self, approved: &Approved) -> Result<(), RosterError> {
        let path = self.folder.join(APPROVED);
        let lines: Vec<(&Name, ByteBuf)> =
            approved.iter().map(|(name, key)| (name, ByteBuf::from(key.to_vec()))).collect();
        let mut bytes = Vec::new();
        ciborium::into_writer(&lines, &mut bytes)
            .map_err(|error| JournalError::io("write", &path)(io::Error::other(error.to_string())))?;
        Ok(write_atomically(&path, &bytes)?)
    }

    /// An envoy and a person who approves may write at the same time.
    fn lock(&self) -> Result<File, RosterError> {
        let path = self.folder.join(LOCK);
        let lock = || {
            let file = File::options().write(true).create(true).truncate(false).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        Ok(lock().map_err(JournalError::io("lock", &path))?)
    }
}

/// Names of files in the state folder.
const ROSTER: &str = "roster.cbor";
const APPROVED: &str = "approved.cbor";
const LOCK: &str = "roster.lock";

/// Those who take part in secure sessions.
fn sites(roster: &Roster) -> impl Iterator<Item = (&Name, &Member)> {
    roster.members().filter(|(_, member)| member.role == Role::Envoy)
}

#[cfg(test)]
mod tests;
