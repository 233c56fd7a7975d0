//! The session itself, round by round.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::{Instruments, Report, Simulation, cast::Cast, ledger::Ledger, units::Sampler};
use crate::{
    advertise_keys::AdvertiseKeysServer,
    aggregate::FixedPointSum,
    digest::{InputId, ModelDigest},
    error::{Error, Stage},
    journal::MemoryJournal,
    masked_input::MaskedInputMessage,
    session::Session,
};

/// Bytes of masked vectors that the server adds in one go, as a join does: while it adds, its sum stays in the cache.
const TOGETHER: usize = 1 << 20;

/// The clients' states, each with its client's number. Lists of them are made anew in each round, so a state is in a box.
type Numbered<S> = Vec<(usize, Box<S>)>;

struct Run<'a, I> {
    simulation: &'a Simulation,
    cast: Cast,
    ledger: Ledger<'a, I>,
    sampler: Sampler,
}

pub(super) fn run<I: Instruments>(simulation: &Simulation, instruments: &I) -> Result<Report, Error> {
    let plan = simulation.plan;
    let run = Run {
        simulation,
        cast: Cast::new(simulation)?,
        ledger: Ledger::new(instruments, plan.clients()),
        sampler: Sampler::new(plan)?,
    };
    run.session()
}

impl<I: Instruments> Run<'_, I> {
    fn session(self) -> Result<Report, Error> {
        keep_freed_memory();
        let (cast, ledger, plan) = (&self.cast, &self.ledger, self.simulation.plan);
        let session = Session::generate(0)?;
        let model = ModelDigest::from_bytes([0; 32]);

        let stage = self.enter(Stage::AdvertiseKeys)?;
        let server =
            ledger.server(stage, || AdvertiseKeysServer::new(session, plan, cast.names.iter().cloned()))?;
        let mut server = server.with_identities(std::sync::Arc::clone(&cast.trusted));
        let invited = (0..plan.clients()).map(|number| (number, Box::new(()))).collect();
        let clients = self.gather(
            stage,
            invited,
            |number, ()| {
                let client = cast.client(number)?;
                ledger.client(stage, || client.advertise_keys(session, &mut forgetful()))
            },
            |messages| ledger.server(stage, || server.receive_all(messages)),
        )?;

        let stage = self.enter(Stage::FreezeRoster)?;
        let (mut server, roster) = ledger.server(stage, || server.freeze())?;
        let clients = self.gather(
            stage,
            self.told(stage, clients, &roster),
            |_, client| ledger.client(stage, || client.freeze_roster(&roster)),
            |messages| ledger.server(stage, || server.receive_all(messages)),
        )?;
        drop(roster);

        let stage = self.enter(Stage::ShareKeys)?;
        let (mut server, roster) = ledger.server(stage, || server.reveal())?;
        let clients = self.gather(
            stage,
            self.told(stage, clients, &roster),
            |_, client| ledger.client(stage, || client.share_keys(&roster)),
            |messages| ledger.server(stage, || server.receive_all(messages)),
        )?;
        drop(roster);
        let (mut server, shares) = ledger.server(stage, || server.deliver())?;

        let stage = self.enter(Stage::MaskedInput)?;
        let clients = self.staying(clients, stage);
        let shares = Mutex::new(shares);
        let plain = Mutex::new(FixedPointSum::new(&plan));
        let mut add_all = |masked: &mut Vec<(String, MaskedInputMessage)>| {
            let mut masked = masked.drain(..);
            ledger.server(stage, || masked.try_for_each(|(from, message)| server.receive(&from, message)))
        };
        let mut waiting = Vec::new();
        let clients = self.round(
            stage,
            clients,
            |number, client| {
                let name = cast.name(number);
                let delivery = locked(&shares).remove(name);
                let delivery = delivery.ok_or(Error::Internal { operation: "simulated delivery" })?;
                ledger.downloaded(Stage::ShareKeys, &delivery);
                let client = ledger.client(Stage::ShareKeys, || client.receive_shares(&delivery))?;
                drop(delivery);
                let contribution = cast.contribution(number);
                let (input, id) = (contribution.input(), InputId::from_bytes([0; 32]));
                let quantized = plan.quantize(&input, &mut cast.rounding(number))?;
                locked(&plain).add(name, &quantized)?;
                drop(quantized);
                ledger.client(stage, || {
                    client.mask_input(model, id, &input, &mut cast.rounding(number), &mut forgetful())
                })
            },
            |from, message| {
                waiting.push((from.to_owned(), message));
                let bytes: usize = waiting.iter().map(|(_, message)| message.entries.bytes()).sum();
                if bytes < TOGETHER { Ok(()) } else { add_all(&mut waiting) }
            },
        )?;
        add_all(&mut waiting)?;
        drop(shares);

        let stage = self.enter(Stage::ConsistencyCheck)?;
        let (mut server, survivors) = ledger.server(stage, || server.announce(model))?;
        let server_cost = server.next.cost();
        let dropped = server.next.dropped().count();
        let clients = self.gather(
            stage,
            self.told(stage, clients, &survivors),
            |_, client| ledger.client(stage, || client.check_consistency(&survivors, &mut forgetful())),
            |messages| ledger.server(stage, || server.receive_all(messages)),
        )?;
        drop(survivors);

        let stage = self.enter(Stage::Unmask)?;
        let threads = self.simulation.threads;
        let (mut server, signatures) = ledger.server(stage, || server.forward())?;
        self.gather(
            stage,
            self.told(stage, clients, &signatures),
            |_, client| Ok(((), ledger.client(stage, || client.unmask(&signatures))?)),
            |messages| ledger.server_alone(stage, || server.receive_all(messages, threads)),
        )?;
        let aggregate = ledger.server_alone(stage, || server.aggregate_with(threads))?;
        self.sampler.sample(ledger.instruments)?;

        let plain = plain.into_inner().unwrap_or_else(PoisonError::into_inner).decode()?;
        let (phases, largest_upload_bytes) = (ledger.phases(), ledger.largest_upload());
        let units = self.sampler.units();
        Ok(Report {
            phases,
            survivors: aggregate.survivors().len(),
            dropped,
            largest_upload_bytes,
            exact: aggregate == plain,
            client_cost: plan.client_cost(),
            server_cost,
            units,
        })
    }

    /// Between two rounds the units are measured.
    fn enter(&self, stage: Stage) -> Result<Stage, Error> {
        self.ledger.instruments.entered(&stage.to_string());
        self.sampler.sample(self.ledger.instruments)?;
        Ok(stage)
    }

    /// Those who have not left by now.
    fn staying<S>(&self, clients: Numbered<S>, stage: Stage) -> Numbered<S> {
        clients.into_iter().filter(|(number, _)| self.cast.takes_part(*number, stage)).collect()
    }

    /// Those who are still there, and are sent this.
    fn told<S, M: Serialize>(&self, stage: Stage, clients: Numbered<S>, message: &M) -> Numbered<S> {
        let clients = self.staying(clients, stage);
        self.ledger.broadcast(stage, message, clients.len());
        clients
    }

    /// Every client takes its step, and the server takes all messages together. None is refused.
    fn gather<S: Send, T: Send, M: Serialize + Send>(
        &self,
        stage: Stage,
        clients: Numbered<S>,
        step: impl Fn(usize, S) -> Result<(T, M), Error> + Sync,
        receive_all: impl FnOnce(Vec<(String, M)>) -> Vec<(String, Error)>,
    ) -> Result<Numbered<T>, Error> {
        let mut messages = Vec::with_capacity(clients.len());
        let clients = self.round(stage, clients, step, |from, message| {
            messages.push((from.to_owned(), message));
            Ok(())
        })?;
        match receive_all(messages).into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(clients),
        }
    }

    /// Every client takes its step, in as many threads as were asked for, and its message is received as it comes.
    fn round<S: Send, T: Send, M: Serialize>(
        &self,
        stage: Stage,
        clients: Numbered<S>,
        step: impl Fn(usize, S) -> Result<(T, M), Error> + Sync,
        receive: impl FnMut(&str, M) -> Result<(), Error> + Send,
    ) -> Result<Numbered<T>, Error> {
        let receive = Mutex::new(receive);
        let one = |(number, state): (usize, Box<S>)| {
            let (state, message) = step(number, *state)?;
            self.ledger.uploaded(stage, number, &message);
            let mut receive = locked(&receive);
            (*receive)(self.cast.name(number), message)?;
            Ok((number, Box::new(state)))
        };
        let threads = self.simulation.threads.get();
        if threads == 1 {
            return clients.into_iter().map(one).collect();
        }
        let share = clients.len().div_ceil(threads).max(1);
        let mut clients = clients.into_iter().peekable();
        std::thread::scope(|scope| {
            let mut workers = Vec::new();
            while clients.peek().is_some() {
                let part: Numbered<S> = clients.by_ref().take(share).collect();
                workers.push(scope.spawn(|| part.into_iter().map(one).collect::<Result<Vec<_>, _>>()));
            }
            let mut done = Vec::new();
            for worker in workers {
                done.extend(worker.join().map_err(|_| Error::Internal { operation: "simulation thread" })??);
            }
            Ok(done)
        })
    }
}

/// Each client plays once, so there is nothing for it to remember.
fn forgetful() -> MemoryJournal {
    MemoryJournal::new()
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Many allocators give a vector of some hundred kilobytes back to the system each time it is freed, and get it again
/// page by page, which takes longer than adding it. A process that has freed a large piece once keeps such vectors, and
/// so does this one from now on; the piece itself is never touched.
fn keep_freed_memory() {
    const LARGE: usize = 31 << 20;
    drop(std::hint::black_box(vec![0_u8; LARGE]));
}
