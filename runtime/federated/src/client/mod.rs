//! The client: submits flows to a director, follows them, and reads what they left.
//!
//! ```no_run
//! # use veilflow_federated::{client::FederatedRuntime, pki::Identity};
//! # use veilflow_spec::{Context, Flow};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! # let flow: Flow<(), (), u32, u32> = Flow::new("count", 1).start(|_: &mut (), n: u32, _: &Context| Ok(n)).end();
//! let identity = Identity::load("pki/alice".as_ref())?;
//! let runtime = FederatedRuntime::connect("https://director.example:50050", identity).await?;
//! let report = runtime.run(&flow, 10).await?;
//! # let _: u32 = report; Ok(()) }
//! ```

mod cancel;
mod error;
mod follow;
mod link;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use veilflow_engine::Observer;
use veilflow_engine::remote::Pieces;
use veilflow_spec::{Fingerprint, Flow, Message, Name, Report, read_cbor, to_cbor};

pub use self::cancel::Canceller;
pub use self::error::Error;
use self::link::Link;
use crate::experiment::{ExperimentId, Outcome, State, Summary, Terms};
use crate::pki::{Identity, Role};
use crate::wire::messages::{Ask, EnvoyStatus, PROTOCOL, Results, Submit, Told};
use crate::wire::{Dialing, Download, Party};

/// As whom a client talks to a director.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// With a certificate of the federation.
    Identity(Box<Identity>),
    /// By its word, without encryption: only to a director on a loopback address that was started so.
    InsecureLoopback(Name),
}

impl From<Identity> for Credentials {
    fn from(identity: Identity) -> Self {
        Self::Identity(Box::new(identity))
    }
}

impl Credentials {
    fn dialing(&self) -> Result<Dialing, Error> {
        match self {
            Self::Identity(identity) => {
                // What the director would refuse without a word.
                identity.check(identity.role(), SystemTime::now())?;
                Ok(Dialing::with(identity, identity.revocations()?)?)
            }
            Self::InsecureLoopback(name) => {
                Ok(Dialing::InsecureLoopback(Some(Party { role: Role::Client, name: name.clone() })))
            }
        }
    }
}

/// An experiment to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// What its flow is built from.
    pub terms: Terms,
    /// The fingerprint of the flow as this program builds it. The director refuses it where its own build differs.
    pub fingerprint: Fingerprint,
    /// The parameters in CBOR; those of the flow's build at the director, where there are none.
    pub params: Option<Bytes>,
}

/// The most bytes of a report that are read, unless it is said.
const MAX_REPORT_BYTES: u64 = 8 << 30;

/// Runs flows at the sites of a federation: `LocalRuntime`'s counterpart over a network.
///
/// The flow itself does not travel: its name, its options, its parameters and its fingerprint do, and the director and
/// each envoy build it from their own programs. A connection that is lost is made again, as long as it takes, up to
/// [`patience`](Self::patience).
pub struct FederatedRuntime {
    link: Link,
    options: Vec<String>,
    participants: Option<Vec<Name>>,
    seed: u64,
    drop: Vec<(Name, String)>,
    dropouts: f64,
    observers: Vec<Arc<dyn Observer>>,
    canceller: Canceller,
    max_report_bytes: u64,
}

impl std::fmt::Debug for FederatedRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FederatedRuntime").field("director", &self.link.director()).finish_non_exhaustive()
    }
}

impl FederatedRuntime {
    /// Connects to a director, such as `https://director.example:50050`. `identity` is an
    /// [`Identity`], or [`Credentials`] of another kind.
    ///
    /// # Errors
    /// An identity that does not do, a director that cannot be reached or is none of this federation.
    pub async fn connect(director: &str, identity: impl Into<Credentials>) -> Result<Self, Error> {
        let link = Link::connect(director, identity.into().dialing()?).await?;
        Ok(Self {
            link,
            options: Vec::new(),
            participants: None,
            seed: 0,
            drop: Vec::new(),
            dropouts: 0.0,
            observers: Vec::new(),
            canceller: Canceller::default(),
            max_report_bytes: MAX_REPORT_BYTES,
        })
    }

