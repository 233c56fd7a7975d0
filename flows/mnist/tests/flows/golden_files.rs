//! The flows' drawings and canonical texts.

#[path = "../../../../runtime/spec/tests/support/golden.rs"]
mod golden;

use crate::support::shipped_flow;

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
fn the_shipped_flows_pass_their_checks() {
    shipped_flow().check().unwrap();
    veilflow_mnist::fedavg_mnist::fedavg_mnist().check().unwrap();
}
