use std::{num::NonZeroUsize, time::Instant};

use super::*;
use crate::{Layout, NumShares, Parameters, Security, Stage, Threshold};

/// Wall-clock time does where only the counts are looked at.
struct Clock(Instant);

impl Instruments for Clock {
    fn thread_cpu(&self) -> Duration {
        self.0.elapsed()
    }

    fn process_cpu(&self) -> Duration {
        self.0.elapsed()
    }

    fn wire_bytes<M: Serialize>(&self, message: &M) -> u64 {
        let mut bytes = Vec::new();
        ciborium::into_writer(message, &mut bytes).unwrap();
        bytes.len() as u64
    }

    fn entered(&self, _: &str) {}
}

fn simulation(clients: usize, shares: NumShares, threshold: u32, security: Security) -> Simulation {
    let parameters = Parameters::new()
        .with_security(security)
        .with_num_shares(shares)
        .with_reconstruction_threshold(Threshold::Count(threshold));
    Simulation::new(parameters.plan(clients, Layout::new(1, 50)).unwrap())
}

fn run(simulation: Simulation) -> Report {
    simulation.run(&Clock(Instant::now())).unwrap()
}

#[test]
fn the_sum_is_exact_on_every_graph_under_both_securities() {
    let tenth = Security::Malicious { adversaries: 0.1 };
    for (shares, threshold) in [(NumShares::default(), 12), (NumShares::Count(10), 8)] {
        for security in [Security::SemiHonest, tenth] {
            for threads in [1, 3] {
                let simulation = simulation(20, shares, threshold, security)
                    .with_dropouts(0.1, Leaving::BeforeMaskedInput)
                    .with_threads(NonZeroUsize::new(threads).unwrap());
                let report = run(simulation);
                assert!(report.exact, "{shares} {security} {threads}");
                assert_eq!((report.survivors, report.dropped), (18, 2));
                assert!(report.phases.iter().all(|phase| phase.clients >= 18 && phase.upload_bytes > 0));
                assert!(report.client_cpu() > Duration::ZERO && report.unmask_cpu() > Duration::ZERO);
                assert!(report.unmask_cpu() < report.server_cpu());
                assert!(report.client_floor() > Duration::ZERO && report.server_floor() > Duration::ZERO);
            }
        }
    }
}

#[test]
fn clients_leave_after_any_round() {
    let report =
        run(simulation(20, NumShares::default(), 12, Security::SemiHonest)
            .with_dropouts(0.25, Leaving::AnyRound));
    assert!(report.exact);
    let clients: Vec<usize> = report.phases.iter().map(|phase| phase.clients).collect();
    assert_eq!(clients, [20, 19, 18, 17, 16, 15]);
    assert_eq!((report.survivors, report.dropped), (17, 1));
}

#[test]
fn below_the_threshold_there_is_no_sum() {
    let simulation = simulation(10, NumShares::default(), 8, Security::SemiHonest)
        .with_dropouts(0.3, Leaving::BeforeMaskedInput);
    let error = simulation.run(&Clock(Instant::now())).unwrap_err();
    assert!(matches!(
        error,
        crate::Error::BelowThreshold { stage: Stage::MaskedInput, required: 8, got: 7, .. }
    ));
}

#[test]
fn the_floor_is_the_sum_of_its_units() {
    let unit = Duration::from_micros;
    let units = Units {
        stream: unit(1),
        agreement: unit(10),
        sharing: unit(100),
        seal: unit(1_000),
        signature_check: unit(10_000),
        addition: unit(100_000),
        reconstruction: unit(1_000_000),
    };
    let malicious = Security::Malicious { adversaries: 0.0 };
    let [curious, signed] = [Security::SemiHonest, malicious]
        .map(|security| simulation(9, NumShares::default(), 6, security).plan);
    assert_eq!(units.client(&curious.client_cost()), unit(9 + 160 + 200 + 8_000));
    assert_eq!(units.client(&signed.client_cost()), unit(9 + 160 + 200 + 8_000 + 90_000));
    assert_eq!(units.server(&curious.server_cost(1)), unit(800_000 + 16 + 80 + 9_000_000));
}

/// What the plan expects is what happens, on the complete graph, where nothing is left to chance.
#[test]
fn a_session_costs_what_its_plan_says() {
    let simulation = simulation(12, NumShares::default(), 8, Security::SemiHonest);
    let report = run(simulation.with_dropouts(0.2, Leaving::BeforeMaskedInput));
    assert_eq!(report.server_cost, simulation.plan.server_cost(2));
    assert_eq!(report.largest_upload_bytes, simulation.plan.upload().total());
}

/// Such as a graph that holds against a curious server only: a benchmark measures it all the same.
#[test]
fn a_plan_that_a_run_would_refuse_is_measured() {
    for security in [Security::SemiHonest, Security::default()] {
        let parameters = Parameters::new().with_security(security).with_num_shares(NumShares::Count(6));
        let (plan, refused) = parameters.plan_unchecked(30, Layout::new(1, 50)).unwrap();
        assert!(refused.is_some(), "{security}");
        assert!(run(Simulation::new(plan)).exact, "{security}");
    }
}
