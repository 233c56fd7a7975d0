//! Steps that fail, panic, or do not come back; flows and participants that cannot run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use veilflow_engine::{LocalRuntime, Resources, RunError};
use veilflow_spec::{Cause, Context, Flow, Foreach, Inputs, Loop, Result, StepError};

use crate::support::{Recorder, Server, Site, runtime};

impl Site {
    /// Fails at 2, panics at 3.
    fn fragile(&mut self, value: f64, cx: &Context) -> Result<f64> {
        match self.value {
            2.0 => Err(StepError::with_code("no-data", "the table is empty")),
            3.0 => panic!("index out of everything"),
            _ => self.add(value, cx),
        }
    }
}

fn fragile(quorum: usize) -> Flow<Server, Site, f64, f64> {
    Flow::new("fragile", 1).start(Server::start).foreach(Site::fragile).quorum(quorum).join(Server::sum).end()
}

#[test]
fn a_failure_and_a_panic_make_a_collaborator_missing_and_the_quorum_decides() {
    let recorder = Recorder::new();
    let sum = runtime(&["a", "b", "c", "d"]).observe(recorder.clone()).run(&fragile(2), 0.0);
    assert_eq!(sum.unwrap(), 5.0);
    let mut missing = recorder.missing();
    missing.sort();
    assert_eq!(
        missing,
        [
            ("b".into(), "step `fragile` failed: the table is empty".to_owned()),
            ("c".into(), "step `fragile` panicked: index out of everything".to_owned()),
        ]
    );
}

