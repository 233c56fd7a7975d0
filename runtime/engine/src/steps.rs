//! Running one step: its context, its events, its panics.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use veilflow_spec::graph::Value;
use veilflow_spec::{Cancellation, Context, Device, Origin, Provided, Result, SignalSink, StepError};

use crate::event::{EventKind, Stream};

/// What a step is given beside its participant and its input.
pub(crate) struct Surroundings {
    pub(crate) seed: u64,
    pub(crate) cpus: usize,
    pub(crate) device: Device,
    pub(crate) provided: Provided,
}

/// How a step ended, if not with its output.
pub(crate) enum Ended {
    Failed(StepError),
    Panicked(String),
}

thread_local! {
    static IN_STEP: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the panics of steps out of the standard error stream. A runtime reports them with the step and the participant; the text
/// of a panic at a site of a confidential flow must not be printed at all. Programs call it once, at their start.
pub fn silence_step_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !IN_STEP.get() {
            before(info);
        }
    }));
}

/// Runs a step and tells the stream.
pub(crate) fn run(
    origin: Origin,
    surroundings: Surroundings,
    cancellation: &Cancellation,
    stream: &Arc<Stream>,
    step: impl FnOnce(&Context) -> Result<Value>,
) -> Result<Value, Ended> {
    let placement = origin.placement;
    stream.emit_at(placement, || EventKind::StepStarted { origin: origin.clone() });
    let started = Instant::now();
    let sink = Arc::clone(stream) as Arc<dyn SignalSink>;
    let Surroundings { seed, cpus, device, provided } = surroundings;
    let cx = Context::new(origin, seed, (cpus, device), cancellation.clone(), sink).with_provided(provided);
    IN_STEP.set(true);
    // A participant whose step panicked is missing for this fan-out; whoever owns its state decides whether
    // it can be used again.
    let output = catch_unwind(AssertUnwindSafe(|| step(&cx)));
    IN_STEP.set(false);
    let output = match output {
        Ok(output) => output.map_err(Ended::Failed)?,
        Err(panic) => return Err(Ended::Panicked(panic_text(&*panic))),
    };
    stream.emit_at(placement, || EventKind::StepFinished {
        origin: cx.origin().clone(),
        took: started.elapsed(),
    });
    Ok(output)
}

pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
