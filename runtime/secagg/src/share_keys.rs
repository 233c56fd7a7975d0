//! Round 1: every client splits its two secrets among all members, each share sealed to its holder; the server passes
//! them on unopened (Bonawitz et al., CCS 2017, fig. 4, round 1).
//!
//! The secrets are the self-mask seed `b` and the masking private key `s`. The server learns one of them in round 4,
//! so they are shared independently. A client keeps the share of its own `b`, and no share of its own `s`.

use std::collections::BTreeMap;

use rand::TryRng as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    advertise_keys::AdvertiseKeysMessage,
    cohort::{Site, check_names, check_sender, check_size, missing},
    derive::sealing_key,
    error::{Error, Stage},
    keys::PrivateKey,
    masked_input::MaskedInputServer,
    plan::Plan,
    receive_shares::ReceiveSharesClient,
    redacted::redacted_debug,
    roster::{Member, Roster, RosterMessage},
    sealing::{Purpose, SealedShare, ShareKind, seal},
    session::Session,
    shamir::{Share, split},
};

const STAGE: Stage = Stage::ShareKeys;

/// A client that advertised its keys and waits for the roster. Secret: it holds both private keys.
pub struct ShareKeysClient {
    site: Site,
    sealing: PrivateKey,
    masking: PrivateKey,
    advertised: AdvertiseKeysMessage,
}

redacted_debug!(ShareKeysClient, site.session);

impl ShareKeysClient {
    pub(crate) fn new(
        site: Site,
        sealing: PrivateKey,
        masking: PrivateKey,
        advertised: &AdvertiseKeysMessage,
    ) -> Self {
        Self { site, sealing, masking, advertised: advertised.clone() }
    }

    /// Checks the roster, and shares both secrets with everybody in it.
    pub fn share_keys(
        self,
        message: &RosterMessage,
    ) -> Result<(ReceiveSharesClient, ShareKeysMessage), Error> {
        let Self { site, sealing, masking, advertised } = self;
        let roster = Roster::check(message, &site.session, &site.plan, site.trusted())?;
        let me = own_entry(&site, &advertised, &roster)?.index;
        site.check_adversaries(&roster)?;
        site.check_size(STAGE, roster.len(), std::iter::empty())?;

        let mut seed = Zeroizing::new([0; 32]);
        rand::rngs::SysRng.try_fill_bytes(seed.as_mut()).map_err(|_| Error::NoEntropy)?;
        let seed_shares = split_for(&site, &roster, &seed)?;
        let key_shares = split_for(&site, &roster, &masking.to_bytes())?;

        let mut shares = BTreeMap::new();
        for (name, member) in roster.others(&site.name) {
            let agreed = sealing.agree(&member.sealing_key);
            let seal_one = |kind, shares: &[Share]| {
                let key = sealing_key(&agreed, &site.session, &site.name, name, kind)?;
                let purpose = Purpose {
                    session: &site.session,
                    from: &site.name,
                    to: name,
                    kind,
                    roster: roster.digest(),
                };
                seal(&key, &purpose, share_of(shares, member.index)?)
            };
            let sealed = SealedShares {
                seed: seal_one(ShareKind::Seed, &seed_shares)?,
                masking_key: seal_one(ShareKind::MaskingKey, &key_shares)?,
            };
            shares.insert(name.clone(), sealed);
        }
        let own_seed_share = share_of(&seed_shares, me)?.clone();
        let message = ShareKeysMessage { session: site.session, shares };
        Ok((ReceiveSharesClient { site, sealing, masking, roster, seed, own_seed_share }, message))
    }
}

/// A roster without this client, or with keys that it did not make, is not one to share secrets with.
fn own_entry<'a>(
    site: &Site,
    advertised: &AdvertiseKeysMessage,
    roster: &'a Roster,
) -> Result<&'a Member, Error> {
    let own = roster.get(&site.name).ok_or_else(|| Error::NotInRoster { client: site.name.clone() })?;
    let unchanged = own.sealing_key.encoded() == advertised.sealing_key
        && own.masking_key.encoded() == advertised.masking_key;
    if unchanged { Ok(own) } else { Err(Error::OwnKeysReplaced { client: site.name.clone() }) }
}

fn split_for(site: &Site, roster: &Roster, secret: &[u8; 32]) -> Result<Vec<Share>, Error> {
    let byte = |number: usize| u8::try_from(number).map_err(|_| Error::Internal { operation: "share count" });
    split(secret, byte(roster.len())?, byte(site.plan.threshold())?)
}

/// Positions count from 1.
fn share_of(shares: &[Share], index: u8) -> Result<&Share, Error> {
    let position = usize::from(index).checked_sub(1);
    position.and_then(|position| shares.get(position)).ok_or(Error::Internal { operation: "share position" })
}

/// The two shares that one client gives another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedShares {
    pub(crate) seed: SealedShare,
    pub(crate) masking_key: SealedShare,
}

/// A client's sealed shares, by recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareKeysMessage {
    pub(crate) session: Session,
    pub(crate) shares: BTreeMap<String, SealedShares>,
}

/// The sealed shares that are addressed to one client, by sender. Senders and recipient together are U2: whoever is
/// not among them has dropped out and is masked with nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharesMessage {
    pub(crate) session: Session,
    pub(crate) shares: BTreeMap<String, SealedShares>,
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
    received: BTreeMap<String, ShareKeysMessage>,
}

redacted_debug!(ShareKeysServer, session);

impl ShareKeysServer {
    pub(crate) fn new(session: Session, plan: Plan, roster: Roster) -> Self {
        Self { session, plan, roster, received: BTreeMap::new() }
    }

    /// Takes the shares of `from`, the name that the transport authenticated.
    pub fn receive(&mut self, from: &str, message: ShareKeysMessage) -> Result<(), Error> {
        check_sender(STAGE, from, self.roster.get(from).is_some(), &self.received)?;
        self.session.check(from, &message.session)?;
        check_names(from, self.roster.others(from).map(|(name, _)| name), message.shares.keys())?;
        self.received.insert(from.to_owned(), message);
        Ok(())
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
        let cohort: Vec<String> = received.keys().cloned().collect();
        let empty = |name: &String| (name.clone(), SharesMessage { session, shares: BTreeMap::new() });
        let mut deliveries: BTreeMap<String, SharesMessage> = cohort.iter().map(empty).collect();
        for (from, message) in received {
            for (to, sealed) in message.shares {
                // Shares for members who dropped out go nowhere.
                if let Some(delivery) = deliveries.get_mut(&to) {
                    delivery.shares.insert(from.clone(), sealed);
                }
            }
        }
        Ok((MaskedInputServer::new(session, plan, roster, cohort), deliveries))
    }
}