    /// The flow's own options, as on its command line: `["--rounds=2"]`. Director and envoys build it with these, and
    /// with their own defaults for all others.
    #[must_use]
    pub fn options<T: Into<String>>(mut self, options: impl IntoIterator<Item = T>) -> Self {
        self.options = options.into_iter().map(Into::into).collect();
        self
    }

    /// Who takes part; everybody who is online and offers the flow, unless it is said.
    #[must_use]
    pub fn participants<T: Into<Name>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.participants = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The seed of the run; 0, unless it is said.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Simulates that a participant is gone before a step, in every round.
    #[must_use]
    pub fn drop_out(mut self, name: impl Into<Name>, step: impl Into<String>) -> Self {
        self.drop.push((name.into(), step.into()));
        self
    }

    /// Simulates that in each round each participant drops out with this probability, at a random step.
    #[must_use]
    pub fn dropouts(mut self, probability: f64) -> Self {
        self.dropouts = probability;
        self
    }

    /// Shows the events of runs to `observer`. After an [`EventKind::Resumed`](veilflow_engine::EventKind::Resumed) those
    /// from its number on are told again.
    #[must_use]
    pub fn observe(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// For how long a lost connection is tried to be made again; 60 seconds, unless it is said. An experiment goes on
    /// without its client.
    #[must_use]
    pub fn patience(mut self, patience: std::time::Duration) -> Self {
        self.link.patience = patience;
        self
    }

    /// The most bytes that a report may have; 8 GiB, unless it is said.
    #[must_use]
    pub fn max_report_bytes(mut self, bytes: u64) -> Self {
        self.max_report_bytes = bytes;
        self
    }

    /// A handle that cancels this runtime's experiments from elsewhere.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// Runs a flow to its report.
    ///
    /// # Errors
    /// [`Error::Failed`] with the run's code, who was missing and who cheated; what keeps it from starting; a director
    /// that stays away.
    pub async fn run<A, C, P: Message, R: Report>(
        &self,
        flow: &Flow<A, C, P, R>,
        params: P,
    ) -> Result<R, Error> {
        flow.check()?;
        let (name, fingerprint) = (flow.name().to_owned(), flow.fingerprint());
        let params = to_cbor(&params).map_err(|error| Error::Params { reason: error.to_string() })?;
        let report = self.run_encoded(name, fingerprint, params.into()).await?;
        read_cbor(report).map_err(|error| Error::Report { reason: error.to_string() })
    }

    async fn run_encoded(
        &self,
        flow: String,
        fingerprint: Fingerprint,
        params: Bytes,
    ) -> Result<Pieces, Error> {
        let participants = match &self.participants {
            Some(named) => named.clone(),
            None => offering(&self.envoys().await?, &flow),
        };
        if participants.is_empty() {
            return Err(Error::NobodyOffers { flow });
        }
        let terms = Terms {
            flow,
            options: self.options.clone(),
            participants,
            seed: self.seed,
            drop: self.drop.clone(),
            dropouts: self.dropouts,
        };
        self.finished(Experiment { terms, fingerprint, params: Some(params) }, &mut |_| {}).await
    }

    /// Submits an experiment, follows it to its end and returns its report in CBOR. What is told of it goes to `told`,
    /// its events to the observers too.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn execute(
        &self,
        experiment: Experiment,
        told: &mut (dyn FnMut(&Told) + Send),
    ) -> Result<Bytes, Error> {
        Ok(self.finished(experiment, told).await?.into_bytes())
    }

    async fn finished(
        &self,
        experiment: Experiment,
        told: &mut (dyn FnMut(&Told) + Send),
    ) -> Result<Pieces, Error> {
        if self.canceller.is_cancelled() {
            return Err(Error::NotSubmitted);
        }
        let id = self.submit(experiment).await?.id;
        let outcome = self.until_over(id, told).await?;
        let Some(outcome) = outcome else { return Err(Error::NoReport { id }) };
        if outcome.state != State::Finished {
            return Err(Error::Failed { id, outcome: Box::new(outcome) });
        }
        self.report(id).await?.1.ok_or(Error::NoReport { id })
    }

