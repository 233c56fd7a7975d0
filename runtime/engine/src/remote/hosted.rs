//! The director's half of a run: the graph is walked here, the sites are reached through a courier.

use std::sync::Arc;
use std::time::Instant;

use veilflow_spec::graph::Hidden;
use veilflow_spec::{Checkpoint, Codec, Fingerprint, Flow, Message, Provided, Report, Result, from_cbor};

use super::keeper::LogKeeper;
use super::port::RemotePort;
use super::resume::{Past, Start};
use super::{HostedRun, Hosting};
use crate::cohort;
use crate::error::RunError;
use crate::event::{EventKind, Stream};
use crate::interpreter::{Interpreter, Seat};
use crate::secure::SecureAggregator;

/// A flow ready to be hosted: with a fresh aggregator and the parameters that it starts from.
///
/// The aggregator is built anew for each process that hosts the run, and is put where the last one was by its
/// [`Checkpoint`].
pub fn hosted<A, C, P, R>(flow: Flow<A, C, P, R>, aggregator: A, params: P) -> Box<dyn HostedRun>
where
    A: Checkpoint + Send + 'static,
    C: Send + 'static,
    P: Message,
    R: Report,
{
    Box::new(Hosted { flow, aggregator, params })
}

/// The same with parameters in CBOR.
///
/// # Errors
/// Bytes that are no parameters of this flow.
pub fn hosted_cbor<A, C, P, R>(
    flow: Flow<A, C, P, R>,
    aggregator: A,
    params: &[u8],
) -> Result<Box<dyn HostedRun>>
where
    A: Checkpoint + Send + 'static,
    C: Send + 'static,
    P: Message,
    R: Report,
{
    Ok(hosted(flow, aggregator, from_cbor::<P>(params)?))
}

struct Hosted<A, C, P, R> {
    flow: Flow<A, C, P, R>,
    aggregator: A,
    params: P,
}

impl<A, C, P, R> HostedRun for Hosted<A, C, P, R>
where
    A: Checkpoint + Send + 'static,
    C: Send + 'static,
    P: Message,
    R: Report,
{
    fn fingerprint(&self) -> Fingerprint {
        self.flow.fingerprint()
    }

    fn confidential(&self) -> bool {
        self.flow.graph().confidential()
    }

    fn run(self: Box<Self>, hosting: Hosting) -> Result<Vec<u8>, RunError> {
        self.flow.check()?;
        let stream = Stream::new(self.confidential(), hosting.observers.clone(), Vec::new());
        let stream = Arc::new(stream);
        let outcome = self.run_observed(hosting, &stream);
        stream.emit(|| match &outcome {
            Ok(_) => EventKind::RunFinished,
            Err(error) => EventKind::RunFailed { error: error.to_string() },
        });
        outcome
    }
}

impl<A, C, P, R> Hosted<A, C, P, R>
where
    A: Checkpoint + Send + 'static,
    C: Send + 'static,
    P: Message,
    R: Report,
{
    fn run_observed(self, hosting: Hosting, stream: &Arc<Stream>) -> Result<Vec<u8>, RunError> {
        let Self { flow, aggregator, params } = self;
        let names = cohort::sorted(hosting.participants)?;
        cohort::check_quorums(flow.graph().blocks(), names.len())?;
        let mut start = Start {
            seat: Seat { aggregator, hidden: Hidden::default() },
            place: Vec::new(),
            value: Box::new(params),
        };
        let past = Past::read(hosting.history);
        if let Some(reached) = past.reached {
            let events = reached.events;
            start.resume(&flow, reached)?;
            stream.go_on_from(events);
            stream.emit(|| EventKind::Resumed { from: events });
        } else {
            stream.emit(|| EventKind::RunStarted {
                flow: flow.name().to_owned(),
                version: flow.graph().version(),
                fingerprint: flow.fingerprint(),
                seed: hosting.seed,
                collaborators: names.clone(),
            });
        }
        hosting.site_events.attach(stream);
        let identities = hosting.identities;
        let place = SecureAggregator::new(move || identities()).with_sessions(hosting.sessions);
        let keeper = LogKeeper::new(hosting.log, Arc::clone(stream), past.fans);
        let mut interpreter = Interpreter {
            aggregator: Some(start.seat),
            group: None,
            port: RemotePort::new(names, hosting.courier),
            stream: Arc::clone(stream),
            canceller: hosting.canceller,
            seed: hosting.seed,
            device: hosting.device,
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            provided: Provided::nothing().with(place),
            loops: Vec::new(),
            place: Vec::new(),
            keeper: Some(Box::new(keeper)),
            started: Instant::now(),
        };
        // One thread for this walk, one for the aggregator's steps.
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(1).build()?;
        let value = runtime.block_on(interpreter.walk(flow.graph().blocks(), start.value, &start.place));
        runtime.shutdown_background();
        Codec::of::<R>().encode(&*value?).map_err(|error| RunError::Internal(error.to_string()))
    }
}
