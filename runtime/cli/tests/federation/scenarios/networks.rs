//! What a network does between a site and the director.

use serde_json::Value;

use crate::federation::{Federation, Settings};
use crate::proxy::{Fault, Way};

const SITES: [&str; 2] = ["a", "b"];

/// Who is gone has a minute to come back.
fn patient() -> Settings {
    Settings { director: "reconnect-grace = \"60s\"\n", ..Settings::default() }
}

/// That each site's contribution is in each round's sum once, and that it trained once for it and told that once.
fn counted_once(federation: &Federation, id: &str) {
    assert_eq!(federation.finished(id).contributed, [0b11, 0b11]);
    for round in [0, 1] {
        assert_eq!(federation.gate.since(0, "train", round), SITES, "in round {round}");
    }
    told_once(federation, id);
}

/// That each site's step is told of once in each round: that it began, and that it ended.
fn told_once(federation: &Federation, id: &str) {
    let events = federation.events(id);
    let steps = SITES.iter().flat_map(|site| [0, 1].map(|round| (site, round)));
    for (site, round, kind) in
        steps.flat_map(|(site, round)| ["StepStarted", "StepFinished"].map(|kind| (site, round, kind)))
    {
        let is = |event: &&Value| {
            let origin = &event["kind"][kind]["origin"];
            origin["participant"] == *site && origin["loops"] == serde_json::json!([round])
        };
        assert_eq!(events.iter().filter(is).count(), 1, "{kind} at {site} in round {round}: {events:#?}");
    }
}

pub(super) fn a_request_that_is_lost_is_sent_again() {
    let federation = Federation::with(&SITES, patient());
    federation.gate.close("aggregator", "start", 0);
    let id = federation.submit("plain", &SITES, &[]);
    federation.gate.visited("aggregator", "start", 0, 1);
    federation.proxy("b").lose(Way::Down);
    let before = federation.proxy("b").bytes(Way::Down);
    let followed = federation.follow(&id);
    federation.gate.open();
    followed.event("Sent", |_| Some(()));
    federation.gate.visited("a", "train", 0, 1);
    federation.proxy("b").more(Way::Down, before);
    assert_eq!(federation.gate.since(0, "train", 0), ["a"]);
    federation.proxy("b").heal();
    counted_once(&federation, &id);
}

pub(super) fn a_reply_that_is_lost_counts_once() {
    let federation = Federation::with(&SITES, patient());
    federation.gate.close("b", "train", 0);
    let id = federation.submit("plain", &SITES, &[]);
    federation.gate.visited("b", "train", 0, 1);
    let before = federation.proxy("b").count();
    federation.proxy("b").lose(Way::Up);
    let bytes = federation.proxy("b").bytes(Way::Up);
    federation.gate.open();
    federation.envoy("b").says("ended");
    federation.proxy("b").more(Way::Up, bytes);
    federation.proxy("b").heal();
    federation.proxy("b").made(before + 1);
    counted_once(&federation, &id);
}

pub(super) fn bytes_that_are_delayed_truncated_repeated_or_swapped_change_nothing() {
    let federation = Federation::with(&SITES, patient());
    let expected = federation.undisturbed("plain", &SITES, &[]);
    for way in [Way::Up, Way::Down] {
        for fault in [Fault::Duplicate, Fault::Reorder, Fault::Truncate] {
            let visits = federation.gate.mark();
            let id = federation.submit("plain", &SITES, &[]);
            federation.proxy("b").next(way, fault);
            assert_eq!(federation.finished(&id), expected, "{fault:?} {way:?}");
            federation.proxy("b").happened(way);
            assert_eq!(federation.gate.since(visits, "train", 0).len(), 2, "{fault:?} {way:?}");
            told_once(&federation, &id);
        }
        let id = federation.submit("plain", &SITES, &[]);
        let followed = federation.follow(&id);
        federation.proxy("b").hold(way);
        followed.event("Received", |event| (event["from"] == "a").then_some(()));
        federation.proxy("b").heal();
        assert_eq!(federation.finished(&id), expected, "held {way:?}");
        told_once(&federation, &id);
    }
}

pub(super) fn a_cut_that_outlasts_the_grace_makes_a_site_missing() {
    let federation = Federation::start(&SITES);
    federation.gate.close("b", "train", 0);
    federation.gate.close("aggregator", "average", 0);
    let id = federation.submit("plain", &SITES, &[]);
    let followed = federation.follow(&id);
    federation.gate.visited("b", "train", 0, 1);
    federation.proxy("b").cut();
    followed.event("Dropped", |event| (event["missing"]["participant"] == "b").then_some(()));
    federation.gate.open_step("b", "train", 0);
    federation.proxy("b").heal();
    federation.reattached("b");
    federation.gate.open();
    assert_eq!(followed.over()["state"], "finished");
    // Its late answer is not counted, and it takes part in the next round.
    assert_eq!(federation.results(&id).contributed, [0b01, 0b11]);
}

pub(super) fn a_secure_round_survives_a_cut() {
    let sites = ["a", "b", "c", "d", "e"];
    // Another federation: no site masks the same input for two experiments.
    let expected = Federation::with(&sites, patient()).undisturbed("secure", &sites, &[]);
    let federation = Federation::with(&sites, patient());
    federation.gate.close("e", "train", 0);
    let visits = federation.gate.mark();
    let id = federation.submit("secure", &sites, &[]);
    federation.gate.visited_since(visits, "e", "train", 0);
    for site in sites {
        federation.proxy(site).cut();
    }
    federation.gate.open();
    for site in sites {
        federation.proxy(site).heal();
    }
    assert_eq!(federation.finished(&id), expected);
    assert_eq!(federation.gate.since(visits, "train", 0).len(), sites.len());
}

/// A model of equal numbers becomes small, on the way that its sender compresses and on no other.
pub(super) fn each_side_compresses_what_it_sends_where_its_configuration_says_so() {
    const NUMBERS: u64 = 500_000;
    let mut models = Vec::new();
    for (director, envoy) in [(true, false), (false, true)] {
        let settings = Settings {
            director: if director { "compression = \"zstd\"\n" } else { "" },
            envoy: if envoy { "[connection]\ncompression = \"zstd\"\n" } else { "" },
            ..Settings::default()
        };
        let federation = Federation::with(&["a"], settings);
        let id = federation.submit("plain", &["a"], &["--size", &NUMBERS.to_string()]);
        models.push(federation.finished(&id).model);
        for (way, compressed) in [(Way::Down, director), (Way::Up, envoy)] {
            let bytes = federation.proxy("a").bytes(way);
            assert_eq!(bytes < NUMBERS, compressed, "{bytes} bytes {way:?} of {} at least", 4 * NUMBERS);
        }
    }
    assert_eq!(models[0], models[1]);
}
