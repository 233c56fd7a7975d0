//! What leaves a site of a secure join: the code of an error.

use veilflow_engine::{LocalRuntime, RunError};
use veilflow_secagg::ClientPolicy;
use veilflow_spec::Cause;

use super::support::{Server, Site, flow, runtime};
use crate::support::Recorder;

/// What the run's events say.
fn told(sites: [(u64, f64); 4]) -> (String, Vec<(String, String)>) {
    let recorder = Recorder::new();
    let runtime = LocalRuntime::new().aggregator(Server::new(1)).observe(recorder.clone());
    let sites = ["a", "b", "c", "d"].into_iter().zip(sites);
    let runtime = sites
        .fold(runtime, |runtime, (name, (weight, loss))| runtime.collaborator(name, Site { weight, loss }));
    runtime.run(&flow(), ()).unwrap();
    let missing = recorder.missing().into_iter().map(|(name, cause)| (name.to_string(), cause)).collect();
    (format!("{:?}", recorder.kinds()), missing)
}

#[test]
fn a_flow_with_a_secure_join_is_confidential_without_being_told() {
    assert!(flow().describe().confidential);
    let (told, missing) = told([(3, 0.5), (4, 0.5), (3, 0.5), (4, 0.5)]);
    assert!(!told.contains("patient 17") && !told.contains("placement: Collaborator"), "{told}");
    assert!(told.contains("masked"), "how many are in the sum is told");
    assert_eq!(missing, []);
}

#[test]
fn what_is_clipped_is_summed_and_only_the_number_of_all_clipped_values_is_told() {
    let (told, missing) = told([(3, 1e9), (3, 0.5), (3, 0.5), (3, 0.5)]);
    assert_eq!(missing, []);
    assert!(told.contains("Metric { name: \"clipped\", value: 1.0 }"), "{told}");
    assert_eq!(told.matches("clip").count(), 1, "{told}");
}

#[test]
fn a_sites_own_policy_counts_whatever_the_flow_says() {
    let strict = ClientPolicy::default().with_min_cohort(5);
    let error = runtime(&["a", "b", "c", "d"], 1).policy(strict).run(&flow(), ()).unwrap_err();
    let RunError::BelowQuorum { missing, .. } = &error else { panic!("{error}") };
    let by_policy = |cause: &Cause| matches!(cause, Cause::Failed { text: None, .. });
    assert!(!missing.is_empty() && missing.iter().all(|missing| by_policy(&missing.cause)), "{error}");
}
