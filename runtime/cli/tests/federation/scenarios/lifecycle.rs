//! From pending to the end.

use std::collections::BTreeMap;

use serde_json::Value;
use veilflow_spec::Name;

use crate::federation::{Federation, SECONDS, Settings, text_of};
use crate::process::{Ended, Process};

pub(super) fn a_slow_site_is_missing_after_its_deadline_and_back_later() {
    let federation = Federation::start(&["a", "b"]);
    federation.gate.close("b", "train", 0);
    let id = federation.submit("plain", &["a", "b"], &["--deadline", "1000", "--rounds", "3"]);
    let followed = federation.follow(&id);
    federation.gate.close("aggregator", "average", 1);
    let cause = followed.event("Dropped", |event| {
        (event["missing"]["participant"] == "b").then(|| event["missing"]["cause"].to_string())
    });
    assert!(cause.contains("Deadline"), "{cause}");
    federation.gate.visited("aggregator", "average", 1, 1);
    federation.gate.open_step("b", "train", 0);
    federation.envoy("b").says("ended");
    federation.gate.open();
    assert_eq!(followed.over()["state"], "finished");
    // Whether it is back for the second round depends on how soon its step sees that nobody waits.
    let contributed = federation.results(&id).contributed;
    assert_eq!((contributed.first(), contributed.last()), (Some(&0b01), Some(&0b11)), "{contributed:?}");
}

pub(super) fn a_step_of_the_aggregator_that_fails_fails_the_experiment() {
    let federation = Federation::start(&["a", "b"]);
    let id = federation.submit("plain", &["a", "b"], &["--fail", "1"]);
    let over = federation.follow(&id).over();
    assert_eq!(over["state"], "failed");
    assert!(over["error"].as_str().unwrap().contains("the sum makes no sense"), "{over}");
    let shown = federation.show(&id);
    assert_eq!(shown["state"], "failed", "{shown}");
    let results = federation.run(&["experiment", "results", &id]);
    assert!(!results.status.success() && results.err.contains("the sum makes no sense"), "{results:?}");
    // It goes on with others.
    assert_eq!(federation.undisturbed("plain", &["a", "b"], &[]).contributed, [0b11, 0b11]);
}

pub(super) fn a_flow_that_only_some_offer_waits_for_the_others() {
    let allowed = BTreeMap::from([("b", "secure")]);
    let federation = Federation::with(&["a", "b"], Settings { allowed, ..Settings::default() });
    let id = federation.submit("plain", &["a", "b"], &[]);
    let shown = federation.show(&id);
    assert_eq!(shown["state"], "pending", "{shown}");
    let reason = shown["reason"].as_str().unwrap();
    assert!(reason.contains('b') && reason.contains("plain"), "{reason}");
    assert_eq!(federation.undisturbed("plain", &["a"], &[]).contributed, [1, 1], "others are not held up");
    let cancelled = federation.json(&["experiment", "cancel", &id]);
    assert_eq!(cancelled["state"], "cancelled", "{cancelled}");
}

pub(super) fn two_experiments_of_one_flow_run_at_once() {
    let federation = Federation::start(&["a", "b", "c", "d"]);
    federation.gate.close("aggregator", "average", 0);
    let ids = [["a", "b"], ["c", "d"]].map(|sites| federation.submit("plain", &sites, &[]));
    // Both are in the middle of a round.
    federation.gate.visited("aggregator", "average", 0, 2);
    for id in &ids {
        assert_eq!(federation.show(id)["state"], "running");
    }
    federation.gate.open();
    for id in &ids {
        assert_eq!(federation.finished(id).contributed, [0b11, 0b11]);
    }
}

