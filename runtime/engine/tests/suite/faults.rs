//! Steps that fail, panic, or do not come back; fan-outs that cannot be.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use veilflow_spec::{Context, Flow, Foreach, Inputs, Loop, Result, StepError};

use super::control::{Server, Site, parts, site, sum};
use super::{Parts, Runtime};

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

pub(crate) fn a_failure_and_a_panic_make_a_collaborator_missing_and_the_quorum_decides(
    runtime: &impl Runtime,
) {
    let ran = runtime.run(&fragile(2), parts(&["a", "b", "c", "d"]), 0.0);
    assert_eq!(
        ran.missing(),
        [
            ("b".to_owned(), "step `fragile` failed: the table is empty".to_owned()),
            ("c".to_owned(), "step `fragile` panicked: index out of everything".to_owned()),
        ]
    );
    assert_eq!(ran.report(), 5.0);
}

pub(crate) fn below_the_quorum_the_error_names_step_round_participants_and_causes(runtime: &impl Runtime) {
    let failed = runtime.run(&fragile(2), parts(&["a", "b"]), 0.0).failed();
    assert_eq!((failed.code.as_str(), failed.missing.len()), ("below-quorum", 1));
    assert_eq!(failed.missing[0].participant.as_str(), "b");
    for part in ["round 0", "`fragile`", "of 2", "b: step `fragile` failed: the table is empty"] {
        assert!(failed.text.contains(part), "{part:?} in {}", failed.text);
    }
}

#[derive(Clone, Serialize, Deserialize)]
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

pub(crate) fn an_aggregators_error_or_panic_ends_the_run_with_step_and_round(runtime: &impl Runtime) {
    let flow: Flow<Faulty, Site, (), f64> = Flow::new("faulty", 1)
        .start(Faulty::start)
        .repeat(|round| round.foreach(Site::add).join(Faulty::join))
        .end();
    let run = |panics| runtime.run(&flow, Parts::new(&["a"], move || Faulty { panics }, site), ()).failed();
    assert_eq!(run(false).text, "round 1: the aggregator's step `join` failed: nobody is not here");
    let failed = run(true);
    assert_eq!(failed.code, "aggregator-panicked");
    assert!(failed.text.ends_with("panicked: the sum does not add up"), "{}", failed.text);
}

/// Works until it is told to stop: only a deadline or a cancellation ends it.
struct Slow {
    endless: bool,
}

impl Slow {
    fn work(&mut self, round: f64, cx: &Context) -> Result<f64> {
        if self.endless && round == 0.0 {
            loop {
                cx.check_cancelled()?;
                std::thread::yield_now();
            }
        }
        Ok(1.0)
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
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

pub(crate) fn a_deadline_cuts_a_slow_collaborator_off_until_its_step_returns(runtime: &impl Runtime) {
    let flow: Flow<Patient, Slow, (), Vec<String>> = Flow::new("patient", 1)
        .start(Patient::start)
        .repeat(|round| {
            round.foreach(Slow::work).quorum(1).deadline(Duration::from_millis(500)).join(Patient::join)
        })
        .end();
    let parts =
        Parts::new(&["fast", "slow"], Patient::default, |name| Ok(Slow { endless: name.as_str() == "slow" }));
    let causes = runtime.run(&flow, parts, ()).report();
    assert_eq!(causes[0], "0: slow: not back within the deadline of 500ms");
    for later in &causes[1..] {
        assert!(later.ends_with("slow: still busy with a task whose deadline has passed"), "{later}");
    }
}

pub(crate) fn a_participant_that_cannot_be_built_is_missing_and_tried_again(runtime: &impl Runtime) {
    let flow: Flow<Patient, Slow, (), Vec<String>> = Flow::new("rebuilt", 1)
        .start(Patient::start)
        .repeat(|round| round.foreach(Slow::work).quorum(1).join(Patient::join))
        .end();
    let tries = AtomicUsize::new(0);
    let parts = Parts::new(&["bad", "good"], Patient::default, move |name| {
        if name.as_str() == "good" {
            return Ok(Slow { endless: false });
        }
        match tries.fetch_add(1, Ordering::Relaxed) {
            0 => Err(StepError::msg("no such file")),
            1 => panic!("no such disk"),
            _ => Ok(Slow { endless: false }),
        }
    });
    assert_eq!(
        runtime.run(&flow, parts, ()).report(),
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

pub(crate) fn a_panic_does_not_leave_a_torn_participant(runtime: &impl Runtime) {
    let flow: Flow<Patient, Torn, (), Vec<String>> = Flow::new("torn", 1)
        .start(Patient::start)
        .repeat(|round| round.foreach(Torn::tear).quorum(1).join(Patient::join))
        .end();
    let parts = Parts::new(&["a", "b"], Patient::default, |name| {
        Ok(Torn { whole: true, panics: name.as_str() == "b" })
    });
    assert_eq!(runtime.run(&flow, parts, ()).report(), ["0: b: step `tear` panicked: half way"]);
}

pub(crate) fn a_simulated_dropout_is_missing_at_its_step(runtime: &impl Runtime) {
    let ran = runtime.run(&sum(1), parts(&["a", "b"]).drop_out("b", "add"), 0.0);
    assert_eq!(ran.missing(), [("b".into(), "dropped out before step `add` (simulated)".to_owned())]);
    assert_eq!(ran.report(), 1.0);
}

#[derive(Clone, Serialize, Deserialize)]
struct Misaddressing(Vec<String>);

impl Misaddressing {
    fn start(&mut self, value: f64, _cx: &Context) -> Result<Foreach<f64>> {
        Ok(Foreach::only(self.0.iter().map(String::as_str), value))
    }
    fn join(&mut self, inputs: Inputs<f64>, _cx: &Context) -> Result<f64> {
        Ok(inputs.values().sum())
    }
}

pub(crate) fn a_fan_out_to_nobody_or_to_a_stranger_ends_the_run(runtime: &impl Runtime) {
    let flow: Flow<Misaddressing, Site, f64, f64> =
        Flow::new("astray", 1).start(Misaddressing::start).foreach(Site::add).join(Misaddressing::join).end();
    let run = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let parts = Parts::new(&["a"], move || Misaddressing(names.clone()), site);
        runtime.run(&flow, parts, 0.0).failed()
    };
    assert_eq!(run(&[]).code, "nobody-addressed");
    let failed = run(&["a", "z"]);
    assert_eq!(failed.code, "unknown-collaborator");
    assert!(failed.text.contains("names the collaborator z, but there are only a"), "{}", failed.text);
}
