//! The authority: a folder on an administrator's machine, with the one key that everything hangs on.

mod ledger;
mod lists;
mod making;
mod requests;
#[cfg(test)]
mod tests;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls_pki_types::CertificateDer;
use serde_bytes::ByteBuf;
use veilflow_spec::Name;

use self::ledger::{Ledger, Record};
use self::lists::DEFAULT_ROSTER;
pub use self::making::Order;
pub use self::requests::Reviewed;
use super::certificate::{Certificate, Peer, Request};
use super::clock::{Validity, from_seconds, seconds};
use super::enrolment::Granted;
use super::error::{PkiError, malformed};
use super::files;
use super::identity;
use super::key::{Key, Passphrase, SubjectKey};
use super::role::Role;
use super::token::Token;
use super::trust::{Thumbprint, Trust};

const KEY: &str = "authority-key.pem";
const LEDGER: &str = "ledger.cbor";
const LOCK: &str = "lock";

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Whose it is.
    pub name: Name,
    /// Its role.
    pub role: Role,
    /// SHA-256 of its public key.
    pub thumbprint: Thumbprint,
    /// Its serial number.
    pub serial: Vec<u8>,
    /// When it ends.
    pub not_after: SystemTime,
    /// Since when it is revoked, if it is.
    pub revoked: Option<SystemTime>,
}

/// The federation's authority. Its key never leaves its folder, and the folder never lies on the director.
pub struct Authority {
    dir: PathBuf,
    key: Key,
    trust: Trust,
    ledger: Ledger,
    /// Held as long as it is open: two commands at once would give one serial or version twice.
    _lock: File,
}

impl Authority {
    /// Makes one in a folder that has none. Its key is encrypted where there is a passphrase.
    ///
    /// # Errors
    /// [`PkiError::Exists`], [`PkiError::InvalidValidity`] and what the disk reports.
    pub fn create(
        dir: &Path,
        federation: &str,
        valid: Validity,
        passphrase: Option<&Passphrase>,
        now: SystemTime,
    ) -> Result<Self, PkiError> {
        // What a certificate can hold, and a line on a terminal.
        Name::from(federation).validate()?;
        let path = dir.join(KEY);
        if path.exists() {
            return Err(PkiError::Exists { path });
        }
        files::folder(dir)?;
        let lock = lock(dir)?;
        let key = Key::generate()?;
        let trust = making::authority(federation, &key, valid, now)?;
        key.save(&path, passphrase)?;
        let pem = files::certificates_to_pem(std::slice::from_ref(trust.certificate()))?;
        files::replace(&dir.join(identity::AUTHORITY), pem.as_bytes())?;
        let mut authority =
            Self { dir: dir.to_owned(), key, trust, ledger: Ledger::new(federation), _lock: lock };
        authority.sign_revocations(now)?;
        authority.sign_roster(DEFAULT_ROSTER, now)?;
        Ok(authority)
    }

    /// Opens the folder that [`create`](Self::create) made.
    ///
    /// # Errors
    /// [`PkiError::Passphrase`], [`PkiError::Locked`], and files that are missing or do not belong together.
    pub fn open(dir: &Path, passphrase: Option<&Passphrase>) -> Result<Self, PkiError> {
        let trust = Trust::load(&dir.join(identity::AUTHORITY))?;
        let lock = lock(dir)?;
        let key = Key::load(&dir.join(KEY), passphrase)?;
        if !trust.has_key(key.public()) {
            return Err(malformed("authority", format!("{}: its key is another's", dir.display())));
        }
        let ledger = Ledger::load(&dir.join(LEDGER))?;
        Ok(Self { dir: dir.to_owned(), key, trust, ledger, _lock: lock })
    }

    /// The federation's name.
    pub fn federation(&self) -> &str {
        &self.ledger.federation
    }

    /// What everybody trusts.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// All certificates that were issued, oldest first.
    pub fn issued(&self) -> impl Iterator<Item = Issued> {
        self.ledger.issued.iter().map(|record| Issued {
            name: record.certificate.peer.name.clone(),
            role: record.certificate.peer.role,
            thumbprint: Thumbprint::of(&record.certificate.key.to_bytes()),
            serial: record.certificate.peer.serial.clone(),
            not_after: record.certificate.peer.not_after,
            revoked: record.revoked.map(from_seconds),
        })
    }

    /// Makes a whole identity, key included, in a folder that has none. The folder is then taken to its machine.
    ///
    /// # Errors
    /// [`PkiError::Exists`], [`PkiError::NameTaken`], a name or hosts that cannot be.
    pub fn issue(&mut self, order: &Order, dir: &Path, now: SystemTime) -> Result<Peer, PkiError> {
        self.issue_all(&[(order.clone(), dir.to_owned())], now)?;
        let issued = self.ledger.current(&order.name, now).map(|record| record.certificate.peer.clone());
        issued.ok_or_else(|| PkiError::UnknownName { name: order.name.clone() })
    }

    /// Makes several identities, and one roster of them all.
    pub(super) fn issue_all(&mut self, orders: &[(Order, PathBuf)], now: SystemTime) -> Result<(), PkiError> {
        let mut made = Vec::new();
        for (order, dir) in orders {
            self.check(order, now)?;
            files::folder(dir)?;
            let key = Key::generate()?;
            key.save(&dir.join(identity::KEY), None)?;
            let der = self.make(order, key.public(), now)?;
            self.remember(der.clone(), order.hosts.clone())?;
            made.push((dir, CertificateDer::from(der)));
        }
        self.save(now)?;
        let roster = self.publish(now)?;
        for (dir, der) in made {
            identity::write_public(dir, &der, &self.trust, &roster, &self.revocations()?)?;
        }
        Ok(())
    }

