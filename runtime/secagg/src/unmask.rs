//! Round 4: every survivor gives one share for each member of U2, and the server takes the masks off (Bonawitz et al.,
//! CCS 2017, fig. 4, round 4).
//!
//! **What is given.** For a member that arrived, the share of its seed `b`; for one that dropped out, the share of its
//! masking key `s`; never both. A client answers once, because answering consumes it, and it answers only if it is
//! among the survivors. So nobody can ask it about itself: of its own secrets it adds just its share of `b`, as one
//! that arrived, and it does not even hold a share of its own `s`.
//!
//! **How t is counted.** On the complete graph each secret is shared among all N members, the owner's share of `b`
//! included, and t shares rebuild it: t answers are enough, whoever they come from, as in the paper. Without the own
//! share the smallest cohorts (N = t) could not finish. On a sparse graph a secret is shared among the owner's k
//! neighbours, and t of those must answer. With h holders, 2t > h + colluders keeps two different announced sets from
//! being opened both: a server that wants `b` of one client under one set and `s` under another needs t shares of each,
//! and each honest holder gives one.
//!
//! That the survivors are the same for all is what round 3 established: see
//! [`consistency_check`](crate::consistency_check).

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
};

use serde::{Deserialize, Serialize};

use crate::{
    aggregate::Aggregate,
    cohort::{Site, check_holders, check_names, check_sender, missing},
    commitment::{Commitment, Opening, RevealedShare},
    consistency_check::{SignaturesMessage, check_signatures},
    defences::{Defence, stands},
    derive::{Binding, pair_mask_key, self_mask_key},
    error::{Error, Stage},
    keys::PrivateKey,
    mask::{Mask, Sign},
    parallel,
    plan::Plan,
    receive_shares::HeldShares,
    redacted::redacted_debug,
    roster::{Member, Roster},
    sealing::{Purpose, ShareKind},
    session::Session,
    shamir::{Share, combine},
    share_keys::{Dealing, own_purpose},
    transcript::Transcript,
    words::Words,
};

const STAGE: Stage = Stage::Unmask;

/// A client that said who survived. Secret: it holds shares of the others' secrets.
pub struct UnmaskClient {
    pub(crate) site: Site,
    pub(crate) roster: Roster,
    pub(crate) survivors: BTreeSet<String>,
    pub(crate) statement: Transcript,
    pub(crate) own_seed_share: Option<Opening>,
    pub(crate) held: BTreeMap<String, HeldShares>,
}

redacted_debug!(UnmaskClient, site.session);

impl UnmaskClient {
    /// Gives one share for each member of U2, once, if enough others signed what this client signed.
    ///
    /// # Errors
    ///
    /// [`TooFewSignatures`](Error::TooFewSignatures): then no share leaves, now or later.
    pub fn unmask(self, message: &SignaturesMessage) -> Result<UnmaskMessage, Error> {
        let Self { site, roster, survivors, statement, own_seed_share, held } = self;
        check_signatures(&site, &roster, &survivors, &statement, message)?;
        let mut answer =
            UnmaskMessage { session: site.session, seeds: BTreeMap::new(), masking_keys: BTreeMap::new() };
        for (name, shares) in held {
            let arrived = survivors.contains(&name);
            if arrived {
                answer.seeds.insert(name.clone(), shares.seed.reveal());
            }
            if !arrived || !stands(Defence::OneKind) {
                answer.masking_keys.insert(name, shares.masking_key.reveal());
            }
        }
        if let Some(own) = own_seed_share {
            answer.seeds.insert(site.name, own.reveal());
        }
        Ok(answer)
    }
}

/// One client's shares: of the seeds of those who arrived, of the masking keys of those who did not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmaskMessage {
    pub(crate) session: Session,
    pub(crate) seeds: BTreeMap<String, RevealedShare>,
    pub(crate) masking_keys: BTreeMap<String, RevealedShare>,
}

