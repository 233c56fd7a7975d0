//! Round 1: every client splits its two secrets among its neighbours, each share sealed to its holder; the server passes
//! them on unopened (Bonawitz et al., CCS 2017, fig. 4, round 1).
//!
//! The secrets are the self-mask seed `b` and the masking private key `s`. The server learns one of them in round 4,
//! so they are shared independently. On the complete graph a client keeps a share of its own `b`, so that the smallest
//! cohorts can finish; on a sparse one it keeps none, and never one of its own `s`.
//!
//! What a client deals it commits to, and signs where the server is not trusted: see [`commitment`](crate::commitment).
//! The server verifies before it passes anything on, so that a bad signature at a recipient names the server.

use std::{collections::BTreeMap, fmt};

use rand::TryRng as _;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;
use zeroize::Zeroizing;

use crate::{
    admission::{of_one, take_all},
    cohort::{Site, check_holders, check_names, check_size, missing},
    commitment::{Commitment, Opening, tree},
    defences::{Defence, stands},
    derive::sealing_key,
    error::{Error, Stage},
    freeze_roster::{FrozenRosterMessage, check_frozen},
    identity::Signature,
    keys::PrivateKey,
    masked_input::MaskedInputServer,
    plan::Plan,
    random::Generator,
    receive_shares::ReceiveSharesClient,
    redacted::redacted_debug,
    roster::Roster,
    sealing::{Purpose, SealedShare, ShareKind, seal},
    session::Session,
    shamir::{Share, split},
    transcript::{Transcript, domain},
};

const STAGE: Stage = Stage::ShareKeys;

/// A client that signed the roster and waits for what the others revealed. Secret: it holds both private keys.
pub struct ShareKeysClient {
    pub(crate) site: Site,
    pub(crate) sealing: PrivateKey,
    pub(crate) masking: PrivateKey,
    pub(crate) roster: Roster,
}

redacted_debug!(ShareKeysClient, site.session);

impl ShareKeysClient {
    /// Checks that the others froze the same roster, and shares both secrets with its neighbours.
    pub fn share_keys(
        self,
        message: &FrozenRosterMessage,
    ) -> Result<(ReceiveSharesClient, ShareKeysMessage), Error> {
        let Self { site, sealing, masking, roster } = self;
        let roster = check_frozen(&site, roster, message)?;

        let mut seed = Zeroizing::new([0; 32]);
        Generator.try_fill_bytes(seed.as_mut()).map_err(|_| Error::NoEntropy)?;
        let seed_shares = split_for(&site, &roster, &seed)?;
        let key_shares = split_for(&site, &roster, &masking.to_bytes())?;

        let me = roster.number(&site.name).ok_or(Error::Internal { operation: "roster lookup" })?;
        let row = roster.row(me);
        let mut sealed = Vec::with_capacity(row.len());
        let mut agreements = Vec::with_capacity(row.len());
        for number in row.iter() {
            let member = roster.entry(*number).ok_or(Error::Internal { operation: "roster lookup" })?;
            let (name, position) = (&member.name, roster.position(me, *number));
            let agreed = sealing.agree_with(&member.sealing_key, name)?;
            let seal_one = |kind, shares: &[Share]| -> Result<_, Error> {
                let key = sealing_key(&agreed, &site.session, &site.name, name, kind)?;
                let purpose = Purpose {
                    session: &site.session,
                    from: &site.name,
                    to: name,
                    kind,
                    roster: roster.digest(),
                };
                let opening = Opening::new(share_of(shares, position)?.clone())?;
                Ok((seal(&key, &purpose, &opening)?, opening.commitment(&purpose)))
            };
            let (seed, seed_commitment) = seal_one(ShareKind::Seed, &seed_shares)?;
            let (masking_key, masking_key_commitment) = seal_one(ShareKind::MaskingKey, &key_shares)?;
            sealed.push((
                name.clone(),
                Box::new(SealedShares { seed, masking_key, seed_commitment, masking_key_commitment }),
            ));
            agreements.push(agreed);
        }
        // In one piece: a map that grows keeps half of its room free.
        let shares: BTreeMap<String, Box<SealedShares>> = sealed.into_iter().collect();
        let own_position = roster.share_position(&site.name, &site.name);
        let own_seed_share = match own_position {
            Some(_) => Some(Opening::new(share_of(&seed_shares, own_position)?.clone())?),
            None => None,
        };
        let own = own_purpose(&site.session, &site.name, roster.digest());
        let signature = site.identity.as_ref().map(|identity| {
            identity.sign(&dealing_statement(&site.session, roster.digest(), &site.name, &leaves(&shares)))
        });
        let message = ShareKeysMessage {
            session: site.session,
            seed_commitment: Commitment::to_seed(&site.session, &site.name, &seed),
            own_commitment: own_seed_share.as_ref().map(|share| share.commitment(&own)),
            shares,
            signature,
        };
        drop(row);
        Ok((ReceiveSharesClient { site, agreements, masking, roster, seed, own_seed_share }, message))
    }
}

