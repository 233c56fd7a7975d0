//! Rows 10, 12 and 14: who is in the sum, who came too late, and who is heard.

use serde_json::json;
use veilflow_secagg::*;

use super::{STAY, confirm, four};
use crate::common::{Cohort, Last, tamper};

// Row 10: small cohorts.

#[test]
fn row_10_a_site_refuses_a_plan_below_its_policy() {
    let plan = |threshold, clients| {
        let threshold = Threshold::Count(threshold);
        let parameters = Parameters::new().with_min_cohort(2).with_reconstruction_threshold(threshold);
        parameters.with_security(Security::SemiHonest).plan(clients, Layout::new(0, 1)).unwrap()
    };
    let policy = ClientPolicy::default().with_min_security(Security::SemiHonest);
    let error = Client::new("a", plan(2, 2), policy).unwrap_err();
    let stage = Stage::AdvertiseKeys;
    assert_eq!(error, Error::CohortTooSmall { stage, minimum: 3, got: 2, missing: vec![] });
    let error = Client::new("a", plan(2, 4), policy.with_min_threshold(3)).unwrap_err();
    assert_eq!(error, Error::ThresholdBelowPolicy { client: "a".into(), minimum: 3, got: 2 });
    Client::new("a", plan(2, 2), policy.with_min_cohort(2)).unwrap();
    assert_eq!(Client::new("", plan(2, 3), policy).unwrap_err().code(), "invalid-name");
}

/// The server's minimum is 2, the sites' is 4: whatever the server goes on with, they do not.
#[test]
fn row_10_clients_enforce_their_minimum_on_the_roster_on_u2_and_on_u3() {
    let cohort = |last: &[Last]| {
        let mut cohort = Cohort::of(4, 2);
        cohort.policy = cohort.policy.with_min_cohort(4);
        let missing = cohort.lost(last, Last::Nothing, Last::Unmasks);
        (cohort.run(last).unwrap_err(), missing)
    };
    let small = |stage, missing| Error::CohortTooSmall { stage, minimum: 4, got: 3, missing };
    for (leave, stage) in [
        (Last::Nothing, Stage::FreezeRoster),
        (Last::AdvertisesKeys, Stage::FreezeRoster),
        (Last::FreezesRoster, Stage::ShareKeys),
        (Last::SharesKeys, Stage::MaskedInput),
    ] {
        let (error, missing) = cohort(&[Last::Unmasks, leave, Last::Unmasks, Last::Unmasks]);
        // Who was never in the roster is nobody that a client could name.
        let missing = if leave == Last::Nothing { vec![] } else { missing };
        assert_eq!(error, small(stage, missing));
        assert!(error.culprits().is_empty());
    }
}

#[test]
fn row_10_a_client_counts_the_survivors_itself() {
    let mut cohort = four();
    let (server, mut clients) = cohort.masked(&STAY).unwrap();
    let (_, survivors) = server.announce(cohort.model).unwrap();
    let me = cohort.names[0].clone();
    let alone = tamper(&survivors, |v| v["survivors"] = json!([me]));
    let missing = cohort.names[1..].iter().cloned().collect::<std::collections::BTreeSet<_>>();
    let error = clients.remove(&0).unwrap().check_consistency(&alone, &mut MemoryJournal::new()).unwrap_err();
    let missing = missing.into_iter().collect();
    assert_eq!(error, Error::BelowThreshold { stage: Stage::MaskedInput, required: 3, got: 1, missing });
}

// Row 12: a late input.

/// The server has everything that a session gives it about a dropout (its masking key, hence all pair masks) and the
/// input that came too late. What is left is the input under PRG(b), and no answer contains a share of that `b`.
#[test]
fn row_12_no_answer_opens_the_seed_of_a_dropout() {
    let mut cohort = four();
    let (mut server, clients) = cohort.receive(&STAY).unwrap();
    let (mut late, mut unmaskers) = (None, Vec::new());
    for (i, client) in clients {
        let (client, message) = cohort.mask(i, client, cohort.model).unwrap();
        if i == 1 {
            late = Some((client, message));
        } else {
            server.receive(&cohort.names[i], message).unwrap();
            unmaskers.push((i, client));
        }
    }
    let (server, survivors) = server.announce(cohort.model).unwrap();
    let dropped = cohort.names[1].clone();
    assert_eq!(server.dropped().collect::<Vec<_>>(), [dropped.as_str()]);
    let (mut server, unmaskers, signatures) = confirm(&cohort, (server, survivors.clone()), unmaskers);
    for (i, client) in unmaskers {
        let answer = client.unmask(&signatures).unwrap();
        // Three seeds, and the server finds each to be the one of a client that arrived.
        assert_eq!(serde_json::to_value(&answer).unwrap()["seeds"].as_array().unwrap().len(), 3);
        server.receive(&cohort.names[i], answer).unwrap();
    }
    // Nor does the late client itself help, with its answer or with anything else.
    let (client, _) = late.unwrap();
    let error = client.check_consistency(&survivors, &mut MemoryJournal::new()).unwrap_err();
    assert_eq!(error, Error::NotASurvivor { client: dropped.clone() });
    let last = [Last::Unmasks, Last::SharesKeys, Last::Unmasks, Last::Unmasks];
    assert_eq!(server.aggregate().unwrap(), cohort.plain(&last));
}

// Row 14 is in session.rs. Here: nothing partial comes out, and a strange sender changes nothing.

#[test]
fn row_14_only_those_of_a_round_are_heard_in_it() {
    let mut cohort = four();
    let unknown = |stage, name: &str| Error::UnknownSender { stage, name: name.into() };
    let (mut server, clients) =
        cohort.advertise(&[Last::Unmasks, Last::Nothing, Last::Unmasks, Last::Unmasks]);
    assert_eq!(server.missing().collect::<Vec<_>>(), [cohort.names[1].as_str()]);
    let (_, message) = cohort.client(0).advertise_keys(cohort.session, &mut MemoryJournal::new()).unwrap();
    assert_eq!(server.receive("mallory", message), Err(unknown(Stage::AdvertiseKeys, "mallory")));
    let (mut server, roster) = server.freeze().unwrap();
    let absent = cohort.names[1].clone();
    for (_, client) in clients {
        let (_, message) = client.freeze_roster(&roster).unwrap();
        assert_eq!(server.receive(&absent, message), Err(unknown(Stage::FreezeRoster, &absent)));
    }
    assert_eq!(server.received().count(), 0);
    assert_eq!(server.missing().count(), 3);
}
