//! One task at a site, from the director's message to the answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use veilflow_engine::remote::{Pieces, SiteSettings, SiteTasks, TaskKey};
use veilflow_engine::{Event, Observer};
use veilflow_spec::{Cancellation, Cause, Fingerprint};

use crate::experiment::{ExperimentId, Terms};
use crate::wire::messages::Content;
use crate::wire::{Download, WireError};

use super::notice::Notice;
use super::refusal::Refusal;
use super::site::Site;

/// Where the contents of messages come from and go to: a connection to the director.
pub(super) trait Contents: Send + Sync {
    /// Goes on with a download.
    fn fetch<'a>(&'a self, download: &'a mut Download) -> BoxFuture<'a, Result<(), WireError>>;

    /// Stores bytes, and says how they are written in a message.
    fn store(&self, bytes: Bytes) -> BoxFuture<'static, Result<Content, WireError>>;
}

/// The contents of the connection over which a task came last.
pub(super) type From = watch::Receiver<Arc<dyn Contents>>;

/// What the director asks for.
#[derive(Clone)]
pub(super) struct Order {
    pub(super) experiment: ExperimentId,
    pub(super) terms: Arc<Terms>,
    pub(super) fingerprint: Fingerprint,
    pub(super) task: TaskKey,
    pub(super) setup: Option<Content>,
    pub(super) message: Content,
}

/// An experiment's half of its flow at this site, once it is built.
pub(super) type Half = Arc<OnceLock<Arc<dyn SiteTasks>>>;

/// Tells a task to stop: its steps, which look at a flag, and its waiting.
#[derive(Clone)]
pub(super) struct Stop {
    flag: Cancellation,
    wake: Arc<watch::Sender<bool>>,
}

impl Stop {
    pub(super) fn new() -> Self {
        Self { flag: Cancellation::new(), wake: Arc::new(watch::Sender::new(false)) }
    }

    pub(super) fn stop(&self) {
        self.flag.cancel();
        self.wake.send_replace(true);
    }

    async fn stopped(&self) {
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = self.wake.subscribe().wait_for(|stopped| *stopped).await;
    }
}

/// How a task ended.
pub(super) enum Outcome {
    /// It ran, or was to run.
    Answered(Result<Bytes, Cause>),
    /// The site does not run it. It may be asked again.
    Refused(Refusal),
}

/// Does what is asked for: waits for its turn, fetches the message, builds the flow's half if that was not done yet, and
/// runs the task. It can be stopped at any time; a step that does not look at its flag is waited for.
pub(super) async fn perform(site: Arc<Site>, order: Order, half: Half, stop: Stop, from: From) -> Outcome {
    let prepared = tokio::select! {
        biased;
        () = stop.stopped() => return Outcome::Answered(Err(Cause::Cancelled)),
        prepared = prepare(&site, &order, &half, from) => prepared,
    };
    let (permits, setup, message) = match prepared {
        Ok(prepared) => prepared,
        Err(refusal) => return Outcome::Refused(refusal),
    };
    let path = Arc::clone(&order.task.path);
    let ran = tokio::task::spawn_blocking(move || {
        let outcome = run(&site, &order, &half, &stop.flag, setup, message);
        drop(permits);
        outcome
    });
    // The flow's own code is inside: what panics there is a task without an answer, and no more. Its text may hold data.
    ran.await
        .unwrap_or_else(|_| Outcome::Answered(Err(Cause::Panicked { step: path.to_string(), text: None })))
}

/// What a task holds while it runs, and its setup and message.
type Prepared = (tokio::sync::OwnedSemaphorePermit, Option<Pieces>, Pieces);

async fn prepare(site: &Arc<Site>, order: &Order, half: &Half, mut from: From) -> Result<Prepared, Refusal> {
    // Before anything is fetched: what the site does not do costs it nothing.
    site.config.policy.admit(site.name(), &order.terms, &site.registry, (site.clock)())?;
    if half.get().is_none() {
        let (site, asked) = (Arc::clone(site), order.clone());
        let accepted = tokio::task::spawn_blocking(move || accept(&site, &asked)).await;
        accepted.unwrap_or_else(|_| Err(invalid(&order.terms, "the flow's own code panicked")))?;
    }
    // Then its turn, so that only as many messages are in memory as tasks can run.
    let cpus = u32::try_from(site.config.resources.cpus_per_task).unwrap_or(u32::MAX);
    let permits = Arc::clone(&site.cpus).acquire_many_owned(cpus).await.map_err(|_| Refusal::Leaving)?;
    let setup = match &order.setup {
        Some(setup) => Some(fetch(site, order, setup, &mut from).await?),
        None => None,
    };
    let message = fetch(site, order, &order.message, &mut from).await?;
    Ok((permits, setup, message))
}

