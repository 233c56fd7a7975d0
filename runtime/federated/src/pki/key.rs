//! Private keys of participants and of the authority: P-256, for ECDSA with SHA-256 (FIPS 186-5).
//!
//! One key serves TLS, requests for certificates and statements. What is signed can never be taken for something else:
//! TLS signs 64 spaces and a context first (RFC 8446, section 4.4.3), certificates and requests are DER sequences
//! (first byte 0x30), statements of this crate start with their domain, those of SecAgg with a length.

use std::fmt;
use std::io;
use std::path::Path;

use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, Signature, SigningKey, VerifyingKey};
use p256::elliptic_curve::Generate as _;
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use rand::rngs::SysRng;
use rustls_pki_types::PrivatePkcs8KeyDer;
use veilflow_secagg::{IdentityKey, PublicIdentity};
use zeroize::Zeroizing;

use super::error::{PkiError, malformed};
use super::files;

/// A private key. Secret: a redacted `Debug`, zeroized on drop.
#[derive(Clone)]
pub(crate) struct Key {
    secret: SecretKey,
    public: SubjectKey,
}

impl Key {
    /// A fresh one, from the operating system's generator.
    pub(crate) fn generate() -> Result<Self, PkiError> {
        let secret = SecretKey::try_generate_from_rng(&mut SysRng);
        secret.map(Self::from).map_err(|error| PkiError::NoEntropy(io::Error::other(error)))
    }

    /// One that [`save`](Self::save) wrote. Refuses a file that everybody can read.
    pub(crate) fn load(path: &Path, passphrase: Option<&Passphrase>) -> Result<Self, PkiError> {
        let pem = files::read_secret(path)?;
        let encrypted = pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----");
        let secret = if encrypted {
            let refused = || PkiError::Passphrase { path: path.to_owned() };
            let passphrase = passphrase.ok_or_else(refused)?;
            SecretKey::from_pkcs8_encrypted_pem(&pem, passphrase.0.as_bytes()).map_err(|_| refused())?
        } else {
            let why = |_| malformed("private key", format!("{} is no P-256 key in PKCS#8", path.display()));
            SecretKey::from_pkcs8_pem(&pem).map_err(why)?
        };
        Ok(Self::from(secret))
    }

    /// Writes it for its owner only, in PKCS#8, and encrypted (scrypt, AES-256-CBC) where there is a passphrase. Never
    /// overwrites a file.
    pub(crate) fn save(&self, path: &Path, passphrase: Option<&Passphrase>) -> Result<(), PkiError> {
        let pem = match passphrase {
            None => self.secret.to_pkcs8_pem(LineEnding::LF),
            Some(passphrase) => self.secret.to_pkcs8_encrypted_pem(passphrase.0.as_bytes(), LineEnding::LF),
        };
        let pem = pem.map_err(|error| malformed("private key", error))?;
        files::write_secret(path, pem.as_bytes())
    }

    /// The key as SecAgg's identity key.
    pub(crate) fn identity(&self) -> Result<IdentityKey, PkiError> {
        let bytes = Zeroizing::new(<[u8; 32]>::from(self.secret.to_bytes()));
        IdentityKey::from_bytes(&bytes).ok_or_else(|| malformed("private key", "it is no scalar of P-256"))
    }

    /// The key for rustls.
    pub(crate) fn with_pkcs8<T>(
        &self,
        use_it: impl FnOnce(PrivatePkcs8KeyDer<'_>) -> T,
    ) -> Result<T, PkiError> {
        let der = self.secret.to_pkcs8_der().map_err(|error| malformed("private key", error))?;
        Ok(use_it(PrivatePkcs8KeyDer::from(der.as_bytes())))
    }

    /// The public half.
    pub(crate) fn public(&self) -> &SubjectKey {
        &self.public
    }

    /// Deterministic (RFC 6979): r and s, 64 bytes.
    pub(crate) fn sign_fixed(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = SigningKey::from(&self.secret).sign(message);
        signature.to_bytes().into()
    }
}

impl From<SecretKey> for Key {
    fn from(secret: SecretKey) -> Self {
        let public = SubjectKey::new(*SigningKey::from(&secret).verifying_key());
        Self { secret, public }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(redacted)")
    }
}

impl rcgen::PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.public.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.public.algorithm()
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: DerSignature = SigningKey::from(&self.secret).sign(message);
        Ok(signature.as_bytes().to_vec())
    }
}

/// A public key of P-256.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SubjectKey {
    key: VerifyingKey,
    /// Uncompressed, as certificates have it.
    point: Vec<u8>,
}

impl SubjectKey {
    fn new(key: VerifyingKey) -> Self {
        Self { key, point: key.to_sec1_point(false).as_bytes().to_vec() }
    }

    /// From a point in SEC 1.
    pub(crate) fn from_point(point: &[u8]) -> Result<Self, PkiError> {
        let key = VerifyingKey::from_sec1_bytes(point);
        key.map(Self::new).map_err(|_| malformed("public key", "it is no point of P-256"))
    }

    /// The compressed point.
    pub(crate) fn to_bytes(&self) -> [u8; 33] {
        let mut bytes = [0; 33];
        bytes.copy_from_slice(self.key.to_sec1_point(true).as_bytes());
        bytes
    }

    /// The key as others verify SecAgg's statements with it.
    pub(crate) fn identity(&self) -> Result<PublicIdentity, PkiError> {
        let identity = PublicIdentity::from_bytes(&self.to_bytes());
        identity.ok_or_else(|| malformed("public key", "it is no point of P-256"))
    }

    /// Whether this is the key's signature of a message: r and s, 64 bytes.
    pub(crate) fn verifies_fixed(&self, message: &[u8], signature: &[u8]) -> bool {
        use p256::ecdsa::signature::Verifier as _;

        Signature::from_slice(signature).is_ok_and(|signature| self.key.verify(message, &signature).is_ok())
    }

    /// The same, for a signature in DER.
    pub(crate) fn verifies_der(&self, message: &[u8], signature: &[u8]) -> bool {
        use p256::ecdsa::signature::Verifier as _;

        Signature::from_der(signature).is_ok_and(|signature| self.key.verify(message, &signature).is_ok())
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectKey({:02x?}…)", self.to_bytes().get(..5).unwrap_or_default())
    }
}

impl rcgen::PublicKeyData for SubjectKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// What encrypts the authority's key. Secret: zeroized on drop, without `Debug`.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// The passphrase of the environment variable [`PASSPHRASE`](super::PASSPHRASE), where it is set and not empty.
    pub fn from_environment() -> Option<Self> {
        std::env::var(super::PASSPHRASE).ok().and_then(Self::new)
    }

    /// A passphrase; `None` where it is empty.
    pub fn new(text: String) -> Option<Self> {
        let text = Zeroizing::new(text);
        if text.is_empty() { None } else { Some(Self(text)) }
    }
}
