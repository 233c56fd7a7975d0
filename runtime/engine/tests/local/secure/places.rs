//! What is a site's own: its identity, its policy, its journal.

use veilflow_engine::{LocalRuntime, RunError, SecAgg, SiteJournal};
use veilflow_secagg::{ClientPolicy, Identities, IdentityKey, Parameters, Security};
use veilflow_spec::{Cause, Flow};

use super::support::{Server, Site, Told, flow, runtime};
use crate::support::Recorder;

const SITES: [&str; 4] = ["a", "b", "c", "d"];

fn joined(secagg: SecAgg, quorum: usize) -> Flow<Server, Site, (), Vec<Told>> {
    Flow::new("joined", 1)
        .start(Server::start)
        .repeat(|round| round.foreach(Site::train).quorum(quorum).secure_join(secagg, Server::average))
        .end()
}

/// The codes for which sites refused, once each.
fn refusals(
    runtime: LocalRuntime<Server, Site>,
    flow: &Flow<Server, Site, (), Vec<Told>>,
) -> (bool, Vec<String>) {
    let recorder = Recorder::new();
    let completed = runtime.observe(recorder.clone()).run(flow, ()).is_ok();
    let codes = recorder.kinds().into_iter().filter_map(|kind| match kind {
        veilflow_engine::EventKind::Dropped { missing, .. } => match missing.cause {
            Cause::Failed { code, text: None, .. } => Some(code),
            other => panic!("{other}"),
        },
        _ => None,
    });
    let mut codes: Vec<_> = codes.collect();
    codes.dedup();
    (completed, codes)
}

#[test]
fn sites_take_part_for_a_curious_server_only_if_their_policy_says_so() {
    let trusting = SecAgg::new(Parameters::new().with_max_weight(10).with_security(Security::SemiHonest));
    let flow = joined(trusting, 3);
    let refused = (false, vec!["security-below-policy".to_owned()]);
    assert_eq!(refusals(runtime(&SITES, 1), &flow), refused);
    let policy = ClientPolicy::default().with_min_security(Security::SemiHonest);
    assert_eq!(refusals(runtime(&SITES, 1).policy(policy), &flow), (true, vec![]));
    // A site that trusts the server takes part in a stricter session too.
    assert_eq!(refusals(runtime(&SITES, 1).policy(policy), &super::support::flow()), (true, vec![]));
}

#[test]
fn a_site_whose_key_nobody_pinned_takes_no_part() {
    let keys: Vec<_> = SITES.iter().map(|_| IdentityKey::generate().unwrap()).collect();
    let public = || SITES.iter().zip(&keys).map(|(name, key)| (*name, key.public()));
    let enrolled = || {
        let runtime = runtime(&SITES, 1).identities(Identities::new(public()));
        SITES.iter().zip(&keys).fold(runtime, |runtime, (name, key)| runtime.identity(*name, key.clone()))
    };
    assert_eq!(refusals(enrolled(), &flow()), (true, vec![]));
    let stranger = enrolled().identity("b", IdentityKey::generate().unwrap());
    assert_eq!(refusals(stranger, &flow()), (true, vec!["own-identity-unknown".to_owned()]));
    // Ten enrolled, of whom three may help the server: too many for a roster of four.
    let many = enrolled().identities(Identities::new(public()).with_enrolled(10));
    let (completed, codes) = refusals(many, &flow());
    assert!(!completed && codes.iter().any(|code| code == "too-many-adversaries"), "{codes:?}");
    let error =
        runtime(&SITES, 1).identity("z", IdentityKey::generate().unwrap()).run(&flow(), ()).unwrap_err();
    assert_eq!(error.code(), "unknown-collaborator");
}

#[test]
fn a_journal_that_outlasts_a_run_keeps_an_input_from_being_masked_in_a_second_one() {
    let journals: Vec<_> = SITES.iter().map(|_| SiteJournal::default()).collect();
    let kept = || {
        let journals = SITES.iter().zip(&journals);
        journals.fold(runtime(&SITES, 1), |runtime, (name, journal)| runtime.journal(*name, journal.clone()))
    };
    assert_eq!(refusals(kept(), &flow()), (true, vec![]));
    assert_eq!(refusals(kept(), &flow()), (false, vec!["input-already-masked".to_owned()]));
    assert_eq!(refusals(runtime(&SITES, 1), &flow()), (true, vec![]), "a fresh journal knows of nothing");
}

#[test]
fn a_sites_limits_count_over_the_rounds_of_a_run() {
    let two_rounds = |policy| refusals(runtime(&SITES, 2).policy(policy), &flow());
    assert_eq!(two_rounds(ClientPolicy::default().with_max_rounds(2)), (true, vec![]));
    let one = ClientPolicy::default().with_max_rounds(1);
    assert_eq!(two_rounds(one), (false, vec!["too-many-rounds".to_owned()]));
    assert_eq!(two_rounds(ClientPolicy::default().with_fixed_cohort(true)), (true, vec![]));
}

#[test]
fn two_sites_need_an_explicit_choice_of_both_sides() {
    let pair = SecAgg::new(Parameters::new().with_max_weight(10).with_min_cohort(2));
    let flow = joined(pair, 2);
    let sites = || runtime(&SITES[..2], 1);
    assert_eq!(refusals(sites(), &flow), (false, vec!["cohort-too-small".to_owned()]));
    let agreed = sites().policy(ClientPolicy::default().with_min_cohort(2));
    assert_eq!(agreed.run(&flow, ()).unwrap()[0].mean.weight, 3);
    let three = joined(SecAgg::new(Parameters::new().with_max_weight(10)), 2);
    let error = sites().run(&three, ()).unwrap_err();
    assert!(matches!(&error, RunError::SecureJoin { .. }) && error.code() == "too-few-clients", "{error}");
}
