//! Round 3: the survivors sign what they were told, and nobody gives a share before enough of the others signed the
//! same (Bonawitz et al., CCS 2017, fig. 4, round 3; `SECURITY.md`, rows 1 and 3).
//!
//! Signed is (session, U3, binding), where the binding is SHA-256 of H(model), H(plan) and H(roster). A client signs
//! once in a session. More than (roster + colluders)/2 signatures of the *roster* are needed, so that of two different
//! stories one at most is believed: two such sets share an honest member.
//!
//! Under [`SemiHonest`](crate::Security::SemiHonest) the same messages travel without signatures and none is needed;
//! a site takes part in such a session only if its policy says so.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    cohort::{Site, check_holders, check_sender, check_size, missing},
    commitment::Opening,
    defences::{Defence, stands},
    derive::Binding,
    error::{Error, SERVER, Stage},
    identity::{Signature, Signed},
    journal::InputJournal,
    known_cohorts,
    receive_shares::HeldShares,
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
    pub(crate) held: BTreeMap<String, HeldShares>,
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
        let strangers: Vec<String> = survivors
            .iter()
            .filter(|name| **name != site.name && !held.contains_key(*name))
            .filter(|name| {
                let is_neighbour = roster.place_among_recipients(&site.name, name).is_some();
                is_neighbour || roster.get(name).is_none()
            })
            .cloned()
            .collect();
        if !strangers.is_empty() {
            return Err(Error::SurvivorsNotInCohort { names: strangers });
        }
        let dropped = held.keys().filter(|name| !survivors.contains(*name));
        site.check_size(Stage::MaskedInput, survivors.len(), dropped.clone())?;
        site.check_noise(Stage::MaskedInput, survivors.len(), dropped)?;
        let neighbours = roster.neighbours(&site.name).into_iter().map(|(name, _)| name);
        check_holders(Stage::MaskedInput, &site.plan, neighbours, |name| survivors.contains(name))?;

        known_cohorts::confirm(journal, &site, survivors)?;
        let statement = statement(&site.session, survivors, &binding);
        let signature = site.identity.as_ref().map(|identity| identity.sign(&statement));
        let message = ConsistencyCheckMessage { session: site.session, signature };
        let survivors = survivors.clone();
        Ok((UnmaskClient { site, roster, survivors, statement, own_seed_share, held }, message))
    }
}

/// Whether enough members of the roster signed exactly this client's view. Signatures that do not hold are not
/// counted, rather than refused: one bad signature must not end the session.
pub(crate) fn check_signatures(
    site: &Site,
    roster: &Roster,
    survivors: &BTreeSet<String>,
    statement: &Transcript,
    message: &SignaturesMessage,
) -> Result<(), Error> {
    site.session.check(SERVER, &message.session)?;
    if site.identity.is_none() || !stands(Defence::Majority) {
        return Ok(());
    }
    let required = majority(roster.len(), site.colluders);
    let holds = |(signer, signature): &(&String, &Signature)| {
        let signed = Signed { stage: STAGE, from: SERVER, signer };
        survivors.contains(*signer) && roster.verify(&signed, statement, Some(signature)).is_ok()
    };
    // Those beyond the majority decide nothing and are not verified.
    let valid: BTreeMap<String, ()> =
        message.signatures.iter().filter(holds).take(required).map(|(name, _)| (name.clone(), ())).collect();
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
    pub(crate) survivors: BTreeSet<String>,
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
        check_sender(STAGE, from, self.next.survivors.contains(from), &self.received)?;
        self.next.session.check(from, &message.session)?;
        let signed = Signed { stage: STAGE, from, signer: from };
        self.next.roster.verify(&signed, &self.statement, message.signature.as_ref())?;
        self.received.insert(from.to_owned(), message.signature);
        Ok(())
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
