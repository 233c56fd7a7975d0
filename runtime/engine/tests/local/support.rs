//! The suite's toy federation on LocalRuntime, and what the tests look at it with.

use std::sync::{Arc, Mutex};

use veilflow_engine::{Event, EventKind, LocalRuntime, Observer};
use veilflow_spec::{Context, Name, Result};

use crate::suite::control::{Server, Site, site};

/// The site `a` has the value 1, `b` 2, and so on.
pub(crate) fn runtime(names: &[&str]) -> LocalRuntime<Server, Site> {
    LocalRuntime::new().aggregator(Server).collaborators(names.iter().copied(), site)
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