    /// Follows an experiment to its end, and cancels it when this runtime is cancelled.
    async fn until_over(
        &self,
        id: ExperimentId,
        told: &mut (dyn FnMut(&Told) + Send),
    ) -> Result<Option<Outcome>, Error> {
        let following = self.follow(id, 0, true, told);
        tokio::pin!(following);
        tokio::select! {
            biased;
            outcome = &mut following => return outcome,
            () = self.canceller.cancelled() => {}
        }
        // What is over meanwhile cannot be cancelled: then its end is told.
        tokio::select! {
            biased;
            outcome = &mut following => return outcome,
            cancelled = self.cancel(id) => match cancelled {
                Ok(_) => {}
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(error),
            },
        }
        following.await
    }

    /// Queues an experiment. It runs to its end whether or not anybody follows it.
    ///
    /// # Errors
    /// A refusal, such as of a flow that the director builds differently; a director that stays away.
    pub async fn submit(&self, experiment: Experiment) -> Result<Summary, Error> {
        let id = ExperimentId::generate().map_err(Error::Randomness)?;
        let Experiment { terms, fingerprint, params } = experiment;
        // A reply that was lost is asked for again: the same id is the same experiment.
        let submit = |connection: crate::wire::Connection| {
            let (terms, params) = (terms.clone(), params.clone());
            async move {
                let params = match &params {
                    Some(params) => Some(connection.store_content(params).await?),
                    None => None,
                };
                connection.submit(Submit { protocol: PROTOCOL, id, terms, fingerprint, params }).await
            }
        };
        self.link.call(submit).await
    }

    /// All experiments of the director.
    ///
    /// # Errors
    /// A refusal, or a director that stays away; so for all that follow.
    pub async fn list(&self) -> Result<Vec<Summary>, Error> {
        self.link.call(|connection| async move { connection.list().await }).await
    }

    /// What is known of an experiment, and how it ended.
    ///
    /// # Errors
    /// As [`list`](Self::list), and an id that nobody has.
    pub async fn show(&self, id: ExperimentId) -> Result<(Summary, Option<Outcome>), Error> {
        let Results { summary, outcome, .. } = self.ask(id).await?;
        Ok((summary, outcome))
    }

    /// What is known of an experiment, and its report in CBOR where it has one.
    ///
    /// # Errors
    /// As [`show`](Self::show), and a report that is larger than allowed.
    pub async fn results(&self, id: ExperimentId) -> Result<(Summary, Option<Bytes>), Error> {
        let (summary, report) = self.report(id).await?;
        Ok((summary, report.map(Pieces::into_bytes)))
    }

    async fn report(&self, id: ExperimentId) -> Result<(Summary, Option<Pieces>), Error> {
        let Results { summary, report, .. } = self.ask(id).await?;
        let Some(report) = report else { return Ok((summary, None)) };
        let mut download = Download::new(report, self.max_report_bytes)?;
        let mut retry = self.link.retry();
        loop {
            let connection = self.link.connection(&mut retry).await?;
            let Err(error) = download.run(&connection).await else { break };
            retry.failed(error).await?;
            // What is served is served to a connection: a new one has to ask for it.
            self.ask(id).await?;
        }
        Ok((summary, Some(download.finish()?)))
    }

    async fn ask(&self, id: ExperimentId) -> Result<Results, Error> {
        self.link.call(|connection| async move { connection.show(Ask { id }).await }).await
    }

    /// Cancels an experiment.
    ///
    /// # Errors
    /// As [`show`](Self::show).
    pub async fn cancel(&self, id: ExperimentId) -> Result<Summary, Error> {
        self.link.call(|connection| async move { connection.cancel(Ask { id }).await }).await
    }

    /// All envoys that the director knows.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    pub async fn envoys(&self) -> Result<Vec<EnvoyStatus>, Error> {
        self.link.call(|connection| async move { connection.envoys().await }).await
    }
}

/// The envoys that are online and offer a flow, in the order of their names.
pub fn offering(envoys: &[EnvoyStatus], flow: &str) -> Vec<Name> {
    let offers = |envoy: &&EnvoyStatus| envoy.online && envoy.flows.iter().any(|own| own.name == flow);
    let mut names: Vec<_> = envoys.iter().filter(offers).map(|envoy| envoy.name.clone()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests;
