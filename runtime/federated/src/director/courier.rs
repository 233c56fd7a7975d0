//! The way from an experiment's aggregator to its sites.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use veilflow_engine::remote::{Courier, Delivery, Parcel, Pieces};
use veilflow_spec::{Cause, Fingerprint, Name};

use super::envoys::Envoys;
use super::log::{Line, Log};
use crate::experiment::{ExperimentId, Terms};
use crate::wire::messages::{Content, ToEnvoy};
use crate::wire::{Party, Refusal, Served};

/// How often an envoy is asked for an answer whose chunks are not here.
const ASKED: u32 = 3;

/// One experiment's courier.
pub(super) struct ExperimentCourier {
    pub(super) id: ExperimentId,
    pub(super) terms: Arc<Terms>,
    pub(super) fingerprint: Fingerprint,
    pub(super) envoys: Arc<Envoys>,
    pub(super) log: Log,
}

impl Courier for ExperimentCourier {
    fn deliver(&self, delivery: Delivery) -> BoxFuture<'static, Result<Pieces, Cause>> {
        let (experiment, terms, fingerprint) = (self.id, Arc::clone(&self.terms), self.fingerprint);
        let (envoys, log) = (Arc::clone(&self.envoys), Arc::clone(&self.log));
        Box::pin(async move {
            let Delivery { to, task, setup, message, .. } = delivery;
            let refused = |what: &str, refusal: Refusal| {
                let (path, attempt) = (&task.path, task.attempt);
                (log)(Line::Problem(format!(
                    "experiment {experiment}, {path} (attempt {attempt}), {to}: {what}: {refusal}"
                )));
                let code = refusal.code().to_owned();
                Cause::Refused { step: path.to_string(), code, at_fault: false }
            };
            let mut served = Vec::new();
            let setup = match &setup {
                None => None,
                Some(parcel) => {
                    let content = serve(&envoys, parcel, &to, &mut served).await;
                    Some(content.map_err(|refusal| refused("what the session's setup has for it", refusal))?)
                }
            };
            let content = serve(&envoys, &message, &to, &mut served).await;
            let message = content.map_err(|refusal| refused("the message to it", refusal))?;
            let message = ToEnvoy::Task {
                experiment,
                terms: Terms::clone(&terms),
                fingerprint,
                task: task.clone(),
                setup,
                message,
            };
            let mut open = envoys.open(&to, (experiment, task.clone()), message, served)?;
            let (from, mut asked) = (Party::envoy(to.clone()), 1);
            loop {
                let content = open.answer().await?;
                match envoys.chunks().take(&from, content) {
                    Ok(bytes) => return Ok(bytes),
                    // The store forgot chunks, or a restart did: the envoy has them still.
                    Err(Refusal::Unknown(_) | Refusal::Busy(_)) if asked < ASKED && open.ask_again() => {
                        asked += 1
                    }
                    Err(refusal) => return Err(refused("its answer", refusal)),
                }
            }
        })
    }

    fn close(&self, join: &str) {
        self.envoys.close(&self.id, join);
    }
}

/// Has a site fetch a parcel for as long as `served` lives.
async fn serve(
    envoys: &Envoys,
    parcel: &Arc<Parcel>,
    to: &Name,
    served: &mut Vec<Served>,
) -> Result<Content, Refusal> {
    let (chunks, parcel, reader) = (envoys.chunks().clone(), Arc::clone(parcel), Party::envoy(to.clone()));
    let (content, hold) = on(envoys.runtime(), async move { chunks.serve(&parcel, reader).await }).await?;
    served.push(hold);
    Ok(content)
}

/// Works on the director's own threads: a run has but one, and large contents take a while.
async fn on<T: Send + 'static>(
    runtime: &Handle,
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    runtime.spawn(work).await.unwrap_or_else(|error| Err(Refusal::Internal(error.to_string())))
}
