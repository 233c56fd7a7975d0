//! What sharers deal, and how it is passed on: at the server each share lies once, whoever it is for.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize, Serializer, ser::Error as _};
use serde_bytes::ByteArray;

use crate::{
    commitment::{Commitment, tree},
    error::Error,
    identity::Signature,
    roster::Roster,
    sealing::{SealedShare, ShareKind},
    session::Session,
    transcript::{Transcript, domain},
};

/// What a sharer signs: the root over all that it deals, of so many leaves.
pub(super) fn statement(
    session: &Session,
    roster: &[u8; 32],
    from: &str,
    count: usize,
    root: &tree::Node,
) -> Transcript {
    Transcript::new(domain!("signature/share-keys"))
        .session(session)
        .bytes(roster)
        .text(from)
        .int(count as u64)
        .bytes(root)
}

/// The two shares that one client gives another, and what it commits to. They travel as one string of 224 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ByteArray<224>", into = "ByteArray<224>")]
pub struct SealedShares {
    pub(crate) seed: SealedShare,
    pub(crate) masking_key: SealedShare,
    pub(crate) seed_commitment: Commitment,
    pub(crate) masking_key_commitment: Commitment,
}

impl SealedShares {
    pub(super) fn leaf(&self, to: &str) -> tree::Node {
        let transcript = Transcript::new(domain!("tree-leaf")).text(to);
        self.parts().into_iter().fold(transcript, Transcript::bytes).hash()
    }

    fn parts(&self) -> [&[u8]; 4] {
        [
            self.seed.as_bytes(),
            self.masking_key.as_bytes(),
            self.seed_commitment.as_bytes(),
            self.masking_key_commitment.as_bytes(),
        ]
    }
}

impl From<SealedShares> for ByteArray<224> {
    fn from(sealed: SealedShares) -> Self {
        let mut bytes = [0; 224];
        let mut rest = bytes.as_mut_slice();
        for part in sealed.parts() {
            // All parts together are as long as the whole.
            let (here, after) = rest.split_at_mut(part.len().min(rest.len()));
            here.copy_from_slice(part);
            rest = after;
        }
        Self::new(bytes)
    }
}

impl From<ByteArray<224>> for SealedShares {
    fn from(bytes: ByteArray<224>) -> Self {
        let mut bytes = bytes.into_iter();
        fn next<const N: usize>(bytes: &mut impl Iterator<Item = u8>) -> [u8; N] {
            std::array::from_fn(|_| bytes.next().unwrap_or_default())
        }
        Self {
            seed: SealedShare::from_bytes(next(&mut bytes)),
            masking_key: SealedShare::from_bytes(next(&mut bytes)),
            seed_commitment: Commitment::from_bytes(next(&mut bytes)),
            masking_key_commitment: Commitment::from_bytes(next(&mut bytes)),
        }
    }
}

/// What all clients dealt who are not gone.
pub(crate) struct Dealings {
    /// By the number of the sharer in the roster.
    by_sharer: BTreeMap<u32, Arc<Dealing>>,
    roster: Roster,
}

impl Dealings {
    pub(super) fn new(roster: Roster, dealings: impl IntoIterator<Item = (String, Dealing)>) -> Self {
        let numbered = |(name, dealing): (String, Dealing)| Some((roster.number(&name)?, Arc::new(dealing)));
        Self { by_sharer: dealings.into_iter().filter_map(numbered).collect(), roster }
    }

    pub(crate) fn of(&self, sharer: u32) -> Option<&Dealing> {
        self.by_sharer.get(&sharer).map(Arc::as_ref)
    }

    /// What `from` dealt to `to`, if it dealt.
    fn between(&self, from: u32, to: u32) -> Option<DealtShares> {
        let dealing = Arc::clone(self.by_sharer.get(&from)?);
        Some(DealtShares(Source::Dealing(dealing, self.roster.place_among(from, to)?)))
    }
}

/// What is dealt to one client, from each of its neighbours in the order of their names, and nothing from those who
/// dropped out before they dealt.
#[derive(Clone, Deserialize)]
#[serde(from = "Vec<Option<Passed>>")]
pub(crate) enum Delivery {
    /// At the server, and wherever the server's memory is, to this member: all lies there once, and is put together when
    /// it is read.
    From(Arc<Dealings>, u32),
    /// As it came.
    Passed(Vec<Option<Passed>>),
}

impl Delivery {
    pub(crate) fn to_vec(&self) -> Vec<Option<DealtShares>> {
        match self {
            Self::From(dealings, to) => {
                dealings.roster.row(*to).iter().map(|from| dealings.between(*from, *to)).collect()
            }
            Self::Passed(shares) => {
                shares.iter().map(|passed| passed.clone().map(DealtShares::from)).collect()
            }
        }
    }
}

impl From<Vec<Option<Passed>>> for Delivery {
    fn from(shares: Vec<Option<Passed>>) -> Self {
        Self::Passed(shares)
    }
}

