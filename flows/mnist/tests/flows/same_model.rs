//! Both flows train the same model.

use veilflow::secagg::Threshold;
use veilflow_mnist::TrainedModel;

use crate::support::{TEST, TRAIN, plan, run_plain, run_secure, secure_flow, secure_runtime};

fn largest_difference(one: &TrainedModel, other: &TrainedModel) -> f64 {
    let pairs = one.to_flat().into_iter().zip(other.to_flat());
    pairs.map(|(one, other)| f64::from((one - other).abs())).fold(0.0, f64::max)
}

#[test]
fn a_round_differs_from_the_plain_mean_by_no_more_than_the_plan_states() {
    for sites in [2, 3] {
        let (secure, plain) = (run_secure(sites, 1), run_plain(sites, 1));
        let bound = plan(sites, Threshold::default()).max_error_of_mean(sites, TRAIN as u64);
        let difference = largest_difference(&secure, &plain);
        // Parameters are below 1, so the sum of parameter and mean is rounded by less than 2^-24.
        assert!(difference <= bound + f64::from(f32::EPSILON), "{sites} sites: {difference} > {bound}");
        assert!(difference > 0.0, "quantization leaves a trace");
    }
}

#[test]
fn after_two_rounds_the_scores_agree_to_one_image_in_a_thousand() {
    let (secure, plain) = (run_secure(2, 2), run_plain(2, 2));
    assert_eq!((secure.rounds.len(), plain.rounds.len()), (2, 2));
    // Of fewer than a thousand test images, one may fall on the other side.
    let tolerance = 0.001_f64.max(1.0 / TEST as f64) + 1e-9;
    for (secure, plain) in secure.rounds.iter().zip(&plain.rounds) {
        assert!((secure.aggregated_model - plain.aggregated_model).abs() <= tolerance);
        assert!((secure.local_model - plain.local_model).abs() <= tolerance);
        assert!((secure.train_loss - plain.train_loss).abs() <= 0.001);
    }
}

#[test]
fn a_seed_fixes_the_model_to_the_last_bit_on_any_number_of_threads() {
    let plan = plan(3, Threshold::default());
    let run = |threads| secure_runtime(&plan).threads(threads).run(&secure_flow(&plan), 2).unwrap();
    assert_eq!(run(1), run(4), "keys and masks differ, the sum does not");
}

#[test]
fn ten_sites_train_one_model() {
    let trained = run_secure(10, 1);
    assert!(trained.to_flat().iter().all(|parameter| parameter.is_finite()));
    assert!(largest_difference(&trained, &run_plain(10, 1)) < 1e-4);
}
