//! The engine's flow suite over a network: director, envoys and client with certificates of their own, on loopback.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

extern crate veilflow_spec as veilflow;

#[path = "../../engine/tests/suite/mod.rs"]
#[macro_use]
mod suite;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use suite::{Build, Failed, Parts, Ran, Runtime};
use veilflow_engine::remote::{HostedRun, SiteSettings, SiteTasks, hosted_cbor, site_tasks};
use veilflow_engine::{Event, EventKind};
use veilflow_federated::client::FederatedRuntime;
use veilflow_federated::director::{Director, DirectorConfig};
use veilflow_federated::envoy::{AllowedFlows, Envoy, EnvoyConfig, Notice, SiteLog};
use veilflow_federated::pki::{self, Identity};
use veilflow_federated::{Deployed, Registry, Terms};
use veilflow_spec::{Checkpoint, Flow, FlowDescription, Message, Name, Report, Result, StepError};

/// A flow of the suite as it is compiled into director and envoys.
struct Compiled<A, C, P, R> {
    flow: Flow<A, C, P, R>,
    aggregator: Arc<dyn Fn() -> A + Send + Sync>,
    build: Build<C>,
    names: Vec<Name>,
}

impl<A, C, P, R> Deployed for Compiled<A, C, P, R>
where
    A: Checkpoint + Send + Sync + 'static,
    C: Send + 'static,
    P: Message,
    R: Report,
{
    fn name(&self) -> &str {
        self.flow.name()
    }

    fn about(&self) -> &str {
        "a flow of the suite"
    }

    fn collaborators(&self) -> Vec<Name> {
        self.names.clone()
    }

    fn describe(&self, _terms: &Terms) -> Result<FlowDescription> {
        Ok(self.flow.describe())
    }

    fn host(
        &self,
        _terms: &Terms,
        _place: &BTreeMap<String, String>,
        params: Option<&[u8]>,
    ) -> Result<Box<dyn HostedRun>> {
        let params = params.ok_or_else(|| StepError::msg("the suite sends parameters"))?;
        hosted_cbor(self.flow.clone(), (self.aggregator)(), params)
    }

    fn site(
        &self,
        _terms: &Terms,
        _place: &BTreeMap<String, String>,
        settings: SiteSettings,
    ) -> Result<Arc<dyn SiteTasks>> {
        let build = Arc::clone(&self.build);
        Ok(site_tasks(&self.flow, move |name| build(name), settings)?)
    }
}

struct Silent;

impl SiteLog for Silent {
    fn notice(&self, _notice: &Notice) {}
}

/// A whole federation for each run.
struct Federation;

impl Runtime for Federation {
    fn run<A, C, P, R>(&self, flow: &Flow<A, C, P, R>, parts: Parts<A, C>, params: P) -> Ran<R>
    where
        A: Checkpoint + Send + Sync + 'static,
        C: Send + 'static,
        P: Message,
        R: Report,
    {
        let Parts { aggregator, names, build, seed, drop, dropouts, policy } = parts;
        let compiled = Compiled { flow: flow.clone(), aggregator, build, names: names.clone() };
        let registry = Registry::new().with(Arc::new(compiled));
        let folder = tempfile::tempdir().unwrap();
        let keys = pki::throwaway(&folder.path().join("keys"), &names).unwrap();
        let tokio =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let ran = tokio.block_on(async {
            let mut config = DirectorConfig::new(folder.path().join("director"), &keys.director);
            config.listen = ([127, 0, 0, 1], 0).into();
            let director = Director::start(config, registry.clone(), Arc::new(|_| ())).await.unwrap();
            let url = format!("https://{}", director.address());
            let mut envoys = Vec::new();
            for name in &names {
                let text = format!(
                    "name = '{name}'\ndirector = '{url}'\nidentity = '{}'\nstate-dir = '{}'\n\
                     [policy]\nallowed-flows = ['*']\nallow-plain = true\n[roster]\nadditions = 'accept'\n",
                    keys.envoys[name].display(),
                    folder.path().join(name.as_str()).display()
                );
                let mut config = EnvoyConfig::parse(&folder.path().join("envoy.toml"), &text).unwrap();
                assert!(matches!(config.policy.allowed, AllowedFlows::All));
                config.policy.sessions = policy;
                envoys.push(Envoy::start(config, registry.clone(), Arc::new(Silent)).await.unwrap());
            }
            let events: Arc<Mutex<Vec<EventKind>>> = Arc::default();
            let seen = Arc::clone(&events);
            let identity = Identity::load(&keys.client).unwrap();
            let runtime = FederatedRuntime::connect(&url, identity).await.unwrap();
            let runtime = runtime.participants(names.clone()).seed(seed).dropouts(dropouts);
            let runtime =
                runtime.observe(Arc::new(move |event: &Event| seen.lock().unwrap().push(event.kind.clone())));
            let runtime =
                drop.into_iter().fold(runtime, |runtime, (name, step)| runtime.drop_out(name, step));
            let outcome = runtime.run(flow, params).await.map_err(|error| Failed {
                code: error.code().to_owned(),
                text: error.to_string(),
                missing: error.missing().to_vec(),
            });
            envoys.iter().for_each(Envoy::shutdown);
            for envoy in envoys {
                envoy.wait().await;
            }
            director.shutdown().await.unwrap();
            let events = events.lock().unwrap().clone();
            Ran { outcome, events }
        });
        tokio.shutdown_background();
        ran
    }
}

suite!(Federation);
