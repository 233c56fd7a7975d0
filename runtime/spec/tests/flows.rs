//! Whole flows: they compile as a user writes them, run, and are drawn as the golden files say.

extern crate veilflow_spec as veilflow;

#[path = "support/everything.rs"]
mod everything;
#[path = "support/golden.rs"]
mod golden;
#[path = "support/walk.rs"]
mod walk;

use crate::everything::{Options, Summary, everything};

include!("support/fedavg.rs");

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

#[test]
fn the_first_program_compiles_and_runs_as_it_stands() {
    let sites =
        [("Bengaluru", Site { readings: vec![1.0] }), ("Portland", Site { readings: vec![2.0, 4.0] })];
    let model = walk::run(&fedavg(), Server { model: 0.0, rounds_left: 0 }, sites, 10).unwrap();
    // Each round goes half the way to the mean of the sites' means, 2.
    assert_eq!(model, 2.0 * (1.0 - 0.5_f64.powi(10)));
}

#[test]
fn the_first_program_is_drawn_as_it_was() {
    golden::check(GOLDEN, &fedavg().describe());
}

#[test]
fn a_flow_with_everything_runs() {
    let site = |examples| everything::Site { examples };
    let sites = [("Bengaluru", site(100)), ("Portland", site(300)), ("Turin", site(1))];
    let summary = walk::run(&everything(), everything::Server::default(), sites, Options { rounds: 3 });
    let expected = Summary { accepted: true, sites: vec!["Bengaluru".into(), "Portland".into()] };
    assert_eq!(summary.unwrap(), expected);
}

#[test]
fn a_flow_with_everything_is_drawn_as_it_was() {
    golden::check(GOLDEN, &everything().describe());
}
