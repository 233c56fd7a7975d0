//! A session that fails before anything is masked is started again, without those it lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use veilflow_engine::{EventKind, LocalRuntime, RunError, SecAgg};
use veilflow_secagg::{ClientPolicy, NumShares, Parameters, Security};
use veilflow_spec::Flow;

use super::support::{Server, Site, Told, runtime};
use crate::support::Recorder;

const SITES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// The steps of the setup at a site.
const SETUP: [&str; 3] = ["generate_keys", "freeze_roster", "share_keys"];

/// Nobody is assumed to help the server, so that a sum of few is possible: five of six must answer, or three of four.
const SECURITY: Security = Security::Malicious { adversaries: 0.0 };

fn flow(quorum: usize, attempts: u32) -> Flow<Server, Site, (), Vec<Told>> {
    let parameters = Parameters::new().with_max_weight(10).with_security(SECURITY);
    let secagg = SecAgg::new(parameters).with_attempts(attempts);
    Flow::new("restarting", 1)
        .start(Server::start)
        .repeat(|round| round.foreach(Site::train).quorum(quorum).secure_join(secagg, Server::average))
        .end()
}

fn sites(rounds: u32, dropouts: &[(&str, &str)]) -> LocalRuntime<Server, Site> {
    let runtime = runtime(&SITES, rounds).policy(ClientPolicy::default().with_min_security(SECURITY));
    dropouts.iter().fold(runtime, |runtime, (name, step)| runtime.drop_out(*name, *step))
}

/// The number of each attempt after the first, and whom it did without.
type Restarts = Vec<(u32, Vec<String>)>;

/// How it ended, whom each restart did without, and how often each step ran at the sites.
fn run(
    flow: &Flow<Server, Site, (), Vec<Told>>,
    runtime: LocalRuntime<Server, Site>,
) -> (Result<Vec<Told>, RunError>, Restarts, BTreeMap<String, usize>) {
    let (told, at_sites) = (Recorder::new(), Recorder::new());
    let outcome = runtime.observe(told.clone()).observe_sites(Arc::clone(&at_sites) as _).run(flow, ());
    let restarts = told.kinds().into_iter().filter_map(|kind| match kind {
        EventKind::Restarted { attempt, missing, .. } => {
            Some((attempt, missing.iter().map(|missing| missing.participant.to_string()).collect()))
        }
        _ => None,
    });
    let mut steps = BTreeMap::new();
    for kind in at_sites.kinds() {
        if let EventKind::StepFinished { origin, .. } = kind {
            *steps.entry(origin.step.to_string()).or_default() += 1;
        }
    }
    (outcome, restarts.collect(), steps)
}

#[test]
fn below_the_threshold_of_a_setup_those_who_are_left_start_again_and_train_once() {
    for step in SETUP {
        let (outcome, restarts, steps) = run(&flow(3, 3), sites(2, &[("b", step), ("e", step)]));
        for told in outcome.unwrap() {
            assert_eq!(told.survivors.iter().map(|name| name.as_str()).collect::<String>(), "acdf", "{step}");
            assert_eq!(told.mean.weight, 1 + 3 + 4 + 6, "{step}");
            let missing = format!("b: dropped out before step `average.{step}` (simulated)");
            assert_eq!((told.missing.len(), &told.missing[0]), (2, &missing));
        }
        let lost = (1, vec!["b".to_owned(), "e".to_owned()]);
        assert_eq!(restarts, [lost.clone(), lost], "{step}: once a round");
        assert_eq!((steps["train"], steps["average.mask"]), (2 * 4, 2 * 4), "{step}");
    }
}

