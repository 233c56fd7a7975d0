//! Round 1: every client splits its two secrets among its neighbours, each share sealed to its holder; the server passes
//! them on unopened (Bonawitz et al., CCS 2017, fig. 4, round 1).
//!
//! The secrets are the self-mask seed `b` and the masking private key `s`. The server learns one of them in round 4,
//! so they are shared independently. On the complete graph a client keeps a share of its own `b`, so that the smallest
//! cohorts can finish; on a sparse one it keeps none, and never one of its own `s`.
//!
//! What a client deals it commits to, and signs where the server is not trusted: see [`commitment`](crate::commitment).
//! The server verifies before it passes anything on, so that a bad signature at a recipient names the server.

mod dealt;

use std::{collections::BTreeMap, sync::Arc};

use rand::TryRng as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use self::dealt::Dealing;
pub use self::dealt::SealedShares;
pub(crate) use self::dealt::{Dealings, DealtShares, Delivery};

use crate::{
    admission::{of_one, take_all},
    cohort::{Site, check_count, check_holders, check_size, missing},
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
    sealing::{Purpose, ShareKind, seal},
    session::Session,
    shamir::{Share, split},
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
        let mut shares = Vec::with_capacity(row.len());
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
            shares.push(SealedShares { seed, masking_key, seed_commitment, masking_key_commitment });
            agreements.push(agreed);
        }
        let own_position = roster.share_position(&site.name, &site.name);
        let own_seed_share = match own_position {
            Some(_) => Some(Opening::new(share_of(&seed_shares, own_position)?.clone())?),
            None => None,
        };
        let own = own_purpose(&site.session, &site.name, roster.digest());
        let signature = site.identity.as_ref().map(|identity| {
            let root = tree_over(&roster, &row, &shares).root();
            identity.sign(&dealt::statement(&site.session, roster.digest(), &site.name, row.len(), &root))
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

/// Over what a sharer deals to those of its row, both in the order of names.
fn tree_over(roster: &Roster, row: &[u32], shares: &[SealedShares]) -> tree::Tree {
    let recipients = row.iter().filter_map(|number| roster.entry(*number));
    tree::Tree::new(recipients.zip(shares).map(|(to, sealed)| sealed.leaf(&to.name)).collect())
}

/// A client's sealed shares, with its commitments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareKeysMessage {
    pub(crate) session: Session,
    pub(crate) seed_commitment: Commitment,
    /// To the share of `b` that the client keeps, on the complete graph.
    pub(crate) own_commitment: Option<Commitment>,
    /// For each of the client's neighbours, in the order of their names: both sides know who they are.
    pub(crate) shares: Vec<SealedShares>,
    pub(crate) signature: Option<Signature>,
}

/// The sealed shares that are addressed to one client. Their senders and the recipient together are U2: whoever is not
/// among them has dropped out and is masked with nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharesMessage {
    pub(crate) session: Session,
    pub(crate) shares: Delivery,
}

/// The server, collecting sealed shares.
pub struct ShareKeysServer {
    session: Session,
    plan: Plan,
    roster: Roster,
    received: BTreeMap<String, Dealing>,
}

redacted_debug!(ShareKeysServer, session);

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
            let number = roster.number(from).ok_or(Error::Internal { operation: "roster lookup" })?;
            let count = roster.row_len(number);
            check_count(STAGE, from, count, message.shares.len())?;
            let signature = message.signature;
            let tree = roster.is_signed().then(|| tree_over(roster, &roster.row(number), &message.shares));
            let root = tree.as_ref().map(tree::Tree::root).unwrap_or_default();
            let digest = || dealt::statement(session, roster.digest(), from, count, &root).hash();
            let signed = roster.signed(from, digest, signature)?;
            let dealing = Dealing {
                seed: message.seed_commitment,
                own: message.own_commitment,
                shares: message.shares.into_boxed_slice(),
                signed: signature.zip(tree),
            };
            Ok((dealing, signed))
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
            for name in received.keys() {
                let holders = roster.neighbours(name).into_iter().map(|(name, _)| name);
                check_holders(STAGE, &plan, holders, |name| received.contains_key(name))?;
            }
        }
        let cohort: Vec<String> = received.keys().cloned().collect();
        let numbers: Vec<u32> = cohort.iter().filter_map(|name| roster.number(name)).collect();
        let dealings = Arc::new(Dealings::new(roster.clone(), received));
        let message = |to| SharesMessage { session, shares: Delivery::From(Arc::clone(&dealings), to) };
        let messages = cohort.iter().cloned().zip(numbers.into_iter().map(message)).collect();
        Ok((MaskedInputServer::new(session, plan, roster, cohort, dealings), messages))
    }
}
