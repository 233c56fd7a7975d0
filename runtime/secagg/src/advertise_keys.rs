//! Round 0: every client makes two key pairs for this session and advertises the public halves; the server freezes
//! the roster (Bonawitz et al., CCS 2017, fig. 4, round 0).
//!
//! Against a malicious server the keys are signed with the client's identity key, and every client verifies every
//! signature of the roster against the identities that it pins itself (`SECURITY.md`, row 4).

#[cfg(test)]
use crate::defences::{Defence, stands};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::{
    admission::{Signed, of_one, take_all},
    cohort::{Site, check_size, missing},
    error::{Error, SERVER, Stage},
    freeze_roster::{FreezeRosterClient, FreezeRosterServer, Randomness},
    identity::{Identities, Identity, IdentityKey, Signature},
    journal::{self, InputJournal},
    keys::{AdvertisedKey, PrivateKey},
    plan::Plan,
    policy::ClientPolicy,
    redacted::redacted_debug,
    roster::{Roster, RosterEntry, RosterMessage, check_name, check_plan, keys_statement, known},
    session::Session,
};

const STAGE: Stage = Stage::AdvertiseKeys;

/// A participant before a session. Its one secret is its identity key; it may begin many sessions.
#[derive(Clone, Debug)]
pub struct Client {
    name: String,
    plan: Plan,
    policy: ClientPolicy,
    identity: Option<Identity>,
}

impl Client {
    /// A participant that is willing to follow this plan.
    ///
    /// # Errors
    ///
    /// When the plan itself falls below the site's policy.
    pub fn new(name: impl Into<String>, plan: Plan, policy: ClientPolicy) -> Result<Self, Error> {
        let name = name.into();
        check_name(&name)?;
        if plan.is_refused() && !policy.allow_refused_plans() {
            return Err(Error::PlanRefused { client: name });
        }
        if policy.max_epsilon().is_some() && plan.noise().is_none() {
            return Err(Error::PrivacyMissing { client: name });
        }
        if policy.min_security().is_malicious() && !plan.security().is_malicious() {
            return Err(Error::SecurityBelowPolicy {
                client: name,
                required: policy.min_security(),
                got: plan.security(),
            });
        }
        if plan.threshold() < policy.min_threshold() {
            return Err(Error::ThresholdBelowPolicy {
                client: name,
                minimum: policy.min_threshold(),
                got: plan.threshold(),
            });
        }
        check_size(STAGE, plan.clients(), plan.threshold(), policy.min_cohort(), std::iter::empty())?;
        Ok(Self { name, plan, policy, identity: None })
    }

    /// The key that this participant signs with, and whose keys it trusts: what a plan against a malicious server
    /// takes. Both come from the site, never from the server.
    ///
    /// # Errors
    ///
    /// [`OwnIdentityUnknown`](Error::OwnIdentityUnknown) when the identities know this name under another key.
    pub fn with_identity(
        mut self,
        key: impl Into<Arc<IdentityKey>>,
        trusted: impl Into<Arc<Identities>>,
    ) -> Result<Self, Error> {
        self.identity = Some(Identity::new(&self.name, key.into(), trusted.into())?);
        Ok(self)
    }

    /// Present exactly where the plan asks for signatures.
    fn identity(&self) -> Result<Option<&Identity>, Error> {
        if !self.plan.security().is_malicious() {
            return Ok(None);
        }
        self.identity.as_ref().map(Some).ok_or_else(|| Error::IdentityRequired { name: self.name.clone() })
    }

    /// How many of any roster may work for the server: of the plan's part and the site's own the larger, of all who
    /// are enrolled.
    fn colluders(&self, identity: Option<&Identity>) -> usize {
        let enrolled = identity.map_or(0, |identity| identity.trusted.enrolled()).max(self.plan.clients());
        self.plan.security().colluders(enrolled).max(self.policy.min_security().colluders(enrolled))
    }

    /// Begins a session: fresh keys from the operating system, and a note in the journal that it was begun.
    ///
    /// # Errors
    ///
    /// [`SessionNotNewer`](Error::SessionNotNewer) for a session that this site already began, or an older one;
    /// [`TooManyRounds`](Error::TooManyRounds) when the policy allows no more;
    /// [`IdentityRequired`](Error::IdentityRequired) when the plan asks for signatures and there is no key.
    pub fn advertise_keys<J: InputJournal + ?Sized>(
        &self,
        session: Session,
        journal: &mut J,
    ) -> Result<(FreezeRosterClient, AdvertiseKeysMessage), Error> {
        let identity = self.identity()?;
        if let Some(cost) = self.plan.privacy_cost(1) {
            journal::check_budget(journal, &self.policy, &cost)?;
        }
        let fixed = journal::begin(journal, &self.policy, &session)?;
        let (sealing, masking) = (PrivateKey::generate()?, PrivateKey::generate()?);
        #[cfg(test)]
        let (sealing, masking) = if stands(Defence::FreshKeys) {
            (sealing, masking)
        } else {
            ["sealing", "masking"].map(|role| PrivateKey::used_again(&self.name, role)).into()
        };
        let randomness = Randomness::generate()?;
        let commitment = randomness.commitment(&session, &self.name);
        let plan = self.plan.digest();
        let ((sealing_sent, sealing_key), (masking_sent, masking_key)) =
            (sealing.advertised()?, masking.advertised()?);
        let statement = keys_statement(&session, &plan, &self.name, &sealing_key, &masking_key, &commitment);
        let (commitment, signature) =
            (ByteArray::new(commitment), identity.map(|identity| identity.sign(&statement)));
        let message = AdvertiseKeysMessage {
            session,
            plan: ByteArray::new(plan),
            sealing_key: sealing_sent,
            masking_key: masking_sent,
            commitment,
            signature,
        };
        let own = RosterEntry { name: self.name.clone(), sealing_key, masking_key, commitment, signature };
        let site = Site {
            name: self.name.clone(),
            session,
            plan: self.plan,
            policy: self.policy,
            colluders: self.colluders(identity),
            identity: identity.cloned(),
            fixed,
        };
        Ok((FreezeRosterClient { site, sealing, masking, randomness, own }, message))
    }
}

