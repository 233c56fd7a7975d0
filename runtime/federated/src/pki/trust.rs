//! The federation's authority, as everybody else knows it: its certificate, and what it signed.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::certificate::{Certificate, MAX_CERTIFICATE_BYTES};
use super::clock::{from_seconds, seconds};
use super::error::{PkiError, malformed};
use super::files;
use super::key::{Key, SubjectKey};

const AUTHORITY: &str = "certificate of an authority";

/// SHA-256 of a certificate in DER, or of a public key as a compressed point.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Thumbprint(#[serde(with = "serde_bytes")] [u8; 32]);

impl Thumbprint {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        f.pad(&text)
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thumbprint({self})")
    }
}

/// The one authority that is trusted. Cheap to clone.
#[derive(Clone)]
pub struct Trust(Arc<Anchor>);

struct Anchor {
    der: CertificateDer<'static>,
    thumbprint: Thumbprint,
    key: SubjectKey,
    valid: (SystemTime, SystemTime),
    roots: Arc<RootCertStore>,
}

impl Trust {
    /// The authority with this certificate in DER.
    ///
    /// # Errors
    /// [`PkiError::Malformed`] where it is no authority of a federation.
    pub fn from_der(der: &[u8]) -> Result<Self, PkiError> {
        let bad = |why: &str| malformed(AUTHORITY, why);
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(PkiError::TooLarge { what: AUTHORITY, got: der.len(), limit: MAX_CERTIFICATE_BYTES });
        }
        let (rest, x509) = X509Certificate::from_der(der).map_err(|_| bad("it is no X.509 certificate"))?;
        if !rest.is_empty() || !x509.is_ca() {
            return Err(bad("it is no authority's, or bytes follow it"));
        }
        let key = SubjectKey::from_point(&x509.public_key().subject_public_key.data)?;
        if !key.verifies_der(x509.tbs_certificate.as_ref(), &x509.signature_value.data) {
            return Err(bad("it is not signed by itself"));
        }
        let second =
            |time: i64| u64::try_from(time).map(from_seconds).map_err(|_| bad("it is from before 1970"));
        let valid =
            (second(x509.validity().not_before.timestamp())?, second(x509.validity().not_after.timestamp())?);
        let der = CertificateDer::from(der.to_vec());
        let mut roots = RootCertStore::empty();
        roots.add(der.clone())?;
        let thumbprint = Thumbprint::of(&der);
        Ok(Self(Arc::new(Anchor { der, thumbprint, key, valid, roots: Arc::new(roots) })))
    }

    /// The authority whose certificate lies in a PEM file.
    ///
    /// # Errors
    /// A file that cannot be read or holds something else.
    pub fn load(path: &Path) -> Result<Self, PkiError> {
        match files::certificates(path)?.as_slice() {
            [one] => Self::from_der(one),
            _ => Err(malformed("certificate file", format!("{}: it has two certificates", path.display()))),
        }
    }

    /// The certificate in DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.0.der
    }

    /// Its SHA-256, which tokens carry.
    pub fn thumbprint(&self) -> Thumbprint {
        self.0.thumbprint
    }

    /// From when on and until when it is valid.
    pub fn valid(&self) -> (SystemTime, SystemTime) {
        self.0.valid
    }

    pub(crate) fn has_key(&self, key: &SubjectKey) -> bool {
        self.0.key == *key
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.0.roots)
    }

    /// Reads a participant's certificate and checks that this authority signed it. Says nothing of its time.
    pub(crate) fn certificate_of(&self, der: &[u8]) -> Result<Certificate, PkiError> {
        let certificate = Certificate::from_der(der)?;
        // It parsed just now.
        let (_, x509) = X509Certificate::from_der(der).map_err(|error| malformed(AUTHORITY, error))?;
        if !self.0.key.verifies_der(x509.tbs_certificate.as_ref(), &x509.signature_value.data) {
            return Err(self.wrong("certificate"));
        }
        Ok(certificate)
    }

    /// The body of a statement that the authority signed.
    pub(crate) fn body<'a>(&self, kind: &Statement, bytes: &'a [u8]) -> Result<&'a [u8], PkiError> {
        if bytes.len() > kind.limit {
            return Err(PkiError::TooLarge { what: kind.what, got: bytes.len(), limit: kind.limit });
        }
        let split = bytes.split_at_checked(SIGNATURE_BYTES);
        let (signature, body) = split.ok_or_else(|| malformed(kind.what, "it is too short"))?;
        if !self.0.key.verifies_fixed(&kind.message(body), signature) {
            return Err(self.wrong(kind.what));
        }
        Ok(body)
    }

    fn wrong(&self, what: &'static str) -> PkiError {
        PkiError::WrongAuthority { what, authority: self.thumbprint().to_string() }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({})", self.thumbprint())
    }
}

const SIGNATURE_BYTES: usize = 64;

/// A kind of statement that the authority signs: `signature (r, s: 64 bytes) ‖ body`, where the signature is over
/// `domain ‖ 0 ‖ body`. Who reads it checks the signature before anything is decoded.
pub(crate) struct Statement {
    domain: &'static str,
    /// What errors call it.
    pub(crate) what: &'static str,
    /// The most bytes.
    pub(crate) limit: usize,
}

/// A token's public part.
pub(crate) const TOKEN: Statement =
    Statement { domain: "veilflow/pki/v1/token", what: "token", limit: 2 * 1024 };
/// Who has which key.
pub(crate) const ROSTER: Statement =
    Statement { domain: "veilflow/pki/v1/roster", what: "roster", limit: 16 * 1024 * 1024 };
/// Which certificates are revoked.
pub(crate) const REVOCATIONS: Statement =
    Statement { domain: "veilflow/pki/v1/revocations", what: "revocation list", limit: 16 * 1024 * 1024 };

impl Statement {
    /// Signed with the authority's key.
    pub(crate) fn sign<T: Serialize>(&self, key: &Key, body: &T) -> Result<Vec<u8>, PkiError> {
        let mut encoded = Vec::new();
        ciborium::into_writer(body, &mut encoded).map_err(|error| malformed(self.what, error))?;
        let mut bytes = key.sign_fixed(&self.message(&encoded)).to_vec();
        bytes.extend_from_slice(&encoded);
        Ok(bytes)
    }

    /// What a body says, once its signature is checked.
    pub(crate) fn decode<T: for<'de> Deserialize<'de>>(&self, body: &[u8]) -> Result<T, PkiError> {
        ciborium::from_reader(body).map_err(|error| malformed(self.what, error))
    }

    fn message(&self, body: &[u8]) -> Vec<u8> {
        [self.domain.as_bytes(), &[0], body].concat()
    }
}

/// Whether a certificate or statement may be used now.
pub(crate) fn in_time(
    what: &'static str,
    name: &str,
    (from, to): (u64, u64),
    now: SystemTime,
    next: &'static str,
) -> Result<(), PkiError> {
    let now = seconds(now);
    if now < from {
        return Err(PkiError::NotYetValid { what, name: name.to_owned(), from });
    }
    if now > to {
        return Err(PkiError::Expired { what, name: name.to_owned(), at: to, next });
    }
    Ok(())
}
