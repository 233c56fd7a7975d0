//! The director's half of a run: the graph is walked here, the sites are reached through a courier.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use serde::Serialize;
use serde_bytes::ByteBuf;
use veilflow_spec::graph::{Block, Broadcast, Close, Hidden, Payload, Value};
use veilflow_spec::{
    Cause, Checkpoint, Codec, Fingerprint, Flow, Message, Name, Provided, Report, Result, StepError,
    from_cbor, to_cbor,
};

use super::courier::{Courier, Delivery, Parcel, TaskKey};
use super::record::{Record, RunLog};
use super::{HostedRun, Hosting};
use crate::cohort;
use crate::error::RunError;
use crate::event::{EventKind, Stream};
use crate::interpreter::{Interpreter, Keeper, Recorded, Seat};
use crate::port::{Arrived, Port, Task};
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
        hosting.site_events.attach(&stream);
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
        let identities = hosting.identities;
        let place = SecureAggregator::new(move || identities()).with_sessions(hosting.sessions);
        let keeper = Journal { log: hosting.log, stream: Arc::clone(stream), past: past.fans.into() };
        let mut interpreter = Interpreter {
            aggregator: Some(start.seat),
            group: None,
            port: RemotePort { names, courier: hosting.courier, last: Mutex::new(None) },
            stream: Arc::clone(stream),
            canceller: hosting.canceller,
            seed: hosting.seed,
            device: hosting.device,
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

/// Where a walk starts.
struct Start<A> {
    seat: Seat<A>,
    place: Vec<u32>,
    value: Value,
}

impl<A: Checkpoint> Start<A> {
    /// Where an earlier process came to.
    fn resume<C, P, R>(&mut self, flow: &Flow<A, C, P, R>, reached: Reached) -> Result<(), RunError> {
        let unfit = |what: &'static str| move |error: StepError| RunError::NotResumed { what, error };
        self.place = from_cbor(&reached.position).map_err(unfit("position"))?;
        let codec = returned(flow.graph().blocks(), &self.place);
        let codec = codec.ok_or_else(|| unfit("position")(StepError::msg("the flow has no such step")))?;
        self.value = codec.decode(&reached.value).map_err(unfit("value of the last step"))?;
        let saved = from_cbor(&reached.aggregator).map_err(unfit("aggregator"))?;
        self.seat.aggregator.restore(saved).map_err(unfit("aggregator"))?;
        let hidden = from_cbor(&reached.hidden).map_err(unfit("state of its secure joins"))?;
        self.seat.hidden = Hidden::restored(hidden);
        Ok(())
    }
}

/// How the value is written that the step before this place returned.
fn returned<A, C>(blocks: &[Block<A, C>], place: &[u32]) -> Option<Codec> {
    let at = |position: u32| blocks.get(usize::try_from(position).ok()?);
    match place {
        [] => None,
        [next] => match at(next.checked_sub(1)?)? {
            Block::Step(node) => Some(*node.output()),
            Block::Fan(fan) => Some(*fan.join().output()),
            Block::Secure(secure) => Some(*secure.join().output()),
            Block::Repeat(_) | Block::Branch(_) => None,
        },
        [block, which, rest @ ..] => match at(*block)? {
            Block::Repeat(repeat) => returned(repeat.body(), rest),
            Block::Branch(fork) => returned(if *which == 0 { fork.yes() } else { fork.no() }, rest),
            Block::Step(_) | Block::Fan(_) | Block::Secure(_) => None,
        },
    }
}

/// What an earlier process wrote down.
struct Past {
    reached: Option<Reached>,
    /// The fan-outs since then.
    fans: BTreeMap<TaskKey, Recorded>,
}

struct Reached {
    position: ByteBuf,
    aggregator: ByteBuf,
    hidden: ByteBuf,
    value: ByteBuf,
    events: u64,
}

impl Past {
    fn read(history: Vec<Record>) -> Self {
        let mut past = Self { reached: None, fans: BTreeMap::new() };
        for record in history {
            match record {
                Record::Checkpoint { position, aggregator, hidden, value, events } => {
                    past.fans.clear();
                    past.reached = Some(Reached { position, aggregator, hidden, value, events });
                }
                Record::Answer { task, from, outcome } => {
                    // The first one counted.
                    past.fans.entry(task).or_default().answers.entry(from).or_insert(outcome);
                }
                Record::Closed { task } => past.fans.entry(task).or_default().closed = true,
            }
        }
        past
    }
}

/// Writes a run to its log.
struct Journal {
    log: Arc<dyn RunLog>,
    stream: Arc<Stream>,
    past: Mutex<BTreeMap<TaskKey, Recorded>>,
}

impl Journal {
    fn append(&self, record: &Record) -> Result<(), RunError> {
        self.log.append(record).map_err(RunError::Log)
    }
}

fn encoded<T: Serialize>(value: &T) -> Result<ByteBuf, RunError> {
    to_cbor(value).map(ByteBuf::from).map_err(|error| RunError::Internal(error.to_string()))
}

impl<A: Checkpoint> Keeper<A> for Journal {
    fn checkpoint(&self, next: &[u32], seat: &Seat<A>, output: Vec<u8>) -> Result<(), RunError> {
        let Some(saved) = seat.aggregator.save() else { return Ok(()) };
        self.append(&Record::Checkpoint {
            position: encoded(&next)?,
            aggregator: encoded(&saved)?,
            hidden: encoded(&seat.hidden.save())?,
            value: output.into(),
            events: self.stream.next(),
        })
    }

    fn answer(&self, task: &TaskKey, from: &Name, answer: Result<&[u8], Cause>) -> Result<(), RunError> {
        let outcome = answer.map(|bytes| ByteBuf::from(bytes.to_vec()));
        self.append(&Record::Answer { task: task.clone(), from: from.clone(), outcome })
    }

    fn closed(&self, task: &TaskKey) -> Result<(), RunError> {
        self.append(&Record::Closed { task: task.clone() })
    }

    fn recorded(&self, task: &TaskKey) -> Option<Recorded> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner).remove(task)
    }
}