fn split_for(site: &Site, roster: &Roster, secret: &[u8; 32]) -> Result<Vec<Share>, Error> {
    let byte = |number: usize| u8::try_from(number).map_err(|_| Error::Internal { operation: "share count" });
    let weaker = usize::from(!stands(Defence::Threshold));
    let threshold = site.plan.threshold().saturating_sub(weaker);
    split(secret, byte(roster.shares())?, byte(threshold)?)
}

/// Positions count from 1.
fn share_of(shares: &[Share], position: Option<u8>) -> Result<&Share, Error> {
    let position = position.and_then(|position| usize::from(position).checked_sub(1));
    position.and_then(|position| shares.get(position)).ok_or(Error::Internal { operation: "share position" })
}

/// The share of its own `b` that a client keeps.
pub(crate) fn own_purpose<'a>(session: &'a Session, name: &'a str, roster: &'a [u8; 32]) -> Purpose<'a> {
    Purpose { session, from: name, to: name, kind: ShareKind::Seed, roster }
}

/// What a sharer signs: the root over all that it deals.
fn dealing_statement(session: &Session, roster: &[u8; 32], from: &str, leaves: &[tree::Node]) -> Transcript {
    root_statement(session, roster, from, leaves.len(), &tree::root(leaves))
}

fn root_statement(
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

/// In the order of the recipients' names.
fn leaves(shares: &BTreeMap<String, Box<SealedShares>>) -> Vec<tree::Node> {
    shares.iter().map(|(to, sealed)| sealed.leaf(to)).collect()
}

/// The two shares that one client gives another, and what it commits to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedShares {
    pub(crate) seed: SealedShare,
    pub(crate) masking_key: SealedShare,
    pub(crate) seed_commitment: Commitment,
    pub(crate) masking_key_commitment: Commitment,
}

impl SealedShares {
    fn leaf(&self, to: &str) -> tree::Node {
        Transcript::new(domain!("tree-leaf"))
            .text(to)
            .bytes(self.seed.as_bytes())
            .bytes(self.masking_key.as_bytes())
            .bytes(self.seed_commitment.as_bytes())
            .bytes(self.masking_key_commitment.as_bytes())
            .hash()
    }
}

/// A client's sealed shares, by recipient, with its commitments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareKeysMessage {
    pub(crate) session: Session,
    pub(crate) seed_commitment: Commitment,
    /// To the share of `b` that the client keeps, on the complete graph.
    pub(crate) own_commitment: Option<Commitment>,
    /// Each in a box, which the server hands on as it is: a copy of all would be most of its memory.
    pub(crate) shares: BTreeMap<String, Box<SealedShares>>,
    pub(crate) signature: Option<Signature>,
}

