//! One connection to the director: what is said and heard over it, until it is lost.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until};
use veilflow_engine::remote::TaskKey;
use veilflow_spec::Cause;

use crate::experiment::ExperimentId;
use crate::wire::messages::{Content, FromEnvoy, ToEnvoy};
use crate::wire::{NotQueued, Outgoing, Refusal, WireError};

use super::backoff::Backoff;
use super::crossing::{Crossing, Way};
use super::lost::Lost;
use super::office::Answer;
use super::renewal::Relays;
use super::task::Contents;

/// The way to a director.
pub(super) trait Link: Send + Sync {
    /// Makes a new connection.
    fn attach(&self) -> BoxFuture<'static, Result<Attached, Lost>>;
}

/// A new connection.
pub(super) struct Attached {
    pub(super) outgoing: Outgoing<FromEnvoy>,
    pub(super) incoming: BoxStream<'static, Result<ToEnvoy, WireError>>,
    pub(super) contents: Arc<dyn Contents>,
    pub(super) relay: Arc<dyn Relays>,
}

/// How many answers may be on their way. More are not asked for meanwhile: nothing is read.
const MAX_SAYING: usize = 64;

/// A connection that is in use.
pub(super) struct Line {
    attached: Attached,
    crossing: Arc<Crossing>,
    /// What events are sent over, once the director has welcomed us.
    way: Way,
    /// Sends the hello, then events as they come.
    telling: JoinSet<Result<(), Lost>>,
    /// Sends answers.
    saying: JoinSet<Result<(), Lost>>,
    /// The answers that are being stored.
    storing: Arc<Mutex<BTreeSet<(ExperimentId, TaskKey)>>>,
    keepalive: Interval,
    /// After so long a silence the director is given up.
    patience: Duration,
    heard: Instant,
}

impl Line {
    /// Uses a new connection: says hello first.
    pub(super) fn new(
        attached: Attached,
        hello: FromEnvoy,
        crossing: Arc<Crossing>,
        keepalive: Duration,
    ) -> Self {
        let mut telling = JoinSet::new();
        let outgoing = attached.outgoing.clone();
        telling.spawn(async move { outgoing.send(hello).await.map_err(|_| Lost::Gone) });
        let mut ticks = interval(keepalive);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        let patience = keepalive.saturating_mul(7) / 2;
        Self {
            attached,
            crossing,
            way: Way::default(),
            telling,
            saying: JoinSet::new(),
            storing: Arc::default(),
            keepalive: ticks,
            patience,
            heard: Instant::now(),
        }
    }

    /// This process of the director has welcomed us: events are sent from now on.
    pub(super) fn welcomed(&mut self, director: [u8; 16]) {
        let way = self.crossing.attached(director);
        self.way = way;
        let (outgoing, events) = (self.attached.outgoing.clone(), Arc::clone(&self.crossing));
        self.telling.spawn(async move {
            loop {
                events.flush(way, &outgoing).await.map_err(|_| Lost::Gone)?;
                events.waiting().await;
            }
        });
    }

    /// What messages that come over it are fetched from.
    pub(super) fn contents(&self) -> Arc<dyn Contents> {
        Arc::clone(&self.attached.contents)
    }

    /// What passes requests for certificates on.
    pub(super) fn relay(&self) -> Arc<dyn Relays> {
        Arc::clone(&self.attached.relay)
    }

