//! What a run tells, and what a confidential one keeps at its sites.

use veilflow_engine::EventKind;
use veilflow_spec::{Context, Flow, Placement, Result, Signal, StepError};

use super::Runtime;
use super::control::{Server, Site, parts};

impl Site {
    fn talkative(&mut self, value: f64, cx: &Context) -> Result<f64> {
        cx.metric("loss", 0.5);
        cx.note("hello from inside");
        cx.row([("Value", value.into())]);
        cx.progress(1, 2, "images");
        if self.value == 2.0 {
            return Err(StepError::with_code("no-data", "patient 17 has no data"));
        }
        Ok(value)
    }
}

pub(crate) fn talkative(confidential: bool) -> Flow<Server, Site, f64, f64> {
    let named = Flow::new("talkative", 1);
    let named = if confidential { named.confidential() } else { named };
    named.start(Server::start).foreach(Site::talkative).quorum(1).join(Server::sum).end()
}

pub(crate) fn a_plain_flow_tells_everything_but_progress(runtime: &impl Runtime) {
    let ran = runtime.run(&talkative(false), parts(&["a", "b"]), 1.0);
    let signals = ran.events.iter().filter(|kind| matches!(kind, EventKind::Signal { .. })).count();
    assert_eq!(signals, 6);
    let progress =
        |kind: &EventKind| matches!(kind, EventKind::Signal { signal: Signal::Progress { .. }, .. });
    assert!(!ran.events.iter().any(progress));
    assert!(format!("{:?}", ran.events).contains("patient 17"));
    assert!(matches!(ran.events.first(), Some(EventKind::RunStarted { .. })));
    assert!(matches!(ran.events.last(), Some(EventKind::RunFinished)));
}

pub(crate) fn in_a_confidential_flow_only_an_error_code_leaves_a_site(runtime: &impl Runtime) {
    let ran = runtime.run(&talkative(true), parts(&["a", "b", "c"]), 1.0);
    let from_site = |kind: &EventKind| match kind {
        EventKind::StepStarted { origin }
        | EventKind::StepFinished { origin, .. }
        | EventKind::Signal { origin, .. } => origin.placement == Placement::Collaborator,
        _ => false,
    };
    assert!(!ran.events.iter().any(from_site));
    let told = format!("{:?}", ran.events);
    for secret in ["patient 17", "hello from inside", "images", "loss"] {
        assert!(!told.contains(secret), "{secret}");
    }
    assert!(told.contains("no-data"), "the code crosses: {told}");
}
