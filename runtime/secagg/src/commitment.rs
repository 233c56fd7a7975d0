//! What a sharer commits to, so that a wrong share or a wrong secret has an owner (`SECURITY.md`, row 13).
//!
//! | commitment | over | known to | opened |
//! |---|---|---|---|
//! | to a share | domain, session, from, to, kind, share, nonce | server, recipient | to the recipient at once (share and nonce are sealed together); to the server in round 4 with the share, which looks where a rebuilt secret is wrong |
//! | to `b` | domain, session, name, `b` | server | by the server itself, when it has rebuilt `b` |
//!
//! A nonce of 32 random bytes hides the share. `b` needs none: it is 32 random bytes itself, and what is derived from
//! it is derived in other domains. Of a member that dropped out `b` is never rebuilt, and its commitment stays closed.
//! The masking key `s` needs no commitment, since its public key is in the roster.
//!
//! **One signature for all recipients.** A sharer signs the root of a hash tree over what it deals, one leaf for each
//! recipient: both ciphertexts and both commitments. A recipient gets its leaf, the path to the root and the signature.

use std::fmt;

use rand::TryRng as _;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use crate::{
    erasable::Erasable,
    error::Error,
    random::Generator,
    sealing::Purpose,
    session::Session,
    shamir::Share,
    transcript::{Transcript, domain},
};

/// A hash that binds its maker and shows nothing.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Commitment(ByteArray<32>);

impl Commitment {
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(ByteArray::new(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// To the self-mask seed of a client.
    pub(crate) fn to_seed(session: &Session, name: &str, seed: &[u8; 32]) -> Self {
        let transcript = Transcript::new(domain!("seed-commitment")).session(session).text(name);
        Self(ByteArray::new(transcript.bytes(seed).hash_and_wipe()))
    }
}

impl fmt::Debug for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Commitment(32 bytes)")
    }
}

/// A share and the nonce that opens its commitment. Secret until it is revealed; zeroized on drop.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Opening {
    share: Share,
    nonce: Zeroizing<[u8; 32]>,
}

impl Opening {
    /// With a fresh nonce, from the operating system.
    pub(crate) fn new(share: Share) -> Result<Self, Error> {
        let mut nonce = Zeroizing::new([0; 32]);
        Generator.try_fill_bytes(nonce.as_mut()).map_err(|_| Error::NoEntropy)?;
        Ok(Self { share, nonce })
    }

    pub(crate) fn from_bytes(bytes: &[u8; 64]) -> Self {
        let (mut share, mut nonce) = ([0; 32], Zeroizing::new([0; 32]));
        let (first, second) = bytes.split_at(32);
        share.copy_from_slice(first);
        nonce.copy_from_slice(second);
        let opening = Self { share: Share::from_bytes(share), nonce };
        share.zeroize();
        opening
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<[u8; 64]> {
        let mut bytes = Zeroizing::new([0; 64]);
        let (first, second) = bytes.split_at_mut(32);
        first.copy_from_slice(self.share.as_bytes());
        second.copy_from_slice(&*self.nonce);
        bytes
    }

    pub(crate) fn commitment(&self, purpose: &Purpose<'_>) -> Commitment {
        let transcript = Transcript::new(domain!("share-commitment"))
            .session(purpose.session)
            .text(purpose.from)
            .text(purpose.to)
            .text(purpose.kind.name())
            .bytes(self.share.as_bytes())
            .bytes(&*self.nonce);
        Commitment(ByteArray::new(transcript.hash_and_wipe()))
    }

    /// The one way in which a share becomes a message.
    pub(crate) fn reveal(&self) -> RevealedShare {
        RevealedShare(Erasable::new(*self.to_bytes()))
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opening(redacted)")
    }
}

/// A share, with the nonce of its commitment, that its holder gave to the server in round 4. `Debug` does not show it,
/// and it is zeroized on drop: with t of them a mask is open.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RevealedShare(Erasable<64>);

impl RevealedShare {
    pub(crate) fn opening(&self) -> Opening {
        Opening::from_bytes(&self.0)
    }

    /// Without the nonce.
    pub(crate) fn share(&self) -> Share {
        let mut share = Erasable::new([0; 32]);
        let (given, _) = self.0.split_at(32);
        share.copy_from_slice(given);
        let kept = Share::from_bytes(*share);
        share.zeroize();
        kept
    }
}

impl Drop for RevealedShare {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for RevealedShare {}

impl fmt::Debug for RevealedShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RevealedShare(redacted)")
    }
}

/// A hash tree: what is signed once and proved to each recipient alone. An odd node at the end moves up as it is.
pub(crate) mod tree {
    use super::{Transcript, domain};

    pub(crate) type Node = [u8; 32];

