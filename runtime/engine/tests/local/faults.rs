//! Flows and participants that cannot run.

use veilflow_engine::{LocalRuntime, Resources};
use veilflow_spec::Cause;

use crate::suite::control::{Server, Site, sum};
use crate::support::{Recorder, runtime};

#[test]
fn what_cannot_run_is_refused_before_anything_runs() {
    let refused = |runtime: LocalRuntime<Server, Site>, quorum: usize| {
        let recorder = Recorder::new();
        let error = runtime.observe(recorder.clone()).run(&sum(quorum), 0.0).unwrap_err();
        assert!(recorder.kinds().len() <= 1, "nothing but the failure is reported");
        (error.code(), error.to_string())
    };
    let ab = || runtime(&["a", "b"]);
    for (runtime, quorum, code, text) in [
        (runtime(&[]), 1, "no-collaborators", "no collaborators"),
        (runtime(&["a", "a"]), 1, "duplicate-collaborator", "called a"),
        (runtime(&["a,b"]), 1, "invalid-name", "\"a,b\""),
        (ab().drop_out("c", "add"), 1, "unknown-collaborator", "only a, b"),
        (ab().drop_out("a", "sum"), 1, "unknown-step", "are add"),
        (ab().resources("c", Resources::cpus(1)), 1, "unknown-collaborator", "only a, b"),
        (ab().threads(2).resources("a", Resources::cpus(3)), 1, "too-few-resources", "3 of the processors"),
        (
            ab().resources("a", Resources::default().with_device_share(1.5)),
            1,
            "too-few-resources",
            "1.5 of the device",
        ),
        (ab(), 3, "quorum-above-cohort", "only 2 collaborators"),
        (ab(), 0, "invalid-flow", "a quorum of 0"),
    ] {
        let (got, message) = refused(runtime, quorum);
        assert_eq!(got, code, "{message}");
        assert!(message.contains(text), "{text:?} in {message}");
    }
}

#[test]
fn without_text_a_cause_keeps_its_code_only() {
    let cause = Cause::Failed { step: "s".into(), code: "c".into(), text: Some("secret".into()) };
    assert!(!cause.without_text().to_string().contains("secret"));
}
