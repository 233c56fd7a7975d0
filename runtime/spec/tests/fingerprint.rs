//! The fingerprint changes with everything on which two builds must agree, and with nothing else.

extern crate veilflow_spec as veilflow;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use veilflow::prelude::*;

struct Server;
struct Site;

#[derive(Clone, Serialize, Deserialize, Message)]
struct Update {
    weight: f64,
}

/// The same name with a field of another name, and of another type.
mod renamed {
    use super::*;
    #[derive(Clone, Serialize, Deserialize, Message)]
    pub(super) struct Update {
        pub(super) mass: f64,
    }
}
mod retyped {
    use super::*;
    #[derive(Clone, Serialize, Deserialize, Message)]
    pub(super) struct Update {
        pub(super) weight: f32,
    }
}

fn start(_: &mut Server, _: u32, _: &Context) -> Result<Foreach<f64>> {
    Ok(Foreach::all(0.0))
}
fn tidy(_: &mut Server, sent: Foreach<f64>, _: &Context) -> Result<Foreach<f64>> {
    Ok(sent)
}
fn clip(_: &mut Site, model: f64, _: &Context) -> Result<f64> {
    Ok(model)
}
fn noise(_: &mut Site, model: f64, _: &Context) -> Result<f64> {
    Ok(model)
}
fn weigh(_: &mut Site, weight: f64, _: &Context) -> Result<Update> {
    Ok(Update { weight })
}
fn merge(_: &mut Server, updates: Inputs<Update>, _: &Context) -> Result<f64> {
    Ok(updates.values().map(|update| update.weight).sum())
}
fn merge_mass(_: &mut Server, updates: Inputs<renamed::Update>, _: &Context) -> Result<f64> {
    Ok(updates.values().map(|update| update.mass).sum())
}
fn merge_f32(_: &mut Server, updates: Inputs<retyped::Update>, _: &Context) -> Result<f64> {
    Ok(updates.values().map(|update| f64::from(update.weight)).sum())
}
fn merge_pairs(_: &mut Server, _: f64, _: &Context) -> Result<Loop<f64, f64>> {
    Ok(Loop::Done(0.0))
}

type Subject = Flow<Server, Site, u32, f64>;

fn base() -> Subject {
    Flow::new("subject", 1).start(start).foreach(clip).then(noise).then(weigh).join(merge).end()
}

#[test]
fn it_is_the_same_whenever_nothing_changed() {
    assert_eq!(base().fingerprint(), base().fingerprint());
    assert_eq!(base().clone().fingerprint(), base().fingerprint());
    // The default, said aloud.
    let all: Subject = Flow::new("subject", 1)
        .start(start)
        .foreach(clip)
        .then(noise)
        .then(weigh)
        .quorum(1.0)
        .join(merge)
        .end();
    assert_eq!(all.fingerprint(), base().fingerprint());
    // What a step does, and which of two functions of one name does it, is not in it.
    let other: Subject = Flow::new("subject", 1)
        .start(start)
        .foreach(|_: &mut Site, model: f64, _: &Context| Ok(-model))
        .named("clip")
        .then(noise)
        .then(weigh)
        .join(merge)
        .end();
    assert_eq!(other.fingerprint(), base().fingerprint());
}

#[test]
fn it_changes_with_each_thing_that_both_sides_must_share() {
    let named = || Flow::new("subject", 1);
    let mut flows: BTreeMap<&str, Subject> = BTreeMap::new();
    let mut add = |what, flow| assert!(flows.insert(what, flow).is_none());
    let limit = Duration::from_secs(1);
    add("base", base());
    add(
        "flow's name",
        Flow::new("object", 1).start(start).foreach(clip).then(noise).then(weigh).join(merge).end(),
    );
    add(
        "version",
        Flow::new("subject", 2).start(start).foreach(clip).then(noise).then(weigh).join(merge).end(),
    );
    add("confidential", {
        named().confidential().start(start).foreach(clip).then(noise).then(weigh).join(merge).end()
    });
    add("name", named().start(start).foreach(clip).named("cut").then(noise).then(weigh).join(merge).end());
    add("order", named().start(start).foreach(noise).then(clip).then(weigh).join(merge).end());
    add("fewer", named().start(start).foreach(clip).then(weigh).join(merge).end());
    add("count", named().start(start).foreach(clip).then(noise).then(weigh).quorum(2).join(merge).end());
    add("fraction", named().start(start).foreach(clip).then(noise).then(weigh).quorum(0.5).join(merge).end());
    add(
        "deadline",
        named().start(start).foreach(clip).then(noise).then(weigh).deadline(limit).join(merge).end(),
    );
    add(
        "later",
        named().start(start).foreach(clip).then(noise).then(weigh).deadline(2 * limit).join(merge).end(),
    );
    add("field's name", {
        let weigh = |_: &mut Site, mass: f64, _: &Context| Ok(renamed::Update { mass });
        let flow = named().start(start).foreach(clip).then(noise).then(weigh).named("weigh");
        flow.join(merge_mass).named("merge").end()
    });
    add("field's type", {
        let weigh = |_: &mut Site, weight: f64, _: &Context| Ok(retyped::Update { weight: weight as f32 });
        let flow = named().start(start).foreach(clip).then(noise).then(weigh).named("weigh");
        flow.join(merge_f32).named("merge").end()
    });
    add(
        "a step more",
        named().start(start).then(tidy).foreach(clip).then(noise).then(weigh).join(merge).end(),
    );
    add("a loop", {
        let flow = named().start(start).foreach(clip).then(noise).then(weigh).join(merge);
        flow.repeat(|round| round.then(merge_pairs)).end()
    });
    let texts: BTreeMap<_, _> =
        flows.iter().map(|(what, flow)| (flow.describe().canonical_text(), *what)).collect();
    let prints: BTreeMap<_, _> = flows.iter().map(|(what, flow)| (flow.fingerprint(), *what)).collect();
    assert_eq!(texts.len(), flows.len(), "two texts are one: {texts:#?}");
    assert_eq!(prints.len(), flows.len(), "two fingerprints are one: {prints:#?}");
}

#[test]
fn it_changes_with_the_placement_of_a_step() {
    // Three steps of the same names and messages; the middle one on either side.
    fn open(_: &mut Server, _: u32, _: &Context) -> Result<Foreach<f64>> {
        Ok(Foreach::all(0.0))
    }
    fn collect(_: &mut Server, models: Inputs<f64>, _: &Context) -> Result<f64> {
        Ok(models.values().sum())
    }
    fn close(_: &mut Server, model: f64, _: &Context) -> Result<f64> {
        Ok(model)
    }
    let at_sites: Subject =
        Flow::new("f", 1).start(open).foreach(clip).then(noise).named("close").join(collect).end();
    let at_server: Subject = Flow::new("f", 1).start(open).foreach(clip).join(collect).then(close).end();
    assert_ne!(at_sites.fingerprint(), at_server.fingerprint());
    let text = at_server.describe().canonical_text();
    assert!(text.contains("aggregator close") && text.contains("collaborator clip"), "{text}");
    let text = at_sites.describe().canonical_text();
    assert!(text.contains("collaborator close"), "{text}");
}