/// What one client dealt another, with the proof that it did: nothing where nothing is signed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealtShares {
    pub(crate) sealed: Box<SealedShares>,
    pub(crate) proof: Option<Box<Proof>>,
}

/// That a sharer dealt these shares: its signature of the root over all, and the way there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    pub(crate) signature: Signature,
    pub(crate) path: Vec<ByteArray<32>>,
}

impl fmt::Debug for DealtShares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = self.proof.as_ref().map(|proof| proof.signature);
        f.debug_struct("DealtShares")
            .field("sealed", &self.sealed)
            .field("signature", &signature)
            .finish_non_exhaustive()
    }
}

impl DealtShares {
    /// What `from` has to have signed for this recipient, which is at `position` of `count`.
    pub(crate) fn statement(
        &self,
        session: &Session,
        roster: &Roster,
        (from, to): (&str, &str),
        (position, count): (usize, usize),
    ) -> Transcript {
        let path = self.proof.iter().flat_map(|proof| &proof.path).map(|node| **node).collect::<Vec<_>>();
        let root = tree::climb(self.sealed.leaf(to), position, count, &path).unwrap_or_default();
        root_statement(session, roster.digest(), from, count, &root)
    }

    pub(crate) fn signature(&self) -> Option<&Signature> {
        self.proof.as_ref().map(|proof| &proof.signature)
    }
}

/// What all clients committed to, by the number of the sharer in the roster.
pub(crate) struct Dealings(BTreeMap<u32, Dealing>);

impl Dealings {
    pub(crate) fn of(&self, sharer: u32) -> Option<&Dealing> {
        self.0.get(&sharer)
    }
}

/// What one client committed to, as the server keeps it. The pairs are in the order of the recipients' names.
pub(crate) struct Dealing {
    pub(crate) seed: Commitment,
    own: Option<Commitment>,
    pairs: Vec<(Commitment, Commitment)>,
}

impl Dealing {
    /// The commitment to the share that was dealt to the recipient at this position; its own at none.
    pub(crate) fn to(&self, position: Option<usize>, kind: ShareKind) -> Option<&Commitment> {
        let Some(position) = position else { return self.own.as_ref() };
        let (seed, masking_key) = self.pairs.get(position)?;
        Some(match kind {
            ShareKind::Seed => seed,
            ShareKind::MaskingKey => masking_key,
        })
    }
}

/// The sealed shares that are addressed to one client, by sender. Senders and recipient together are U2: whoever is
/// not among them has dropped out and is masked with nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharesMessage {
    pub(crate) session: Session,
    pub(crate) shares: BTreeMap<String, DealtShares>,
}

impl SharesMessage {
    /// The other members of U2.
    pub fn senders(&self) -> impl Iterator<Item = &str> {
        self.shares.keys().map(String::as_str)
    }
}

/// The server, collecting sealed shares.
pub struct ShareKeysServer {
    session: Session,
    plan: Plan,
    roster: Roster,
    received: BTreeMap<String, Received>,
}

redacted_debug!(ShareKeysServer, session);

struct Received {
    message: ShareKeysMessage,
    /// The leaves that are signed; none where nothing is.
    leaves: Vec<tree::Node>,
}

impl ShareKeysServer {
    pub(crate) fn new(session: Session, plan: Plan, roster: Roster) -> Self {
        Self { session, plan, roster, received: BTreeMap::new() }
    }

    /// Takes the shares of `from`, the name that the transport authenticated.
    pub fn receive(&mut self, from: &str, message: ShareKeysMessage) -> Result<(), Error> {
        of_one(self.receive_all([(from.to_owned(), message)]))
    }