#[test]
fn below_the_quorum_the_error_names_step_round_participants_and_causes() {
    let error = runtime(&["a", "b", "c"]).threads(1).run(&fragile(3), 0.0).unwrap_err();
    let RunError::BelowQuorum { step, round: 0, addressed: 3, needed: 3, missing, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!((step.as_str(), missing[0].participant.as_str()), ("fragile", "b"));
    let text = error.to_string();
    for part in ["round 0", "`fragile`", "of 3", "b: step `fragile` failed: the table is empty"] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert_eq!(error.code(), "below-quorum");
}

#[derive(Default)]
struct Faulty {
    panics: bool,
}

impl Faulty {
    fn start(&mut self, (): (), _cx: &Context) -> Result<Foreach<f64>> {
        Ok(Foreach::all(0.0))
    }
    fn join(&mut self, inputs: Inputs<f64>, cx: &Context) -> Result<Loop<Foreach<f64>, f64>> {
        if cx.round() == 0 {
            return Ok(Loop::Again(Foreach::all(0.0)));
        }
        assert!(!self.panics, "the sum does not add up");
        inputs.get("nobody").map(|sum| Loop::Done(*sum)).ok_or(StepError::msg("nobody is not here"))
    }
}

#[test]
fn an_aggregators_error_or_panic_ends_the_run_with_step_and_round() {
    let flow: Flow<Faulty, Site, (), f64> = Flow::new("faulty", 1)
        .start(Faulty::start)
        .repeat(|round| round.foreach(Site::add).join(Faulty::join))
        .end();
    let run = |panics| {
        let runtime = LocalRuntime::new().aggregator(Faulty { panics });
        runtime.collaborator("a", Site { value: 1.0 }).run(&flow, ()).unwrap_err()
    };
    let error = run(false);
    assert!(matches!(&error, RunError::Aggregator { round: 1, .. }), "{error}");
    assert_eq!(error.to_string(), "round 1: the aggregator's step `join` failed: nobody is not here");
    let error = run(true);
    assert!(matches!(&error, RunError::AggregatorPanicked { round: 1, .. }), "{error}");
    assert!(error.to_string().ends_with("panicked: the sum does not add up"), "{error}");
}

/// Works until it is told to stop: only a deadline or a cancellation ends it.
struct Slow {
    endless: bool,
}

impl Slow {
    fn work(&mut self, round: f64, cx: &Context) -> Result<f64> {
        while self.endless && round == 0.0 {
            cx.check_cancelled()?;
            std::thread::yield_now();
        }
        Ok(1.0)
    }
}

#[derive(Default)]
struct Patient {
    causes: Vec<String>,
}

impl Patient {
    fn start(&mut self, (): (), _cx: &Context) -> Result<Foreach<f64>> {
        Ok(Foreach::all(0.0))
    }
    fn join(&mut self, inputs: Inputs<f64>, cx: &Context) -> Result<Loop<Foreach<f64>, Vec<String>>> {
        let missing = inputs.missing().iter().map(|missing| format!("{}: {missing}", cx.round()));
        self.causes.extend(missing);
        // A site that was cut off is back as soon as its step has looked at its context.
        if inputs.missing().is_empty() {
            return Ok(Loop::Done(self.causes.clone()));
        }
        Ok(Loop::Again(Foreach::all(1.0)))
    }
}

#[test]
fn a_deadline_cuts_a_slow_collaborator_off_until_its_step_returns() {
    let flow: Flow<Patient, Slow, (), Vec<String>> = Flow::new("patient", 1)
        .start(Patient::start)
        .repeat(|round| {
            round.foreach(Slow::work).quorum(1).deadline(Duration::from_millis(50)).join(Patient::join)
        })
        .end();
    let runtime = LocalRuntime::new().aggregator(Patient::default());
    let runtime = runtime.collaborator("fast", Slow { endless: false });
    let causes = runtime.collaborator("slow", Slow { endless: true }).threads(1).run(&flow, ()).unwrap();
    assert_eq!(causes[0], "0: slow: not back within the deadline of 50ms");
    for later in &causes[1..] {
        assert!(later.ends_with("slow: still busy with a task whose deadline has passed"), "{later}");
    }
}

#[test]
fn a_participant_that_cannot_be_built_is_missing_and_tried_again() {
    let flow: Flow<Patient, Slow, (), Vec<String>> = Flow::new("rebuilt", 1)
        .start(Patient::start)
        .repeat(|round| round.foreach(Slow::work).quorum(1).join(Patient::join))
        .end();
    let tries = AtomicUsize::new(0);
    let runtime = LocalRuntime::new().aggregator(Patient::default());
    let runtime = runtime.collaborator("good", Slow { endless: false });
    let causes = runtime
        .collaborators(["bad"], move |_| match tries.fetch_add(1, Ordering::Relaxed) {
            0 => Err(StepError::msg("no such file")),
            1 => panic!("no such disk"),
            _ => Ok(Slow { endless: false }),
        })
        .run(&flow, ())
        .unwrap();
    assert_eq!(
        causes,
        [
            "0: bad: the participant could not be built: no such file",
            "1: bad: the participant could not be built: panicked: no such disk",
        ]
    );
}

struct Torn {
    whole: bool,
    panics: bool,
}

impl Torn {
    fn tear(&mut self, round: f64, _cx: &Context) -> Result<f64> {
        assert!(self.whole, "a torn state was used again");
        if self.panics && round == 0.0 {
            self.whole = false;
            panic!("half way");
        }
        Ok(1.0)
    }
}

#[test]
fn a_panic_does_not_leave_a_torn_participant_where_it_can_be_built_anew() {
    let flow: Flow<Patient, Torn, (), Vec<String>> = Flow::new("torn", 1)
        .start(Patient::start)
        .repeat(|round| round.foreach(Torn::tear).quorum(1).join(Patient::join))
        .end();
    let runtime = LocalRuntime::new().aggregator(Patient::default());
    let runtime = runtime.collaborators(["b"], |_| Ok(Torn { whole: true, panics: true }));
    let runtime = runtime.collaborator("a", Torn { whole: true, panics: false });
    let causes = runtime.run(&flow, ()).unwrap();
    assert_eq!(causes, ["0: b: step `tear` panicked: half way"]);
}

#[test]
fn a_simulated_dropout_is_missing_at_its_step() {
    let recorder = Recorder::new();
    let flow: Flow<Server, Site, f64, f64> =
        Flow::new("sum", 1).start(Server::start).foreach(Site::add).quorum(1).join(Server::sum).end();
    let sum = runtime(&["a", "b"]).drop_out("b", "add").observe(recorder.clone()).run(&flow, 0.0);
    assert_eq!(sum.unwrap(), 1.0);
    assert_eq!(recorder.missing(), [("b".into(), "dropped out before step `add` (simulated)".to_owned())]);
}

#[test]
fn what_cannot_run_is_refused_before_anything_runs() {
    let flow = |quorum: usize| -> Flow<Server, Site, f64, f64> {
        Flow::new("sum", 1).start(Server::start).foreach(Site::add).quorum(quorum).join(Server::sum).end()
    };
    let refused = |runtime: LocalRuntime<Server, Site>, quorum| {
        let recorder = Recorder::new();
        let error = runtime.observe(recorder.clone()).run(&flow(quorum), 0.0).unwrap_err();
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

struct Misaddressing(Vec<&'static str>);

impl Misaddressing {
    fn start(&mut self, value: f64, _cx: &Context) -> Result<Foreach<f64>> {
        Ok(Foreach::only(self.0.clone(), value))
    }
    fn join(&mut self, inputs: Inputs<f64>, _cx: &Context) -> Result<f64> {
        Ok(inputs.values().sum())
    }
}

#[test]
fn a_fan_out_to_nobody_or_to_a_stranger_ends_the_run() {
    let flow: Flow<Misaddressing, Site, f64, f64> =
        Flow::new("astray", 1).start(Misaddressing::start).foreach(Site::add).join(Misaddressing::join).end();
    let run = |names| {
        let runtime = LocalRuntime::new().aggregator(Misaddressing(names));
        runtime.collaborator("a", Site { value: 1.0 }).run(&flow, 0.0).unwrap_err()
    };
    assert_eq!(run(vec![]).code(), "nobody-addressed");
    let error = run(vec!["a", "z"]);
    assert!(matches!(&error, RunError::UnknownCollaborator { name, .. } if *name == "z"));
    assert!(error.to_string().contains("names the collaborator z, but there are only a"), "{error}");
}

#[test]
fn without_text_a_cause_keeps_its_code_only() {
    let cause = Cause::Failed { step: "s".into(), code: "c".into(), text: Some("secret".into()) };
    assert!(!cause.without_text().to_string().contains("secret"));
}