    /// Signs a request that was brought as a file, without a token: its name has to be the order's.
    ///
    /// # Errors
    /// As [`issue`](Self::issue), and requests that are malformed or for somebody else.
    pub fn issue_for(&mut self, order: &Order, csr: &[u8], now: SystemTime) -> Result<Granted, PkiError> {
        let request = Request::from_der(csr)?;
        if request.name != order.name {
            let (expected, got) = (order.name.clone(), request.name);
            return Err(PkiError::WrongName { what: "certificate request", expected, got });
        }
        self.check(order, now)?;
        let der = self.certify(order, &request.key, now)?;
        self.granted(der, now)
    }

    /// Makes a one-time token.
    ///
    /// # Errors
    /// [`PkiError::NameTaken`], [`PkiError::DirectorByToken`], a name that cannot be.
    pub fn token(
        &mut self,
        name: &Name,
        role: Role,
        valid: Validity,
        now: SystemTime,
    ) -> Result<Token, PkiError> {
        name.validate()?;
        if role == Role::Director {
            return Err(PkiError::DirectorByToken);
        }
        self.is_free(name, now)?;
        let token = Token::make((&self.key, self.trust.thumbprint()), name, role, making::end(valid, now)?)?;
        self.ledger.remember(&token);
        self.save(now)?;
        Ok(token)
    }

    /// Prolongs the certificate of a name, with the key that it has.
    ///
    /// # Errors
    /// [`PkiError::UnknownName`] where none holds.
    pub fn renew(&mut self, name: &Name, valid: Validity, now: SystemTime) -> Result<Granted, PkiError> {
        let current = self.ledger.current(name, now);
        let current = current.ok_or_else(|| PkiError::UnknownName { name: name.clone() })?;
        let (role, hosts) = (current.certificate.peer.role, current.hosts.clone());
        let key = current.certificate.key.clone();
        let der = self.certify(&Order { name: name.clone(), role, hosts, valid }, &key, now)?;
        self.granted(der, now)
    }

    /// Ends all certificates and unused tokens of a name, and signs the lists that say so. Returns how many
    /// certificates there were.
    ///
    /// # Errors
    /// [`PkiError::UnknownName`] where none holds.
    pub fn revoke(&mut self, name: &Name, now: SystemTime) -> Result<usize, PkiError> {
        let mut count = 0;
        for record in &mut self.ledger.issued {
            if record.certificate.peer.name == *name && record.holds(now) {
                record.revoked = Some(seconds(now));
                count += 1;
            }
        }
        if count == 0 {
            return Err(PkiError::UnknownName { name: name.clone() });
        }
        self.ledger.forget_tokens(name);
        self.sign_revocations(now)?;
        self.sign_roster(DEFAULT_ROSTER, now)?;
        Ok(count)
    }

    fn granted(&mut self, der: Vec<u8>, now: SystemTime) -> Result<Granted, PkiError> {
        let roster = self.publish(now)?;
        Ok(Granted {
            certificate: ByteBuf::from(der),
            authority: ByteBuf::from(self.trust.certificate().to_vec()),
            roster: ByteBuf::from(roster.to_bytes()),
            revocations: ByteBuf::from(self.revocations()?),
        })
    }

    fn check(&self, order: &Order, now: SystemTime) -> Result<(), PkiError> {
        order.check(now)?;
        self.is_free(&order.name, now)
    }

    fn is_free(&self, name: &Name, now: SystemTime) -> Result<(), PkiError> {
        match self.ledger.current(name, now) {
            Some(_) => Err(PkiError::NameTaken { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// Makes a certificate, and remembers it before anybody gets it.
    fn certify(&mut self, order: &Order, key: &SubjectKey, now: SystemTime) -> Result<Vec<u8>, PkiError> {
        let der = self.make(order, key, now)?;
        self.record(der.clone(), order.hosts.clone(), now)?;
        Ok(der)
    }
    fn make(&self, order: &Order, key: &SubjectKey, now: SystemTime) -> Result<Vec<u8>, PkiError> {
        making::participant((&self.trust, &self.key), order, key, now)
    }

    fn record(&mut self, der: Vec<u8>, hosts: Vec<String>, now: SystemTime) -> Result<(), PkiError> {
        self.remember(der, hosts)?;
        self.save(now)
    }

    fn remember(&mut self, der: Vec<u8>, hosts: Vec<String>) -> Result<(), PkiError> {
        // As everybody else will read it.
        let certificate = Certificate::from_der(&der)?;
        self.ledger.issued.push(Record { certificate, der, hosts, revoked: None });
        Ok(())
    }

    fn save(&mut self, now: SystemTime) -> Result<(), PkiError> {
        self.ledger.save(&self.dir.join(LEDGER), now)
    }
}

fn lock(dir: &Path) -> Result<File, PkiError> {
    let path = dir.join(LOCK);
    let unwritable = |error| PkiError::Write { path: path.clone(), error };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(unwritable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PkiError::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(unwritable(error)),
    }
}