    /// [`receive`](Self::receive) for all that came together, by name: it takes less time. Returns those that are
    /// refused, each with its error; all others are taken.
    pub fn receive_all(
        &mut self,
        messages: impl IntoIterator<Item = (String, ShareKeysMessage)>,
    ) -> Vec<(String, Error)> {
        let Self { session, roster, received, .. } = self;
        let check = |from: &str, message: ShareKeysMessage| {
            session.check(from, &message.session)?;
            let row = roster.number(from).map(|number| roster.row(number)).unwrap_or_default();
            let recipients = row.iter().filter_map(|number| roster.entry(*number)).map(|entry| &entry.name);
            check_names(from, recipients, message.shares.keys())?;
            let leaves = if roster.is_signed() { leaves(&message.shares) } else { Vec::new() };
            let digest = || dealing_statement(session, roster.digest(), from, &leaves).hash();
            let signed = roster.signed(from, digest, message.signature)?;
            Ok((Received { message, leaves }, signed))
        };
        take_all(STAGE, received, messages, |from| roster.number(from).is_some(), check)
    }

    /// Whose shares arrived.
    pub fn received(&self) -> impl Iterator<Item = &str> {
        self.received.keys().map(String::as_str)
    }

    /// Whose did not.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        missing(self.roster.names(), &self.received).into_iter().map(String::as_str)
    }

    /// Ends the round with those who answered: U2. Each of them gets its own message.
    ///
    /// # Errors
    ///
    /// [`BelowThreshold`](Error::BelowThreshold) and [`CohortTooSmall`](Error::CohortTooSmall) name who is missing.
    pub fn deliver(self) -> Result<(MaskedInputServer, BTreeMap<String, SharesMessage>), Error> {
        let Self { session, plan, roster, received } = self;
        let absent = missing(roster.names(), &received).into_iter();
        check_size(STAGE, received.len(), plan.threshold(), plan.min_cohort(), absent)?;
        if received.len() < roster.len() {
            for received_from in received.values() {
                let holders = received_from.message.shares.keys();
                check_holders(STAGE, &plan, holders, |name| received.contains_key(name))?;
            }
        }
        let cohort: Vec<String> = received.keys().cloned().collect();
        // By the recipient's number. Senders come in the order of their names, so each list is sorted.
        let mut deliveries: Vec<Option<Vec<(String, DealtShares)>>> = vec![None; roster.numbers()];
        for number in cohort.iter().filter_map(|name| roster.number(name)) {
            if let Some(delivery) = deliveries.get_mut(number as usize) {
                *delivery = Some(Vec::with_capacity(roster.degree()));
            }
        }
        let mut dealings = BTreeMap::new();
        for (from, Received { message, leaves }) in received {
            let Some(sharer) = roster.number(&from) else { continue };
            let commitments = |sealed: &SealedShares| (sealed.seed_commitment, sealed.masking_key_commitment);
            let pairs = message.shares.values().map(|sealed| commitments(sealed)).collect();
            let dealing = Dealing { seed: message.seed_commitment, own: message.own_commitment, pairs };
            dealings.insert(sharer, dealing);
            // A proof is of use only with a signature.
            let mut paths = message.signature.map(|_| tree::paths(&leaves)).unwrap_or_default().into_iter();
            for (to, (mut name, sealed)) in roster.row(sharer).iter().zip(message.shares) {
                let path = paths.next().unwrap_or_default().into_iter().map(ByteArray::new).collect();
                let proof = message.signature.map(|signature| Box::new(Proof { signature, path }));
                // Shares for members who dropped out go nowhere.
                if let Some(delivery) = deliveries.get_mut(*to as usize).and_then(Option::as_mut) {
                    // The sender's name goes where the recipient's was: new strings for all would be a tenth of all that
                    // is held here.
                    name.clear();
                    name.push_str(&from);
                    delivery.push((name, DealtShares { sealed, proof }));
                }
            }
        }
        let message = |dealt: Option<Vec<_>>| {
            dealt.map(|dealt| SharesMessage { session, shares: dealt.into_iter().collect() })
        };
        let messages = cohort.iter().cloned().zip(deliveries.into_iter().filter_map(message)).collect();
        Ok((MaskedInputServer::new(session, plan, roster, cohort, Dealings(dealings)), messages))
    }
}
