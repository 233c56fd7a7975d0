//! What a site's experiments share: its configuration, its flows, what it provides for secure joins, its log.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::Semaphore;
use veilflow_engine::{SecureSite, SiteIdentity, SiteJournal};
use veilflow_secagg::InputJournal;
use veilflow_spec::{Name, Provided, Result, StepError};

use crate::deployed::Registry;
use crate::experiment::Terms;
use crate::pki::Clock;
use crate::wire::messages::OfferedFlow;

use super::config::EnvoyConfig;
use super::crossing::Crossing;
use super::member::Member;
use super::notice::{Notice, SiteLog};

/// What a site's experiments share.
pub(super) struct Site {
    pub(super) config: EnvoyConfig,
    pub(super) registry: Registry,
    pub(super) log: Arc<dyn SiteLog>,
    pub(super) clock: Clock,
    /// None without an identity.
    pub(super) member: Option<Member>,
    /// What a step finds in its context.
    pub(super) provided: Provided,
    /// A permit for each processor.
    pub(super) cpus: Arc<Semaphore>,
    pub(super) crossing: Arc<Crossing>,
}

impl Site {
    pub(super) fn new(
        config: EnvoyConfig,
        registry: Registry,
        log: Arc<dyn SiteLog>,
        clock: Clock,
        journal: impl InputJournal + Send + 'static,
        member: Option<Member>,
    ) -> Self {
        let (own, now) = (member.clone(), Arc::clone(&clock));
        let site = SecureSite::new(config.policy.sessions, SiteJournal::new(journal), move || {
            signs_with(own.as_ref(), now())
        });
        let cpus = Arc::new(Semaphore::new(config.resources.cpus.min(Semaphore::MAX_PERMITS)));
        let provided = Provided::nothing().with(site);
        Self { config, registry, log, clock, member, provided, cpus, crossing: Arc::default() }
    }

    pub(super) fn name(&self) -> &Name {
        &self.config.name
    }

    pub(super) fn tell(&self, notice: Notice) {
        self.log.notice(&notice);
    }

    /// The flows that are compiled in and that the policy allows, as they are without options.
    pub(super) fn offers(&self) -> Vec<OfferedFlow> {
        let allowed = |flow: &&Arc<dyn crate::Deployed>| self.config.policy.allowed.contains(flow.name());
        let offer = |flow: &Arc<dyn crate::Deployed>| {
            let terms = Terms {
                flow: flow.name().to_owned(),
                options: Vec::new(),
                participants: flow.collaborators(),
                seed: 0,
                drop: Vec::new(),
                dropouts: 0.0,
            };
            let description = flow.describe(&terms).ok();
            OfferedFlow {
                name: terms.flow,
                version: description.as_ref().map_or(0, |flow| flow.version),
                fingerprint: description.map(|flow| flow.fingerprint()),
            }
        };
        self.registry.flows().filter(allowed).map(offer).collect()
    }
}

/// What a signed session is signed with, and whom the site trusts, as it is now.
fn signs_with(member: Option<&Member>, now: SystemTime) -> Result<SiteIdentity> {
    let text =
        "this envoy has no identity: without certificates it can only take part in semi-honest sessions";
    let Member { identity, roster, .. } = member.ok_or_else(|| StepError::with_code("no-identity", text))?;
    let key = identity.signing_key().map_err(|error| StepError::with_code(error.code(), error))?;
    let trusted = roster.identities(now).map_err(|error| StepError::with_code(error.code(), error))?;
    Ok(SiteIdentity { key: Arc::new(key), trusted: Arc::new(trusted) })
}
