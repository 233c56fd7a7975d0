//! Shares sealed to one recipient, with AES-SIV (RFC 5297).
//!
//! Each direction, kind and session has a key of its own and seals one message with it; the associated data repeats
//! what the message is for and adds the roster. Sealed is a share and the nonce of its commitment.

use std::fmt;

use aes_siv::{KeyInit as _, siv::Aes256Siv};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use zeroize::Zeroizing;

use crate::{
    commitment::Opening,
    error::Error,
    session::Session,
    transcript::{Transcript, domain},
};

/// Which of a client's two secrets a share is of. They never share one secret: the server learns one or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ShareKind {
    /// Of the self-mask seed `b`, given when the client arrived.
    Seed,
    /// Of the masking private key `s`, given when the client dropped out.
    MaskingKey,
}

impl ShareKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::MaskingKey => "masking-key",
        }
    }
}

impl fmt::Display for ShareKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A share that only its recipient can open: a 16-byte tag, the share and a nonce.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedShare(ByteArray<80>);

impl SealedShare {
    /// Ciphertext that was made elsewhere.
    pub fn from_bytes(bytes: [u8; 80]) -> Self {
        Self(ByteArray::new(bytes))
    }

    /// The ciphertext.
    pub fn as_bytes(&self) -> &[u8; 80] {
        &self.0
    }
}

impl fmt::Debug for SealedShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedShare(80 bytes)")
    }
}

/// What a sealed share is for: its associated data.
#[derive(Clone, Copy)]
pub(crate) struct Purpose<'a> {
    pub(crate) session: &'a Session,
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) kind: ShareKind,
    pub(crate) roster: &'a [u8; 32],
}

impl Purpose<'_> {
    fn associated_data(&self) -> Transcript {
        Transcript::new(domain!("sealed-share"))
            .session(self.session)
            .text(self.from)
            .text(self.to)
            .text(self.kind.name())
            .bytes(self.roster)
    }
}

pub(crate) fn seal(key: &[u8; 64], purpose: &Purpose<'_>, opening: &Opening) -> Result<SealedShare, Error> {
    let sealed = encrypt(key, purpose, &*opening.to_bytes()).and_then(|sealed| sealed.try_into().ok());
    sealed.map(SealedShare::from_bytes).ok_or(Error::Internal { operation: "sealing" })
}

pub(crate) fn open(key: &[u8; 64], purpose: &Purpose<'_>, sealed: &SealedShare) -> Result<Opening, Error> {
    let opened = decrypt(key, purpose, sealed.as_bytes());
    let opened = opened.as_ref().and_then(|opened| <&[u8; 64]>::try_from(opened.as_slice()).ok());
    opened.map(Opening::from_bytes).ok_or_else(|| Error::ShareNotOpened {
        from: purpose.from.to_owned(),
        to: purpose.to.to_owned(),
        kind: purpose.kind,
    })
}

fn encrypt(key: &[u8; 64], purpose: &Purpose<'_>, plaintext: &[u8]) -> Option<Vec<u8>> {
    Aes256Siv::new(key.into()).encrypt([purpose.associated_data().as_bytes()], plaintext).ok()
}

fn decrypt(key: &[u8; 64], purpose: &Purpose<'_>, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let opened = Aes256Siv::new(key.into()).decrypt([purpose.associated_data().as_bytes()], sealed);
    opened.ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors;

    #[derive(serde::Deserialize)]
    struct Vectors {
        key: String,
        session_id: String,
        round: u64,
        attempt: u32,
        from: String,
        to: String,
        roster: String,
        share: String,
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        kind: String,
        associated_data: String,
        sealed: String,
    }

    #[test]
    fn row_07_known_answers() {
        let v: Vectors = vectors::read(include_str!("vectors/sealing.json"));
        let session = Session::new(vectors::bytes(&v.session_id), v.round).with_attempt(v.attempt);
        let (key, roster) = (vectors::bytes(&v.key), vectors::bytes(&v.roster));
        let share: [u8; 32] = vectors::bytes(&v.share);
        assert_eq!(v.cases.len(), 2);
        for case in v.cases {
            let kind =
                [ShareKind::Seed, ShareKind::MaskingKey].into_iter().find(|k| k.name() == case.kind).unwrap();
            let purpose = Purpose { session: &session, from: &v.from, to: &v.to, kind, roster: &roster };
            assert_eq!(vectors::hex(purpose.associated_data().as_bytes()), case.associated_data);
            let sealed = encrypt(&key, &purpose, &share).unwrap();
            assert_eq!(vectors::hex(&sealed), case.sealed);
            assert_eq!(decrypt(&key, &purpose, &sealed).unwrap().as_slice(), share);
        }
    }

    #[test]
    fn row_07_opens_for_its_purpose_only() {
        let (session, roster, key) = (Session::new([1; 32], 1), [2; 32], [3; 64]);
        let purpose =
            Purpose { session: &session, from: "a", to: "b", kind: ShareKind::Seed, roster: &roster };
        let opening = Opening::from_bytes(&[4; 64]);
        let sealed = seal(&key, &purpose, &opening).unwrap();
        let (later, retry, elsewhere) =
            (session.with_round(2), session.with_attempt(1), Session::new([9; 32], 1));
        let wrong = [
            Purpose { session: &later, ..purpose },
            Purpose { session: &retry, ..purpose },
            Purpose { session: &elsewhere, ..purpose },
            Purpose { from: "c", ..purpose },
            Purpose { to: "c", ..purpose },
            Purpose { from: "b", to: "a", ..purpose },
            Purpose { kind: ShareKind::MaskingKey, ..purpose },
            Purpose { roster: &[9; 32], ..purpose },
        ];
        for other in &wrong {
            let error = open(&key, other, &sealed).unwrap_err();
            assert_eq!(error.code(), "share-not-opened");
            assert!(error.culprits().is_empty(), "a failed opening proves nobody guilty");
        }
        let mut bytes = *sealed.as_bytes();
        for position in [0, 15, 16, 79] {
            bytes[position] ^= 1;
            assert!(open(&key, &purpose, &SealedShare::from_bytes(bytes)).is_err());
            bytes[position] ^= 1;
        }
        assert!(open(&[0; 64], &purpose, &sealed).is_err());
        assert_eq!(open(&key, &purpose, &sealed).unwrap(), opening);
    }
}
