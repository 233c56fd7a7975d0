//! Certificates that hold no longer, as the authority says. They end the connections that are open, too.
//!
//! A list has a version, so that nobody can go back to an older one. It does not end: what bounds the time for which a
//! director can hold a newer one back is the end of its own certificate and of the roster.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use veilflow_spec::Name;

use super::clock::{from_seconds, seconds};
use super::error::PkiError;
use super::files::{self, Watched};
use super::key::Key;
use super::trust::{REVOCATIONS, Trust};

/// One version of the authority's list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationList {
    version: u64,
    revoked: BTreeMap<Vec<u8>, Revoked>,
    signed: Vec<u8>,
}

/// A revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Whose it is.
    pub name: Name,
    /// When it was revoked.
    pub at: SystemTime,
}

impl RevocationList {
    pub(crate) fn sign(
        key: &Key,
        version: u64,
        revoked: BTreeMap<Vec<u8>, Revoked>,
    ) -> Result<Self, PkiError> {
        let line = |(serial, revoked): (&Vec<u8>, &Revoked)| Line {
            serial: ByteBuf::from(serial.clone()),
            name: revoked.name.clone(),
            at: seconds(revoked.at),
        };
        let encoded = Encoded { version, revoked: revoked.iter().map(line).collect() };
        let signed = REVOCATIONS.sign(key, &encoded)?;
        Ok(Self { version, revoked, signed })
    }

    /// Grows with each list that the authority signs; 0 before the first.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether the certificate of this serial number is revoked.
    pub fn is_revoked(&self, serial: &[u8]) -> bool {
        self.revoked.contains_key(serial)
    }

    /// All, by serial number.
    pub fn revoked(&self) -> impl ExactSizeIterator<Item = (&[u8], &Revoked)> {
        self.revoked.iter().map(|(serial, revoked)| (serial.as_slice(), revoked))
    }

    /// As it travels and is kept; nothing before the first.
    pub fn to_bytes(&self) -> &[u8] {
        &self.signed
    }

    /// The list, where the authority signed it.
    ///
    /// # Errors
    /// [`PkiError::WrongAuthority`] and [`PkiError::Malformed`].
    pub fn verify(bytes: &[u8], trust: &Trust) -> Result<Self, PkiError> {
        let encoded: Encoded = REVOCATIONS.decode(trust.body(&REVOCATIONS, bytes)?)?;
        let line =
            |line: Line| (line.serial.into_vec(), Revoked { name: line.name, at: from_seconds(line.at) });
        let revoked = encoded.revoked.into_iter().map(line).collect();
        Ok(Self { version: encoded.version, revoked, signed: bytes.to_vec() })
    }
}

/// The newest list, shared by all connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Revocations(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    trust: Trust,
    path: Option<PathBuf>,
    list: watch::Sender<Arc<RevocationList>>,
    /// One update at a time: what is on the disk is what is in memory.
    updating: Mutex<()>,
}

impl Revocations {
    /// Nothing is revoked yet, and lists that come are not kept.
    pub fn none(trust: &Trust) -> Self {
        Self::with(trust, None, RevocationList::default())
    }

    /// The list in a file, which later ones replace; where there is no file, nothing is revoked yet.
    ///
    /// # Errors
    /// A file that is there and is no list of this authority.
    pub fn open(path: &Path, trust: &Trust) -> Result<Self, PkiError> {
        let list = match files::read_if_there(path)? {
            Some(bytes) => RevocationList::verify(&bytes, trust)?,
            None => RevocationList::default(),
        };
        Ok(Self::with(trust, Some(path.to_owned()), list))
    }

    fn with(trust: &Trust, path: Option<PathBuf>, list: RevocationList) -> Self {
        let (list, _) = watch::channel(Arc::new(list));
        Self(Arc::new(Shared { trust: trust.clone(), path, list, updating: Mutex::new(()) }))
    }

    /// Takes a list that somebody brought: kept first, then in force at once. False where it is the one that is here.
    ///
    /// # Errors
    /// [`PkiError::Stale`] for an older one, [`PkiError::WrongAuthority`] for anybody else's.
    pub fn update(&self, bytes: &[u8]) -> Result<bool, PkiError> {
        let list = RevocationList::verify(bytes, &self.0.trust)?;
        let _one = self.0.updating.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_newer(&list)? {
            return Ok(false);
        }
        if let Some(path) = &self.0.path {
            files::replace(path, bytes)?;
        }
        self.0.list.send_replace(Arc::new(list));
        Ok(true)
    }

    /// Reads the file again, into which an administrator may have put a newer list.
    ///
    /// # Errors
    /// As [`update`](Self::update); the list in force stays.
    pub fn reload(&self) -> Result<bool, PkiError> {
        let _one = self.0.updating.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = &self.0.path else { return Ok(false) };
        let Some(bytes) = files::read_if_there(path)? else { return Ok(false) };
        let list = RevocationList::verify(&bytes, &self.0.trust)?;
        let newer = self.is_newer(&list)?;
        if newer {
            self.0.list.send_replace(Arc::new(list));
        }
        Ok(newer)
    }

    /// Reads the file again whenever it is replaced, for ever. Tells of each that is refused.
    pub(crate) async fn watch(&self, refused: impl Fn(PkiError)) {
        let Some(path) = self.0.path.clone() else { return std::future::pending().await };
        let mut watched = Watched::new(path);
        loop {
            watched.replaced().await;
            let own = self.clone();
            // Fails only where this program ends.
            if let Ok(Err(error)) = spawn_blocking(move || own.reload()).await {
                refused(error);
            }
        }
    }

    fn is_newer(&self, list: &RevocationList) -> Result<bool, PkiError> {
        let have = self.version();
        if list.version < have {
            return Err(PkiError::Stale { what: REVOCATIONS.what, have, got: list.version });
        }
        Ok(list.version > have)
    }

    /// Whether the certificate of this serial number is revoked.
    pub fn is_revoked(&self, serial: &[u8]) -> bool {
        self.0.list.borrow().is_revoked(serial)
    }

    /// The version of the list in force; 0 before the first.
    pub fn version(&self) -> u64 {
        self.0.list.borrow().version()
    }

    /// The list in force.
    pub fn current(&self) -> Arc<RevocationList> {
        Arc::clone(&self.0.list.borrow())
    }

    /// Told of each new list.
    pub fn subscribe(&self) -> watch::Receiver<Arc<RevocationList>> {
        self.0.list.subscribe()
    }

    /// Ends when the certificate of this serial number is revoked: what an open connection waits for.
    pub async fn until_revoked(&self, serial: &[u8]) {
        let mut lists = self.subscribe();
        // The sender lives as long as `self`, so this ends for no other reason.
        let _ = lists.wait_for(|list| list.is_revoked(serial)).await;
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded {
    version: u64,
    revoked: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    serial: ByteBuf,
    name: Name,
    at: u64,
}
