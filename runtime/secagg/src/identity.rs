//! Who a participant is: a long-lived P-256 key that signs (ECDSA, FIPS 186-5) what must not be invented by a server.
//!
//! Identity keys sign; they agree on nothing and seal nothing. Every signature is over a [`Transcript`] in a domain
//! of this crate, so that one made for TLS, for another step or for another session is worth nothing here.
//!
//! Which key belongs to whom comes from [`Identities`], which a site pins: it was told by the federation's authority,
//! never by the server. Does not defend against a member that gives its own key away.

use std::{collections::BTreeMap, fmt, sync::Arc};

use p256::{
    ecdsa::{self, SigningKey, VerifyingKey, signature::hazmat::PrehashVerifier as _},
    elliptic_curve::Generate as _,
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use zeroize::Zeroizing;

use crate::{
    batch,
    defences::{Defence, stands},
    error::{Error, Stage},
    random::Generator,
    transcript::Transcript,
};

/// A participant's private identity key. Secret: no `Serialize`, a redacted `Debug`, zeroized on drop.
#[derive(Clone)]
pub struct IdentityKey(SigningKey);

impl IdentityKey {
    /// A fresh key, from the operating system's generator.
    pub fn generate() -> Result<Self, Error> {
        p256::SecretKey::try_generate_from_rng(&mut Generator)
            .map(|key| Self(key.into()))
            .map_err(|_| Error::NoEntropy)
    }

    /// A key that the site keeps; `None` where the bytes are no scalar of the curve's order, or zero.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        SigningKey::from_slice(bytes).ok().map(Self)
    }

    /// The key as the site keeps it. It never leaves the site.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    /// What others verify with.
    pub fn public(&self) -> PublicIdentity {
        PublicIdentity(*self.0.verifying_key())
    }

    /// Deterministic (RFC 6979): a weak generator cannot give the key away. Of s and −s, which both hold, it is the one
    /// that lets others look at many signatures together.
    #[allow(clippy::arithmetic_side_effects, reason = "a scalar, which cannot overflow")]
    pub(crate) fn sign(&self, statement: &Transcript) -> Signature {
        let (signature, point) = self.0.sign_recoverable(statement.as_bytes());
        let (r, s) = signature.split_scalars();
        let other = if point.is_y_odd() { ecdsa::Signature::from_scalars(*r, -*s).ok() } else { None };
        Signature::from_bytes(other.unwrap_or(signature).to_bytes().into())
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityKey(redacted)")
    }
}

/// A participant's public identity key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicIdentity(VerifyingKey);

impl PublicIdentity {
    /// A compressed SEC 1 point; `None` where the bytes are not one.
    pub fn from_bytes(bytes: &[u8; 33]) -> Option<Self> {
        VerifyingKey::from_sec1_bytes(bytes).ok().map(Self)
    }

    /// The compressed SEC 1 point.
    pub fn to_bytes(&self) -> [u8; 33] {
        let mut bytes = [0; 33];
        bytes.copy_from_slice(self.0.to_sec1_point(true).as_bytes());
        bytes
    }

    pub(crate) fn point(&self) -> &p256::AffinePoint {
        self.0.as_affine()
    }

    /// Of a statement's SHA-256.
    pub(crate) fn verifies(&self, digest: &[u8; 32], signature: &Signature) -> bool {
        ecdsa::Signature::from_slice(&*signature.0)
            .is_ok_and(|signature| self.0.verify_prehash(digest, &signature).is_ok())
    }
}

impl fmt::Debug for PublicIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicIdentity(")?;
        self.to_bytes().iter().take(5).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…)")
    }
}

/// An ECDSA signature as it travels: r and s, 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signature(ByteArray<64>);

impl Signature {
    pub(crate) fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(ByteArray::new(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(64 bytes)")
    }
}

/// Who has which identity key, and how many are enrolled in the federation: pinned at each participant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    keys: BTreeMap<String, PublicIdentity>,
    enrolled: usize,
}

impl Identities {
    /// All who are enrolled, by name.
    pub fn new<N: Into<String>>(keys: impl IntoIterator<Item = (N, PublicIdentity)>) -> Self {
        let keys: BTreeMap<String, PublicIdentity> =
            keys.into_iter().map(|(name, key)| (name.into(), key)).collect();
        Self { enrolled: keys.len(), keys }
    }

    /// How many are enrolled, where that is more than the keys known here. A server may invite any of them, so the
    /// adversaries among them may all be in one small roster.
    #[must_use]
    pub fn with_enrolled(mut self, enrolled: usize) -> Self {
        self.enrolled = enrolled.max(self.keys.len());
        self
    }

    /// How many are enrolled.
    pub fn enrolled(&self) -> usize {
        self.enrolled
    }

    /// A participant's key.
    pub fn get(&self, name: &str) -> Option<&PublicIdentity> {
        self.keys.get(name)
    }
}

