//! kill -9 of an envoy.

use serde_json::Value;

use crate::federation::{Federation, Followed};

const SITES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// All five, as bits.
const ALL: u64 = 0b1_1111;

pub(super) fn in_a_plain_step() {
    let mut federation = Federation::start(&["a", "b"]);
    federation.gate.close("b", "train", 0);
    federation.gate.close("aggregator", "average", 0);
    let id = federation.submit("plain", &["a", "b"], &[]);
    let followed = federation.follow(&id);
    federation.gate.visited("b", "train", 0, 1);
    federation.kill_envoy("b");
    federation.gate.open_step("b", "train", 0);
    federation.gate.visited("aggregator", "average", 0, 1);
    // It comes back by itself and takes part from the next fan-out.
    federation.start_envoy("b");
    federation.gate.open();
    assert_eq!(followed.over()["state"], "finished");
    assert_eq!(federation.results(&id).contributed, [0b01, 0b11]);
    assert_eq!(federation.gate.since(0, "train", 0), ["a", "b"]);
}

/// Where in a secure round it happens: at the start of a fan-out, or when the site has come back from it.
#[derive(Clone, Debug, PartialEq)]
struct Moment {
    kind: &'static str,
    path: String,
}

impl Moment {
    fn wait(&self, followed: &Followed, site: &str) {
        followed.event(self.kind, |event| {
            let here = event["fan"]["path"] == self.path.as_str() && event["fan"]["loops"][0] == 0;
            let whose = self.kind == "Sent" || event["from"] == site;
            (here && whose).then_some(())
        });
    }
}

/// All moments of a secure round, from a run that nothing disturbs.
fn moments(federation: &Federation) -> Vec<Moment> {
    let id = federation.submit("secure", &SITES, &["--rounds", "1"]);
    let followed = federation.follow(&id);
    let mut moments = Vec::new();
    while let Some(event) = followed.next() {
        let Some(path) = event["kind"]["Sent"]["fan"]["path"].as_str().map(str::to_owned) else { continue };
        moments.push(Moment { kind: "Sent", path: path.clone() });
        moments.push(Moment { kind: "Received", path });
    }
    moments
}

pub(super) fn before_in_and_after_each_phase_of_a_secure_round() {
    let moments = moments(&Federation::start(&SITES));
    assert!(moments.len() >= 8, "{moments:?}");
    let mut lost = 0;
    for moment in moments {
        // A federation for each: no site masks the same input for two experiments.
        let mut federation = Federation::start(&SITES);
        let visits = federation.gate.mark();
        federation.gate.close("aggregator", "average", 0);
        let id = federation.submit("secure", &SITES, &[]);
        let followed = federation.follow(&id);
        moment.wait(&followed, "e");
        federation.kill_envoy("e");
        federation.gate.visited_since(visits, "aggregator", "average", 0);
        federation.start_envoy("e");
        federation.gate.open();
        let over = followed.over();
        assert_eq!(over["state"], "finished", "{moment:?}: {over}");
        let contributed = federation.results(&id).contributed;
        // Whether the input of the one that died is in the sum is a matter of when; each is in it once.
        assert!([ALL, ALL & 0b0_1111].contains(&contributed[0]), "{moment:?}: {contributed:?}");
        assert_eq!(contributed[1], ALL, "{moment:?}: it takes part in the next round");
        lost += u64::from(contributed[0] != ALL);
        // Nobody masked an input twice, and nobody trained for it again.
        let trained = federation.gate.since(visits, "train", 0);
        for site in &SITES[..4] {
            assert_eq!(trained.iter().filter(|who| who == site).count(), 1, "{moment:?}: {trained:?}");
        }
        assert!(trained.iter().filter(|who| *who == "e").count() <= 1, "{moment:?}: {trained:?}");
    }
    assert!(lost >= 2, "before its input was sent it is not in the sum");
}

pub(super) fn of_too_many_end_a_secure_round_with_a_typed_error() {
    let mut federation = Federation::start(&SITES);
    federation.gate.close("d", "train", 0);
    federation.gate.close("e", "train", 0);
    let id = federation.submit("secure", &SITES, &[]);
    let followed = federation.follow(&id);
    for site in ["d", "e"] {
        federation.gate.visited(site, "train", 0, 1);
        federation.kill_envoy(site);
    }
    let over = followed.over();
    assert_eq!(over["state"], "failed", "{over}");
    assert_eq!(over["code"], "below-quorum", "{over}");
    let mut missing: Vec<_> = over["missing"].as_array().unwrap().iter().map(name).collect();
    missing.sort();
    assert_eq!(missing, ["d", "e"]);
    assert_eq!(federation.gate.since(0, "train", 0), SITES, "nothing was run again");
}

fn name(missing: &Value) -> String {
    missing["participant"].as_str().unwrap().to_owned()
}
