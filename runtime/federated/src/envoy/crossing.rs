//! Events of the site's tasks on their way to the director.
//!
//! Steps never wait for the network, so what they tell is queued, within bounds, and sent in batches as large as what
//! gathered while the last one was on its way. An event is held until the director says that it has it, and told again
//! over the next connection otherwise. It has a number in its experiment, by which the director counts it once.
//!
//! Another process of the director does not know the numbers of the one before, so what was sent to that one is not told
//! again: it may be in the journal that the new one goes on from.

use std::collections::{BTreeMap, VecDeque};
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
/// The most bytes that are held.
const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// The events that wait to cross, and those that the director may not have yet.
#[derive(Default)]
pub(super) struct Crossing {
    queue: Mutex<Queue>,
    more: Notify,
    /// Held from taking a batch until it is sent, so that events and the answers behind them keep their order.
    sending: tokio::sync::Mutex<()>,
}

/// A connection over which events are sent. Those of the one before send nothing any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Way(u64);

#[derive(Default)]
struct Queue {
    /// The oldest first.
    events: VecDeque<Held>,
    /// How many of them, from the front, were sent over this connection.
    sent: usize,
    bytes: usize,
    lost: u64,
    /// The number of each experiment's next event.
    next: BTreeMap<ExperimentId, u64>,
    /// The process of the director that they were sent to.
    director: Option<[u8; 16]>,
    way: Way,
}

