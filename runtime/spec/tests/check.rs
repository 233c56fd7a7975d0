//! What `check()` finds, and that it finds all of it at once.

extern crate veilflow_spec as veilflow;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;
use veilflow::{Closes, InvalidQuorum, Problem};

struct Server;
struct Site;

fn start(_: &mut Server, model: f64, _: &Context) -> Result<Foreach<f64>> {
    Ok(Foreach::all(model))
}

fn train(_: &mut Site, model: f64, _: &Context) -> Result<f64> {
    Ok(model)
}

fn average(_: &mut Server, models: Inputs<f64>, _: &Context) -> Result<f64> {
    Ok(models.values().sum())
}

fn keep(_: &mut Server, model: f64, _: &Context) -> Result<f64> {
    Ok(model)
}

fn problems<P, R>(flow: &Flow<Server, Site, P, R>) -> Vec<Problem> {
    flow.check().map_or_else(|invalid| invalid.problems, |()| Vec::new())
}

/// A flow whose fan-out has the policies that `edit` gives it.
fn policies(quorum: impl Into<Quorum>, deadline: Duration) -> Vec<Problem> {
    let flow = Flow::new("f", 1).start(start).foreach(train).quorum(quorum).deadline(deadline).join(average);
    problems(&flow.end())
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_good_flow_has_no_problems() {
    assert_eq!(policies(2, SECOND), []);
    assert_eq!(policies(0.5, SECOND), []);
}

#[test]
fn a_flow_needs_a_name_for_the_command_line() {
    for name in ["", "two words", "ünïcode", "a/b", "a\nb"] {
        let flow: Flow<Server, Site, _, _> = Flow::new(name, 1).start(keep).end();
        assert_eq!(problems(&flow), [Problem::FlowName { name: name.to_owned() }]);
    }
}

#[test]
fn a_closure_needs_a_name() {
    let closure = |_: &mut Server, model: f64, _: &Context| Ok(model);
    let flow: Flow<Server, Site, f64, f64> = Flow::new("f", 1).start(closure).end();
    assert_eq!(problems(&flow), [Problem::Unnamed { path: "0".into(), found: "{{closure}}".into() }]);
    let flow: Flow<Server, Site, f64, f64> = Flow::new("f", 1).start(closure).named("first").end();
    assert_eq!(problems(&flow), []);
    let flow: Flow<Server, Site, f64, f64> = Flow::new("f", 1).start(closure).named("not one").end();
    assert_eq!(problems(&flow), [Problem::Unnamed { path: "0".into(), found: "not one".into() }]);
}

#[test]
fn a_name_stands_behind_its_step() {
    let flow: Flow<Server, Site, _, _> = Flow::new("f", 1)
        .start(start)
        .repeat(|round| {
            round
                .foreach(train)
                .join(average)
                .then(|_: &mut Server, model: f64, _: &Context| Ok(Loop::<Foreach<f64>, f64>::Done(model)))
        })
        .named("late")
        .end();
    let expected = [
        Problem::NameWithoutStep { name: "late".into() },
        Problem::Unnamed { path: "1.1".into(), found: "{{closure}}".into() },
    ];
    assert_eq!(problems(&flow), expected);
}

#[test]
fn two_steps_of_one_name_are_told_apart() {
    let chain = |last: &str| {
        let flow: Flow<Server, Site, f64, f64> = Flow::new("f", 1).start(keep).then(keep).named(last).end();
        problems(&flow)
    };
    let twice = Problem::DuplicateName { name: "keep".into(), first: "0".into(), second: "1".into() };
    assert_eq!(chain("keep"), [twice]);
    assert_eq!(chain("keep_again"), []);
}

#[test]
fn captured_values_hide_from_the_fingerprint() {
    let rate = 0.5_f64;
    let step = move |_: &mut Server, model: f64, _: &Context| Ok(model * rate);
    let flow: Flow<Server, Site, f64, f64> = Flow::new("f", 1).start(step).named("scale").end();
    assert_eq!(problems(&flow), [Problem::Captures { name: "scale".into(), path: "0".into(), bytes: 8 }]);
    let pointer: fn(&mut Server, f64, &Context) -> Result<f64> = keep;
    let flow: Flow<Server, Site, f64, f64> = Flow::new("f", 1).start(pointer).named("pointer").end();
    assert_eq!(problems(&flow), [Problem::Captures { name: "pointer".into(), path: "0".into(), bytes: 8 }]);
}

#[test]
fn quorums_and_deadlines_that_nobody_can_meet_are_found() {
    let quorum = |reason| Problem::Quorum { path: "1".into(), reason };
    assert_eq!(policies(0, SECOND), [quorum(InvalidQuorum::Zero)]);
    assert_eq!(policies(-1, SECOND), [quorum(InvalidQuorum::Zero)]);
    assert_eq!(policies(1.5, SECOND), [quorum(InvalidQuorum::Fraction(1.5))]);
    let deadline = Problem::Deadline { path: "1".into(), deadline: Duration::ZERO };
    assert_eq!(policies(1, Duration::ZERO), [deadline]);
}

/// No type of the crate closes a loop by itself; a user's own could.
#[derive(Clone, Serialize, Deserialize, Message)]
struct Forever;

impl Closes<Forever> for Forever {
    type Done = Forever;

    fn into_loop(self) -> Loop<Forever, Forever> {
        Loop::Again(self)
    }
}

#[test]
fn an_empty_loop_is_found() {
    let first = |_: &mut Server, (): (), _: &Context| Ok(Forever);
    let flow: Flow<Server, Site, _, _> = Flow::new("f", 1).start(first).named("first").repeat(|it| it).end();
    assert_eq!(problems(&flow), [Problem::EmptyLoop { path: "1".into() }]);
}

#[test]
fn everything_is_reported_at_once_and_says_what_to_do() {
    let flow =
        Flow::new("my flow", 1).start(start).foreach(train).quorum(0).join(average).then(average_again);
    let text = flow.named("average").end().check().unwrap_err().to_string();
    let expected = "flow `my flow` cannot run:\n  \
        - its name \"my flow\" is not made of letters, digits, `-` and `_`\n  \
        - the fan-out at 1: a quorum of 0 would join nobody's work: ask for at least 1\n  \
        - the steps at 1.join and 2 are both called `average`: name one of them with `.named(\"…\")`";
    assert_eq!(text, expected);
}

fn average_again(_: &mut Server, model: f64, _: &Context) -> Result<f64> {
    Ok(model)
}
