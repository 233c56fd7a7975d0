//! Talking to a director.

pub(crate) mod connection;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Runtime;
use veilflow_federated::client::{Canceller, Credentials, FederatedRuntime};
use veilflow_federated::pki::Identity;
use veilflow_federated::wire::messages::EnvoyStatus;
use veilflow_federated::{ExperimentId, Summary};
use veilflow_spec::Name;

use self::connection::ConnectionArgs;
use crate::error::CliError;
use crate::interrupt::Interruptible;
use crate::progress::Progress;

/// A connection to a director, and the threads on which it lives.
pub(crate) struct Remote {
    runtime: Runtime,
    client: FederatedRuntime,
}

impl Remote {
    /// Connects to the director that the flags, the environment or a federation on this machine name.
    pub(crate) fn connect(args: &ConnectionArgs) -> Result<Self, CliError> {
        let access = args.access()?;
        let credentials = match &access.identity {
            Some(folder) => Credentials::from(Identity::load(folder)?),
            // By its word: there is nobody else on a loopback address to be told apart from.
            None => Credentials::InsecureLoopback(Name::from("client")),
        };
        // One thread beside the one that waits: whatever comes is taken while results are written.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(CliError::Threads)?;
        let client = runtime.block_on(FederatedRuntime::connect(&access.director, credentials))?;
        Ok(Self { runtime, client })
    }

    pub(crate) fn client(&self) -> &FederatedRuntime {
        &self.client
    }

    /// Waits for an answer.
    pub(crate) fn wait<T>(
        &self,
        answer: impl Future<Output = Result<T, veilflow_federated::client::Error>>,
    ) -> Result<T, CliError> {
        Ok(self.runtime.block_on(answer)?)
    }

    /// The envoys that are online and offer a flow, in the order of their names.
    pub(crate) fn offering(&self, flow: &str) -> Result<Vec<Name>, CliError> {
        let envoys = self.wait(self.client.envoys())?;
        let names = veilflow_federated::client::offering(&envoys, flow);
        if names.is_empty() {
            return Err(CliError::NobodyOffers { flow: flow.to_owned(), envoys: told(&envoys) });
        }
        Ok(names)
    }

    /// The experiment whose id starts so. There has to be exactly one.
    pub(crate) fn find(&self, prefix: &str) -> Result<Summary, CliError> {
        let all = self.wait(self.client.list())?;
        let mut found = all.into_iter().filter(|summary| is_prefix(prefix, summary.id));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(CliError::NoExperiment { prefix: prefix.to_owned() }),
            (Some(one), Some(other)) => {
                let ids = [one.id, other.id].into_iter().chain(found.map(|summary| summary.id));
                let ids = ids.map(|id| id.to_string()).collect();
                Err(CliError::ManyExperiments { prefix: prefix.to_owned(), ids })
            }
        }
    }
}

fn is_prefix(prefix: &str, id: ExperimentId) -> bool {
    !prefix.is_empty() && id.to_string().starts_with(&prefix.to_ascii_lowercase())
}

/// The envoys in a sentence.
fn told(envoys: &[EnvoyStatus]) -> String {
    let one = |envoy: &EnvoyStatus| {
        let flows: Vec<_> = envoy.flows.iter().map(|flow| flow.name.as_str()).collect();
        let online = if envoy.online { "online" } else { "offline" };
        format!(
            "{} ({online}, {})",
            envoy.name,
            if flows.is_empty() { "no flows".to_owned() } else { flows.join(", ") }
        )
    };
    match envoys {
        [] => "none is registered".to_owned(),
        envoys => format!("there are {}", envoys.iter().map(one).collect::<Vec<_>>().join("; ")),
    }
}

/// An experiment that Ctrl-C cancels, at the director.
pub(crate) struct RunningExperiment {
    pub(crate) progress: Progress,
    pub(crate) canceller: Mutex<Option<Canceller>>,
}

impl RunningExperiment {
    pub(crate) fn new(progress: Progress, canceller: Canceller) -> Arc<Self> {
        Arc::new(Self { progress, canceller: Mutex::new(Some(canceller)) })
    }
}

impl Interruptible for RunningExperiment {
    fn cancel(&self) {
        self.progress.line("cancelling the experiment; press Ctrl-C again to leave it to the director");
        if let Some(canceller) = &*self.canceller.lock().unwrap_or_else(PoisonError::into_inner) {
            canceller.cancel();
        }
    }

    fn abandon(&self) {
        self.progress.clear();
    }
}