/// Compares the flow that the terms make here with the one that is asked for, and with the site's policy.
fn accept(site: &Site, order: &Order) -> Result<(), Refusal> {
    let terms = &order.terms;
    let flow = site.config.policy.admit(site.name(), terms, &site.registry, (site.clock)())?;
    let description = flow.describe(terms).map_err(|error| invalid(terms, &error.to_string()))?;
    site.config.policy.accept(terms, &description, order.fingerprint)
}

fn invalid(terms: &Terms, reason: &str) -> Refusal {
    Refusal::InvalidTerms { flow: terms.flow.clone(), reason: reason.to_owned() }
}

/// A message or a setup, whole. Where the connection is lost it goes on from what has arrived when the director sends the
/// task again.
async fn fetch(site: &Site, order: &Order, content: &Content, from: &mut From) -> Result<Pieces, Refusal> {
    let refused = |error: WireError| Refusal::Message { code: error.code(), reason: error.to_string() };
    let mut download = Download::new(content.clone(), site.config.resources.max_message).map_err(refused)?;
    loop {
        let contents = Arc::clone(&from.borrow_and_update());
        match contents.fetch(&mut download).await {
            Ok(()) => return download.finish().map_err(refused),
            // TLS keeps bytes whole, so wrong ones were sent: they would be again.
            Err(error @ WireError::Corrupt(_)) => return Err(refused(error)),
            Err(error) if error.is_transient() => {
                let (experiment, task) = (order.experiment, order.task.clone());
                site.tell(Notice::Interrupted { experiment, task, reason: error.to_string() });
                from.changed().await.map_err(|_| Refusal::Leaving)?;
            }
            Err(error) => return Err(refused(error)),
        }
    }
}

/// Runs the task on the thread that calls.
fn run(
    site: &Arc<Site>,
    order: &Order,
    half: &Half,
    cancellation: &Cancellation,
    setup: Option<Pieces>,
    message: Pieces,
) -> Outcome {
    if cancellation.is_cancelled() {
        return Outcome::Answered(Err(Cause::Cancelled));
    }
    let (experiment, task) = (order.experiment, &order.task);
    let built = match half.get() {
        Some(half) => Ok(Arc::clone(half)),
        None => build(site, order),
    };
    let tasks = match built {
        Ok(tasks) => Arc::clone(half.get_or_init(|| tasks)),
        Err(outcome) => return outcome,
    };
    site.tell(Notice::TaskStarted { experiment, flow: order.terms.flow.clone(), task: task.clone() });
    Outcome::Answered(tasks.perform(task, setup, message, cancellation).map(Bytes::from))
}

/// Builds the flow's half with the site's own settings.
fn build(site: &Arc<Site>, order: &Order) -> Result<Arc<dyn SiteTasks>, Outcome> {
    let terms = &order.terms;
    let flow = site.registry.get(&terms.flow);
    let flow = flow.ok_or_else(|| Outcome::Refused(Refusal::NotAllowed { flow: terms.flow.clone() }))?;
    let nowhere = std::collections::BTreeMap::new();
    let place = site.config.flows.get(&terms.flow).unwrap_or(&nowhere);
    let settings = SiteSettings {
        name: site.name().clone(),
        participants: terms.participants.clone(),
        seed: terms.seed,
        cpus: site.config.resources.cpus_per_task,
        device: site.config.resources.device,
        provided: site.provided.clone(),
        drop: terms.drop.clone(),
        dropouts: terms.dropouts,
        observer: observer(site, order.experiment),
        crossing: crossing(site, order.experiment),
    };
    let built = catch_unwind(AssertUnwindSafe(|| flow.site(terms, place, settings)));
    let built = built.unwrap_or_else(|_| Err(veilflow_spec::StepError::msg("the flow's own code panicked")));
    let tasks = built.map_err(|error| {
        site.tell(Notice::NotBuilt { experiment: order.experiment, reason: error.to_string() });
        // The text stays here: it may name files, or what is in them.
        Outcome::Answered(Err(Cause::NotBuilt { text: None }))
    })?;
    let (director, own) = (order.fingerprint, tasks.fingerprint());
    if own != director {
        return Err(Outcome::Refused(Refusal::FlowMismatch {
            flow: terms.flow.clone(),
            director,
            site: own,
        }));
    }
    Ok(tasks)
}

/// Who looks at all that happens at the site.
fn observer(site: &Arc<Site>, experiment: ExperimentId) -> Arc<dyn Observer> {
    let log = Arc::clone(&site.log);
    Arc::new(move |event: &Event| log.notice(&Notice::Event { experiment, event: event.clone() }))
}

/// Who looks at what may cross: nothing in a confidential flow, which the flow's half sees to.
fn crossing(site: &Arc<Site>, experiment: ExperimentId) -> Arc<dyn Observer> {
    let crossing = Arc::clone(&site.crossing);
    Arc::new(move |event: &Event| crossing.push(experiment, &event.kind))
}
