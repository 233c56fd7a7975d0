//! Round 2: every client sends its input under masks that cancel in the sum, and the server adds them up (Bonawitz et
//! al., CCS 2017, fig. 4, round 2).
//!
//! The vector is quantized input + PRG(b) ± PRG(pair), over the pairs with every neighbour in U2. The pair masks
//! are bound to the model that the client was given; see [`derive`](crate::derive).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::NonZeroUsize,
    sync::Arc,
};

use rand::Rng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    cohort::{Site, check_sender, check_size, missing},
    commitment::Opening,
    consistency_check::{ConsistencyCheckClient, ConsistencyCheckServer, SurvivorsMessage},
    defences::{Defence, stands},
    derive::{Binding, pair_mask_key, self_mask_key},
    digest::{InputId, ModelDigest},
    entries::{Entries, Malformed},
    error::{Error, Stage},
    journal::{self, InputJournal},
    keys::PrivateKey,
    mask::Sign,
    plan::Plan,
    quantize::Input,
    receive_shares::Held,
    redacted::redacted_debug,
    roster::Roster,
    session::Session,
    share_keys::Dealings,
    unmask::{Standings, UnmaskServer},
    words::Words,
};

const STAGE: Stage = Stage::MaskedInput;

/// A client that can mask its input. Secret: it holds its masking key, `b`, and shares of the others' secrets.
///
/// What it knows about U2 is settled now: a member that drops out later is recovered by the others.
pub struct MaskInputClient {
    pub(crate) site: Site,
    pub(crate) masking: PrivateKey,
    pub(crate) roster: Roster,
    pub(crate) seed: Zeroizing<[u8; 32]>,
    pub(crate) own_seed_share: Option<Opening>,
    pub(crate) held: Held,
}

redacted_debug!(MaskInputClient, site.session);

impl MaskInputClient {
    /// Quantizes and masks the input. Before the message exists, the journal holds that `input_id` was masked in this
    /// session (`SECURITY.md`, row 6), and what that costs in privacy: whatever becomes of the session, the server may
    /// see the sum.
    ///
    /// `model` is what this client was given to train on, `rng` rounds and protects nothing. Noise that the plan asks for
    /// comes from the operating system's generator.
    ///
    /// # Errors
    ///
    /// [`InputAlreadyMasked`](Error::InputAlreadyMasked) when the journal knows the input;
    /// [`PrivacyBudgetSpent`](Error::PrivacyBudgetSpent) when the site's policy leaves no room for it;
    /// [`Input`](Error::Input) when the plan does not allow it.
    pub fn mask_input<R: Rng + ?Sized, J: InputJournal + ?Sized>(
        self,
        model: ModelDigest,
        input_id: InputId,
        input: &Input<'_>,
        rng: &mut R,
        journal: &mut J,
    ) -> Result<(ConsistencyCheckClient, MaskedInputMessage), Error> {
        let Self { site, masking, roster, seed, own_seed_share, held } = self;
        let mut quantized = site.plan.quantize(input, rng)?;
        let cost = site.plan.privacy_cost(1);
        if let Some(cost) = &cost {
            journal::check_budget(journal, &site.policy, cost)?;
        }
        journal::record(journal, &site.policy, &input_id, &site.session)?;
        if let Some(cost) = &cost {
            journal::charge(journal, &site.session, cost)?;
        }
        quantized.add_noise()?;

        // Zeroizing until every mask is on: an error on the way must not leave a half-masked copy behind.
        let mut entries = Zeroizing::new(quantized.into_entries());
        let self_key = self_mask_key(&seed, &site.session, &site.name)?;
        let mut masks = Vec::new();
        if stands(Defence::SelfMask) {
            masks.push((self_key, Sign::Plus));
        }
        let binding = Binding::new(&model, &site.plan.digest(), roster.digest());
        for (member, _) in held.neighbours(&roster).filter(|(_, shares)| shares.is_some()) {
            let agreed = masking.agree_with(&member.masking_key, &member.name)?;
            let key = pair_mask_key(&agreed, &site.session, &site.name, &member.name, &binding)?;
            masks.push((key, Sign::of_pair(&site.name, &member.name)));
        }
        entries.apply(masked_from(&site.plan), &masks, NonZeroUsize::MIN)?;
        let entries = entries.pack(site.plan.entry_bits());
        let message = MaskedInputMessage { session: site.session, entries };
        Ok((ConsistencyCheckClient { site, roster, binding, own_seed_share, held }, message))
    }
}

