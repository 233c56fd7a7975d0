//! Events of the site's tasks on their way to the director.
//!
//! Steps never wait for the network, so what they tell is queued, within bounds, and sent in batches as large as what
//! gathered while the last one was on its way. What a lost connection had in hand is not told again: events are for
//! people to look at, answers are what counts.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use veilflow_engine::EventKind;

use crate::experiment::ExperimentId;
use crate::wire::messages::FromEnvoy;
use crate::wire::{Gone, Outgoing, encode};

/// The most bytes of an event in CBOR; larger ones do not cross. A message holds [`BATCH_BYTES`] and one event more.
const EVENT_BYTES: usize = 64 * 1024;
/// At so many bytes a message is full.
const BATCH_BYTES: usize = 128 * 1024;
/// The most bytes that wait.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// The events that wait to cross.
#[derive(Default)]
pub(super) struct Crossing {
    queue: Mutex<Queue>,
    more: Notify,
    /// Held from taking a batch until it is sent, so that events and the answers behind them keep their order.
    sending: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Waiting>,
    bytes: usize,
    lost: u64,
}

struct Waiting {
    experiment: ExperimentId,
    kind: EventKind,
    bytes: usize,
}

impl Crossing {
    /// Queues an event, where there is room.
    pub(super) fn push(&self, experiment: ExperimentId, kind: &EventKind) {
        let bytes = encode(kind).map_or(usize::MAX, |bytes| bytes.len());
        let mut queue = self.queue();
        if bytes > EVENT_BYTES || queue.bytes.saturating_add(bytes) > QUEUE_BYTES {
            queue.lost += 1;
        } else {
            queue.bytes += bytes;
            queue.events.push_back(Waiting { experiment, kind: kind.clone(), bytes });
        }
        drop(queue);
        self.more.notify_one();
    }

    /// Drops what an experiment still had to tell: it is over.
    pub(super) fn forget(&self, experiment: ExperimentId) {
        let mut queue = self.queue();
        queue.events.retain(|event| event.experiment != experiment);
        queue.bytes = queue.events.iter().map(|event| event.bytes).sum();
    }

    /// How many events were lost since the last time it was asked.
    pub(super) fn lost(&self) -> u64 {
        mem::take(&mut self.queue().lost)
    }

    /// Returns when there may be something to send.
    pub(super) async fn waiting(&self) {
        self.more.notified().await;
    }

    /// Sends all that waits.
    pub(super) async fn flush(&self, outgoing: &Outgoing<FromEnvoy>) -> Result<(), Gone> {
        let _sending = self.sending.lock().await;
        while let Some((experiment, events)) = self.batch() {
            outgoing.send(FromEnvoy::Events { experiment, events }).await?;
        }
        Ok(())
    }

    /// The oldest events, as far as they are of one experiment and fit into a message.
    fn batch(&self) -> Option<(ExperimentId, Vec<EventKind>)> {
        let mut queue = self.queue();
        let experiment = queue.events.front()?.experiment;
        let (mut events, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES
            && queue.events.front().is_some_and(|event| event.experiment == experiment)
            && let Some(event) = queue.events.pop_front()
        {
            bytes += event.bytes;
            queue.bytes -= event.bytes;
            events.push(event.kind);
        }
        Some((experiment, events))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing in here panics between two writes that belong together.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(error: String) -> EventKind {
        EventKind::RunFailed { error }
    }

    #[tokio::test]
    async fn what_gathers_goes_in_batches_of_one_experiment_in_order() {
        let crossing = Crossing::default();
        let [a, b] = [(); 2].map(|()| ExperimentId::generate().unwrap());
        for (experiment, text) in [(a, "1"), (a, "2"), (b, "3"), (a, "4")] {
            crossing.push(experiment, &event(text.to_owned()));
        }
        let (outgoing, mut sent) = Outgoing::channel(8);
        crossing.flush(&outgoing).await.unwrap();
        drop(outgoing);
        let mut batches = Vec::new();
        while let Some(FromEnvoy::Events { experiment, events }) = sent.recv().await {
            batches.push((experiment, events.len()));
        }
        assert_eq!(batches, [(a, 2), (b, 1), (a, 1)]);
        assert_eq!((crossing.lost(), crossing.queue().bytes), (0, 0));
    }

    #[tokio::test]
    async fn no_step_can_fill_the_memory_or_a_message() {
        let crossing = Crossing::default();
        let [a, b] = [(); 2].map(|()| ExperimentId::generate().unwrap());
        crossing.push(a, &event("x".repeat(EVENT_BYTES)));
        assert_eq!((crossing.lost(), crossing.queue().events.len()), (1, 0));
        let text = "x".repeat(EVENT_BYTES / 2);
        for _ in 0..QUEUE_BYTES / text.len() {
            crossing.push(a, &event(text.clone()));
        }
        crossing.push(b, &event(text.clone()));
        assert!(crossing.lost() > 0 && crossing.queue().bytes <= QUEUE_BYTES);
        let (outgoing, mut sent) = Outgoing::channel(1);
        let flushing = crossing.flush(&outgoing);
        let reading = async {
            let message = sent.recv().await.unwrap();
            assert!(encode(&message).unwrap().len() < 256 * 1024);
            // What comes after is sent nowhere.
            crossing.forget(a);
            while let Ok(Some(_)) =
                tokio::time::timeout(std::time::Duration::from_millis(1), sent.recv()).await
            {}
        };
        let (flushed, ()) = tokio::join!(flushing, reading);
        flushed.unwrap();
        assert_eq!(crossing.queue().bytes, 0);
    }
}