/// A broadcast, and how it travels.
type Encoded = (Weak<dyn Any + Send + Sync>, Arc<Parcel>);

/// The collaborators, behind a courier.
struct RemotePort {
    names: Vec<Name>,
    courier: Arc<dyn Courier>,
    /// The last broadcast as it travels: encoded once, whoever gets it.
    last: Mutex<Option<Encoded>>,
}

impl RemotePort {
    fn parcel(&self, broadcast: &Broadcast, encode: impl FnOnce() -> Result<Vec<u8>>) -> Result<Arc<Parcel>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, parcel)) = &*last
            && of.upgrade().is_some_and(|of| Arc::ptr_eq(&of, broadcast))
        {
            return Ok(Arc::clone(parcel));
        }
        let parcel = Arc::new(Parcel::new(encode()?));
        *last = Some((Arc::downgrade(broadcast), Arc::clone(&parcel)));
        Ok(parcel)
    }

    /// A payload as it travels: what a protocol's setup has for the site, and the message.
    fn parcels(&self, codec: &Codec, payload: Payload) -> Result<(Option<Arc<Parcel>>, Arc<Parcel>)> {
        Ok(match payload {
            Payload::Owned(value) => (None, Arc::new(Parcel::new(codec.encode(&*value)?))),
            Payload::Shared(value) => (None, self.parcel(&value, || codec.encode(&*value))?),
            Payload::Entering { setup, message } => {
                let setup = match *setup {
                    Payload::Owned(value) => codec.encode(&*value)?,
                    Payload::Shared(value) => codec.encode(&*value)?,
                    Payload::Entering { .. } => return Err(StepError::msg("a setup inside a setup")),
                };
                let message = self.parcel(message.message(), || message.encode())?;
                (Some(Arc::new(Parcel::new(setup))), message)
            }
        })
    }
}

impl<C: Send + 'static> Port<C> for RemotePort {
    fn names(&self) -> &[Name] {
        &self.names
    }

    async fn perform(&self, task: Task<C>) -> Result<Arrived, Cause> {
        let (Some(first), Some(last)) = (task.steps.first(), task.steps.last()) else {
            return Err(Cause::Cancelled);
        };
        let Some(codec) = first.input() else { return Err(Cause::Cancelled) };
        let failed = |error: StepError| Cause::Failed {
            step: first.info().name.to_string(),
            code: error.code().to_owned(),
            text: Some(error.to_string()),
        };
        let (setup, message) = self.parcels(codec, task.payload).map_err(failed)?;
        let Task { name, key, cancellation, .. } = task;
        let delivery = Delivery { to: name, task: key, setup, message, cancellation };
        let encoded = self.courier.deliver(delivery).await?;
        // Nothing that a site sends ends a run: what is no answer is as if it had not come.
        let value = last.output().decode(&encoded).map_err(|error| Cause::Refused {
            step: last.info().name.to_string(),
            code: error.code().to_owned(),
            at_fault: false,
        })?;
        Ok(Arrived { value, encoded: Some(encoded) })
    }

    fn close(&self, join: &Arc<str>, _close: &Close) {
        self.courier.close(join);
    }
}
