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

mod standings;

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroUsize,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

pub(crate) use self::standings::Standings;
use self::standings::{Secret, Standing};
use crate::{
    aggregate::Aggregate,
    cohort::{Site, check_count, check_holders, check_sender, missing},
    commitment::{Commitment, Opening, RevealedShare},
    consistency_check::{SignaturesMessage, check_signatures},
    cost::ServerCost,
    defences::{Defence, stands},
    derive::{Binding, pair_mask_key, self_mask_key},
    error::{Error, Stage},
    keys::PrivateKey,
    mask::{Mask, Sign},
    parallel,
    plan::Plan,
    receive_shares::Held,
    redacted::redacted_debug,
    roster::{Roster, RosterEntry},
    sealing::{Purpose, ShareKind},
    session::Session,
    shamir::{Reconstruction, Share},
    share_keys::{Dealings, own_purpose},
    words::Words,
};

const STAGE: Stage = Stage::Unmask;

/// A client that said who survived. Secret: it holds shares of the others' secrets.
pub struct UnmaskClient {
    pub(crate) site: Site,
    pub(crate) roster: Roster,
    pub(crate) binding: Binding,
    pub(crate) survivors: Arc<BTreeSet<String>>,
    pub(crate) own_seed_share: Option<Opening>,
    pub(crate) held: Held,
}

redacted_debug!(UnmaskClient, site.session);

impl UnmaskClient {
    /// Gives one share for each member of U2, once, if enough others signed what this client signed.
    ///
    /// # Errors
    ///
    /// [`TooFewSignatures`](Error::TooFewSignatures): then no share leaves, now or later.
    pub fn unmask(self, message: &SignaturesMessage) -> Result<UnmaskMessage, Error> {
        let Self { site, roster, binding, survivors, own_seed_share, held } = self;
        check_signatures(&site, &roster, &survivors, &binding, message)?;
        let (members, arrived) =
            held.iter(&roster).fold((0_usize, 0_usize), |(members, arrived), (name, _)| {
                let arrives = usize::from(survivors.contains(name));
                (members.saturating_add(1), arrived.saturating_add(arrives))
            });
        // As long as they get: lists that grow leave shares behind in memory.
        let mut seeds = Vec::with_capacity(arrived.saturating_add(1));
        let mut masking_keys = Vec::with_capacity(members.saturating_sub(arrived));
        for (name, shares) in held.iter(&roster) {
            let arrived = survivors.contains(name);
            if arrived {
                seeds.push(shares.open(&site, &roster, name, ShareKind::Seed)?.reveal());
            }
            if !arrived || !stands(Defence::OneKind) {
                masking_keys.push(shares.open(&site, &roster, name, ShareKind::MaskingKey)?.reveal());
            }
        }
        seeds.extend(own_seed_share.map(|own| own.reveal()));
        Ok(UnmaskMessage { session: site.session, seeds, masking_keys })
    }
}

/// One client's shares, in the order of its neighbours' names: both sides know who of them shared secrets, and who of
/// those arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmaskMessage {
    pub(crate) session: Session,
    /// Of the seeds of those who arrived; of its own, which it holds on the complete graph, at the end.
    pub(crate) seeds: Vec<RevealedShare>,
    /// Of the masking keys of those who did not.
    pub(crate) masking_keys: Vec<RevealedShare>,
}

/// One client's shares, and the numbers of the members of whose secrets they are.
struct Answer {
    holder: u32,
    message: UnmaskMessage,
    /// Each with the position of the share.
    survived: Vec<(u32, u8)>,
    dropped: Vec<(u32, u8)>,
}

impl Answer {
    fn shares(&self) -> impl Iterator<Item = (u32, u8, &RevealedShare)> {
        let seeds = self.survived.iter().zip(&self.message.seeds);
        let masking_keys = self.dropped.iter().zip(&self.message.masking_keys);
        seeds.chain(masking_keys).map(|((member, position), share)| (*member, *position, share))
    }
}

