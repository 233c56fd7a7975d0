//! `fedavg_mnist` with a secure join: the same model, the same numbers of sites, and nothing of one site.

use std::sync::{Arc, Mutex};

use veilflow::engine::{Event, EventKind};
use veilflow::prelude::*;
use veilflow::secagg::{Security, Threshold};
use veilflow::spec::Signal;
use veilflow_mnist::TrainedModel;

use crate::support::{
    TRAIN, fedavg_runtime, joined_flow, joined_runtime, plan, plan_against, run_joined, run_plain,
    run_secure, secure_flow, secure_runtime,
};

fn largest_difference(one: &TrainedModel, other: &TrainedModel) -> f64 {
    let pairs = one.to_flat().into_iter().zip(other.to_flat());
    pairs.map(|(one, other)| f64::from((one - other).abs())).fold(0.0, f64::max)
}

#[test]
fn one_round_differs_from_the_plain_mean_by_the_quantization_alone() {
    for sites in [2, 3] {
        let bound = plan(sites, Threshold::default()).max_error_of_mean(sites, TRAIN as u64);
        let difference = largest_difference(&run_joined(sites, 1), &run_plain(sites, 1));
        assert!(difference <= bound + f64::from(f32::EPSILON), "{sites} sites");
    }
}

#[test]
fn the_flow_written_out_trains_the_same_model_to_the_last_bit_against_either_server() {
    assert_eq!(run_joined(2, 2), run_secure(2, 2));
    let run = |security| {
        let plan = plan_against(security, 4, Threshold::Count(3));
        let joined = joined_runtime(&plan).drop_out("site-1", "mask").run(&joined_flow(&plan), 2).unwrap();
        let runtime = secure_runtime(&plan).drop_out("site-1", "local_model_validation");
        assert_eq!(joined, runtime.run(&secure_flow(&plan), 2).unwrap(), "{security}");
        joined
    };
    assert_eq!(run(Security::default()), run(Security::SemiHonest), "signatures change nothing in a sum");
}

#[test]
fn a_seed_fixes_the_model_to_the_last_bit_on_any_number_of_threads() {
    let flow = joined_flow(&plan(3, Threshold::default()));
    let run = |threads| fedavg_runtime(3).threads(threads).run(&flow, 2).unwrap();
    assert_eq!(run(1), run(4), "keys and masks differ, the sum does not");
}

#[test]
fn each_round_tells_how_many_were_masked_dropped_and_unmasked_and_nothing_of_a_site() {
    let told = Arc::new(Mutex::new(String::new()));
    let metrics = Arc::new(Mutex::new(Vec::new()));
    let (text, numbers) = (Arc::clone(&told), Arc::clone(&metrics));
    let runtime = fedavg_runtime(4).drop_out("site-1", "mask").drop_out("site-1", "unmask");
    let runtime = runtime.observe(Arc::new(move |event: &Event| {
        text.lock().unwrap().push_str(&format!("{:?}\n", event.kind));
        if let EventKind::Signal { signal: Signal::Metric { name, value }, .. } = &event.kind {
            numbers.lock().unwrap().push((name.clone(), *value));
        }
    }));
    runtime.run(&joined_flow(&plan(4, Threshold::Count(3))), 2).unwrap();
    let round = [("masked", 3.0), ("dropped", 1.0), ("unmasked", 3.0), ("clipped", 0.0)];
    let round = round.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(*metrics.lock().unwrap(), [round.clone(), round].concat());
    let told = told.lock().unwrap();
    assert!(told.contains("Agg Model Validation Score"), "the means are told");
    assert!(!told.contains("placement: Collaborator") && !told.contains("images"), "a site's own is not");
}

#[test]
fn below_the_threshold_the_run_ends_with_who_is_missing() {
    let runtime = fedavg_runtime(4).drop_out("site-1", "share_keys").drop_out("site-3", "join_sum.mask");
    let error = runtime.run(&joined_flow(&plan(4, Threshold::Count(3))), 1).unwrap_err();
    let RunError::BelowQuorum { addressed: 4, needed: 3, missing, .. } = &error else { panic!("{error}") };
    let names: Vec<_> = missing.iter().map(|missing| missing.participant.as_str()).collect();
    assert_eq!(names, ["site-1", "site-3"]);
}
