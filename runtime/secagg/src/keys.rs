//! P-256 key pairs, fresh in every session.

use std::fmt;

use p256::{
    NistP256,
    elliptic_curve::{Generate as _, sec1::ToSec1Point as _},
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use zeroize::Zeroizing;

use crate::{
    error::{Error, SERVER},
    random::Generator,
};

/// A public key as it travels: a compressed SEC 1 point, 33 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EncodedKey(ByteArray<33>);

impl EncodedKey {
    /// Bytes that may or may not be a point; they are checked when a message is received.
    pub fn from_bytes(bytes: [u8; 33]) -> Self {
        Self(ByteArray::new(bytes))
    }

    /// The encoded point.
    pub fn as_bytes(&self) -> &[u8; 33] {
        &self.0
    }

    /// Whether the bytes have the form of a compressed point, under which a point has one encoding only. Whether there
    /// is such a point is known when they are decoded.
    pub(crate) fn check_form(&self, from: &str, owner: &str) -> Result<(), Error> {
        match self.as_bytes() {
            [2 | 3, ..] => Ok(()),
            _ => Err(Error::InvalidPublicKey { from: from.to_owned(), owner: owner.to_owned() }),
        }
    }

    fn of(point: p256::PublicKey) -> Result<Self, Error> {
        let bytes = <[u8; 33]>::try_from(p256::CompressedPoint::from(point).as_slice());
        bytes.map(Self::from_bytes).map_err(|_| Error::Internal { operation: "point encoding" })
    }

    /// The point, if there is one on the curve and this is its one encoding: SEC 1 has another of the same length
    /// ("compact"), under which a key could appear twice in a roster.
    pub(crate) fn decode(&self, from: &str, owner: &str) -> Result<PublicKey, Error> {
        let point = p256::PublicKey::from_sec1_bytes(self.as_bytes()).ok();
        match point {
            Some(point) if Self::of(point)? == *self => Ok(PublicKey(point)),
            _ => Err(Error::InvalidPublicKey { from: from.to_owned(), owner: owner.to_owned() }),
        }
    }
}

impl fmt::Debug for EncodedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncodedKey(")?;
        self.0.iter().take(5).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("…)")
    }
}

/// A public key as its owner sends it to the server: an uncompressed SEC 1 point, 65 bytes. A few products show that it is
/// on the curve; for a compressed one it takes a square root, forty times as long, and the server does this for everybody.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct AdvertisedKey(ByteArray<65>);

impl AdvertisedKey {
    /// The key as it goes into the roster and under signatures, if it is a point of the curve.
    pub(crate) fn encoded(&self, owner: &str) -> Result<EncodedKey, Error> {
        match p256::PublicKey::from_sec1_bytes(self.0.as_slice()) {
            Ok(point) => EncodedKey::of(point),
            Err(_) => Err(Error::InvalidPublicKey { from: owner.to_owned(), owner: owner.to_owned() }),
        }
    }
}

impl fmt::Debug for AdvertisedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdvertisedKey(65 bytes)")
    }
}

/// A point of the curve.
#[derive(Clone, Copy)]
pub(crate) struct PublicKey(p256::PublicKey);

/// A private key. Zeroized on drop; never serialized but as shares.
pub(crate) struct PrivateKey(p256::SecretKey);

impl PrivateKey {
    /// A fresh key, from the operating system's generator.
    pub(crate) fn generate() -> Result<Self, Error> {
        p256::SecretKey::try_generate_from_rng(&mut Generator).map(Self).map_err(|_| Error::NoEntropy)
    }

    /// The key of a site that makes its keys once.
    #[cfg(test)]
    pub(crate) fn used_again(owner: &str, role: &str) -> Self {
        let bytes = crate::transcript::Transcript::new(role).text(owner).hash();
        Self::from_bytes(&bytes).unwrap()
    }

    /// `None` where the bytes are no scalar of the curve's order, or zero.
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        p256::SecretKey::from_slice(bytes).ok().map(Self)
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    pub(crate) fn encoded_public_key(&self) -> Result<EncodedKey, Error> {
        EncodedKey::of(self.0.public_key())
    }

