//! Differential privacy in whole sessions: what a site spends, what it refuses, and who has to be in a sum.

use std::sync::Arc;

use veilflow_secagg::*;

use crate::common::{Cohort, Last, identity_of};

const PRIVACY: (f64, f64, f64) = (1.0, 2.0, 1e-5);

fn private(parameters: Parameters) -> Parameters {
    let (norm, noise, delta) = PRIVACY;
    parameters.with_privacy(Privacy::new(norm, noise, delta)).with_min_cohort(2).with_dropouts(0.0)
}

/// 3 participants, t = 2, who trust the server.
fn cohort() -> Cohort {
    let parameters = private(Parameters::new().with_security(Security::SemiHonest));
    let parameters = parameters.with_reconstruction_threshold(Threshold::Count(2));
    Cohort::new(parameters.plan(3, Layout::new(1, 5)).unwrap())
}

/// Round 2 charges, however the session ends; nothing else does.
#[test]
fn every_session_that_sent_a_masked_input_is_charged() {
    let mut cohort = cohort();
    let cost = cohort.plan.privacy_cost(1).unwrap();
    let sessions =
        |cohort: &Cohort| cohort.journals.iter().map(|j| j.privacy().sessions()).collect::<Vec<_>>();
    let run = |cohort: &mut Cohort, last: [Last; 3]| {
        cohort.session = cohort.session.with_round(cohort.session.round() + 1);
        cohort.model = ModelDigest::of_f32(&[cohort.session.round() as f32]);
        // Another round trains another input.
        cohort.run(&last)
    };
    cohort.policy = cohort.policy.with_allow_remasking(true);
    run(&mut cohort, [Last::FreezesRoster; 3]).unwrap_err();
    assert_eq!(sessions(&cohort), [0, 0, 0]);
    let aggregate = run(&mut cohort, [Last::Unmasks; 3]).unwrap();
    assert_eq!(aggregate.privacy(), Some(cost));
    assert_eq!(sessions(&cohort), [1, 1, 1]);
    // One is gone before it masks; of the two others one never answers, so that there is no sum.
    run(&mut cohort, [Last::Unmasks, Last::MasksInput, Last::FreezesRoster]).unwrap_err();
    assert_eq!(sessions(&cohort), [2, 2, 1]);
    assert_eq!(cohort.journals[0].privacy().rho(), 2.0 * cost.rho());
    assert_eq!(cohort.journals[0].privacy().total(1e-5), cohort.plan.privacy_cost(2).unwrap());
}

/// A site's budget is the site's: it ends its part before a session costs anything, and in it.
#[test]
fn a_site_spends_no_more_than_its_policy_allows() {
    let mut cohort = cohort();
    let [one, two] = [1, 2].map(|sessions| cohort.plan.privacy_cost(sessions).unwrap().epsilon());
    cohort.policy = cohort.policy.with_max_epsilon((one + two) / 2.0);
    cohort.run(&[Last::Unmasks; 3]).unwrap();
    cohort.session = cohort.session.with_round(2);
    let error = cohort.client(0).advertise_keys(cohort.session, &mut cohort.journals[0].clone()).unwrap_err();
    let expected = Error::PrivacyBudgetSpent { max: (one + two) / 2.0, epsilon: two, delta: 1e-5 };
    assert_eq!(error, expected);
    // The budget goes in the middle of a session, to one beside it: nothing is masked.
    let journals = std::mem::replace(&mut cohort.journals, vec![MemoryJournal::new(); 3]);
    let (_, mut ready) = cohort.receive(&[Last::Unmasks; 3]).unwrap();
    cohort.journals = journals;
    let error = cohort.mask(0, ready.remove(&0).unwrap(), cohort.model).unwrap_err();
    assert_eq!(error, expected);
    assert_eq!(cohort.journals[0].privacy().sessions(), 1);
}

#[test]
fn a_site_with_a_budget_takes_part_in_private_sessions_only() {
    let parameters = Parameters::new().with_security(Security::SemiHonest);
    let plan = parameters.plan(3, Layout::new(1, 5)).unwrap();
    let policy = ClientPolicy::default().with_min_security(Security::SemiHonest).with_max_epsilon(3.0);
    let error = Client::new("a", plan, policy).unwrap_err();
    assert_eq!(error, Error::PrivacyMissing { client: "a".into() });
    Client::new("a", cohort().plan, policy.with_min_cohort(2)).unwrap();
}

/// Seven participants, t = 6 and two that may work for the server: four shares of noise are counted on. A site that
/// pins the keys of eleven assumes three, and with six survivors only three shares would be left.
#[test]
fn a_site_counts_again_whether_survivors_add_enough_noise() {
    let parameters = private(Parameters::new().with_security(Security::Malicious { adversaries: 2.0 / 7.0 }));
    let parameters = parameters.with_reconstruction_threshold(Threshold::Count(6));
    let plan = parameters.plan(7, Layout::new(0, 3)).unwrap();
    let mut last = [Last::Unmasks; 7];
    last[4] = Last::SharesKeys;
    Cohort::new(plan).run(&last).unwrap();

    let mut enrolled = Cohort::new(plan);
    for i in 0..4 {
        let name = format!("not invited {i}");
        enrolled.keys.insert(name.clone(), Arc::clone(&identity_of(&name)));
    }
    let missing = vec![enrolled.names[4].clone()];
    let error = enrolled.run(&last).unwrap_err();
    let expected = Error::TooLittleNoise { stage: Stage::MaskedInput, minimum: 7, got: 6, missing };
    assert_eq!(error, expected);
    assert!(error.culprits().is_empty() && error.to_string().contains(&enrolled.names[4]), "{error}");
    enrolled.journals = vec![MemoryJournal::new(); 7];
    enrolled.run(&[Last::Unmasks; 7]).unwrap();
}

/// The weight is neither needed nor told.
#[test]
fn weights_stay_at_the_sites() {
    let mut cohort = cohort();
    for (data, weight) in cohort.data.iter_mut().zip([1, 500, 1000]) {
        data.weight = weight;
        data.scalars = vec![weight as f64 / 1000.0];
        data.vector.fill(0.0);
    }
    let aggregate = cohort.run(&[Last::Unmasks; 3]).unwrap();
    assert_eq!(aggregate.total_weight(), 3);
    assert!((aggregate.scalars()[0] - 0.5003).abs() < aggregate.max_error());
}
