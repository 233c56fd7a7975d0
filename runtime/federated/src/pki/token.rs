//! One-time tokens: an administrator gives one to a site, and the site gets a certificate for it.
//!
//! A token has a public part, which the authority signed, and a secret, which only the authority and the site know.
//! The site sends the public part, and proves with the secret (HMAC with SHA-256, RFC 2104) that the request is its
//! own. So the director can check a token but can neither make one nor put its own key into a request.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::TryRng as _;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use sha2::Sha256;
use veilflow_spec::Name;
use zeroize::{Zeroize as _, Zeroizing};

use super::clock::{from_seconds, seconds};
use super::error::{PkiError, malformed};
use super::key::Key;
use super::role::Role;
use super::trust::{TOKEN, Thumbprint, Trust, in_time};

/// What a token starts with: its kind and version.
const PREFIX: &str = "veilflow1.";
const MAC_DOMAIN: &[u8] = b"veilflow/pki/v1/enrolment\0";

/// Sets a token apart from all others.
pub(crate) type Nonce = ByteArray<16>;
/// What proves a request to be the token's.
pub(crate) type Proof = ByteArray<32>;

/// The secret of a token. Zeroized on drop, without `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(ByteArray<32>);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Secret {
    fn mac(&self, claims: &[u8], csr: &[u8]) -> Result<Hmac<Sha256>, PkiError> {
        let mac = Hmac::<Sha256>::new_from_slice(&*self.0);
        let mut mac = mac.map_err(|error| malformed(TOKEN.what, error))?;
        mac.update(MAC_DOMAIN);
        // Its length first: no other claims and request give the same bytes.
        mac.update(&(claims.len() as u64).to_be_bytes());
        mac.update(claims);
        mac.update(csr);
        Ok(mac)
    }

    /// Proves a request.
    pub(crate) fn prove(&self, claims: &[u8], csr: &[u8]) -> Result<Proof, PkiError> {
        Ok(ByteArray::new(self.mac(claims, csr)?.finalize().into_bytes().into()))
    }

    /// Whether this proves the request, in constant time.
    pub(crate) fn proves(&self, claims: &[u8], csr: &[u8], proof: &Proof) -> Result<bool, PkiError> {
        Ok(self.mac(claims, csr)?.verify_slice(&**proof).is_ok())
    }
}

/// The public part of a token: for whom it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The name that the certificate will have.
    pub name: Name,
    /// The role that it will give.
    pub role: Role,
    /// When the token ends.
    pub not_after: SystemTime,
    /// What sets this token apart.
    pub nonce: [u8; 16],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Encoded {
    name: Name,
    role: Role,
    not_after: u64,
    nonce: Nonce,
}

impl Claims {
    /// Reads a public part and checks that the authority signed it and that it has not ended.
    ///
    /// # Errors
    /// [`PkiError::WrongAuthority`], [`PkiError::Expired`], [`PkiError::Malformed`].
    pub fn verify(bytes: &[u8], trust: &Trust, now: SystemTime) -> Result<Self, PkiError> {
        let claims = Self::read(bytes, trust)?;
        claims.in_time(now)?;
        Ok(claims)
    }

    /// The same, whether it has ended or not.
    pub(crate) fn read(bytes: &[u8], trust: &Trust) -> Result<Self, PkiError> {
        Self::decode(trust.body(&TOKEN, bytes)?)
    }

    pub(crate) fn in_time(&self, now: SystemTime) -> Result<(), PkiError> {
        let next = "ask the administrator for a new one (`pki token`)";
        in_time("token", self.name.as_str(), (0, seconds(self.not_after)), now, next)
    }

    fn decode(body: &[u8]) -> Result<Self, PkiError> {
        let Encoded { name, role, not_after, nonce } = TOKEN.decode(body)?;
        name.validate()?;
        Ok(Self { name, role, not_after: from_seconds(not_after), nonce: nonce.into_array() })
    }
}

/// A one-time token. Secret: it is given to the site by a way that nobody else reads; a redacted `Debug`.
#[derive(Clone)]
pub struct Token {
    authority: Thumbprint,
    claims: Vec<u8>,
    read: Claims,
    secret: Secret,
}

/// What the text of a token holds, in CBOR and base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    authority: Thumbprint,
    #[serde(with = "serde_bytes")]
    claims: Vec<u8>,
    secret: Secret,
}

impl Token {
    /// A new one, and what the authority keeps of it.
    pub(crate) fn make(
        (key, authority): (&Key, Thumbprint),
        name: &Name,
        role: Role,
        not_after: SystemTime,
    ) -> Result<Self, PkiError> {
        let (mut nonce, mut secret) = ([0; 16], Zeroizing::new([0; 32]));
        let drawn = SysRng.try_fill_bytes(&mut nonce).and_then(|()| SysRng.try_fill_bytes(&mut *secret));
        drawn.map_err(|error| PkiError::NoEntropy(std::io::Error::other(error)))?;
        let encoded =
            Encoded { name: name.clone(), role, not_after: seconds(not_after), nonce: ByteArray::new(nonce) };
        let claims = TOKEN.sign(key, &encoded)?;
        let read = Claims { name: name.clone(), role, not_after: from_seconds(encoded.not_after), nonce };
        Ok(Self { authority, claims, read, secret: Secret(ByteArray::new(*secret)) })
    }

    /// For whom it is. Whether the authority signed that is for the director and the authority to check.
    pub fn claims(&self) -> &Claims {
        &self.read
    }

    /// The SHA-256 of the certificate of the authority that made it: whom the site will trust.
    pub fn authority(&self) -> Thumbprint {
        self.authority
    }

    pub(crate) fn public_part(&self) -> &[u8] {
        &self.claims
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The text to give to the site.
    ///
    /// # Errors
    /// None in practice: it was encoded before.
    pub fn to_text(&self) -> Result<Zeroizing<String>, PkiError> {
        let text =
            Text { authority: self.authority, claims: self.claims.clone(), secret: self.secret.clone() };
        let mut encoded = Zeroizing::new(Vec::with_capacity(1024));
        ciborium::into_writer(&text, &mut *encoded).map_err(|error| malformed(TOKEN.what, error))?;
        let mut whole = Zeroizing::new(String::with_capacity(2048));
        whole.push_str(PREFIX);
        whole.push_str(&Zeroizing::new(Base64UrlUnpadded::encode_string(&encoded)));
        Ok(whole)
    }
}

impl FromStr for Token {
    type Err = PkiError;

    fn from_str(text: &str) -> Result<Self, PkiError> {
        let bad = |why: &str| malformed(TOKEN.what, why);
        let text = text.trim();
        if text.len() > 2 * TOKEN.limit {
            return Err(PkiError::TooLarge { what: TOKEN.what, got: text.len(), limit: 2 * TOKEN.limit });
        }
        let encoded = text.strip_prefix(PREFIX);
        let encoded = encoded.ok_or_else(|| bad("it does not start with `veilflow1.`: copy all of it"))?;
        let bytes = Base64UrlUnpadded::decode_vec(encoded).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| bad("some of it is missing or changed: copy all of it"))?;
        let text: Text = TOKEN.decode(&bytes)?;
        let body = text.claims.get(64..).ok_or_else(|| bad("it is too short"))?;
        let read = Claims::decode(body)?;
        Ok(Self { authority: text.authority, claims: text.claims, read, secret: text.secret })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(for {:?}, redacted)", self.read.name)
    }
}