/// The first entry under masks: all are, the weight, the counts, the scalars and the vector.
fn masked_from(plan: &Plan) -> usize {
    if stands(Defence::MaskedCounts) { 0 } else { plan.entries().saturating_sub(plan.layout().vector()) }
}

/// A client's masked vector: noise to whoever lacks the masks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskedInputMessage {
    pub(crate) session: Session,
    pub(crate) entries: Entries,
}

impl fmt::Debug for MaskedInputMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskedInputMessage")
            .field("session", &self.session)
            .field("bytes", &self.entries.bytes())
            .finish()
    }
}

/// The server, adding masked vectors as they arrive: its memory is one vector, whatever the number of clients.
pub struct MaskedInputServer {
    session: Session,
    plan: Plan,
    roster: Roster,
    cohort: BTreeSet<String>,
    dealings: Arc<Dealings>,
    sum: Words,
    received: BTreeMap<String, ()>,
}

redacted_debug!(MaskedInputServer, session);

impl MaskedInputServer {
    pub(crate) fn new(
        session: Session,
        plan: Plan,
        roster: Roster,
        cohort: Vec<String>,
        dealings: Arc<Dealings>,
    ) -> Self {
        let cohort = cohort.into_iter().collect();
        let sum = Words::zeros(plan.entries(), plan.entry_bits());
        Self { session, plan, roster, cohort, dealings, sum, received: BTreeMap::new() }
    }

    /// Adds the vector of `from`, the name that the transport authenticated. A refused vector changes nothing.
    pub fn receive(&mut self, from: &str, message: MaskedInputMessage) -> Result<(), Error> {
        check_sender(STAGE, from, self.cohort.contains(from), &self.received)?;
        self.session.check(from, &message.session)?;
        self.sum.add_packed(&message.entries, self.plan.entry_bits()).map_err(|malformed| {
            let from = from.to_owned();
            match malformed {
                Malformed::Length { expected, got } => Error::WrongVectorLength { from, expected, got },
                Malformed::Padding => Error::PaddingNotZero { from },
            }
        })?;
        self.received.insert(from.to_owned(), ());
        Ok(())
    }

    /// Whose vectors are in the sum.
    pub fn received(&self) -> impl Iterator<Item = &str> {
        self.received.keys().map(String::as_str)
    }

    /// Whose are not, of those who shared keys.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        missing(self.cohort.iter(), &self.received).into_iter().map(String::as_str)
    }

    /// Ends the round: whoever did not send its vector has dropped out and cannot send it any more. The message goes
    /// to each survivor. `model` is what the server gave the clients: the masks of dropouts are bound to it, and what
    /// the survivors sign in round 3 says so.
    ///
    /// # Errors
    ///
    /// [`BelowThreshold`](Error::BelowThreshold) and [`CohortTooSmall`](Error::CohortTooSmall) name who is missing.
    pub fn announce(self, model: ModelDigest) -> Result<(ConsistencyCheckServer, SurvivorsMessage), Error> {
        let Self { session, plan, roster, cohort, dealings, sum, received } = self;
        let absent = missing(cohort.iter(), &received).into_iter();
        check_size(STAGE, received.len(), plan.threshold(), plan.min_cohort(), absent)?;
        let survivors: BTreeSet<String> = received.into_keys().collect();
        let dropped = cohort.difference(&survivors).cloned().collect();
        let binding = Binding::new(&model, &plan.digest(), roster.digest());
        let survivors = Arc::new(survivors);
        let message = SurvivorsMessage { session, survivors: Arc::clone(&survivors) };
        let server = UnmaskServer {
            standings: Standings::new(&roster, plan.threshold(), &survivors, &dropped),
            session,
            plan,
            roster,
            binding,
            survivors,
            dropped,
            dealings,
            confirmed: BTreeSet::new(),
            sum,
            received: BTreeMap::new(),
        };
        Ok((ConsistencyCheckServer::new(server), message))
    }
}
