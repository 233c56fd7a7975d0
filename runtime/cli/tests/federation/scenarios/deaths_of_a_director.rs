//! kill -9 of the director.

use serde_json::Value;

use crate::federation::{Federation, Settings};

const SITES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Long enough for a director that starts again.
fn patient() -> Settings {
    Settings { director: "reconnect-grace = \"60s\"\n", ..Settings::default() }
}

/// The kind of an event and the place that it is about, without times.
fn kind(event: &Value) -> String {
    let Value::Object(kind) = &event["kind"] else { return event["kind"].to_string() };
    let (name, fields) = kind.iter().next().unwrap();
    let fan = &fields["fan"];
    let origin = &fields["origin"];
    format!("{name} {} {} {} {}", fan["path"], fan["loops"], origin["path"], origin["loops"])
}

/// Kills the director once at the first event of each kind and place, in a federation for each: no site masks the same
/// input for two experiments.
fn at_each_transition(flow: &str, sites: &[&str]) {
    let federation = Federation::with(sites, patient());
    let id = federation.submit(flow, sites, &[]);
    let followed = federation.follow(&id);
    let mut kinds = Vec::new();
    while let Some(event) = followed.next() {
        let kind = kind(&event);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    drop(followed);
    let expected = federation.results(&id);
    for at in &kinds {
        let mut federation = Federation::with(sites, patient());
        let visits = federation.gate.mark();
        let id = federation.submit(flow, sites, &[]);
        let followed = federation.follow(&id);
        while let Some(event) = followed.next() {
            if kind(&event) == *at {
                break;
            }
        }
        drop(followed);
        federation.kill_director();
        federation.start_director();
        let results = federation.finished(&id);
        assert_eq!(results, expected, "killed at {at}");
        for round in [0, 1] {
            let trained = federation.gate.since(visits, "train", round);
            assert_eq!(trained, sites, "killed at {at}: nobody trains twice");
        }
    }
}

pub(super) fn at_each_transition_of_a_plain_run() {
    at_each_transition("plain", &["a", "b", "c"]);
}

pub(super) fn at_each_transition_of_a_secure_run() {
    at_each_transition("secure", &SITES);
}

pub(super) fn while_an_experiment_waits() {
    let mut federation = Federation::prepare(&["a", "b"], patient());
    federation.start_director();
    federation.start_envoy("a");
    let id = federation.submit("plain", &["a", "b"], &[]);
    assert_eq!(federation.show(&id)["state"], "pending");
    federation.kill_director();
    federation.start_director();
    let waits = federation.show(&id);
    assert_eq!(waits["state"], "pending", "{waits}");
    assert!(waits["reason"].as_str().unwrap().contains('b'), "{waits}");
    federation.start_envoy("b");
    assert_eq!(federation.finished(&id).contributed, [0b11, 0b11]);
}

pub(super) fn after_the_end_loses_no_results() {
    let mut federation = Federation::start(&["a", "b"]);
    let id = federation.submit("plain", &["a", "b"], &[]);
    let results = federation.finished(&id);
    let told = events(&federation, &id);
    federation.kill_director();
    federation.start_director();
    assert_eq!(federation.results(&id), results);
    assert_eq!(events(&federation, &id), told);
}

/// What the run told; not what became of the experiment, of which only the last is kept.
fn events(federation: &Federation, id: &str) -> Vec<String> {
    let told = federation.run(&["experiment", "logs", id, "--output", "json"]).out;
    told.lines().filter(|line| line.starts_with("{\"Event\"")).map(str::to_owned).collect()
}
