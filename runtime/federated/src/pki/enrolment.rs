//! How a site gets its certificate: a key that never leaves it, a request that the director relays, an answer that
//! the authority signed. What crosses is here, and the site's part of it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rcgen::{CertificateParams, DistinguishedName, DnType};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use serde::{Deserialize, Serialize};
use serde_bytes::{ByteArray, ByteBuf};
use veilflow_spec::Name;

use super::error::PkiError;
use super::files;
use super::identity::{self, Identity};
use super::key::Key;
use super::revocations::RevocationList;
use super::roster::SignedRoster;
use super::token::Token;
use super::trust::{Thumbprint, Trust};

/// More than any request for a certificate has, all of it together.
pub const MAX_REQUEST_BYTES: usize = 4 * 1024;

/// Which request: the SHA-256 of what it asks for. Sent again, it is the same request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(Thumbprint);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell requests apart by eye.
        f.pad(self.0.to_string().get(..16).unwrap_or_default())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({})", self.0)
    }
}

/// What gives a right to a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Warrant {
    /// A one-time token.
    Token {
        /// Its public part, which the authority signed.
        claims: ByteBuf,
        /// Shows that who made the request holds its secret.
        proof: ByteArray<32>,
    },
    /// A certificate for the same name and key that holds still: the request's own signature shows it.
    Renewal {
        /// The number of that certificate, which tells one renewal from the next.
        serial: ByteBuf,
    },
}

/// From a site, which has no certificate yet or renews it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrollRequest {
    /// What gives it the right.
    pub warrant: Warrant,
    /// The certificate request in DER (PKCS#10).
    pub csr: ByteBuf,
}

impl EnrollRequest {
    /// Which request it is.
    pub fn id(&self) -> RequestId {
        // DER starts with 0x30 and tells its own length, so no two requests give the same bytes.
        match &self.warrant {
            Warrant::Token { .. } => RequestId(Thumbprint::of(&self.csr)),
            Warrant::Renewal { serial } => {
                RequestId(Thumbprint::of(&[&[1], self.csr.as_slice(), serial.as_slice()].concat()))
            }
        }
    }

    /// Refuses what nobody honest sends, before anything of it is read.
    pub(crate) fn in_bounds(&self) -> Result<(), PkiError> {
        let warrant = match &self.warrant {
            Warrant::Token { claims, .. } => claims.len(),
            Warrant::Renewal { serial } => serial.len(),
        };
        let got = self.csr.len().saturating_add(warrant);
        if got > MAX_REQUEST_BYTES {
            return Err(PkiError::TooLarge { what: "request", got, limit: MAX_REQUEST_BYTES });
        }
        Ok(())
    }
}

/// To the site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrollReply {
    /// It waits for an administrator. The same request again gets the answer when there is one.
    Pending,
    /// The answer.
    Answered(Verdict),
}

/// How a request was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// A certificate.
    Granted(Granted),
    /// None.
    Refused {
        /// Why.
        reason: String,
    },
}

/// A certificate, and what to trust with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The certificate in DER.
    pub certificate: ByteBuf,
    /// The authority's certificate in DER, whose SHA-256 the token has.
    pub authority: ByteBuf,
    /// The roster, with the new participant in it.
    pub roster: ByteBuf,
    /// The list of revoked certificates.
    pub revocations: ByteBuf,
}

impl Granted {
    /// Writes all of an identity but its key, for a request that was brought as a file.
    ///
    /// # Errors
    /// [`PkiError::Exists`] where the folder has an identity already, and what the disk reports.
    pub fn save(&self, dir: &Path) -> Result<(), PkiError> {
        let path = dir.join(identity::CERTIFICATE);
        if path.exists() {
            return Err(PkiError::Exists { path });
        }
        files::folder(dir)?;
        let trust = Trust::from_der(&self.authority)?;
        let certificate = CertificateDer::from(self.certificate.to_vec());
        let roster = SignedRoster::from_bytes(self.roster.to_vec());
        identity::write_public(dir, &certificate, &trust, &roster, &self.revocations)
    }

    /// Writes the certificate alone, as PEM.
    ///
    /// # Errors
    /// What the disk reports.
    pub fn save_certificate(&self, path: &Path) -> Result<(), PkiError> {
        let certificate = CertificateDer::from(self.certificate.to_vec());
        let pem = files::certificates_to_pem(std::slice::from_ref(&certificate))?;
        files::replace(path, pem.as_bytes())
    }
}

/// A request as the director shows it to an administrator. It says nothing that the administrator's machine does not
/// check itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRequest {
    /// The request.
    pub request: EnrollRequest,
    /// Milliseconds since 1970 at which it came.
    pub received_ms: u64,
}

/// An administrator's answer to one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// To which.
    pub request: RequestId,
    /// What.
    pub verdict: Verdict,
}

