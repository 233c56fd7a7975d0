//! Dropouts before each round of the protocol.

use std::sync::{Arc, Mutex};

use veilflow::engine::{Event, EventKind};
use veilflow::prelude::*;
use veilflow::secagg::Threshold;
use veilflow::spec::Signal;

use crate::support::{plan, secure_flow, secure_runtime};

/// The first step of each part of the protocol at a site.
const STEPS: [&str; 6] = [
    "generate_keys",
    "freeze_roster",
    "generate_ciphertexts",
    "decrypt_ciphertexts",
    "check_consistency",
    "reveal_shares",
];

type Metrics = Arc<Mutex<Vec<(String, f64)>>>;

fn run(dropouts: &[(&str, &str)]) -> (Result<usize, RunError>, Vec<(String, f64)>) {
    let plan = plan(4, Threshold::Count(3));
    let metrics = Metrics::default();
    let seen = Arc::clone(&metrics);
    let mut runtime = secure_runtime(&plan).observe(Arc::new(move |event: &Event| {
        if let EventKind::Signal { signal: Signal::Metric { name, value }, .. } = &event.kind {
            seen.lock().unwrap().push((name.clone(), *value));
        }
    }));
    for (name, step) in dropouts {
        runtime = runtime.drop_out(*name, *step);
    }
    let rounds = runtime.run(&secure_flow(&plan), 2).map(|trained| trained.rounds.len());
    let metrics = metrics.lock().unwrap().clone();
    (rounds, metrics)
}

#[test]
fn one_of_four_may_drop_out_at_any_step() {
    let inside = ["train", "local_model_validation"];
    for step in STEPS.into_iter().chain(inside) {
        let (rounds, metrics) = run(&[("site-1", step)]);
        assert_eq!(rounds.unwrap(), 2, "dropped at {step}");
        let expected = if ["check_consistency", "reveal_shares"].contains(&step) {
            [4.0, 0.0, 3.0, 0.0]
        } else {
            [3.0, 1.0, 3.0, 0.0]
        };
        let titles = ["masked", "dropped", "unmasked", "clipped"];
        let round: Vec<_> = titles.into_iter().map(String::from).zip(expected).collect();
        assert_eq!(metrics, [round.clone(), round].concat(), "dropped at {step}");
    }
}

#[test]
fn below_the_threshold_the_run_ends_with_who_is_missing() {
    for step in STEPS {
        let (rounds, metrics) = run(&[("site-1", step), ("site-3", step)]);
        let error = rounds.unwrap_err();
        let RunError::BelowQuorum { arrived, needed: 3, addressed: 4, missing, .. } = &error else {
            panic!("{step}: {error}")
        };
        assert!(*arrived <= 2);
        let names: Vec<_> = missing.iter().map(|missing| missing.participant.as_str()).collect();
        assert_eq!(names, ["site-1", "site-3"], "{step}");
        assert_eq!(metrics, [], "no partial sum is reported");
    }
}

#[test]
fn dropouts_at_different_steps_add_up() {
    let (rounds, _) = run(&[("site-0", "generate_keys"), ("site-2", "reveal_shares")]);
    let error = rounds.unwrap_err();
    assert!(matches!(&error, RunError::BelowQuorum { addressed: 3, needed: 3, .. }), "{error}");
}