    /// The public key, as the server is sent it and as it goes into the roster.
    pub(crate) fn advertised(&self) -> Result<(AdvertisedKey, EncodedKey), Error> {
        let point = self.0.public_key();
        let bytes = <[u8; 65]>::try_from(point.to_sec1_point(false).as_bytes());
        let bytes = bytes.map_err(|_| Error::Internal { operation: "point encoding" })?;
        Ok((AdvertisedKey(ByteArray::new(bytes)), EncodedKey::of(point)?))
    }

    /// [`agree`](Self::agree) with the owner of a key in the server's roster, which may turn out not to be one.
    pub(crate) fn agree_with(&self, key: &EncodedKey, owner: &str) -> Result<AgreedSecret, Error> {
        Ok(self.agree(&key.decode(SERVER, owner)?))
    }

    /// ECDH: the shared point's x coordinate, which is not yet a key.
    pub(crate) fn agree(&self, other: &PublicKey) -> AgreedSecret {
        AgreedSecret(self.0.diffie_hellman(&other.0))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(redacted)")
    }
}

/// What two key pairs agree on. Zeroized on drop.
pub(crate) struct AgreedSecret(p256::elliptic_curve::ecdh::SharedSecret<NistP256>);

impl AgreedSecret {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.raw_secret_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_07_keys_are_fresh_and_agree() {
        let (a, b) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        assert_ne!(a.to_bytes(), b.to_bytes());
        let public = |key: &PrivateKey| key.encoded_public_key().unwrap().decode("x", "x").unwrap();
        assert_eq!(a.agree(&public(&b)).as_bytes(), b.agree(&public(&a)).as_bytes());
        let restored = PrivateKey::from_bytes(&a.to_bytes()).unwrap();
        assert_eq!(restored.encoded_public_key().unwrap(), a.encoded_public_key().unwrap());
    }

    #[test]
    fn only_points_and_scalars_decode() {
        let valid = *PrivateKey::generate().unwrap().encoded_public_key().unwrap().as_bytes();
        let mut compact = valid;
        compact[0] = 5;
        for bytes in [[0; 33], [0xff; 33], [4; 33], compact] {
            let error = EncodedKey::from_bytes(bytes).decode("relay", "eve").map(|_| ()).unwrap_err();
            assert_eq!(error, Error::InvalidPublicKey { from: "relay".into(), owner: "eve".into() });
            assert_eq!(error.culprits(), ["relay"]);
        }
        assert!(EncodedKey::from_bytes(valid).decode("relay", "eve").is_ok());
        assert!(PrivateKey::from_bytes(&[0; 32]).is_none());
        assert!(PrivateKey::from_bytes(&[0xff; 32]).is_none());
    }

    #[test]
    fn an_advertised_key_is_a_point_of_the_curve_and_the_same_in_the_roster() {
        let key = PrivateKey::generate().unwrap();
        let (advertised, encoded) = key.advertised().unwrap();
        assert_eq!(encoded, key.encoded_public_key().unwrap());
        assert_eq!(advertised.encoded("eve"), Ok(encoded));
        for (at, value) in [(0, 5), (0, 6), (64, advertised.0[64] ^ 1)] {
            let mut bytes = advertised.0;
            bytes[at] = value;
            let error = AdvertisedKey(bytes).encoded("eve").unwrap_err();
            assert_eq!(error.culprits(), ["eve"], "{at}");
        }
    }

    /// The fields of every client state are of these types, or public.
    #[test]
    fn secrets_are_zeroized_on_drop() {
        fn zeroized<T: zeroize::ZeroizeOnDrop>() {}
        zeroized::<p256::SecretKey>();
        zeroized::<p256::elliptic_curve::ecdh::SharedSecret<NistP256>>();
        zeroized::<Zeroizing<[u8; 32]>>();
        zeroized::<Zeroizing<Vec<u32>>>();
        zeroized::<crate::RevealedShare>();
        zeroized::<aes_siv::siv::Aes256Siv>();
        zeroized::<aes::Aes128>();
    }

    #[test]
    fn debug_is_redacted() {
        assert_eq!(format!("{:?}", PrivateKey::generate().unwrap()), "PrivateKey(redacted)");
    }
}
