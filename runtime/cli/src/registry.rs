//! The flows, data sets and benchmarks of a program.

use crate::app::App;
use crate::benchmark::Benchmark;
use crate::dataset::Dataset;
use crate::entry::{Entry, entry};

/// The flows, data sets and benchmarks that a command line offers.
pub struct Registry {
    pub(crate) version: &'static str,
    pub(crate) flows: Vec<Box<dyn Entry>>,
    pub(crate) datasets: Vec<Dataset>,
    pub(crate) benchmarks: Vec<Benchmark>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// A registry of nothing.
    pub fn new() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            flows: Vec::new(),
            datasets: Vec::new(),
            benchmarks: Vec::new(),
        }
    }

    /// Adds a flow.
    pub fn app<A: App>(mut self, app: A) -> Self {
        self.flows.push(entry(app));
        self
    }

    /// Adds a data set.
    pub fn dataset(mut self, dataset: Dataset) -> Self {
        self.datasets.push(dataset);
        self
    }

    /// Adds a benchmark. `secagg` is there already.
    pub fn benchmark(mut self, benchmark: Benchmark) -> Self {
        self.benchmarks.push(benchmark);
        self
    }

    /// What `--version` says; Veilflow's own version, unless it is said. `env!("CARGO_PKG_VERSION")` is the
    /// version of the program that calls.
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// The flows as a director and envoys build them: what `director start` and `envoy start` run, for a program that
    /// starts them itself.
    pub fn deployed(&self) -> veilflow_federated::Registry {
        let flows = self.flows.iter().map(|flow| flow.deployed());
        flows.fold(veilflow_federated::Registry::new(), veilflow_federated::Registry::with)
    }

    pub(crate) fn flow(&self, name: &str) -> Option<&dyn Entry> {
        self.flows.iter().find(|entry| entry.name() == name).map(|entry| &**entry)
    }
}
