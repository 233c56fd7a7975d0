//! Who used how much, by round.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::Serialize;

use super::{Instruments, report::Phase};
use crate::error::Stage;

/// The rounds in their order.
pub(super) const STAGES: [Stage; 6] = [
    Stage::AdvertiseKeys,
    Stage::FreezeRoster,
    Stage::ShareKeys,
    Stage::MaskedInput,
    Stage::ConsistencyCheck,
    Stage::Unmask,
];

#[derive(Default)]
struct Totals {
    clients: AtomicU64,
    client_nanos: AtomicU64,
    server_nanos: AtomicU64,
    upload: AtomicU64,
    download: AtomicU64,
}

/// Adds up from any thread.
pub(super) struct Ledger<'a, I> {
    pub(super) instruments: &'a I,
    totals: [Totals; STAGES.len()],
    /// What each client sent.
    uploads: Vec<AtomicU64>,
}

impl<'a, I: Instruments> Ledger<'a, I> {
    pub(super) fn new(instruments: &'a I, clients: usize) -> Self {
        let uploads = (0..clients).map(|_| AtomicU64::default()).collect();
        Self { instruments, totals: Default::default(), uploads }
    }

    fn totals(&self, stage: Stage) -> Option<&Totals> {
        self.totals.get(STAGES.iter().position(|other| *other == stage)?)
    }

    fn add(&self, stage: Stage, counter: impl Fn(&Totals) -> &AtomicU64, amount: u64) {
        if let Some(totals) = self.totals(stage) {
            counter(totals).fetch_add(amount, Ordering::Relaxed);
        }
    }

    fn timed<T>(&self, work: impl FnOnce() -> T) -> (T, u64) {
        let start = self.instruments.thread_cpu();
        let result = work();
        (result, nanos(self.instruments.thread_cpu().saturating_sub(start)))
    }

    /// A client at work.
    pub(super) fn client<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let (result, nanos) = self.timed(work);
        self.add(stage, |totals| &totals.client_nanos, nanos);
        result
    }

    /// The server at work, in this thread.
    pub(super) fn server<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let (result, nanos) = self.timed(work);
        self.add(stage, |totals| &totals.server_nanos, nanos);
        result
    }

    /// The server at work in several threads, while nobody else works.
    pub(super) fn server_alone<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = self.instruments.process_cpu();
        let result = work();
        let nanos = nanos(self.instruments.process_cpu().saturating_sub(start));
        self.add(stage, |totals| &totals.server_nanos, nanos);
        result
    }

    /// A client's message to the server: one client more took part in the round.
    pub(super) fn uploaded<M: Serialize>(&self, stage: Stage, client: usize, message: &M) {
        let bytes = self.instruments.wire_bytes(message);
        self.add(stage, |totals| &totals.upload, bytes);
        self.add(stage, |totals| &totals.clients, 1);
        if let Some(sent) = self.uploads.get(client) {
            sent.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// A message to one client.
    pub(super) fn downloaded<M: Serialize>(&self, stage: Stage, message: &M) {
        self.broadcast(stage, message, 1);
    }

    /// One message to so many clients.
    pub(super) fn broadcast<M: Serialize>(&self, stage: Stage, message: &M, clients: usize) {
        let bytes = self.instruments.wire_bytes(message).saturating_mul(clients as u64);
        self.add(stage, |totals| &totals.download, bytes);
    }

    pub(super) fn phases(&self) -> Vec<Phase> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let phase = |(stage, totals): (&Stage, &Totals)| Phase {
            stage: *stage,
            clients: read(&totals.clients) as usize,
            client_cpu: Duration::from_nanos(read(&totals.client_nanos)),
            server_cpu: Duration::from_nanos(read(&totals.server_nanos)),
            upload_bytes: read(&totals.upload),
            download_bytes: read(&totals.download),
        };
        STAGES.iter().zip(&self.totals).map(phase).collect()
    }

    /// The most that one client sent.
    pub(super) fn largest_upload(&self) -> u64 {
        self.uploads.iter().map(|sent| sent.load(Ordering::Relaxed)).max().unwrap_or(0)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
