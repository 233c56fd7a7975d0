//! Round 3: the survivors sign what they were told, and nobody gives a share before enough of the others signed the
//! same (Bonawitz et al., CCS 2017, fig. 4, round 3; `SECURITY.md`, rows 1 and 3).
//!
//! Signed is (session, U3, binding), where the binding is SHA-256 of H(model), H(plan) and H(roster). A client signs
//! once in a session. More than (roster + colluders)/2 signatures of the *roster* are needed, so that of two different
//! stories one at most is believed: two such sets share an honest member.
//!
//! Under [`SemiHonest`](crate::Security::SemiHonest) the same messages travel without signatures and none is needed;
//! a site takes part in such a session only if its policy says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    admission::{of_one, take_all},
    cohort::{Site, check_holders, check_size, missing},
    commitment::Opening,
    defences::{Defence, stands},
    derive::Binding,
    error::{Error, SERVER, Stage},
    identity::{Claim, Identity, Signature, not_holding, verify_all},
    journal::InputJournal,
    known_cohorts,
    receive_shares::Held,
    redacted::redacted_debug,
    roster::Roster,
    security::majority,
    session::Session,
    transcript::{Transcript, domain},
    unmask::{UnmaskClient, UnmaskServer},
};

const STAGE: Stage = Stage::ConsistencyCheck;

/// What is signed.
fn statement(session: &Session, survivors: &BTreeSet<String>, binding: &Binding) -> Transcript {
    let start = Transcript::new(domain!("signature/consistency-check"))
        .session(session)
        .bytes(binding.as_bytes())
        .int(survivors.len() as u64);
    survivors.iter().fold(start, |transcript, name| transcript.text(name))
}

/// A client whose masked input is on its way. Secret: it holds shares of the others' secrets.
pub struct ConsistencyCheckClient {
    pub(crate) site: Site,
    pub(crate) roster: Roster,
    pub(crate) binding: Binding,
    pub(crate) own_seed_share: Option<Opening>,
    pub(crate) held: Held,
}

redacted_debug!(ConsistencyCheckClient, site.session);

impl ConsistencyCheckClient {
    /// Checks the survivors, and signs them. Before the message exists, the journal holds this cohort, where the policy
    /// sets a limit on cohorts (`SECURITY.md`, row 18).
    ///
    /// # Errors
    ///
    /// When this client is not a survivor, when somebody unknown is one, when too few are left, also for the noise that the
    /// plan promises ([`TooLittleNoise`](Error::TooLittleNoise)), or when the policy refuses the sum for what it tells
    /// together with an earlier one.
    pub fn check_consistency<J: InputJournal + ?Sized>(
        self,
        message: &SurvivorsMessage,
        journal: &mut J,
    ) -> Result<(UnmaskClient, ConsistencyCheckMessage), Error> {
        let Self { site, roster, binding, own_seed_share, held } = self;
        site.session.check(SERVER, &message.session)?;
        let survivors = &message.survivors;
        if !survivors.contains(&site.name) {
            return Err(Error::NotASurvivor { client: site.name });
        }
        let strangers = strangers(&roster, &held, survivors);
        if !strangers.is_empty() {
            return Err(Error::SurvivorsNotInCohort { names: strangers });
        }
        let neighbours: Vec<&String> = held.neighbours(&roster).map(|(entry, _)| &entry.name).collect();
        let dropped = || held.iter(&roster).map(|(name, _)| name).filter(|name| !survivors.contains(*name));
        site.check_size(Stage::MaskedInput, survivors.len(), dropped())?;
        site.check_noise(Stage::MaskedInput, survivors.len(), dropped())?;
        check_holders(Stage::MaskedInput, &site.plan, neighbours.into_iter(), |name| {
            survivors.contains(name)
        })?;

        known_cohorts::confirm(journal, &site, survivors)?;
        let sign = |identity: &Identity| identity.sign(&statement(&site.session, survivors, &binding));
        let signature = site.identity.as_ref().map(sign);
        let message = ConsistencyCheckMessage { session: site.session, signature };
        let survivors = Arc::clone(survivors);
        Ok((UnmaskClient { site, roster, binding, survivors, own_seed_share, held }, message))
    }
}

/// Survivors who cannot be: nobody of the roster, or a neighbour that did not share its secrets with this client.
fn strangers(roster: &Roster, held: &Held, survivors: &BTreeSet<String>) -> Vec<String> {
    // Both are in the order of names.
    let mut names = roster.names().peekable();
    let mut is_member = |name: &&String| {
        while names.next_if(|member| member < name).is_some() {}
        names.next_if_eq(name).is_some()
    };
    let unknown: Vec<&String> = survivors.iter().filter(|name| !is_member(name)).collect();
    let silent = held.neighbours(roster).filter(|(_, shares)| shares.is_none()).map(|(entry, _)| &entry.name);
    silent.filter(|name| survivors.contains(*name)).chain(unknown).cloned().collect()
}