/// The server, with the masked sum, collecting what takes the masks off.
pub struct UnmaskServer {
    pub(crate) session: Session,
    pub(crate) plan: Plan,
    pub(crate) roster: Roster,
    pub(crate) binding: Binding,
    pub(crate) survivors: BTreeSet<String>,
    pub(crate) dropped: BTreeSet<String>,
    pub(crate) dealings: BTreeMap<String, Dealing>,
    /// Those of the survivors who confirmed in round 3: they are asked.
    pub(crate) confirmed: BTreeSet<String>,
    pub(crate) sum: Words,
    pub(crate) received: BTreeMap<String, UnmaskMessage>,
}

redacted_debug!(UnmaskServer, session);

impl UnmaskServer {
    /// Takes the shares of `from`, the name that the transport authenticated.
    ///
    /// # Errors
    ///
    /// [`WrongOpening`](Error::WrongOpening) names a client whose share is not the one that it accepted in round 1. Its
    /// answer is not used, and others may do.
    pub fn receive(&mut self, from: &str, message: UnmaskMessage) -> Result<(), Error> {
        check_sender(STAGE, from, self.confirmed.contains(from), &self.received)?;
        self.session.check(from, &message.session)?;
        let held = |names: &BTreeSet<String>| -> Vec<String> {
            let is_held = |name: &&String| self.roster.share_position(name, from).is_some();
            names.iter().filter(is_held).cloned().collect()
        };
        check_names(from, held(&self.survivors).iter(), message.seeds.keys())?;
        check_names(from, held(&self.dropped).iter(), message.masking_keys.keys())?;
        self.check_openings(from, &message.seeds, ShareKind::Seed)?;
        self.check_openings(from, &message.masking_keys, ShareKind::MaskingKey)?;
        self.received.insert(from.to_owned(), message);
        Ok(())
    }

    /// Whose shares arrived.
    pub fn received(&self) -> impl Iterator<Item = &str> {
        self.received.keys().map(String::as_str)
    }