    /// All nodes, a level a list, from the leaves to the root.
    pub(crate) struct Tree(Vec<Vec<Node>>);

    impl Tree {
        pub(crate) fn new(leaves: Vec<Node>) -> Self {
            let mut levels = vec![leaves];
            while let Some(nodes) = levels.last().filter(|nodes| nodes.len() > 1) {
                levels.push(parents(nodes));
            }
            Self(levels)
        }

        /// Zeros where there is no leaf.
        pub(crate) fn root(&self) -> Node {
            self.0.last().and_then(|nodes| nodes.first()).copied().unwrap_or_default()
        }

        /// The siblings on the way from the leaf at this position to the root.
        pub(crate) fn path(&self, position: usize) -> impl Iterator<Item = &Node> {
            (0_u32..).zip(&self.0).filter_map(move |(level, nodes)| nodes.get((position >> level) ^ 1))
        }
    }

    fn parents(nodes: &[Node]) -> Vec<Node> {
        let parent = |pair: &[Node]| match pair {
            [left, right] => join(left, right),
            [single] => *single,
            _ => [0; 32],
        };
        nodes.chunks(2).map(parent).collect()
    }

    fn join(left: &Node, right: &Node) -> Node {
        Transcript::new(domain!("tree-node")).bytes(left).bytes(right).hash()
    }

    /// The root to which the path leads from a leaf at this position of so many; `None` for a path of wrong length.
    pub(crate) fn climb(leaf: Node, mut position: usize, mut count: usize, path: &[Node]) -> Option<Node> {
        if position >= count {
            return None;
        }
        let (mut node, mut siblings) = (leaf, path.iter());
        while count > 1 {
            if position ^ 1 < count {
                let sibling = siblings.next()?;
                node = if position.is_multiple_of(2) { join(&node, sibling) } else { join(sibling, &node) };
            }
            (position, count) = (position / 2, count.div_ceil(2));
        }
        siblings.next().is_none().then_some(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealing::ShareKind;
    use proptest::prelude::*;

    #[test]
    fn row_13_a_commitment_is_to_one_share_for_one_purpose() {
        let (session, roster) = (Session::new([1; 32], 1), [2; 32]);
        let purpose =
            Purpose { session: &session, from: "a", to: "b", kind: ShareKind::Seed, roster: &roster };
        let opening = Opening::new(Share::from_bytes([3; 32])).unwrap();
        let commitment = opening.commitment(&purpose);
        assert_eq!(Opening::from_bytes(&opening.to_bytes()).commitment(&purpose), commitment);
        let later = session.with_round(2);
        let others = [
            Purpose { session: &later, ..purpose },
            Purpose { from: "c", ..purpose },
            Purpose { to: "c", ..purpose },
            Purpose { kind: ShareKind::MaskingKey, ..purpose },
        ];
        for other in &others {
            assert_ne!(opening.commitment(other), commitment);
        }
        assert_eq!(
            format!("{opening:?} {:?}", opening.reveal()),
            "Opening(redacted) RevealedShare(redacted)"
        );
        // The same share twice is not recognised: the nonce hides it.
        assert_ne!(Opening::new(Share::from_bytes([3; 32])).unwrap().commitment(&purpose), commitment);
        for position in [0, 31, 32, 63] {
            let mut bytes = *opening.to_bytes();
            bytes[position] ^= 1;
            assert_ne!(Opening::from_bytes(&bytes).commitment(&purpose), commitment);
        }
        assert_ne!(
            Commitment::to_seed(&session, "a", &[1; 32]),
            Commitment::to_seed(&session, "b", &[1; 32])
        );
    }

    proptest! {
        #[test]
        fn row_13_a_path_proves_its_leaf_at_its_place_only(count in 1_usize..40, at: proptest::sample::Index) {
            let leaves: Vec<tree::Node> = (0..count).map(|i| [i as u8; 32]).collect();
            let tree = tree::Tree::new(leaves.clone());
            let path = |position: usize| tree.path(position).copied().collect::<Vec<_>>();
            let (root, at) = (tree.root(), at.index(count));
            prop_assert_eq!(tree::climb(leaves[at], at, count, &path(at)), Some(root));
            prop_assert_ne!(tree::climb([0xee; 32], at, count, &path(at)), Some(root));
            for other in (0..count).filter(|other| *other != at) {
                prop_assert_ne!(tree::climb(leaves[at], other, count, &path(other)), Some(root));
            }
            prop_assert_eq!(tree::climb(leaves[at], count, count, &path(at)), None);
            let mut long = path(at);
            long.push([0; 32]);
            prop_assert_eq!(tree::climb(leaves[at], at, count, &long), None);
        }
    }
}