pub(super) fn a_cancelled_experiment_stops_in_each_phase() {
    let federation = Federation::start(&["a", "b"]);
    for (who, step) in [("aggregator", "start"), ("a", "train"), ("aggregator", "average")] {
        let visits = federation.gate.mark();
        federation.gate.close(who, step, 0);
        let id = federation.submit("plain", &["a", "b"], &[]);
        let followed = federation.follow(&id);
        federation.gate.visited_since(visits, who, step, 0);
        federation.json(&["experiment", "cancel", &id]);
        let over = followed.over();
        assert_eq!(over["state"], "cancelled", "in {step}: {over}");
        federation.gate.open();
        assert_eq!(federation.gate.since(visits, "train", 1).len(), 0, "in {step}");
    }
    let federation_goes_on = federation.undisturbed("plain", &["a", "b"], &[]);
    assert_eq!(federation_goes_on.contributed, [0b11, 0b11]);
}

pub(super) fn sigterm_drains_a_director_and_the_next_one_goes_on() {
    let mut federation = Federation::with(
        &["a", "b"],
        Settings { director: "reconnect-grace = \"60s\"\n", ..Settings::default() },
    );
    let expected = federation.undisturbed("plain", &["a", "b"], &[]);
    let visits = federation.gate.mark();
    federation.gate.close("b", "train", 0);
    let id = federation.submit("plain", &["a", "b"], &[]);
    federation.gate.visited_since(visits, "b", "train", 0);
    let director = federation.director.take().unwrap();
    director.terminate();
    let ended = director.ended(SECONDS);
    assert!(ended.status.success(), "{ended:?}");
    federation.gate.open();
    federation.start_director();
    assert_eq!(federation.finished(&id), expected);
    assert_eq!(federation.gate.since(visits, "train", 0).len(), 2, "nobody trains twice");
}

pub(super) fn sigterm_drains_an_envoy() {
    let mut federation = Federation::start(&["a", "b"]);
    federation.gate.close("b", "train", 0);
    federation.gate.close("aggregator", "average", 0);
    let id = federation.submit("plain", &["a", "b"], &[]);
    federation.gate.visited("b", "train", 0, 1);
    let envoy = federation.take_envoy("b");
    envoy.terminate();
    envoy.says("shutting down");
    // What it works on it ends.
    federation.gate.open_step("b", "train", 0);
    let ended = envoy.ended(SECONDS);
    assert!(ended.status.success(), "{ended:?}");
    federation.gate.visited("aggregator", "average", 0, 1);
    federation.start_envoy("b");
    federation.gate.open();
    assert_eq!(federation.finished(&id).contributed, [0b11, 0b11]);
}

pub(super) fn parts_log_as_objects_where_they_are_told_to() {
    let mut federation = Federation::start(&["a"]);
    let identity = federation.keys.envoys[&Name::from("a")].clone();
    federation.take_envoy("a").terminate();
    let config = federation.direct_config("a", &identity);
    let envoy = ["envoy", "start", "--config", text_of(&config), "--output", "json"];
    let expected =
        ["started", "attached", "ready", "task-started", "task-ended", "ended", "told-to-end", "stopped"];
    let envoy = federation.program("a", &envoy);
    envoy.says("\"ready\"");
    federation.undisturbed("plain", &["a"], &[]);
    envoy.terminate();
    objects(envoy, &expected);

    federation.director.take().unwrap().terminate();
    let config = federation.path().join("director.toml");
    let director = ["director", "start", "--config", text_of(&config), "--output", "json"];
    let director = federation.program("director", &director);
    director.says("\"ready\"");
    director.terminate();
    objects(director, &["listening", "ready", "told-to-end", "stopped"]);
}

/// That all a part wrote are objects with what every line has, among them these events.
fn objects(part: Process, expected: &[&str]) {
    let Ended { status, out, err } = part.ended(SECONDS);
    assert!(status.success() && err.is_empty(), "{out}{err}");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        let text = |key: &str| line[key].as_str().is_some_and(|text| !text.is_empty());
        assert!(["time", "level", "event", "text"].into_iter().all(text), "{line}");
    }
    for event in expected {
        assert!(lines.iter().any(|line| line["event"] == *event), "{event}: {out}");
    }
}