/// A client's own key and whom it trusts.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    key: Arc<IdentityKey>,
    pub(crate) trusted: Arc<Identities>,
}

impl Identity {
    /// Refuses a key that the others would not recognise.
    pub(crate) fn new(name: &str, key: Arc<IdentityKey>, trusted: Arc<Identities>) -> Result<Self, Error> {
        if trusted.get(name) == Some(&key.public()) {
            Ok(Self { key, trusted })
        } else {
            Err(Error::OwnIdentityUnknown { client: name.to_owned() })
        }
    }

    pub(crate) fn sign(&self, statement: &Transcript) -> Signature {
        self.key.sign(statement)
    }
}

/// One of several signatures that are looked at together.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'a> {
    pub(crate) signer: &'a str,
    pub(crate) key: &'a PublicIdentity,
    /// SHA-256 of the statement.
    pub(crate) digest: [u8; 32],
    pub(crate) signature: Option<&'a Signature>,
}

impl Claim<'_> {
    fn holds(&self) -> bool {
        self.signature.is_some_and(|signature| self.key.verifies(&self.digest, signature))
    }
}

/// The signers of those that do not hold, in order. What holds together is not looked at one by one.
pub(crate) fn not_holding<'a>(claims: &[Claim<'a>]) -> impl Iterator<Item = &'a str> {
    let doubtful = if stands(Defence::Signatures) { batch::doubtful(claims) } else { Vec::new() };
    doubtful.into_iter().filter(|claim| !claim.holds()).map(|claim| claim.signer)
}

/// All of them, or the first that does not hold, which `from` handed over.
pub(crate) fn verify_all(stage: Stage, from: &str, claims: &[Claim<'_>]) -> Result<(), Error> {
    match not_holding(claims).next() {
        Some(signer) => Err(Error::BadSignature { stage, from: from.to_owned(), signer: signer.to_owned() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::domain;

    fn statement(text: &str) -> Transcript {
        Transcript::new(domain!("test")).text(text)
    }

    #[test]
    fn row_04_a_signature_holds_for_its_key_and_its_statement() {
        let (key, other) = (IdentityKey::generate().unwrap(), IdentityKey::generate().unwrap());
        let signature = key.sign(&statement("a"));
        fn look(key: &IdentityKey, text: &str, signature: Option<&Signature>) -> Result<(), Error> {
            let (key, digest) = (&key.public(), statement(text).hash());
            verify_all(Stage::AdvertiseKeys, "relay", &[Claim { signer: "ana", key, digest, signature }])
        }
        let verify =
            |key: &IdentityKey, text, signature| look(key, text, signature).map_err(|error| error.code());
        assert_eq!(verify(&key, "a", Some(&signature)), Ok(()));
        for (key, text, signature) in
            [(&key, "b", Some(&signature)), (&other, "a", Some(&signature)), (&key, "a", None)]
        {
            assert_eq!(verify(key, text, signature), Err("bad-signature"));
        }
        for bytes in [[0; 64], [0xff; 64]] {
            let noise = Signature(ByteArray::new(bytes));
            assert!(look(&key, "a", Some(&noise)).is_err());
        }
        let error = look(&key, "b", Some(&signature)).unwrap_err();
        assert_eq!(error.culprits(), ["relay"]);
    }

    #[test]
    fn keys_are_kept_and_read_again() {
        let key = IdentityKey::generate().unwrap();
        let again = IdentityKey::from_bytes(&key.to_bytes()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(PublicIdentity::from_bytes(&key.public().to_bytes()), Some(key.public()));
        assert!(IdentityKey::from_bytes(&[0; 32]).is_none());
        assert!(PublicIdentity::from_bytes(&[7; 33]).is_none());
        assert_eq!(format!("{key:?}"), "IdentityKey(redacted)");
    }

    #[test]
    fn a_key_that_others_do_not_know_is_not_used() {
        let (key, other) = (IdentityKey::generate().unwrap(), IdentityKey::generate().unwrap());
        let trusted = Arc::new(Identities::new([("ana", other.public())]));
        let error = Identity::new("ana", Arc::new(key), Arc::clone(&trusted)).unwrap_err();
        assert_eq!(error, Error::OwnIdentityUnknown { client: "ana".into() });
        assert!(Identity::new("ben", Arc::new(other.clone()), Arc::clone(&trusted)).is_err());
        Identity::new("ana", Arc::new(other), trusted).unwrap();
    }

    #[test]
    fn those_enrolled_are_at_least_those_known() {
        let key = IdentityKey::generate().unwrap().public();
        let identities = Identities::new([("ana", key), ("ben", key)]);
        assert_eq!(identities.enrolled(), 2);
        assert_eq!(identities.clone().with_enrolled(1).enrolled(), 2);
        assert_eq!(identities.with_enrolled(9).enrolled(), 9);
    }
}