#[test]
fn a_neighbourhood_of_a_sparse_graph_that_is_below_its_threshold_starts_the_session_again() {
    let parameters = Parameters::new().with_max_weight(100).with_security(Security::SemiHonest);
    let secagg = SecAgg::plus(parameters);
    let flow: Flow<Server, Site, (), Vec<Told>> = Flow::new("sparse", 1)
        .start(Server::start)
        .repeat(|round| round.foreach(Site::train).quorum(20).secure_join(secagg, Server::average))
        .end();
    let names: Vec<String> = (0..100).map(|i| format!("site-{i:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // So many are gone that of some site too few neighbours are left, although far more than the threshold are there.
    let gone = names.iter().take(70);
    let policy = ClientPolicy::default().with_min_security(Security::SemiHonest);
    let sites =
        gone.fold(runtime(&names, 1).policy(policy), |sites, name| sites.drop_out(*name, "share_keys"));
    let (outcome, restarts, steps) = run(&flow, sites);
    let told = outcome.unwrap().remove(0);
    assert_eq!((told.survivors.len(), told.missing.len()), (30, 70));
    assert_eq!((restarts.len(), restarts[0].1.len(), steps["train"]), (1, 70, 30));
}

#[test]
fn of_a_sparse_graph_that_could_have_been_chosen_another_is_drawn_without_those_who_were_left_out() {
    let parameters = Parameters::new().with_max_weight(100).with_security(SECURITY).with_dropouts(0.0);
    let secagg = SecAgg::new(parameters.with_num_shares(NumShares::Count(4)));
    let flow: Flow<Server, Site, (), Vec<Told>> = Flow::new("sparse", 1)
        .start(Server::start)
        .repeat(|round| round.foreach(Site::train).quorum(20).secure_join(secagg, Server::average))
        .end();
    let names: Vec<String> = (0..60).map(|i| format!("site-{i:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let sites = runtime(&names, 1).policy(ClientPolicy::default().with_min_security(SECURITY));
    let sites = sites.drop_out("site-07", "freeze_roster").drop_out("site-21", "freeze_roster");
    let (outcome, restarts, steps) = run(&flow, sites);
    assert_eq!(outcome.unwrap()[0].survivors.len(), 58);
    assert_eq!(restarts, [(1, vec!["site-07".to_owned(), "site-21".to_owned()])]);
    assert_eq!(steps["train"], 58);
}

#[test]
fn after_so_many_attempts_the_error_names_all_who_are_missing() {
    let dropouts =
        [("a", "generate_keys"), ("b", "generate_keys"), ("c", "freeze_roster"), ("d", "freeze_roster")];
    // Six, then four, then two: fewer than may be in a sum.
    let (outcome, restarts, steps) = run(&flow(1, 3), sites(1, &dropouts));
    let error = outcome.unwrap_err();
    let RunError::BelowQuorum { missing, addressed: 6, needed: 3, arrived: 2, .. } = &error else {
        panic!("{error}")
    };
    let names: Vec<_> = missing.iter().map(|missing| missing.participant.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert_eq!((restarts.len(), steps.get("train")), (1, None));
    let (outcome, restarts, steps) = run(&flow(1, 1), sites(1, &dropouts[..2]));
    assert_eq!(outcome.unwrap_err().code(), "below-quorum");
    assert_eq!((restarts, steps.get("train")), (vec![], None), "one attempt is one attempt");
}

#[test]
fn a_restart_goes_not_below_the_flows_own_quorum() {
    let dropouts = [("b", "share_keys"), ("e", "share_keys")];
    let (outcome, restarts, steps) = run(&flow(5, 3), sites(1, &dropouts));
    let error = outcome.unwrap_err();
    assert!(matches!(&error, RunError::BelowQuorum { needed: 5, addressed: 6, .. }), "{error}");
    assert_eq!((restarts, steps.get("train")), (vec![], None));
}

#[test]
fn when_inputs_are_masked_a_session_completes_or_fails_and_nothing_is_trained_again() {
    for step in ["mask", "check_consistency", "unmask"] {
        let (outcome, restarts, steps) = run(&flow(3, 3), sites(1, &[("b", step), ("e", step)]));
        let error = outcome.unwrap_err();
        let RunError::BelowQuorum { missing, .. } = &error else { panic!("{step}: {error}") };
        let names: Vec<_> = missing.iter().map(|missing| missing.participant.as_str()).collect();
        assert_eq!(names, ["b", "e"], "{step}");
        // Whoever still works when the quorum is out of reach is told to stop.
        assert!(restarts.is_empty() && (2..=6).contains(&steps["train"]), "{step}: {steps:?}");
    }
}