impl Serialize for Delivery {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::From(..) => {
                let passed =
                    |dealt: &Option<DealtShares>| dealt.as_ref().map(DealtShares::passed).transpose();
                let shares: Result<Vec<_>, _> = self.to_vec().iter().map(passed).collect();
                shares.map_err(S::Error::custom)?.serialize(serializer)
            }
            Self::Passed(shares) => shares.serialize(serializer),
        }
    }
}

impl PartialEq for Delivery {
    fn eq(&self, other: &Self) -> bool {
        self.to_vec() == other.to_vec()
    }
}

impl Eq for Delivery {}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.to_vec()).finish()
    }
}

/// What one client dealt, as the server keeps it, in the order of the recipients' names.
pub(crate) struct Dealing {
    pub(crate) seed: Commitment,
    pub(super) own: Option<Commitment>,
    pub(super) shares: Box<[SealedShares]>,
    /// What the signature is of, and what proves each leaf; nothing where nothing is signed.
    pub(super) signed: Option<(Signature, tree::Tree)>,
}

impl Dealing {
    /// The commitment to the share that was dealt to the recipient at this place; its own at none.
    pub(crate) fn to(&self, place: Option<usize>, kind: ShareKind) -> Option<&Commitment> {
        let Some(place) = place else { return self.own.as_ref() };
        let sealed = self.shares.get(place)?;
        Some(match kind {
            ShareKind::Seed => &sealed.seed_commitment,
            ShareKind::MaskingKey => &sealed.masking_key_commitment,
        })
    }
}

/// What one client dealt another, with the proof that it did: nothing where nothing is signed.
#[derive(Clone)]
pub(crate) struct DealtShares(Source);

#[derive(Clone)]
enum Source {
    /// This place of all that the sharer dealt.
    Dealing(Arc<Dealing>, usize),
    Passed(Box<Passed>),
}

/// As it travels.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Passed {
    pub(crate) sealed: SealedShares,
    pub(crate) proof: Option<Proof>,
}

/// That a sharer dealt these shares: its signature of the root over all, and the way there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    signature: Signature,
    path: Vec<ByteArray<32>>,
}

impl DealtShares {
    pub(crate) fn sealed(&self) -> Result<&SealedShares, Error> {
        match &self.0 {
            Source::Dealing(dealing, place) => dealing.shares.get(*place),
            Source::Passed(passed) => Some(&passed.sealed),
        }
        .ok_or(Error::Internal { operation: "dealt shares" })
    }

    pub(crate) fn signature(&self) -> Option<&Signature> {
        match &self.0 {
            Source::Dealing(dealing, _) => dealing.signed.as_ref().map(|(signature, _)| signature),
            Source::Passed(passed) => passed.proof.as_ref().map(|proof| &proof.signature),
        }
    }

    /// The way from these shares to what is signed.
    fn path(&self) -> Vec<tree::Node> {
        match &self.0 {
            Source::Dealing(dealing, place) => {
                let tree = dealing.signed.as_ref().map(|(_, tree)| tree);
                tree.into_iter().flat_map(|tree| tree.path(*place)).copied().collect()
            }
            Source::Passed(passed) => {
                passed.proof.iter().flat_map(|proof| &proof.path).map(|node| **node).collect()
            }
        }
    }

    /// What `from` has to have signed for this recipient, which is at `place` of `count`.
    pub(crate) fn statement(
        &self,
        session: &Session,
        roster: &Roster,
        (from, to): (&str, &str),
        (place, count): (usize, usize),
    ) -> Result<Transcript, Error> {
        let root = tree::climb(self.sealed()?.leaf(to), place, count, &self.path()).unwrap_or_default();
        Ok(statement(session, roster.digest(), from, count, &root))
    }

    /// The same, for whoever has looked at the proof.
    pub(crate) fn without_proof(&self) -> Self {
        match &self.0 {
            Source::Dealing(..) => self.clone(),
            Source::Passed(passed) => Passed { sealed: passed.sealed, proof: None }.into(),
        }
    }

    /// A copy, as it travels.
    pub(crate) fn passed(&self) -> Result<Passed, Error> {
        let path = || self.path().into_iter().map(ByteArray::new).collect();
        let proof = self.signature().map(|signature| Proof { signature: *signature, path: path() });
        Ok(Passed { sealed: *self.sealed()?, proof })
    }
}

impl From<Passed> for DealtShares {
    fn from(passed: Passed) -> Self {
        Self(Source::Passed(Box::new(passed)))
    }
}

impl PartialEq for DealtShares {
    fn eq(&self, other: &Self) -> bool {
        self.passed() == other.passed()
    }
}

impl Eq for DealtShares {}

impl fmt::Debug for DealtShares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DealtShares")
            .field("sealed", &self.sealed().ok())
            .field("signature", &self.signature())
            .finish_non_exhaustive()
    }
}
