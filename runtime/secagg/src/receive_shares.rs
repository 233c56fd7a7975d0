//! Between rounds 1 and 2: a client opens the shares that were sealed to it and learns U2 (Bonawitz et al., CCS 2017,
//! fig. 4, round 2, first steps). Nothing is sent here.

use zeroize::Zeroizing;

use crate::{
    cohort::{Site, check_count, check_size},
    commitment::Opening,
    defences::{Defence, stands},
    derive::sealing_key,
    error::{Error, SERVER, Stage},
    identity::{Claim, verify_all},
    keys::{AgreedSecret, PrivateKey},
    masked_input::MaskInputClient,
    redacted::redacted_debug,
    roster::{Roster, RosterEntry},
    sealing::{Purpose, ShareKind, open},
    share_keys::{DealtShares, SharesMessage},
};

const STAGE: Stage = Stage::ShareKeys;

/// A client that shared its secrets and waits for the others' shares. Secret: it holds its masking key, `b`, and what
/// it agreed on with each neighbour.
pub struct ReceiveSharesClient {
    pub(crate) site: Site,
    /// In the order of the neighbours' names.
    pub(crate) agreements: Vec<AgreedSecret>,
    pub(crate) masking: PrivateKey,
    pub(crate) roster: Roster,
    pub(crate) seed: Zeroizing<[u8; 32]>,
    pub(crate) own_seed_share: Option<Opening>,
}

redacted_debug!(ReceiveSharesClient, site.session);

/// What a client holds of another's secrets, to give one of the two away: sealed as it came, and what opens it.
pub(crate) struct HeldShares {
    dealt: DealtShares,
    agreed: AgreedSecret,
}

impl HeldShares {
    /// The share of one of the two, if it is the one that `from` committed to.
    pub(crate) fn open(
        &self,
        site: &Site,
        roster: &Roster,
        from: &str,
        kind: ShareKind,
    ) -> Result<Opening, Error> {
        let dealt = self.dealt.sealed()?;
        let (sealed, commitment) = match kind {
            ShareKind::Seed => (&dealt.seed, &dealt.seed_commitment),
            ShareKind::MaskingKey => (&dealt.masking_key, &dealt.masking_key_commitment),
        };
        let disputed = || Error::DisputedPair { from: from.to_owned(), to: site.name.clone(), kind };
        let key = sealing_key(&self.agreed, &site.session, from, &site.name, kind)?;
        let purpose = Purpose { session: &site.session, from, to: &site.name, kind, roster: roster.digest() };
        let opening = open(&key, &purpose, sealed);
        // With the sharer's signature on the ciphertext it is not the relay that changed it.
        let opening = if site.identity.is_some() { opening.map_err(|_| disputed()) } else { opening }?;
        let holds = opening.commitment(&purpose) == *commitment || !stands(Defence::CheckedOnReceipt);
        if holds { Ok(opening) } else { Err(disputed()) }
    }
}

/// What a client holds of all its neighbours' secrets, in the order of their names, and nothing of those who dropped out
/// before they shared them.
pub(crate) struct Held {
    me: u32,
    shares: Vec<Option<HeldShares>>,
}

impl Held {
    /// The neighbours, each with what is held of it.
    pub(crate) fn neighbours<'a>(
        &'a self,
        roster: &'a Roster,
    ) -> impl Iterator<Item = (&'a RosterEntry, Option<&'a HeldShares>)> {
        let row = roster.row(self.me).into_owned().into_iter();
        let entries = row.filter_map(|number| roster.entry(number));
        entries.zip(self.shares.iter().map(Option::as_ref))
    }

    /// Those who shared their secrets, by name.
    pub(crate) fn iter<'a>(
        &'a self,
        roster: &'a Roster,
    ) -> impl Iterator<Item = (&'a String, &'a HeldShares)> {
        self.neighbours(roster).filter_map(|(entry, shares)| Some((&entry.name, shares?)))
    }
}

impl ReceiveSharesClient {
    /// Opens the shares, checks them against what their sharers committed to, and checks that enough members are left.
    ///
    /// # Errors
    ///
    /// [`BadSignature`](Error::BadSignature) names the server that passed on what a sharer did not sign. A share that
    /// is signed and does not open, or opens to something else, is a [`DisputedPair`](Error::DisputedPair): nobody
    /// else can tell which of the two is wrong. This client is a dropout of the session then.
    pub fn receive_shares(self, message: &SharesMessage) -> Result<MaskInputClient, Error> {
        let Self { site, agreements, masking, roster, seed, own_seed_share } = self;
        site.session.check(SERVER, &message.session)?;
        let me = roster.number(&site.name).ok_or(Error::Internal { operation: "roster lookup" })?;
        let row = roster.row(me);
        let delivery = message.shares.to_vec();
        check_count(STAGE, SERVER, row.len(), delivery.len())?;
        let mut claims = Vec::with_capacity(row.len());
        let mut from_neighbours = Vec::with_capacity(row.len());
        for (number, dealt) in row.iter().zip(&delivery) {
            let sender = roster.entry(*number).ok_or(Error::Internal { operation: "roster lookup" })?;
            if let (Some(dealt), Some(key)) = (dealt, roster.identity(&sender.name)?) {
                let place = (roster.place_among(*number, me).unwrap_or(usize::MAX), roster.degree());
                let pair = (sender.name.as_str(), site.name.as_str());
                let digest = dealt.statement(&site.session, &roster, pair, place)?.hash();
                claims.push(Claim { signer: &sender.name, key, digest, signature: dealt.signature() });
            }
            from_neighbours.push((&sender.name, dealt));
        }
        verify_all(STAGE, SERVER, &claims)?;
        let mut shares = Vec::with_capacity(row.len());
        for ((from, dealt), agreed) in from_neighbours.into_iter().zip(agreements) {
            let held = dealt.as_ref().map(|dealt| HeldShares { dealt: dealt.without_proof(), agreed });
            if let Some(held) = &held {
                held.open(&site, &roster, from, ShareKind::Seed)?;
                held.open(&site, &roster, from, ShareKind::MaskingKey)?;
            }
            shares.push(held);
        }
        let held = Held { me, shares };
        let absent = held.neighbours(&roster).filter(|(_, shares)| shares.is_none());
        let absent: Vec<&String> = absent.map(|(entry, _)| &entry.name).collect();
        let present = row.len().saturating_sub(absent.len());
        if site.plan.is_complete() {
            site.check_size(STAGE, present.saturating_add(1), absent.into_iter())?;
            site.check_fixed(held.iter(&roster).map(|(name, _)| name).chain([&site.name]))?;
        } else {
            check_size(STAGE, present, site.plan.threshold(), 0, absent.into_iter())?;
        }
        drop((claims, row));
        Ok(MaskInputClient { site, masking, roster, seed, own_seed_share, held })
    }
}