/// The server, with the masked sum, collecting what takes the masks off.
pub struct UnmaskServer {
    pub(crate) session: Session,
    pub(crate) plan: Plan,
    pub(crate) roster: Roster,
    pub(crate) binding: Binding,
    pub(crate) survivors: Arc<BTreeSet<String>>,
    pub(crate) dropped: BTreeSet<String>,
    /// With the shares that were given so far.
    pub(crate) standings: Standings,
    pub(crate) dealings: Arc<Dealings>,
    /// Those of the survivors who confirmed in round 3: they are asked.
    pub(crate) confirmed: BTreeSet<String>,
    pub(crate) sum: Words,
    pub(crate) received: BTreeMap<String, ()>,
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
        let answer = self.read(from, message)?;
        self.take(from, &answer)
    }

    /// [`receive`](Self::receive) for all that came together, by name, in up to so many threads: it takes less time.
    /// Where every secret that they rebuild is what its owner advertised or committed to, no commitment to a share is
    /// opened. Where one is not, each share is looked at as `receive` does, and whose is wrong is refused.
    ///
    /// Returns those that are refused, each with its error; all others are taken.
    pub fn receive_all(
        &mut self,
        messages: impl IntoIterator<Item = (String, UnmaskMessage)>,
        threads: NonZeroUsize,
    ) -> Vec<(String, Error)> {
        let before = self.standings.counts();
        let (mut refused, mut answers) = (Vec::new(), Vec::new());
        for (from, message) in messages {
            match self.read(&from, message) {
                Ok(answer) => {
                    self.keep(&answer);
                    self.received.insert(from.clone(), ());
                    answers.push((from, answer));
                }
                Err(error) => refused.push((from, error)),
            }
        }
        if self.rebuild_all(threads).is_ok() {
            return refused;
        }
        self.standings.back_to(&before);
        for (from, answer) in answers {
            self.received.remove(&from);
            refused.extend(self.take(&from, &answer).err().map(|error| (from, error)));
        }
        refused
    }

    /// Whose secrets the shares of an answer are of, if they are those that were asked for.
    fn read(&self, from: &str, message: UnmaskMessage) -> Result<Answer, Error> {
        check_sender(STAGE, from, self.confirmed.contains(from), &self.received)?;
        self.session.check(from, &message.session)?;
        let holder = self.roster.number(from).ok_or(Error::Internal { operation: "roster lookup" })?;
        let [survived, dropped] = self.held_by(holder);
        check_count(STAGE, from, survived.len(), message.seeds.len())?;
        check_count(STAGE, from, dropped.len(), message.masking_keys.len())?;
        Ok(Answer { holder, message, survived, dropped })
    }

    /// Takes an answer if each of its shares is the one that was dealt.
    fn take(&mut self, from: &str, answer: &Answer) -> Result<(), Error> {
        for (member, _, share) in answer.shares() {
            self.check_opening((answer.holder, from), member, &share.opening())?;
        }
        self.keep(answer);
        self.received.insert(from.to_owned(), ());
        Ok(())
    }

    fn keep(&mut self, answer: &Answer) {
        let Self { plan, standings, .. } = self;
        for (member, position, share) in answer.shares() {
            if let Some(shares) = standings.wanting(member, plan.threshold()) {
                shares.push((position, share.share()));
            }
        }
    }

    /// Whose secrets a member holds shares of, and at which position, in the order of its message: of those who survived,
    /// and of those who dropped out. On the complete graph everybody has a share of its own seed.
    pub(crate) fn held_by(&self, holder: u32) -> [Vec<(u32, u8)>; 2] {
        let mut row = self.roster.positions_of(holder);
        let own = if self.plan.is_complete() { self.roster.position(holder, holder) } else { None };
        row.extend(own.map(|position| (holder, position)));
        let (mut survived, mut dropped) = (Vec::with_capacity(row.len()), Vec::new());
        for (member, position) in row {
            match self.standings.of(member) {
                Standing::Survived(_) => survived.push((member, position)),
                Standing::Dropped(_) => dropped.push((member, position)),
                Standing::Absent => {}
            }
        }
        [survived, dropped]
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

    /// What unmasking takes at least, now that it is known who dropped out, and which neighbours they had.
    pub(crate) fn cost(&self) -> ServerCost {
        let survives = |number: &&u32| matches!(self.standings.of(**number), Standing::Survived(_));
        let dropped = self.dropped.iter().filter_map(|name| self.roster.number(name));
        let pairs =
            dropped.map(|number| self.roster.row(number).iter().filter(survives).count() as u64).sum();
        let survivors = self.survivors.len() as u64;
        ServerCost {
            additions: survivors,
            mask_streams: survivors.saturating_add(pairs),
            key_agreements: pairs,
            reconstructions: survivors.saturating_add(self.dropped.len() as u64),
            signature_checks: self.plan.server_signature_checks(self.roster.len(), survivors),
        }
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
        self.rebuild_all(threads)?;
        let survivors: Vec<&String> = self.survivors.iter().collect();
        let dropped: Vec<&String> = self.dropped.iter().collect();
        let mut masks = parallel::try_map(&survivors, threads, |name| self.self_mask(name))?;
        masks.extend(
            parallel::try_map(&dropped, threads, |name| self.pair_masks(name))?.into_iter().flatten(),
        );
        let mut sum = std::mem::replace(&mut self.sum, Words::zeros(0, self.plan.entry_bits()));
        sum.apply(0, &masks, threads)?;
        Aggregate::decode(&self.plan, sum, self.survivors.iter().cloned().collect())
    }

    /// What takes off the mask that a survivor put on top.
    fn self_mask(&self, name: &str) -> Result<Mask, Error> {
        Ok((self_mask_key(self.whole(name)?.as_bytes(), &self.session, name)?, Sign::Minus))
    }

    /// What takes off the masks that survivors share with a member that dropped out.
    fn pair_masks(&self, name: &str) -> Result<Vec<Mask>, Error> {
        let wrong = || Error::WrongMaskingKey { client: name.to_owned() };
        let masking = PrivateKey::from_bytes(self.whole(name)?.as_bytes()).ok_or_else(wrong)?;
        let neighbours = self.roster.neighbours(name).into_iter();
        let surviving = neighbours.filter(|(name, _)| self.survivors.contains(*name));
        let mask = |(survivor, member): (&String, &RosterEntry)| {
            let agreed = masking.agree_with(&member.masking_key, survivor)?;
            let key = pair_mask_key(&agreed, &self.session, survivor, name, &self.binding)?;
            Ok((key, Sign::of_pair(survivor, name).opposite()))
        };
        surviving.map(mask).collect()
    }

    /// Whoever gives another share than it was dealt is found here: it accepted the commitment in round 1.
    fn check_opening(
        &self,
        (holder, from): (u32, &str),
        member: u32,
        opening: &Opening,
    ) -> Result<(), Error> {
        let kind = match self.standings.of(member) {
            Standing::Survived(_) => ShareKind::Seed,
            Standing::Dropped(_) | Standing::Absent => ShareKind::MaskingKey,
        };
        let entry = self.roster.entry(member).ok_or(Error::Internal { operation: "roster lookup" })?;
        let own = own_purpose(&self.session, from, self.roster.digest());
        let purpose = Purpose { from: &entry.name, kind, ..own };
        let position = self.roster.place_among(member, holder);
        let committed = self.dealings.of(member).and_then(|dealing| dealing.to(position, kind));
        if committed != Some(&opening.commitment(&purpose)) && stands(Defence::Openings) {
            return Err(Error::WrongOpening { from: from.to_owned(), client: entry.name.clone(), kind });
        }
        Ok(())
    }

    /// Rebuilds what is not rebuilt yet, and checks it. An error, that of the first member by name, changes nothing.
    fn rebuild_all(&mut self, threads: NonZeroUsize) -> Result<(), Error> {
        let members: Vec<u32> = self.roster.members().map(|(number, _)| number).collect();
        let reconstructions = self.reconstructions(&members, threads)?;
        let rebuild = |member: &u32| match self.standings.secret(*member) {
            Some(Secret::Shares(shares)) => self.rebuild(*member, shares, &reconstructions).map(Some),
            _ => Ok(None),
        };
        let rebuilt = parallel::try_map(&members, threads, rebuild)?;
        for (member, secret) in members.into_iter().zip(rebuilt) {
            if let (Some(place), Some(secret)) = (self.standings.secret_mut(member), secret) {
                *place = Secret::Whole(secret);
            }
        }
        Ok(())
    }

    /// For all lists of positions at which there are shares: mostly few, since who answers first does so for all.
    fn reconstructions(
        &self,
        members: &[u32],
        threads: NonZeroUsize,
    ) -> Result<BTreeMap<Vec<u8>, Reconstruction>, Error> {
        let shares = members.iter().filter_map(|member| match self.standings.secret(*member) {
            Some(Secret::Shares(shares)) if shares.len() >= self.plan.threshold() => Some(shares),
            _ => None,
        });
        let lists: BTreeSet<Vec<u8>> = shares.map(|shares| positions(shares)).collect();
        let lists: Vec<Vec<u8>> = lists.into_iter().collect();
        let found =
            parallel::try_map(&lists, threads, |list: &Vec<u8>| Reconstruction::new(list.iter().copied()))?;
        Ok(lists.into_iter().zip(found).collect())
    }

    /// Rebuilds a secret from t shares, and compares it with what its owner advertised or committed to. More shares
    /// would not tell more.
    fn rebuild(
        &self,
        member: u32,
        shares: &[(u8, Share)],
        reconstructions: &BTreeMap<Vec<u8>, Reconstruction>,
    ) -> Result<Share, Error> {
        let entry = self.roster.entry(member).ok_or(Error::Internal { operation: "roster lookup" })?;
        let name = &entry.name;
        if shares.len() < self.plan.threshold() {
            let neighbours = self.roster.neighbours(name).into_iter().map(|(name, _)| name);
            check_holders(STAGE, &self.plan, neighbours, |holder| self.received.contains_key(holder))?;
            return Err(Error::Internal { operation: "share count" });
        }
        let reconstruction = reconstructions.get(&positions(shares));
        let reconstruction = reconstruction.ok_or(Error::Internal { operation: "share positions" })?;
        let secret = reconstruction.secret(shares.iter().map(|(_, share)| share));
        if let Standing::Dropped(_) = self.standings.of(member) {
            let key =
                PrivateKey::from_bytes(secret.as_bytes()).map(|key| key.encoded_public_key()).transpose()?;
            let holds = key == Some(entry.masking_key);
            return if holds { Ok(secret) } else { Err(Error::WrongMaskingKey { client: name.clone() }) };
        }
        let committed = self.dealings.of(member).map(|dealing| dealing.seed);
        let holds = committed == Some(Commitment::to_seed(&self.session, name, secret.as_bytes()));
        if holds { Ok(secret) } else { Err(Error::WrongSeed { client: name.clone() }) }
    }

    /// A secret that was rebuilt.
    fn whole(&self, name: &str) -> Result<&Share, Error> {
        match self.roster.number(name).and_then(|number| self.standings.secret(number)) {
            Some(Secret::Whole(secret)) => Ok(secret),
            _ => Err(Error::Internal { operation: "rebuilt secret" }),
        }
    }
}

fn positions(shares: &[(u8, Share)]) -> Vec<u8> {
    shares.iter().map(|(position, _)| *position).collect()
}
