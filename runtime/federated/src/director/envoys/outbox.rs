//! What is to be sent to one envoy.
//!
//! It holds keys, not contents, and forgets what is no longer worth sending, so that it stays small however slowly the
//! envoy reads: an open task at most once, a close at most once for each join, nothing of an experiment that is over.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;
use veilflow_engine::remote::TaskKey;

use crate::experiment::ExperimentId;

/// One message to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Out {
    Task(ExperimentId, TaskKey),
    Cancel(ExperimentId, TaskKey),
    Acknowledged(ExperimentId, TaskKey),
    Heard(ExperimentId),
    Close(ExperimentId, String),
    End(ExperimentId),
    Lists,
}

impl Out {
    fn experiment(&self) -> Option<&ExperimentId> {
        match self {
            Out::Task(id, _)
            | Out::Cancel(id, _)
            | Out::Acknowledged(id, _)
            | Out::Heard(id)
            | Out::Close(id, _)
            | Out::End(id) => Some(id),
            Out::Lists => None,
        }
    }
}

/// What is to be sent, in order.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Out>,
    /// Wakes the session that sends.
    wake: Arc<Notify>,
}

impl Outbox {
    pub(super) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    pub(super) fn next(&mut self) -> Option<Out> {
        self.queue.pop_front()
    }

    fn push(&mut self, out: Out) {
        if !self.queue.contains(&out) {
            self.queue.push_back(out);
            self.wake.notify_one();
        }
    }

    pub(super) fn task(&mut self, id: ExperimentId, task: TaskKey) {
        self.push(Out::Task(id, task));
    }

    /// Nobody waits for the task. Where it was not sent yet, nothing is.
    pub(super) fn cancel(&mut self, id: ExperimentId, task: TaskKey, sent: bool) {
        let unsent = Out::Task(id, task.clone());
        self.queue.retain(|out| *out != unsent);
        if sent {
            self.push(Out::Cancel(id, task));
        }
    }

    pub(super) fn acknowledged(&mut self, id: ExperimentId, task: TaskKey) {
        self.push(Out::Acknowledged(id, task));
    }

    /// Events of the experiment came: how far is looked up when it is said.
    pub(super) fn heard(&mut self, id: ExperimentId) {
        self.push(Out::Heard(id));
    }

    pub(super) fn close(&mut self, id: ExperimentId, join: &str) {
        self.push(Out::Close(id, join.to_owned()));
    }

    /// The experiment is over: what was to be sent of it is forgotten.
    pub(super) fn end(&mut self, id: ExperimentId, tell: bool) {
        self.queue.retain(|out| out.experiment() != Some(&id));
        if tell {
            self.push(Out::End(id));
        }
    }

    pub(super) fn lists(&mut self) {
        self.push(Out::Lists);
    }

    /// The session ended. What the same process of the envoy still has to know is kept; the rest is settled by its next
    /// welcome, or is sent again because it was not acknowledged.
    pub(super) fn detached(&mut self) {
        self.queue.retain(|out| matches!(out, Out::Cancel(..) | Out::Close(..)));
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> TaskKey {
        TaskKey { path: path.into(), loops: [0].into(), attempt: 0 }
    }

    fn drained(mut outbox: Outbox) -> Vec<Out> {
        std::iter::from_fn(|| outbox.next()).collect()
    }

    #[test]
    fn what_is_no_longer_worth_sending_is_forgotten() {
        let (one, other) = (ExperimentId::generate().unwrap(), ExperimentId::generate().unwrap());
        let mut outbox = Outbox::default();
        outbox.task(one, key("a"));
        outbox.cancel(one, key("a"), false);
        outbox.task(one, key("b"));
        outbox.task(one, key("b"));
        outbox.close(one, "join");
        outbox.close(one, "join");
        outbox.task(other, key("a"));
        outbox.cancel(other, key("z"), true);
        let expected = [
            Out::Task(one, key("b")),
            Out::Close(one, "join".to_owned()),
            Out::Task(other, key("a")),
            Out::Cancel(other, key("z")),
        ];
        assert_eq!(outbox.queue, expected);
        outbox.end(other, true);
        assert_eq!(outbox.queue, [expected[0].clone(), expected[1].clone(), Out::End(other)]);
        outbox.detached();
        assert_eq!(drained(outbox), [expected[1].clone()]);
    }
}
