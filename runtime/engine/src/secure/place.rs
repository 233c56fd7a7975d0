//! What a place provides for secure joins: at a site its identity, its limits and its journal, at the aggregator whom it
//! knows. A runtime puts it into the contexts of its steps; nothing of it is part of a flow.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};
use veilflow_secagg::{
    AdvertiseKeysServer, Client, ClientPolicy, Identities, IdentityKey, InputId, InputJournal, KnownCohort,
    MemoryJournal, Plan, PrivacyAccountant, PrivacyCost, Session,
};
use veilflow_spec::{Context, Name, Result, StepError};

use super::protocol;

/// A site's key, and whose keys it has pinned.
#[derive(Clone, Debug)]
pub struct SiteIdentity {
    /// What it signs with.
    pub key: Arc<IdentityKey>,
    /// Who is enrolled, as the federation's authority told the site, never the aggregator.
    pub trusted: Arc<Identities>,
}

/// What a site provides for secure joins. Clones share it.
///
/// A step takes it from its context: `SecureSite::of(cx)?`.
#[derive(Clone)]
pub struct SecureSite(Arc<Site>);

struct Site {
    policy: ClientPolicy,
    journal: SiteJournal,
    identity: Box<dyn Fn() -> Result<SiteIdentity> + Send + Sync>,
}

impl SecureSite {
    /// A site's own: what it accepts, what it remembers, and who it is. `identity` is called where a session is signed.
    pub fn new(
        policy: ClientPolicy,
        journal: SiteJournal,
        identity: impl Fn() -> Result<SiteIdentity> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Site { policy, journal, identity: Box::new(identity) }))
    }

    /// What the site provides where this step runs.
    ///
    /// # Errors
    /// `nothing-provided` where its runtime provides nothing for secure joins.
    pub fn of(cx: &Context) -> Result<Self> {
        cx.provided::<Self>().cloned().ok_or_else(nothing_provided)
    }

    /// What the site asks of any session, whatever the aggregator says.
    pub fn policy(&self) -> ClientPolicy {
        self.0.policy
    }

    /// What the site has masked before.
    pub fn journal(&self) -> SiteJournal {
        self.0.journal.clone()
    }

    /// The site as a participant of a session to this plan: with its identity, where the plan asks for signatures.
    ///
    /// # Errors
    /// A plan below the site's policy, an identity that the others would not recognise.
    pub fn client(&self, name: &Name, plan: Plan) -> Result<Client> {
        let client = Client::new(name.as_str(), plan, self.0.policy).map_err(protocol)?;
        if !plan.security().is_malicious() {
            return Ok(client);
        }
        let SiteIdentity { key, trusted } = (self.0.identity)()?;
        client.with_identity(key, trusted).map_err(protocol)
    }
}

impl fmt::Debug for SecureSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecureSite").field("policy", &self.0.policy).finish_non_exhaustive()
    }
}

/// What the aggregator's place provides for secure joins. Clones share it.
#[derive(Clone)]
pub struct SecureAggregator {
    identities: Arc<dyn Fn() -> Result<Arc<Identities>> + Send + Sync>,
    sessions: Option<[u8; 32]>,
}

impl SecureAggregator {
    /// An aggregator that knows these identities. They are asked for where a session is signed.
    pub fn new(identities: impl Fn() -> Result<Arc<Identities>> + Send + Sync + 'static) -> Self {
        Self { identities: Arc::new(identities), sessions: None }
    }

    /// Derives the ids of sessions from these random bytes of the run, instead of drawing them: a later process that goes
    /// on with the run then goes on with the same session.
    #[must_use]
    pub fn with_sessions(self, sessions: [u8; 32]) -> Self {
        Self { sessions: Some(sessions), ..self }
    }

    /// The first session of the secure join whose first step this is.
    ///
    /// # Errors
    /// What the operating system's generator reports.
    pub(super) fn session(&self, cx: &Context) -> Result<Session> {
        let Some(sessions) = &self.sessions else { return Session::generate(0).map_err(protocol) };
        let mut hash = Sha256::new_with_prefix(b"veilflow/session/1");
        hash.update(sessions);
        hash.update(cx.origin().path.as_bytes());
        Ok(Session::new(hash.finalize().into(), 0))
    }

    /// What the aggregator provides where this step runs.
    ///
    /// # Errors
    /// `nothing-provided` where its runtime provides nothing for secure joins.
    pub fn of(cx: &Context) -> Result<Self> {
        cx.provided::<Self>().cloned().ok_or_else(nothing_provided)
    }

    /// The server of a session, in its first round.
    ///
    /// # Errors
    /// Names that cannot be, or more or fewer than the plan is for.
    pub fn server<'a>(
        &self,
        session: Session,
        plan: Plan,
        invited: impl IntoIterator<Item = &'a Name>,
    ) -> Result<AdvertiseKeysServer> {
        let invited = invited.into_iter().map(Name::to_string);
        let server = AdvertiseKeysServer::new(session, plan, invited).map_err(protocol)?;
        Ok(if plan.security().is_malicious() { server.with_identities((self.identities)()?) } else { server })
    }
}

impl fmt::Debug for SecureAggregator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecureAggregator")
    }
}

fn nothing_provided() -> StepError {
    let text = "this place has no identity, policy and journal for secure aggregation: run the flow on a runtime that \
                provides them, such as LocalRuntime";
    StepError::with_code("nothing-provided", text)
}

/// A site's journal of the inputs that it masked. Clones share it, so a site that keeps one over runs hands out clones.
#[derive(Clone)]
pub struct SiteJournal(Arc<Mutex<dyn InputJournal + Send>>);

impl SiteJournal {
    /// A journal that is kept somewhere.
    pub fn new(journal: impl InputJournal + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(journal)))
    }

    fn journal(&self) -> MutexGuard<'_, dyn InputJournal + Send + 'static> {
        // A journal answers for its own consistency: each of its calls is one transaction.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An empty one that lasts as long as its clones.
impl Default for SiteJournal {
    fn default() -> Self {
        Self::new(MemoryJournal::new())
    }
}

impl InputJournal for SiteJournal {
    fn begin(&mut self, session: &Session) -> io::Result<Option<Session>> {
        self.journal().begin(session)
    }

    fn record(&mut self, input: &InputId, session: &Session) -> io::Result<Vec<Session>> {
        self.journal().record(input, session)
    }

    fn unfinished(&mut self) -> io::Result<u64> {
        self.journal().unfinished()
    }

    fn rounds(&mut self) -> io::Result<u64> {
        self.journal().rounds()
    }

    fn confirm(&mut self, cohort: &KnownCohort) -> io::Result<()> {
        self.journal().confirm(cohort)
    }

    fn cohorts(&mut self) -> io::Result<Vec<KnownCohort>> {
        self.journal().cohorts()
    }

    fn spent(&mut self) -> io::Result<PrivacyAccountant> {
        self.journal().spent()
    }

    fn charge(&mut self, session: &Session, cost: &PrivacyCost) -> io::Result<()> {
        self.journal().charge(session, cost)
    }
}

impl fmt::Debug for SiteJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SiteJournal")
    }
}
