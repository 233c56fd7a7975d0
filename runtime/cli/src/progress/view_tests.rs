use super::*;

fn name(text: &str) -> Name {
    Name::from(text)
}

fn fan(round: u32) -> FanOrigin {
    let paths = ["1.0.0".into(), "1.0.1".into()].into();
    FanOrigin {
        path: "1.0".into(),
        steps: "train → validate".into(),
        paths,
        loops: [round].as_slice().into(),
    }
}

fn sent(round: u32, to: &[&str]) -> EventKind {
    EventKind::Sent { fan: fan(round), to: to.iter().map(|to| name(to)).collect(), needed: to.len() }
}

fn received(round: u32, from: &str) -> EventKind {
    EventKind::Received { fan: fan(round), from: name(from) }
}

fn progress(who: &str, step: &str, round: u32, done: u64, total: u64) -> EventKind {
    let origin = Origin {
        participant: name(who),
        placement: Placement::Collaborator,
        step: step.into(),
        path: if step == "train" { "1.0.0" } else { "1.0.1" }.into(),
        loops: [round].as_slice().into(),
    };
    EventKind::Signal { origin, signal: Signal::Progress { done, total, unit: "images".into() } }
}

fn join(round: u32) -> EventKind {
    let origin = Origin {
        participant: name("aggregator"),
        placement: Placement::Aggregator,
        step: "average".into(),
        path: "1.0.join".into(),
        loops: [round].as_slice().into(),
    };
    EventKind::StepStarted { origin }
}

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_work_of_all_collaborators_is_added_up() {
    let mut view = View::new(false);
    let changes = view.run_event(&sent(0, &["a", "b"]), at(10));
    assert_eq!(changes, [Change::Started("round 0: train → validate".to_owned())]);
    view.site_event(&progress("a", "train", 0, 1000, 4000));
    view.site_event(&progress("b", "train", 0, 3000, 4000));
    let shown = view.phase(at(12)).unwrap();
    assert_eq!(
        shown,
        Shown { position: 500, message: "0/2 collaborators, 2,000 images/s, 2 s left".to_owned() }
    );
    // The second step of one of them makes the whole longer; who is back has done it all.
    view.site_event(&progress("b", "train", 0, 4000, 4000));
    view.site_event(&progress("b", "validate", 0, 1000, 1000));
    view.run_event(&received(0, "b"), at(14));
    let shown = view.phase(at(14)).unwrap();
    assert_eq!(
        shown,
        Shown { position: 600, message: "1/2 collaborators, 1,500 images/s, 3 s left".to_owned() }
    );
    view.run_event(&received(0, "a"), at(15));
    let changes = view.run_event(&join(0), at(16));
    let line = "round 0: train → validate: 2 of 2 in 6.0s, 1,000 images/s";
    assert_eq!(changes, [Change::Finished(line.to_owned())]);
    assert_eq!(view.phase(at(17)), None);
}

#[test]
fn a_later_round_knows_the_work_of_the_steps_that_have_not_started() {
    let mut view = View::new(false);
    view.run_event(&sent(0, &["a"]), at(0));
    view.site_event(&progress("a", "train", 0, 3000, 3000));
    view.site_event(&progress("a", "validate", 0, 1000, 1000));
    view.run_event(&join(0), at(1));
    view.run_event(&sent(1, &["a"]), at(2));
    view.site_event(&progress("a", "train", 1, 2000, 3000));
    assert_eq!(view.phase(at(4)).unwrap().position, 500);
    // What a straggler of an earlier round says is not counted.
    view.site_event(&progress("a", "validate", 0, 500, 1000));
    assert_eq!(view.phase(at(4)).unwrap().position, 500);
}

#[test]
fn the_numbers_of_one_site_alone_are_not_shown_in_a_confidential_flow() {
    let mut view = View::new(true);
    view.run_event(&sent(0, &["a", "b"]), at(0));
    view.site_event(&progress("a", "train", 0, 1000, 4000));
    assert_eq!(view.phase(at(1)).unwrap(), Shown { position: 0, message: "0/2 collaborators".to_owned() });
    view.site_event(&progress("b", "train", 0, 1000, 4000));
    assert_eq!(view.phase(at(1)).unwrap().message, "0/2 collaborators, 2,000 images/s, 3 s left");
}

#[test]
fn who_is_missing_is_named_with_the_cause() {
    let mut view = View::new(false);
    view.run_event(&sent(0, &["a", "b"]), at(0));
    let cause = veilflow_spec::Cause::DroppedOut { step: "train".to_owned() };
    let missing = veilflow_spec::Missing { participant: name("b"), cause };
    view.run_event(&EventKind::Dropped { fan: fan(0), missing }, at(1));
    view.run_event(&received(0, "a"), at(1));
    let line =
        "round 0: train → validate: 1 of 2 in 2.0s\n  missing b: dropped out before step `train` (simulated)";
    assert_eq!(view.run_event(&join(0), at(2)), [Change::Finished(line.to_owned())]);
}

#[test]
fn times_and_numbers_are_written_for_people() {
    assert_eq!([0.2, 59.0, 61.0, 3700.0].map(clock), ["1 s", "59 s", "1 min 1 s", "1 h 1 min"]);
    assert_eq!([7, 999, 1000, 1234567].map(thousands), ["7", "999", "1,000", "1,234,567"]);
}