    /// Whose did not, of those who are asked.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        missing(self.confirmed.iter(), &self.received).into_iter().map(String::as_str)
    }

    /// Who dropped out between sharing keys and sending an input.
    pub fn dropped(&self) -> impl Iterator<Item = &str> {
        self.dropped.iter().map(String::as_str)
    }

    /// Rebuilds the survivors' seeds and the dropped members' masking keys, takes the masks off, and decodes the sum.
    ///
    /// # Errors
    ///
    /// [`BelowThreshold`](Error::BelowThreshold) names who is missing; nothing of the sum is known then.
    /// [`WrongMaskingKey`](Error::WrongMaskingKey) and [`WrongSeed`](Error::WrongSeed) name a member that dealt shares
    /// of something else, [`ImplausibleSum`](Error::ImplausibleSum) is for masks that do not cancel.
    pub fn aggregate(self) -> Result<Aggregate, Error> {
        self.aggregate_with(NonZeroUsize::MIN)
    }

    /// [`aggregate`](Self::aggregate) in up to so many threads, which share the secrets to rebuild, the keys to derive
    /// and the vector to unmask. The result, or the error, is the same for any number.
    ///
    /// # Errors
    ///
    /// As [`aggregate`](Self::aggregate).
    pub fn aggregate_with(mut self, threads: NonZeroUsize) -> Result<Aggregate, Error> {
        let absent = missing(self.confirmed.iter(), &self.received).into_iter();
        let (required, got) = (self.plan.threshold(), self.received.len());
        if got < required {
            return Err(Error::BelowThreshold {
                stage: STAGE,
                required,
                got,
                missing: absent.cloned().collect(),
            });
        }
        let survivors: Vec<&String> = self.survivors.iter().collect();
        let dropped: Vec<&String> = self.dropped.iter().collect();
        let mut masks = parallel::try_map(&survivors, threads, |name| self.self_mask(name))?;
        masks.extend(
            parallel::try_map(&dropped, threads, |name| self.pair_masks(name))?.into_iter().flatten(),
        );
        let mut sum = std::mem::replace(&mut self.sum, Words::zeros(0, self.plan.entry_bits()));
        sum.apply(0, &masks, threads)?;
        Aggregate::decode(&self.plan, sum, self.survivors.into_iter().collect())
    }

    /// What takes off the mask that a survivor put on top.
    fn self_mask(&self, name: &str) -> Result<Mask, Error> {
        let seed = self.rebuild_seed(name)?;
        Ok((self_mask_key(seed.as_bytes(), &self.session, name)?, Sign::Minus))
    }

    /// What takes off the masks that survivors share with a member that dropped out.
    fn pair_masks(&self, name: &str) -> Result<Vec<Mask>, Error> {
        let masking = self.rebuild_masking_key(name)?;
        let neighbours = self.roster.neighbours(name).into_iter();
        let surviving = neighbours.filter(|(name, _)| self.survivors.contains(*name));
        let mask = |(survivor, member): (&String, &Member)| {
            let agreed = masking.agree(&member.masking_key);
            let key = pair_mask_key(&agreed, &self.session, survivor, name, &self.binding)?;
            Ok((key, Sign::of_pair(survivor, name).opposite()))
        };
        surviving.map(mask).collect()
    }

    /// Whoever gives another share than it was dealt is found here: it accepted the commitment in round 1.
    fn check_openings(
        &self,
        from: &str,
        shares: &BTreeMap<String, RevealedShare>,
        kind: ShareKind,
    ) -> Result<(), Error> {
        for (name, share) in shares {
            let own = own_purpose(&self.session, from, self.roster.digest());
            let purpose = Purpose { from: name, kind, ..own };
            let position = self.roster.place_among_recipients(name, from);
            let committed = self.dealings.get(name).and_then(|dealing| dealing.to(position, kind));
            let holds = committed == Some(&share.opening().commitment(&purpose));
            if !holds && stands(Defence::Openings) {
                return Err(Error::WrongOpening { from: from.to_owned(), client: name.clone(), kind });
            }
        }
        Ok(())
    }

    fn rebuild_seed(&self, name: &str) -> Result<Share, Error> {
        let seed = self.rebuild(name, ShareKind::Seed)?;
        let committed = self.dealings.get(name).map(|dealing| dealing.seed);
        if committed == Some(Commitment::to_seed(&self.session, name, seed.as_bytes())) {
            Ok(seed)
        } else {
            Err(Error::WrongSeed { client: name.to_owned() })
        }
    }

    fn rebuild_masking_key(&self, name: &str) -> Result<PrivateKey, Error> {
        let wrong = || Error::WrongMaskingKey { client: name.to_owned() };
        let scalar = self.rebuild(name, ShareKind::MaskingKey)?;
        let key = PrivateKey::from_bytes(scalar.as_bytes()).ok_or_else(wrong)?;
        if key.encoded_public_key()? == self.member(name)?.masking_key.encoded() {
            Ok(key)
        } else {
            Err(wrong())
        }
    }

    /// Rebuilds a secret from t shares. More would not tell more: each was checked against its commitment, and the
    /// secret is checked by the caller.
    fn rebuild(&self, name: &str, kind: ShareKind) -> Result<Share, Error> {
        let neighbours = self.roster.neighbours(name).into_iter().map(|(name, _)| name);
        check_holders(STAGE, &self.plan, neighbours, |holder| self.received.contains_key(holder))?;
        let shares = self.shares_of(name, kind);
        let needed =
            shares.get(..self.plan.threshold()).ok_or(Error::Internal { operation: "share count" })?;
        Ok(Share::from_bytes(*combine(needed)?))
    }

    /// By the position at which each holder has its share.
    fn shares_of(&self, name: &str, kind: ShareKind) -> Vec<(u8, Share)> {
        let lookup = |(holder, answer): (&String, &UnmaskMessage)| {
            let shares = match kind {
                ShareKind::Seed => &answer.seeds,
                ShareKind::MaskingKey => &answer.masking_keys,
            };
            let share = shares.get(name)?.opening().share().clone();
            Some((self.roster.share_position(name, holder)?, share))
        };
        self.received.iter().filter_map(lookup).collect()
    }

    fn member(&self, name: &str) -> Result<&Member, Error> {
        self.roster.get(name).ok_or(Error::Internal { operation: "roster lookup" })
    }
}