struct Held {
    experiment: ExperimentId,
    number: u64,
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
            let next = queue.next.entry(experiment).or_default();
            let number = *next;
            *next += 1;
            queue.events.push_back(Held { experiment, number, kind: kind.clone(), bytes });
        }
        drop(queue);
        self.more.notify_one();
    }

    /// There is a new connection, to this process of the director: what the last one may have lost is sent again.
    pub(super) fn attached(&self, director: [u8; 16]) -> Way {
        let mut queue = self.queue();
        let sent = mem::take(&mut queue.sent);
        if queue.director.replace(director).is_some_and(|before| before != director) {
            queue.lost += sent as u64;
            queue.events.drain(..sent);
            queue.bytes = queue.events.iter().map(|event| event.bytes).sum();
        }
        queue.way.0 += 1;
        queue.way
    }

    /// The director has an experiment's events before this number.
    pub(super) fn heard(&self, experiment: ExperimentId, next: u64) {
        self.queue().keep_sent(|event| event.experiment != experiment || event.number >= next);
    }

    /// Drops what an experiment still had to tell: it is over.
    pub(super) fn forget(&self, experiment: ExperimentId) {
        self.keep(|other| other != experiment);
    }

    /// Drops what all but these experiments still had to tell.
    pub(super) fn keep(&self, keep: impl Fn(ExperimentId) -> bool) {
        let mut queue = self.queue();
        queue.keep_sent(|event| keep(event.experiment));
        queue.events.retain(|event| keep(event.experiment));
        queue.bytes = queue.events.iter().map(|event| event.bytes).sum();
        queue.next.retain(|experiment, _| keep(*experiment));
    }

    /// How many events were lost since the last time it was asked.
    pub(super) fn lost(&self) -> u64 {
        mem::take(&mut self.queue().lost)
    }

    /// Returns when there may be something to send.
    pub(super) async fn waiting(&self) {
        self.more.notified().await;
    }

    /// Sends all that was not sent over this connection.
    pub(super) async fn flush(&self, way: Way, outgoing: &Outgoing<FromEnvoy>) -> Result<(), Gone> {
        let _sending = self.sending.lock().await;
        while let Some(events) = self.batch(way)? {
            outgoing.send(events).await?;
        }
        Ok(())
    }

    /// The oldest events that were not sent, as far as they are of one experiment and fit into a message.
    fn batch(&self, way: Way) -> Result<Option<FromEnvoy>, Gone> {
        let mut queue = self.queue();
        if queue.way != way {
            return Err(Gone);
        }
        let Some(front) = queue.events.get(queue.sent) else { return Ok(None) };
        let (experiment, first) = (front.experiment, front.number);
        let (mut events, mut bytes) = (Vec::new(), 0);
        for event in queue.events.iter().skip(queue.sent) {
            if bytes >= BATCH_BYTES || event.experiment != experiment {
                break;
            }
            bytes += event.bytes;
            events.push(event.kind.clone());
        }
        queue.sent += events.len();
        Ok(Some(FromEnvoy::Events { experiment, first, events }))
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing in here panics between two writes that belong together.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Drops those that were sent and are not to be kept.
    fn keep_sent(&mut self, keep: impl Fn(&Held) -> bool) {
        // In order, what is heard of stands at the front.
        let mut kept = VecDeque::new();
        for _ in 0..mem::take(&mut self.sent) {
            let Some(event) = self.events.pop_front() else { break };
            if keep(&event) {
                kept.push_back(event);
            } else {
                self.bytes -= event.bytes;
            }
        }
        self.sent = kept.len();
        kept.into_iter().rev().for_each(|event| self.events.push_front(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECTOR: [u8; 16] = [1; 16];

    fn event(error: impl ToString) -> EventKind {
        EventKind::RunFailed { error: error.to_string() }
    }

    fn ids<const N: usize>() -> [ExperimentId; N] {
        [(); N].map(|()| ExperimentId::generate().unwrap())
    }

    /// What is sent over this way: the experiment, the number of the first event, and how many.
    async fn flushed(crossing: &Crossing, way: Way) -> Vec<(ExperimentId, u64, usize)> {
        let (outgoing, mut sent) = Outgoing::channel(64);
        crossing.flush(way, &outgoing).await.unwrap();
        drop(outgoing);
        let mut batches = Vec::new();
        while let Some(FromEnvoy::Events { experiment, first, events }) = sent.recv().await {
            batches.push((experiment, first, events.len()));
        }
        batches
    }

    #[tokio::test]
    async fn what_gathers_goes_in_batches_of_one_experiment_in_order() {
        let crossing = Crossing::default();
        let [a, b] = ids();
        for (experiment, text) in [(a, 1), (a, 2), (b, 3), (a, 4)] {
            crossing.push(experiment, &event(text));
        }
        let way = crossing.attached(DIRECTOR);
        assert_eq!(flushed(&crossing, way).await, [(a, 0, 2), (b, 0, 1), (a, 2, 1)]);
        assert_eq!(flushed(&crossing, way).await, [], "once over one connection");
        crossing.heard(a, 3);
        crossing.heard(b, 1);
        assert_eq!((crossing.lost(), crossing.queue().bytes), (0, 0));
    }

    #[tokio::test]
    async fn what_the_director_has_not_heard_of_is_sent_again_over_the_next_connection() {
        let crossing = Crossing::default();
        let [a, b] = ids();
        let first = crossing.attached(DIRECTOR);
        for number in 0..4 {
            crossing.push(a, &event(number));
            crossing.push(b, &event(number));
        }
        flushed(&crossing, first).await;
        crossing.heard(a, 3);
        crossing.push(a, &event("since"));
        crossing.heard(b, 0);
        let second = crossing.attached(DIRECTOR);
        let (outgoing, _sent) = Outgoing::channel(64);
        assert_eq!(crossing.flush(first, &outgoing).await, Err(Gone), "the old one sends nothing");
        let again = [(b, 0, 3), (a, 3, 1), (b, 3, 1), (a, 4, 1)];
        assert_eq!(flushed(&crossing, second).await, again);
        crossing.heard(a, 5);
        crossing.keep(|id| id == a);
        let queue = crossing.queue();
        assert_eq!((queue.lost, queue.bytes, queue.events.len()), (0, 0, 0));
    }

    #[tokio::test]
    async fn what_another_process_of_the_director_may_have_is_not_sent_again() {
        let crossing = Crossing::default();
        let [a] = ids();
        let way = crossing.attached(DIRECTOR);
        crossing.push(a, &event("sent"));
        flushed(&crossing, way).await;
        crossing.push(a, &event("waits"));
        let way = crossing.attached([2; 16]);
        assert_eq!(flushed(&crossing, way).await, [(a, 1, 1)]);
        assert_eq!(crossing.lost(), 1);
        crossing.heard(a, 2);
        assert_eq!(crossing.queue().bytes, 0);
    }

    #[tokio::test]
    async fn no_step_can_fill_the_memory_or_a_message() {
        let crossing = Crossing::default();
        let [a, b] = ids();
        crossing.push(a, &event("x".repeat(EVENT_BYTES)));
        assert_eq!((crossing.lost(), crossing.queue().events.len()), (1, 0));
        let text = "x".repeat(EVENT_BYTES / 2);
        for _ in 0..QUEUE_BYTES / text.len() {
            crossing.push(a, &event(&text));
        }
        crossing.push(b, &event(&text));
        assert!(crossing.lost() > 0 && crossing.queue().bytes <= QUEUE_BYTES);
        let way = crossing.attached(DIRECTOR);
        let (outgoing, mut sent) = Outgoing::channel(1);
        let flushing = crossing.flush(way, &outgoing);
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
