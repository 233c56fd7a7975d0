//! Round 0: every client makes two key pairs for this session and advertises the public halves; the server freezes
//! the roster (Bonawitz et al., CCS 2017, fig. 4, round 0).
//!
//! Does not defend against substituted keys: nothing is signed yet. A server that follows the protocol is assumed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

use crate::{
    cohort::{Site, check_sender, check_size, missing},
    error::{Error, Stage},
    journal::{self, InputJournal},
    keys::{EncodedKey, PrivateKey},
    plan::Plan,
    policy::ClientPolicy,
    redacted::redacted_debug,
    roster::{Roster, RosterEntry, RosterMessage, check_name, check_plan},
    session::Session,
    share_keys::{ShareKeysClient, ShareKeysServer},
};

const STAGE: Stage = Stage::AdvertiseKeys;

/// A participant before a session. It holds no secret and may begin many sessions.
#[derive(Clone, Debug)]
pub struct Client {
    name: String,
    plan: Plan,
    policy: ClientPolicy,
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
        if plan.threshold() < policy.min_threshold() {
            return Err(Error::ThresholdBelowPolicy {
                client: name,
                minimum: policy.min_threshold(),
                got: plan.threshold(),
            });
        }
        check_size(STAGE, plan.clients(), plan.threshold(), policy.min_cohort(), std::iter::empty())?;
        Ok(Self { name, plan, policy })
    }

    /// Begins a session: fresh keys from the operating system, and a note in the journal that it was begun.
    ///
    /// # Errors
    ///
    /// [`SessionNotNewer`](Error::SessionNotNewer) for a session that this site already began, or an older one.
    pub fn advertise_keys<J: InputJournal + ?Sized>(
        &self,
        session: Session,
        journal: &mut J,
    ) -> Result<(ShareKeysClient, AdvertiseKeysMessage), Error> {
        journal::begin(journal, &session)?;
        let (sealing, masking) = (PrivateKey::generate()?, PrivateKey::generate()?);
        let message = AdvertiseKeysMessage {
            session,
            plan: ByteArray::new(self.plan.digest()),
            sealing_key: sealing.encoded_public_key()?,
            masking_key: masking.encoded_public_key()?,
        };
        let site = Site { name: self.name.clone(), session, plan: self.plan, policy: self.policy };
        Ok((ShareKeysClient::new(site, sealing, masking, &message), message))
    }
}

/// A client's public keys. Its name is not in here: it is the one that the transport authenticated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdvertiseKeysMessage {
    pub(crate) session: Session,
    pub(crate) plan: ByteArray<32>,
    pub(crate) sealing_key: EncodedKey,
    pub(crate) masking_key: EncodedKey,
}

/// The server, collecting public keys.
pub struct AdvertiseKeysServer {
    session: Session,
    plan: Plan,
    invited: BTreeSet<String>,
    received: BTreeMap<String, AdvertiseKeysMessage>,
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
        Ok(Self { session, plan, invited, received: BTreeMap::new() })
    }

    /// Takes the keys of `from`, the name that the transport authenticated.
    pub fn receive(&mut self, from: &str, message: AdvertiseKeysMessage) -> Result<(), Error> {
        check_sender(STAGE, from, self.invited.contains(from), &self.received)?;
        self.session.check(from, &message.session)?;
        check_plan(from, &self.plan, &message.plan)?;
        message.sealing_key.decode(from)?;
        message.masking_key.decode(from)?;
        self.received.insert(from.to_owned(), message);
        Ok(())
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
    pub fn freeze(self) -> Result<(ShareKeysServer, RosterMessage), Error> {
        let absent = missing(self.invited.iter(), &self.received).into_iter();
        check_size(STAGE, self.received.len(), self.plan.threshold(), self.plan.min_cohort(), absent)?;
        let members = self.received.into_iter().map(|(name, message)| RosterEntry {
            name,
            sealing_key: message.sealing_key,
            masking_key: message.masking_key,
        });
        let message = RosterMessage {
            session: self.session,
            plan: ByteArray::new(self.plan.digest()),
            members: members.collect(),
        };
        let roster = Roster::check(&message, &self.session, &self.plan)?;
        Ok((ShareKeysServer::new(self.session, self.plan, roster), message))
    }
}

redacted_debug!(AdvertiseKeysServer, session);
