//! What a run tells, and what a confidential one keeps at its sites.

use veilflow_engine::EventKind;
use veilflow_spec::{Context, Flow, Placement, Result, Signal, StepError};

use crate::support::{Recorder, Server, Site, runtime};

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

fn talkative(confidential: bool) -> Flow<Server, Site, f64, f64> {
    let named = Flow::new("talkative", 1);
    let named = if confidential { named.confidential() } else { named };
    named.start(Server::start).foreach(Site::talkative).quorum(1).join(Server::sum).end()
}

fn run(confidential: bool) -> (Vec<EventKind>, Vec<EventKind>) {
    let (run, sites) = (Recorder::new(), Recorder::new());
    let runtime = runtime(&["a", "b"]).threads(1).observe(run.clone()).observe_sites(sites.clone());
    runtime.run(&talkative(confidential), 1.0).unwrap();
    (run.kinds(), sites.kinds())
}

fn from_sites(kinds: &[EventKind]) -> usize {
    let from_site = |kind: &&EventKind| match kind {
        EventKind::StepStarted { origin }
        | EventKind::StepFinished { origin, .. }
        | EventKind::Signal { origin, .. } => origin.placement == Placement::Collaborator,
        _ => false,
    };
    kinds.iter().filter(from_site).count()
}

#[test]
fn a_plain_flow_tells_everything_but_progress() {
    let (run, sites) = run(false);
    let signals =
        |kinds: &[EventKind]| kinds.iter().filter(|kind| matches!(kind, EventKind::Signal { .. })).count();
    assert_eq!((signals(&run), signals(&sites)), (6, 8));
    assert!(format!("{run:?}").contains("patient 17"));
    assert!(matches!(run.first(), Some(EventKind::RunStarted { .. })));
    assert!(matches!(run.last(), Some(EventKind::RunFinished)));
}

#[test]
fn in_a_confidential_flow_only_an_error_code_leaves_a_site() {
    let (run, sites) = run(true);
    assert_eq!(from_sites(&run), 0);
    let told = format!("{run:?}");
    for secret in ["patient 17", "hello from inside", "images", "loss"] {
        assert!(!told.contains(secret), "{secret}");
    }
    assert!(told.contains("no-data"), "the code crosses");
    assert!(from_sites(&sites) > 0, "a site sees its own");
    let progress =
        |kind: &EventKind| matches!(kind, EventKind::Signal { signal: Signal::Progress { .. }, .. });
    assert!(sites.iter().any(progress));
}
