//! The flows that are compiled into a program.

use std::collections::BTreeMap;
use std::sync::Arc;

use veilflow_engine::remote::{HostedRun, SiteSettings, SiteTasks};
use veilflow_spec::{FlowDescription, Name, Result};

use crate::experiment::Terms;

/// A flow that is compiled into this program. Flows do not travel: their name and the [`Terms`] do, and director and
/// envoys each build the flow from their own code, compare fingerprints, and keep within their own configuration.
pub trait Deployed: Send + Sync {
    /// The flow's name.
    fn name(&self) -> &str;

    /// One line about it.
    fn about(&self) -> &str;

    /// Who takes part unless somebody says otherwise.
    fn collaborators(&self) -> Vec<Name>;

    /// Whether this flow has such settings of a place, as [`host`](Self::host) and [`site`](Self::site) take them: what a
    /// configuration is checked with before anything runs.
    ///
    /// # Errors
    /// Settings that the flow does not have, and values that do not fit.
    fn check_place(&self, _place: &BTreeMap<String, String>) -> Result<()> {
        Ok(())
    }

    /// The flow of these terms, without data and keys.
    ///
    /// # Errors
    /// Options from which no flow can be made.
    fn describe(&self, terms: &Terms) -> Result<FlowDescription>;

    /// The director's half: the aggregator, and the parameters in CBOR or else the flow's own.
    ///
    /// # Errors
    /// Options and parameters that do not fit the flow.
    fn host(
        &self,
        terms: &Terms,
        place: &BTreeMap<String, String>,
        params: Option<&[u8]>,
    ) -> Result<Box<dyn HostedRun>>;

    /// A site's half. `place` are the site's own settings for this flow, such as where its data lies; what a client
    /// sends never changes them.
    ///
    /// # Errors
    /// Options that do not fit the flow, settings that do not fit the site.
    fn site(
        &self,
        terms: &Terms,
        place: &BTreeMap<String, String>,
        settings: SiteSettings,
    ) -> Result<Arc<dyn SiteTasks>>;
}

/// The flows of a program, by name.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<String, Arc<dyn Deployed>>);

impl Registry {
    /// A registry of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a flow, in place of one of its name.
    #[must_use]
    pub fn with(mut self, flow: Arc<dyn Deployed>) -> Self {
        self.0.insert(flow.name().to_owned(), flow);
        self
    }

    /// The flow of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Deployed>> {
        self.0.get(name)
    }

    /// All flows, in the order of their names.
    pub fn flows(&self) -> impl ExactSizeIterator<Item = &Arc<dyn Deployed>> {
        self.0.values()
    }
}
