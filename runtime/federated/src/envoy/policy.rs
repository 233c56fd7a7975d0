//! What a site agrees to, whatever a director says (`SECURITY.md`, row 17).
//!
//! What holds inside a secure session (cohorts, thresholds, signatures, privacy) is checked by the protocol's client,
//! from the same configuration; here is what is known before anything of the flow runs.

use std::collections::BTreeSet;
use std::time::SystemTime;

use veilflow_secagg::ClientPolicy;
use veilflow_spec::{Fingerprint, FlowDescription, Name};

use crate::deployed::{Deployed, Registry};
use crate::experiment::Terms;

use super::hours::Hours;
use super::refusal::Refusal;

/// What a site agrees to.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The flows that it runs.
    pub allowed: AllowedFlows,
    /// Whether it takes part in flows that are not confidential, where the aggregator sees its updates one by one.
    pub allow_plain: bool,
    /// What it asks of each secure session.
    pub sessions: ClientPolicy,
    /// When it works; always, where none are given.
    pub hours: Vec<Hours>,
}

/// The flows that a site runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedFlows {
    /// All that are compiled in: `["*"]`.
    All,
    /// These.
    Only(BTreeSet<String>),
}

impl AllowedFlows {
    /// Whether this one is among them.
    pub fn contains(&self, flow: &str) -> bool {
        match self {
            AllowedFlows::All => true,
            AllowedFlows::Only(flows) => flows.contains(flow),
        }
    }
}

impl Policy {
    /// What can be said from the terms alone, before anything is built. Returns the flow.
    ///
    /// # Errors
    /// Why the site does not take part.
    pub(super) fn admit<'a>(
        &self,
        site: &Name,
        terms: &Terms,
        registry: &'a Registry,
        now: SystemTime,
    ) -> Result<&'a dyn Deployed, Refusal> {
        let flow = || terms.flow.clone();
        if !self.allowed.contains(&terms.flow) {
            return Err(Refusal::NotAllowed { flow: flow() });
        }
        let Some(deployed) = registry.get(&terms.flow) else {
            let known = registry.flows().map(|flow| flow.name().to_owned());
            let known = known.filter(|flow| self.allowed.contains(flow)).collect();
            return Err(Refusal::UnknownFlow { flow: flow(), known });
        };
        if !terms.participants.contains(site) {
            return Err(Refusal::NotInvited { site: site.clone() });
        }
        if !(self.hours.is_empty() || self.hours.iter().any(|hours| hours.contains(now))) {
            return Err(Refusal::OutsideHours { hours: self.hours.clone() });
        }
        Ok(&**deployed)
    }

    /// What can be said from the flow that the terms make, before any of the site's data is touched.
    ///
    /// # Errors
    /// Why the site does not take part.
    pub(super) fn accept(
        &self,
        terms: &Terms,
        flow: &FlowDescription,
        fingerprint: Fingerprint,
    ) -> Result<(), Refusal> {
        let site = flow.fingerprint();
        if site != fingerprint {
            return Err(Refusal::FlowMismatch { flow: terms.flow.clone(), director: fingerprint, site });
        }
        if !flow.confidential {
            let refused = Refusal::NotConfidential { flow: terms.flow.clone() };
            return if self.allow_plain { Ok(()) } else { Err(refused) };
        }
        // A name that is there twice is one participant.
        let got = terms.participants.iter().collect::<BTreeSet<_>>().len();
        let min = self.sessions.min_cohort();
        if got < min { Err(Refusal::CohortTooSmall { got, min }) } else { Ok(()) }
    }
}
