//! A participant's own identity: a folder with its key, its certificate and its authority's.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;
use veilflow_secagg::IdentityKey;
use veilflow_spec::Name;

use super::certificate::{BACKDATED, Certificate, Peer};
use super::clock::seconds;
use super::error::PkiError;
use super::files;
use super::key::Key;
use super::revocations::Revocations;
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
/// Which certificates are revoked. A director keeps the newest list in it; a site does so in its state folder.
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
        let next = "it cannot be renewed any more: ask the administrator for a new identity (`pki token`, for a director `pki issue`)";
        in_time("certificate", self.name().as_str(), valid, now, next)
    }

    /// When its renewal is asked for: when only `before` of its time is left, or a third where that is not said. Never in
    /// its first third: a certificate that is shorter than `before` would be renewed over and over.
    pub fn renews_at(&self, before: Option<Duration>) -> SystemTime {
        let (from, to) = (self.certificate.not_before + BACKDATED, self.certificate.peer.not_after);
        let whole = to.duration_since(from).unwrap_or_default();
        to - before.unwrap_or(whole / 3).min(whole * 2 / 3)
    }

    /// The list of revoked certificates in its folder: the newest at a director, elsewhere the one that was there when the
    /// identity was made.
    ///
    /// # Errors
    /// A file that is there and is no list of its authority.
    pub fn revocations(&self) -> Result<Revocations, PkiError> {
        Revocations::open(&self.dir.join(REVOCATIONS_FILE), &self.trust)
    }

    /// Puts a newer certificate for the same key, name and role in place of this one.
    ///
    /// # Errors
    /// A certificate of another authority, key, name or role.
    pub fn install(&self, der: &[u8]) -> Result<Self, PkiError> {
        let new = self.with(CertificateDer::from(der.to_vec()))?;
        write_certificate(&self.dir, &new.der, &self.trust)?;
        Ok(new)
    }

    /// The same with the certificate that is in its folder now; none where that is this one.
    pub(crate) fn reloaded(&self) -> Result<Option<Self>, PkiError> {
        // There is at least one.
        let der = files::certificates(&self.dir.join(CERTIFICATE))?.swap_remove(0);
        if der == self.der { Ok(None) } else { self.with(der).map(Some) }
    }

    /// The same with another certificate for the same key, name and role.
    fn with(&self, der: CertificateDer<'static>) -> Result<Self, PkiError> {
        let new = Self::of(&self.dir, Key::clone(&self.key), der, self.trust.clone())?;
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
    revocations: &[u8],
) -> Result<(), PkiError> {
    let authority = files::certificates_to_pem(std::slice::from_ref(trust.certificate()))?;
    files::replace(&dir.join(AUTHORITY), authority.as_bytes())?;
    files::replace(&dir.join(ROSTER), roster.to_bytes())?;
    files::replace(&dir.join(REVOCATIONS_FILE), revocations)?;
    write_certificate(dir, certificate, trust)
}

fn write_certificate(dir: &Path, certificate: &CertificateDer<'_>, trust: &Trust) -> Result<(), PkiError> {
    let chain = [certificate.clone().into_owned(), trust.certificate().clone()];
    files::replace(&dir.join(CERTIFICATE), files::certificates_to_pem(&chain)?.as_bytes())
}
