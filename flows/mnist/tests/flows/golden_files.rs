//! The flows' drawings and canonical texts.

#[path = "../../../../runtime/spec/tests/support/golden.rs"]
mod golden;

use crate::support::{fedavg_options, shipped_flow};
use veilflow::cli::{App, Cohort};
use veilflow_mnist::FedavgMnist;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

#[test]
fn secagg_mnist_is_as_it_was() {
    golden::check(FOLDER, &shipped_flow().describe());
}

#[test]
fn fedavg_mnist_is_as_it_was() {
    golden::check(FOLDER, &veilflow_mnist::fedavg_mnist::fedavg_mnist().describe());
}

#[test]
fn fedavg_mnist_with_a_secure_join_is_as_it_was() {
    let options = fedavg_options(&["--secure", "secagg", "--max-weight", "4000"]);
    let flow = FedavgMnist::flow(&options, &Cohort::new(FedavgMnist::collaborators(), 42, 1)).unwrap();
    flow.check().unwrap();
    golden::check(format!("{FOLDER}/secure"), &flow.describe());
}

#[test]
fn the_weights_limit_comes_from_the_data_unless_it_is_said() {
    let cohort = Cohort::new(FedavgMnist::collaborators(), 42, 1);
    let fingerprint =
        |arguments: &[&str]| FedavgMnist::flow(&fedavg_options(arguments), &cohort).unwrap().fingerprint();
    let sample = fingerprint(&["--secure", "secagg"]);
    assert_eq!(
        sample,
        fingerprint(&["--secure", "secagg", "--max-weight", "4000"]),
        "8,000 images, two sites"
    );
    assert_ne!(sample, fingerprint(&["--secure", "secagg", "--max-weight", "4001"]));
    assert_ne!(sample, fingerprint(&["--secure", "secagg", "--threshold", "1.0", "--max-weight", "4000"]));
    assert_eq!(fingerprint(&[]), fingerprint(&["--secure", "off"]));
    let error = FedavgMnist::flow(&fedavg_options(&["--threshold", "2"]), &cohort).unwrap_err();
    assert!(error.to_string().contains("--secure secagg"), "{error}");
}

#[test]
fn the_shipped_flows_pass_their_checks() {
    shipped_flow().check().unwrap();
    veilflow_mnist::fedavg_mnist::fedavg_mnist().check().unwrap();
}