/// A client's public keys. Its name is not in here: it is the one that the transport authenticated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvertiseKeysMessage {
    pub(crate) session: Session,
    pub(crate) plan: ByteArray<32>,
    pub(crate) sealing_key: AdvertisedKey,
    pub(crate) masking_key: AdvertisedKey,
    /// H(r), of the random value that the client reveals once the roster is frozen.
    pub(crate) commitment: ByteArray<32>,
    pub(crate) signature: Option<Signature>,
}

/// The server, collecting public keys.
pub struct AdvertiseKeysServer {
    session: Session,
    plan: Plan,
    invited: BTreeSet<String>,
    trusted: Option<Arc<Identities>>,
    received: BTreeMap<String, RosterEntry>,
}

impl AdvertiseKeysServer {
    /// Waits for the keys of those invited, as many as the plan is for.
    pub fn new<N: Into<String>>(
        session: Session,
        plan: Plan,
        invited: impl IntoIterator<Item = N>,
    ) -> Result<Self, Error> {
        let invited: BTreeSet<String> = invited.into_iter().map(Into::into).collect();
        invited.iter().try_for_each(|name| check_name(name))?;
        if invited.len() != plan.clients() {
            return Err(Error::WrongInvitation { expected: plan.clients(), got: invited.len() });
        }
        Ok(Self { session, plan, invited, trusted: None, received: BTreeMap::new() })
    }

    /// The identities that the server verifies with, so that it can name who signed wrongly: needed where the plan is
    /// against a malicious server. Clients do not take them from here.
    #[must_use]
    pub fn with_identities(mut self, trusted: impl Into<Arc<Identities>>) -> Self {
        self.trusted = Some(trusted.into());
        self
    }

    /// Takes the keys of `from`, the name that the transport authenticated.
    pub fn receive(&mut self, from: &str, message: AdvertiseKeysMessage) -> Result<(), Error> {
        of_one(self.receive_all([(from.to_owned(), message)]))
    }

    /// [`receive`](Self::receive) for keys that came together, by name: it takes less time. Returns those that are
    /// refused, each with its error; all others are taken.
    pub fn receive_all(
        &mut self,
        messages: impl IntoIterator<Item = (String, AdvertiseKeysMessage)>,
    ) -> Vec<(String, Error)> {
        let Self { session, plan, invited, trusted, received } = self;
        let digest = plan.digest();
        let check = |from: &str, message: AdvertiseKeysMessage| {
            session.check(from, &message.session)?;
            check_plan(from, digest, &message.plan)?;
            let AdvertiseKeysMessage { plan: sent_plan, commitment, signature, .. } = message;
            let (sealing_key, masking_key) =
                (message.sealing_key.encoded(from)?, message.masking_key.encoded(from)?);
            let signed = pinned(plan, trusted)?.map(|trusted| {
                let statement =
                    keys_statement(session, &sent_plan, from, &sealing_key, &masking_key, &commitment);
                let digest = statement.hash();
                Ok::<_, Error>(Signed { key: known(trusted, from, from)?, digest, signature })
            });
            let name = from.to_owned();
            let entry = RosterEntry { name, sealing_key, masking_key, commitment, signature };
            Ok((entry, signed.transpose()?))
        };
        take_all(STAGE, received, messages, |from| invited.contains(from), check)
    }

    /// Whose keys arrived.
    pub fn received(&self) -> impl Iterator<Item = &str> {
        self.received.keys().map(String::as_str)
    }

    /// Whose did not.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        missing(self.invited.iter(), &self.received).into_iter().map(String::as_str)
    }

    /// Ends the round with those who answered. The roster goes to each of them.
    ///
    /// # Errors
    ///
    /// [`BelowThreshold`](Error::BelowThreshold) and [`CohortTooSmall`](Error::CohortTooSmall) name who is missing.
    pub fn freeze(self) -> Result<(FreezeRosterServer, RosterMessage), Error> {
        let absent = missing(self.invited.iter(), &self.received).into_iter();
        check_size(STAGE, self.received.len(), self.plan.threshold(), self.plan.min_cohort(), absent)?;
        let message = RosterMessage {
            session: self.session,
            plan: ByteArray::new(self.plan.digest()),
            members: Arc::new(self.received.into_values().collect()),
        };
        let roster =
            Roster::of_verified(&message, &self.session, &self.plan, pinned(&self.plan, &self.trusted)?)?;
        Ok((FreezeRosterServer::new(self.session, self.plan, roster), message))
    }
}

/// The identities that a server verifies with: present exactly where the plan asks for signatures.
fn pinned<'a>(
    plan: &Plan,
    trusted: &'a Option<Arc<Identities>>,
) -> Result<Option<&'a Arc<Identities>>, Error> {
    if !plan.security().is_malicious() {
        return Ok(None);
    }
    let missing = || Error::IdentityRequired { name: SERVER.to_owned() };
    trusted.as_ref().map(Some).ok_or_else(missing)
}

redacted_debug!(AdvertiseKeysServer, session);