/// What an administrator brings to the director.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Answers to requests.
    pub answers: Vec<Answer>,
    /// The newest roster.
    pub roster: Option<ByteBuf>,
    /// The newest list of revoked certificates.
    pub revocations: Option<ByteBuf>,
}

/// A request in DER, for this name, signed with this key.
pub(crate) fn csr(name: &Name, key: &Key) -> Result<Vec<u8>, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name.as_str());
    Ok(params.serialize_request(key)?.der().to_vec())
}

/// The certificate request in a file, PEM or DER, as DER.
///
/// # Errors
/// What the disk reports. What the request says is checked by who signs it.
pub fn read_request(path: &Path) -> Result<Vec<u8>, PkiError> {
    let bytes = files::read(path)?;
    let pem = CertificateSigningRequestDer::from_pem_slice(&bytes);
    Ok(pem.map_or(bytes, |der| der.to_vec()))
}

/// The first certificate in a PEM file, as DER.
///
/// # Errors
/// A file that cannot be read or has none.
pub fn read_certificate(path: &Path) -> Result<Vec<u8>, PkiError> {
    // There is at least one.
    files::certificates(path).map(|mut chain| chain.swap_remove(0).to_vec())
}

/// A site that enrols. Interrupted and begun again with the same folder and token, it makes the same request.
#[derive(Debug)]
pub struct Enrolling {
    dir: PathBuf,
    token: Token,
    key: Key,
    request: EnrollRequest,
}

impl Enrolling {
    /// Makes the key, or reads the one that an earlier attempt left, and the request.
    ///
    /// # Errors
    /// [`PkiError::Exists`] where the folder has an identity already, [`PkiError::Expired`] for an old token, and what
    /// the disk reports.
    pub fn start(dir: &Path, token: Token, now: SystemTime) -> Result<Self, PkiError> {
        token.claims().in_time(now)?;
        let certificate = dir.join(identity::CERTIFICATE);
        if certificate.exists() {
            return Err(PkiError::Exists { path: certificate });
        }
        files::folder(dir)?;
        let path = dir.join(identity::KEY);
        let key = if path.exists() {
            Key::load(&path, None)?
        } else {
            let key = Key::generate()?;
            key.save(&path, None)?;
            key
        };
        let csr = csr(&token.claims().name, &key)?;
        let claims = token.public_part().to_vec();
        let proof = token.secret().prove(&claims, &csr)?;
        let warrant = Warrant::Token { claims: ByteBuf::from(claims), proof };
        let request = EnrollRequest { warrant, csr: ByteBuf::from(csr) };
        Ok(Self { dir: dir.to_owned(), token, key, request })
    }

    /// What to send to the director.
    pub fn request(&self) -> &EnrollRequest {
        &self.request
    }

    /// The SHA-256 of the new public key, which the administrator sees too and can compare.
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::of(&self.key.public().to_bytes())
    }

    /// The authority that the site will trust, and the director has to prove to be of.
    pub fn authority(&self) -> Thumbprint {
        self.token.authority()
    }

    /// The token, which is good until an answer came.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Checks the answer and writes the identity.
    ///
    /// # Errors
    /// Anything in the answer that is not of the token's authority, for its name, its role and this key.
    pub fn finish(self, granted: &Granted, now: SystemTime) -> Result<Identity, PkiError> {
        let trust = Trust::from_der(&granted.authority)?;
        if trust.thumbprint() != self.token.authority() {
            let authority = self.token.authority().to_string();
            return Err(PkiError::WrongAuthority { what: "answer", authority });
        }
        let certificate = trust.certificate_of(&granted.certificate)?;
        let claims = self.token.claims();
        if certificate.peer.name != claims.name {
            let (expected, got) = (claims.name.clone(), certificate.peer.name);
            return Err(PkiError::WrongName { what: "certificate", expected, got });
        }
        if certificate.peer.role != claims.role {
            let (expected, got) = (claims.role.as_str(), certificate.peer.role);
            return Err(PkiError::WrongRole { name: claims.name.clone(), expected, got });
        }
        if certificate.key != *self.key.public() {
            return Err(PkiError::WrongKey { name: certificate.peer.name });
        }
        let roster = SignedRoster::from_bytes(granted.roster.to_vec());
        roster.verify(&trust, now)?;
        RevocationList::verify(&granted.revocations, &trust)?;
        let der = CertificateDer::from(granted.certificate.to_vec());
        identity::write_public(&self.dir, &der, &trust, &roster, &granted.revocations)?;
        let identity = Identity::load(&self.dir)?;
        identity.check(claims.role, now)?;
        Ok(identity)
    }
}

/// The request for a newer certificate with the same name and key.
///
/// # Errors
/// A request that could not be made.
pub fn renewal(identity: &Identity) -> Result<EnrollRequest, PkiError> {
    let csr = csr(identity.name(), identity.key())?;
    let serial = ByteBuf::from(identity.peer().serial.clone());
    Ok(EnrollRequest { warrant: Warrant::Renewal { serial }, csr: ByteBuf::from(csr) })
}