    /// What the director says next.
    pub(super) async fn next(&mut self) -> Result<ToEnvoy, Lost> {
        loop {
            let reading = self.saying.len() < MAX_SAYING;
            tokio::select! {
                message = self.attached.incoming.next(), if reading => {
                    self.heard = Instant::now();
                    return match message {
                        Some(Ok(message)) => Ok(message),
                        Some(Err(error)) => Err(error.into()),
                        None => Err(Lost::Gone),
                    };
                }
                Some(said) = self.saying.join_next() => {
                    said.map_err(|error| Lost::Internal(format!("an answer was not sent: {error}")))??;
                }
                Some(told) = self.telling.join_next() => {
                    told.map_err(|error| Lost::Internal(format!("events were not sent: {error}")))??;
                }
                _ = self.keepalive.tick() => match self.attached.outgoing.try_send(FromEnvoy::Alive) {
                    // What is queued before it says the same.
                    Ok(()) | Err(NotQueued::Full) => {}
                    Err(NotQueued::Gone) => return Err(Lost::Gone),
                },
                () = sleep_until(self.heard + self.patience) => return Err(Lost::Silent),
            }
        }
    }

    /// Says that a task ended: first what happened in it, then its answer, whose chunks are stored before.
    ///
    /// Asked for again while it is being stored, it is not stored twice: it may be large.
    pub(super) fn answer(&mut self, answer: Answer) {
        let which = (answer.experiment, answer.task.clone());
        if !locked(&self.storing).insert(which.clone()) {
            return;
        }
        let (outgoing, contents) = (self.attached.outgoing.clone(), Arc::clone(&self.attached.contents));
        let (crossing, way) = (Arc::clone(&self.crossing), self.way);
        let storing = Arc::clone(&self.storing);
        self.saying.spawn(async move {
            let Answer { experiment, task, outcome } = answer;
            crossing.flush(way, &outgoing).await.map_err(|_| Lost::Gone)?;
            let outcome = match outcome {
                Ok(bytes) => store(&*contents, bytes).await?,
                Err(cause) => Err(shortened(cause)),
            };
            // Before it is said: whoever has heard it may ask again.
            locked(&storing).remove(&which);
            let done = FromEnvoy::Done { experiment, task, outcome };
            outgoing.send(done).await.map_err(|_| Lost::Gone)
        });
    }

    /// Says that no new tasks are taken.
    pub(super) fn leave(&mut self) {
        let outgoing = self.attached.outgoing.clone();
        self.saying.spawn(async move { outgoing.send(FromEnvoy::Leaving).await.map_err(|_| Lost::Gone) });
    }

    /// Says what is still to be said, hangs up, and waits until the director has done the same: it has heard all then.
    pub(super) async fn hang_up(mut self) {
        self.telling.shutdown().await;
        while self.saying.join_next().await.is_some() {}
        let Attached { outgoing, mut incoming, contents, relay } = self.attached;
        drop(outgoing);
        while let Some(Ok(_)) = incoming.next().await {}
        drop((contents, relay));
    }
}

/// Stores an answer. One that the director will never take is no answer.
async fn store(contents: &dyn Contents, bytes: Bytes) -> Result<Result<Content, Cause>, Lost> {
    let mut backoff = Backoff::default();
    loop {
        match contents.store(bytes.clone()).await {
            Ok(content) => return Ok(Ok(content)),
            // It has no room for now.
            Err(WireError::Refused(Refusal::Busy(_))) => sleep(backoff.wait()).await,
            Err(WireError::Refused(refusal)) if !matches!(refusal, Refusal::Leaving) => {
                let (code, text) =
                    (refusal.code().to_owned(), format!("the answer was not taken: {refusal}"));
                return Ok(Err(shortened(Cause::Declined { code, text })));
            }
            // A new connection is tried: the answer is kept until it is acknowledged.
            Err(error) => return Err(error.into()),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The most bytes of a text in a message: a step may write a book.
const TEXT_BYTES: usize = 4096;

/// The same cause in a message that fits.
fn shortened(mut cause: Cause) -> Cause {
    let shorten = |text: &mut String| text.truncate(text.floor_char_boundary(TEXT_BYTES));
    match &mut cause {
        Cause::Failed { text, .. } | Cause::Panicked { text, .. } | Cause::NotBuilt { text } => {
            text.iter_mut().for_each(shorten);
        }
        Cause::Declined { text, .. } => shorten(text),
        _ => {}
    }
    cause
}
