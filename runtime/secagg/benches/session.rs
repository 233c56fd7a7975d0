//! Whole sessions against their floor: the configurations that the project sets itself goals for.
//!
//! `cargo bench -p veilflow-secagg --bench session` prints, for each, what a client and the server took in one thread as a
//! multiple of the floor that is measured in the same run; `veilflow bench secagg` does so for any parameters. The goals
//! are 1.25 for a client and 1.3 for the server. A name or a part of one as argument selects.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark reports on stdout")]

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::Serialize;
use veilflow_secagg::{
    Layout, NumShares, Parameters, Security, Threshold,
    simulation::{Instruments, Leaving, Simulation},
};

/// Name, clients, shares and threshold where not all share with all, adversaries where they are malicious, vector.
type Goal = (&'static str, usize, Option<(u32, u32)>, Option<f64>, usize);

const GOALS: [Goal; 4] = [
    ("complete-100", 100, None, None, 100_000),
    ("sparse-500", 500, Some((58, 38)), None, 100_000),
    ("sparse-1000", 1000, Some((68, 44)), None, 1_000_000),
    ("malicious-500", 500, Some((168, 129)), Some(0.2), 100_000),
];

struct Linux;

impl Instruments for Linux {
    fn thread_cpu(&self) -> Duration {
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
    }

    fn process_cpu(&self) -> Duration {
        clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).unwrap().into()
    }

    fn wire_bytes<M: Serialize>(&self, message: &M) -> u64 {
        let mut bytes = Vec::new();
        ciborium::into_writer(message, &mut bytes).unwrap();
        bytes.len() as u64
    }

    fn entered(&self, _: &str) {}
}

fn main() {
    // Cargo adds flags of its own.
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    for goal in GOALS.iter().filter(|(name, ..)| is_wanted(name)) {
        for dropouts in [0.0, 0.1] {
            measure(goal, dropouts);
        }
    }
}

fn measure(&(name, clients, sparse, adversaries, vector): &Goal, dropouts: f64) {
    let security =
        adversaries.map_or(Security::SemiHonest, |adversaries| Security::Malicious { adversaries });
    let mut parameters = Parameters::new().with_security(security);
    if let Some((shares, threshold)) = sparse {
        parameters = parameters
            .with_num_shares(NumShares::Count(shares))
            .with_reconstruction_threshold(Threshold::Count(threshold));
    }
    let (plan, refused) = parameters.plan_unchecked(clients, Layout::new(0, vector)).unwrap();
    let simulation = Simulation::new(plan).with_dropouts(dropouts, Leaving::BeforeMaskedInput);
    let report = simulation.run(&Linux).unwrap();
    assert!(report.exact, "{name}");
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let ratio = |measured: Duration, floor: Duration| measured.as_secs_f64() / floor.as_secs_f64();
    println!(
        "{name:<14} {:>3.0} % dropouts: client {:>7.1} ms, {:.2} of its floor; server {:>8.1} ms, {:.2} of its floor, \
         unmasking {:>8.1} ms; upload {} bytes",
        dropouts * 100.0,
        ms(report.client_cpu()),
        ratio(report.client_cpu(), report.client_floor()),
        ms(report.server_cpu()),
        ratio(report.server_cpu(), report.server_floor()),
        ms(report.unmask_cpu()),
        report.largest_upload_bytes,
    );
    if let Some(refused) = refused {
        println!("{:<14} a run would refuse these parameters: {refused}", "");
    }
}
