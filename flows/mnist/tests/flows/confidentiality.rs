//! What the aggregator and its log are told of a site.

use std::sync::{Arc, Mutex};

use veilflow::engine::Event;
use veilflow::prelude::*;
use veilflow::secagg::Threshold;

use crate::support::{plan, secure_flow, secure_runtime};

#[test]
fn nothing_that_a_step_reports_at_a_site_is_in_the_runs_events() {
    let plan = plan(3, Threshold::default());
    let told = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&told);
    let runtime = secure_runtime(&plan).observe(Arc::new(move |event: &Event| {
        seen.lock().unwrap().push_str(&format!("{:?}\n", event.kind));
    }));
    runtime.run(&secure_flow(&plan), 1).unwrap();
    let told = told.lock().unwrap();
    assert!(told.contains("Agg Model Validation Score"), "the means are told");
    assert!(!told.contains("images"), "how many images a site has is not");
    assert!(!told.contains("placement: Collaborator"), "nor is anything else from inside a site's task");
}

#[test]
fn the_flow_is_confidential_and_its_plain_twin_is_not() {
    let secure = secure_flow(&plan(3, Threshold::default()));
    assert!(secure.describe().confidential);
    assert!(!veilflow_mnist::fedavg_mnist::fedavg_mnist().describe().confidential);
}

/// A site's own policy counts, whatever the aggregator's plan says.
#[test]
fn sites_refuse_a_cohort_that_is_smaller_than_their_policy() {
    use veilflow::secagg::{Layout, Parameters};
    use veilflow_mnist::secure_aggregation_mnist::{SCALARS, Server, Site};
    use veilflow_mnist::{Cnn, Hyperparameters, LocalTraining, MnistData};

    let parameters = Parameters::new().with_min_cohort(2).with_max_weight(100);
    let plan = parameters.plan(2, Layout::new(SCALARS, Cnn::PARAMETERS)).unwrap();
    let server = Server::new(Cnn::new(0).unwrap().to_flat().unwrap(), plan).unwrap();
    let runtime = LocalRuntime::new().aggregator(server).collaborators(["a", "b"], |_| {
        let data = MnistData::sample()?.limited(Some(20), Some(10))?;
        let hyperparameters = Hyperparameters { batch_size: 10, learning_rate: 0.01, momentum: 0.5 };
        Ok(Site::new(LocalTraining::new(data, hyperparameters)?))
    });
    let error = runtime.run(&secure_flow(&plan), 1).unwrap_err();
    assert!(matches!(error, RunError::BelowQuorum { .. }));
    let text = error.to_string();
    assert!(text.contains("stays at the site"), "{text}");
}