/// Whether enough members of the roster signed exactly this client's view. Signatures that do not hold are not
/// counted, rather than refused: one bad signature must not end the session.
pub(crate) fn check_signatures(
    site: &Site,
    roster: &Roster,
    survivors: &BTreeSet<String>,
    binding: &Binding,
    message: &SignaturesMessage,
) -> Result<(), Error> {
    site.session.check(SERVER, &message.session)?;
    if site.identity.is_none() || !stands(Defence::Majority) {
        return Ok(());
    }
    let required = majority(roster.len(), site.colluders);
    let digest = statement(&site.session, survivors, binding).hash();
    let mut claims = Vec::with_capacity(message.signatures.len());
    for (signer, signature) in message.signatures.iter().filter(|(name, _)| survivors.contains(*name)) {
        if let Some(key) = roster.identity(signer)? {
            claims.push(Claim { signer, key, digest, signature: Some(signature) });
        }
    }
    // Those beyond the majority decide nothing and are not verified.
    let first = claims.get(..required).unwrap_or_default();
    if first.len() == required && verify_all(STAGE, SERVER, first).is_ok() {
        return Ok(());
    }
    let mut valid: BTreeMap<String, ()> = claims.iter().map(|claim| (claim.signer.to_owned(), ())).collect();
    for signer in not_holding(&claims) {
        valid.remove(signer);
    }
    enough(required, &valid, survivors)
}

fn enough<T>(
    required: usize,
    signed: &BTreeMap<String, T>,
    survivors: &BTreeSet<String>,
) -> Result<(), Error> {
    if signed.len() >= required {
        return Ok(());
    }
    let absent = missing(survivors.iter(), signed).into_iter().cloned().collect();
    Err(Error::TooFewSignatures { required, got: signed.len(), missing: absent })
}

/// U3: whose masked inputs are in the sum. All others of U2 have dropped out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurvivorsMessage {
    pub(crate) session: Session,
    pub(crate) survivors: Arc<BTreeSet<String>>,
}

impl SurvivorsMessage {
    /// The survivors' names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.survivors.iter().map(String::as_str)
    }
}

/// One client's word on what it was told; signed where the server is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistencyCheckMessage {
    pub(crate) session: Session,
    pub(crate) signature: Option<Signature>,
}

/// The signatures of all who confirmed, by signer. Empty where nothing is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignaturesMessage {
    pub(crate) session: Session,
    pub(crate) signatures: BTreeMap<String, Signature>,
}

/// The server, with the masked sum, collecting the survivors' word.
pub struct ConsistencyCheckServer {
    pub(crate) next: UnmaskServer,
    statement: Transcript,
    received: BTreeMap<String, Option<Signature>>,
}

redacted_debug!(ConsistencyCheckServer, next.session);

impl ConsistencyCheckServer {
    pub(crate) fn new(next: UnmaskServer) -> Self {
        let statement = statement(&next.session, &next.survivors, &next.binding);
        Self { next, statement, received: BTreeMap::new() }
    }

    /// Takes the word of `from`, the name that the transport authenticated.
    ///
    /// # Errors
    ///
    /// [`BadSignature`](Error::BadSignature) names a client that signed something else: another model, for example.
    /// Its input stays in the sum, and the session may go on without its word.
    pub fn receive(&mut self, from: &str, message: ConsistencyCheckMessage) -> Result<(), Error> {
        of_one(self.receive_all([(from.to_owned(), message)]))
    }

    /// [`receive`](Self::receive) for all that came together, by name: it takes less time. Returns those that are
    /// refused, each with its error; all others are taken.
    pub fn receive_all(
        &mut self,
        messages: impl IntoIterator<Item = (String, ConsistencyCheckMessage)>,
    ) -> Vec<(String, Error)> {
        let Self { next, statement, received } = self;
        let digest = statement.hash();
        let check = |from: &str, message: ConsistencyCheckMessage| {
            next.session.check(from, &message.session)?;
            let signed = next.roster.signed(from, || digest, message.signature)?;
            Ok((message.signature, signed))
        };
        take_all(STAGE, received, messages, |from| next.survivors.contains(from), check)
    }

    /// Who confirmed.
    pub fn received(&self) -> impl Iterator<Item = &str> {
        self.received.keys().map(String::as_str)
    }

    /// Who did not.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        missing(self.next.survivors.iter(), &self.received).into_iter().map(String::as_str)
    }

    /// Whose masked inputs are in the sum.
    pub fn survivors(&self) -> impl Iterator<Item = &str> {
        self.next.survivors.iter().map(String::as_str)
    }

    /// Whose are not, of those who shared keys.
    pub fn dropped(&self) -> impl Iterator<Item = &str> {
        self.next.dropped.iter().map(String::as_str)
    }

    /// Ends the round. The message goes to each who confirmed; nobody else is asked for shares.
    ///
    /// # Errors
    ///
    /// [`BelowThreshold`](Error::BelowThreshold) and [`TooFewSignatures`](Error::TooFewSignatures) name who is missing.
    pub fn forward(self) -> Result<(UnmaskServer, SignaturesMessage), Error> {
        let Self { mut next, received, .. } = self;
        let absent = missing(next.survivors.iter(), &received).into_iter();
        check_size(STAGE, received.len(), next.plan.threshold(), 0, absent)?;
        if next.plan.security().is_malicious() {
            enough(majority(next.roster.len(), next.plan.colluders()), &received, &next.survivors)?;
        }
        next.confirmed = received.keys().cloned().collect();
        let signatures = received.into_iter().filter_map(|(name, signature)| Some((name, signature?)));
        let message = SignaturesMessage { session: next.session, signatures: signatures.collect() };
        Ok((next, message))
    }
}
