//! A toy federation that the tests share: numbers are averaged.

use std::sync::{Arc, Mutex};

use veilflow_engine::{Event, EventKind, LocalRuntime, Observer};
use veilflow_spec::{Context, Foreach, Inputs, Missing, Name, Result};

/// An aggregator that sends a number and joins what comes back.
#[derive(Default)]
pub(crate) struct Server {
    pub(crate) missing: Vec<Missing>,
}

/// A collaborator with one private number.
pub(crate) struct Site {
    pub(crate) value: f64,
}

impl Server {
    pub(crate) fn start(&mut self, value: f64, _cx: &Context) -> Result<Foreach<f64>> {
        Ok(Foreach::all(value))
    }

    pub(crate) fn sum(&mut self, inputs: Inputs<f64>, _cx: &Context) -> Result<f64> {
        self.missing.extend_from_slice(inputs.missing());
        Ok(inputs.values().sum())
    }
}

impl Site {
    pub(crate) fn add(&mut self, value: f64, _cx: &Context) -> Result<f64> {
        Ok(self.value + value)
    }
}

/// Sites with the values 1, 2, 3, …
pub(crate) fn runtime(names: &[&str]) -> LocalRuntime<Server, Site> {
    let runtime = LocalRuntime::new().aggregator(Server::default());
    let sites = names.iter().zip(1..);
    sites
        .fold(runtime, |runtime, (name, value)| runtime.collaborator(*name, Site { value: f64::from(value) }))
}

/// Keeps every event.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn kinds(&self) -> Vec<EventKind> {
        self.0.lock().unwrap().iter().map(|event| event.kind.clone()).collect()
    }

    pub(crate) fn missing(&self) -> Vec<(Name, String)> {
        let kinds = self.kinds();
        let missing = kinds.iter().filter_map(|kind| match kind {
            EventKind::Dropped { missing, .. } => Some(missing),
            _ => None,
        });
        missing.map(|missing| (missing.participant.clone(), missing.cause.to_string())).collect()
    }
}

impl Observer for Recorder {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// Work that only a deadline or a cancellation ends.
pub(crate) fn until_cancelled(cx: &Context) -> Result<()> {
    loop {
        cx.check_cancelled()?;
        std::thread::yield_now();
    }
}
