//! Between rounds 1 and 2: a client opens the shares that were sealed to it and learns U2 (Bonawitz et al., CCS 2017,
//! fig. 4, round 2, first steps). Nothing is sent here.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::{
    cohort::{Site, missing},
    derive::sealing_key,
    error::{Error, SERVER, Stage},
    keys::PrivateKey,
    masked_input::MaskInputClient,
    redacted::redacted_debug,
    roster::Roster,
    sealing::{Purpose, ShareKind, open},
    shamir::Share,
    share_keys::SharesMessage,
};

/// A client that shared its secrets and waits for the others' shares. Secret: it holds both private keys and `b`.
pub struct ReceiveSharesClient {
    pub(crate) site: Site,
    pub(crate) sealing: PrivateKey,
    pub(crate) masking: PrivateKey,
    pub(crate) roster: Roster,
    pub(crate) seed: Zeroizing<[u8; 32]>,
    pub(crate) own_seed_share: Share,
}

redacted_debug!(ReceiveSharesClient, site.session);

/// What a client holds of another's secrets, to give one of the two away.
pub(crate) struct HeldShares {
    pub(crate) seed: Share,
    pub(crate) masking_key: Share,
}

impl ReceiveSharesClient {
    /// Opens the shares and checks that enough members are left.
    pub fn receive_shares(self, message: &SharesMessage) -> Result<MaskInputClient, Error> {
        let Self { site, sealing, masking, roster, seed, own_seed_share } = self;
        site.session.check(SERVER, &message.session)?;
        let mut held = BTreeMap::new();
        for (from, sealed) in &message.shares {
            let sender = roster.get(from).filter(|_| *from != site.name);
            let sender =
                sender.ok_or_else(|| Error::UnknownSender { stage: Stage::ShareKeys, name: from.clone() })?;
            let agreed = sealing.agree(&sender.sealing_key);
            let open_one = |kind, sealed| {
                let key = sealing_key(&agreed, &site.session, from, &site.name, kind)?;
                let purpose =
                    Purpose { session: &site.session, from, to: &site.name, kind, roster: roster.digest() };
                open(&key, &purpose, sealed)
            };
            let shares = HeldShares {
                seed: open_one(ShareKind::Seed, &sealed.seed)?,
                masking_key: open_one(ShareKind::MaskingKey, &sealed.masking_key)?,
            };
            held.insert(from.clone(), shares);
        }
        let absent = missing(roster.names().filter(|name| **name != site.name), &held).into_iter();
        site.check_size(Stage::ShareKeys, held.len().saturating_add(1), absent)?;
        Ok(MaskInputClient { site, masking, roster, seed, own_seed_share, held })
    }
}
