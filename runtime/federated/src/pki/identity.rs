//! A participant's own identity: a folder with its key, its certificate and its authority's.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;
use veilflow_secagg::IdentityKey;
use veilflow_spec::Name;

use super::certificate::{Certificate, Peer};
use super::clock::seconds;
use super::error::PkiError;
use super::files;
use super::key::Key;
use super::role::Role;
use super::roster::SignedRoster;
use super::trust::{Thumbprint, Trust, in_time};

/// The private key, in PKCS#8.
pub(crate) const KEY: &str = "key.pem";
/// The participant's certificate.
pub(crate) const CERTIFICATE: &str = "certificate.pem";
/// The authority's certificate.
pub(crate) const AUTHORITY: &str = "authority.pem";
/// The roster as it was when the identity was made.
pub(crate) const ROSTER: &str = "roster.cbor";
/// Which certificates are revoked: a director reads it, and keeps the newest list in it.
pub const REVOCATIONS_FILE: &str = "revocations.cbor";

/// Who a process is. Secret: a redacted `Debug`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Identity {
    dir: PathBuf,
    key: Arc<Key>,
    der: CertificateDer<'static>,
    certificate: Certificate,
    trust: Trust,
}

impl Identity {
    /// Reads the folder that `pki issue` or `envoy enroll` made.
    ///
    /// It may have expired, which [`check`](Self::check) tells.
    ///
    /// # Errors
    /// Files that are missing, open to everybody, or do not belong together.
    pub fn load(dir: &Path) -> Result<Self, PkiError> {
        let trust = Trust::load(&dir.join(AUTHORITY))?;
        let key = Key::load(&dir.join(KEY), None)?;
        let mut chain = files::certificates(&dir.join(CERTIFICATE))?;
        // There is at least one.
        let der = chain.swap_remove(0);
        Self::of(dir, key, der, trust)
    }

    fn of(dir: &Path, key: Key, der: CertificateDer<'static>, trust: Trust) -> Result<Self, PkiError> {
        let certificate = trust.certificate_of(&der)?;
        if certificate.key != *key.public() {
            return Err(PkiError::WrongKey { name: certificate.peer.name });
        }
        Ok(Self { dir: dir.to_owned(), key: Arc::new(key), der, certificate, trust })
    }

    /// Its name: the participant's.
    pub fn name(&self) -> &Name {
        &self.certificate.peer.name
    }

    /// Its role.
    pub fn role(&self) -> Role {
        self.certificate.peer.role
    }

    /// What others see of it.
    pub fn peer(&self) -> &Peer {
        &self.certificate.peer
    }

    /// The authority that it trusts.
    pub fn authority(&self) -> &Trust {
        &self.trust
    }

    /// The folder that it was read from.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// SHA-256 of the public key, for people to compare.
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::of(&self.key.public().to_bytes())
    }

    /// The key as SecAgg's identity key, which signs in SecAgg's own domains.
    ///
    /// # Errors
    /// None in practice: it was read as a key of that curve.
    pub fn signing_key(&self) -> Result<IdentityKey, PkiError> {
        self.key.identity()
    }

    /// The roster that was there when the identity was made.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn roster(&self) -> Result<SignedRoster, PkiError> {
        files::read(&self.dir.join(ROSTER)).map(SignedRoster::from_bytes)
    }

    /// Refuses what others would refuse: the wrong role, or the wrong time.
    ///
    /// # Errors
    /// [`PkiError::WrongRole`], [`PkiError::Expired`], [`PkiError::NotYetValid`].
    pub fn check(&self, role: Role, now: SystemTime) -> Result<(), PkiError> {
        if self.role() != role {
            let name = self.name().clone();
            return Err(PkiError::WrongRole { name, expected: role.as_str(), got: self.role() });
        }
        let valid = (seconds(self.certificate.not_before), seconds(self.certificate.peer.not_after));
        let next = "ask the administrator to renew it (`pki renew`)";
        in_time("certificate", self.name().as_str(), valid, now, next)
    }

    /// Whether less than a third of its time is left.
    pub fn is_due(&self, now: SystemTime) -> bool {
        let (from, to) = (self.certificate.not_before, self.certificate.peer.not_after);
        let whole = to.duration_since(from).unwrap_or(Duration::ZERO);
        to.duration_since(now).unwrap_or(Duration::ZERO) < whole / 3
    }

    /// Puts a newer certificate for the same key, name and role in place of this one.
    ///
    /// # Errors
    /// A certificate of another authority, key, name or role.
    pub fn install(&self, der: &[u8]) -> Result<Self, PkiError> {
        let new = Self::of(
            &self.dir,
            Key::clone(&self.key),
            CertificateDer::from(der.to_vec()),
            self.trust.clone(),
        )?;
        if new.name() != self.name() {
            return Err(PkiError::WrongName {
                what: "certificate",
                expected: self.name().clone(),
                got: new.name().clone(),
            });
        }
        if new.role() != self.role() {
            let name = self.name().clone();
            return Err(PkiError::WrongRole { name, expected: self.role().as_str(), got: new.role() });
        }
        write_certificate(&self.dir, &new.der, &self.trust)?;
        Ok(new)
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// The certificate and the authority's: those who enrol know the authority by its SHA-256 only, and get it here.
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.der.clone(), self.trust.certificate().clone()]
    }
}

/// Writes all of an identity but its key.
pub(crate) fn write_public(
    dir: &Path,
    certificate: &CertificateDer<'_>,
    trust: &Trust,
    roster: &SignedRoster,
) -> Result<(), PkiError> {
    let authority = files::certificates_to_pem(std::slice::from_ref(trust.certificate()))?;
    files::replace(&dir.join(AUTHORITY), authority.as_bytes())?;
    files::replace(&dir.join(ROSTER), roster.to_bytes())?;
    write_certificate(dir, certificate, trust)
}

fn write_certificate(dir: &Path, certificate: &CertificateDer<'_>, trust: &Trust) -> Result<(), PkiError> {
    let chain = [certificate.clone().into_owned(), trust.certificate().clone()];
    files::replace(&dir.join(CERTIFICATE), files::certificates_to_pem(&chain)?.as_bytes())
}
