//! Between rounds 1 and 2: a client opens the shares that were sealed to it and learns U2 (Bonawitz et al., CCS 2017,
//! fig. 4, round 2, first steps). Nothing is sent here.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::{
    cohort::{Site, check_holders, missing},
    commitment::{Commitment, Opening},
    defences::{Defence, stands},
    derive::sealing_key,
    error::{Error, SERVER, Stage},
    identity::Signed,
    keys::PrivateKey,
    masked_input::MaskInputClient,
    redacted::redacted_debug,
    roster::Roster,
    sealing::{Purpose, ShareKind, open},
    share_keys::SharesMessage,
};

/// A client that shared its secrets and waits for the others' shares. Secret: it holds both private keys and `b`.
pub struct ReceiveSharesClient {
    pub(crate) site: Site,
    pub(crate) sealing: PrivateKey,
    pub(crate) masking: PrivateKey,
    pub(crate) roster: Roster,
    pub(crate) seed: Zeroizing<[u8; 32]>,
    pub(crate) own_seed_share: Option<Opening>,
}

redacted_debug!(ReceiveSharesClient, site.session);

/// What a client holds of another's secrets, to give one of the two away.
pub(crate) struct HeldShares {
    pub(crate) seed: Opening,
    pub(crate) masking_key: Opening,
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
        let Self { site, sealing, masking, roster, seed, own_seed_share } = self;
        site.session.check(SERVER, &message.session)?;
        let mut held = BTreeMap::new();
        for (from, dealt) in &message.shares {
            let position = roster.place_among_recipients(from, &site.name);
            let sender = roster.get(from).filter(|_| position.is_some());
            let sender =
                sender.ok_or_else(|| Error::UnknownSender { stage: Stage::ShareKeys, name: from.clone() })?;
            let signed = Signed { stage: Stage::ShareKeys, from: SERVER, signer: from };
            let recipients = roster.neighbours(from).len();
            let place = (position.unwrap_or(usize::MAX), recipients);
            dealt.verify(&site.session, &roster, &signed, &site.name, place)?;
            let agreed = sealing.agree(&sender.sealing_key);
            let disputed = |kind| Error::DisputedPair { from: from.clone(), to: site.name.clone(), kind };
            let open_one = |kind, sealed, commitment: &Commitment| {
                let key = sealing_key(&agreed, &site.session, from, &site.name, kind)?;
                let purpose =
                    Purpose { session: &site.session, from, to: &site.name, kind, roster: roster.digest() };
                let opening = open(&key, &purpose, sealed);
                // With the sharer's signature on the ciphertext it is not the relay that changed it.
                let opening =
                    if site.identity.is_some() { opening.map_err(|_| disputed(kind)) } else { opening }?;
                let holds = opening.commitment(&purpose) == *commitment || !stands(Defence::CheckedOnReceipt);
                if holds { Ok(opening) } else { Err(disputed(kind)) }
            };
            let sealed = &dealt.sealed;
            let shares = HeldShares {
                seed: open_one(ShareKind::Seed, &sealed.seed, &sealed.seed_commitment)?,
                masking_key: open_one(
                    ShareKind::MaskingKey,
                    &sealed.masking_key,
                    &sealed.masking_key_commitment,
                )?,
            };
            held.insert(from.clone(), shares);
        }
        let neighbours: Vec<&String> =
            roster.neighbours(&site.name).into_iter().map(|(name, _)| name).collect();
        let holders = neighbours.iter().copied();
        check_holders(Stage::ShareKeys, &site.plan, holders, |name| held.contains_key(name))?;
        if site.plan.is_complete() {
            let absent = missing(neighbours.into_iter(), &held).into_iter();
            site.check_size(Stage::ShareKeys, held.len().saturating_add(1), absent)?;
            site.check_fixed(held.keys().chain([&site.name]))?;
        }
        Ok(MaskInputClient { site, masking, roster, seed, own_seed_share, held })
    }
}
