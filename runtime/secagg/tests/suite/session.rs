//! Whole sessions: the secure sum is the plain sum of the survivors, bit for bit, or a typed error.

use std::num::NonZeroUsize;

use crate::common::{ALL, Cohort, Configuration, Data, Last, identity_of};
use proptest::{collection::vec, prelude::*, sample::select};
use veilflow_secagg::*;

/// With two gone there is no sum, and the error says who is missing and when.
#[test]
fn row_14_two_of_four_leave_after_each_round() {
    let stages = [
        (Last::Nothing, Stage::AdvertiseKeys),
        (Last::AdvertisesKeys, Stage::FreezeRoster),
        (Last::FreezesRoster, Stage::ShareKeys),
        (Last::SharesKeys, Stage::MaskedInput),
        (Last::MasksInput, Stage::ConsistencyCheck),
        (Last::ChecksConsistency, Stage::Unmask),
    ];
    for (leave, stage) in stages {
        let mut cohort = Cohort::of(4, 3);
        let last = [Last::Unmasks, leave, leave, Last::Unmasks];
        let missing = cohort.lost(&last, Last::Nothing, Last::Unmasks);
        let error = cohort.run(&last).unwrap_err();
        assert_eq!(error, Error::BelowThreshold { stage, required: 3, got: 2, missing: missing.clone() });
        assert_eq!(error.code(), "below-threshold");
        for name in missing {
            assert!(error.to_string().contains(&name), "{error}");
        }
    }
}

/// Nothing in it depends on the server: the sum is the same with signatures and without.
#[test]
fn a_malicious_setting_gives_the_same_sum() {
    for (clients, colluders) in [(2, 0), (3, 1), (7, 2)] {
        let mut cohort = Cohort::malicious(clients, colluders);
        cohort.encode = true;
        let last = vec![Last::Unmasks; clients];
        assert_eq!(cohort.run(&last).unwrap(), cohort.plain(&last));
    }
    // Of 7 with 2 colluders 5 are needed; two leave, each after another round.
    for leave in ALL {
        let mut cohort = Cohort::malicious(7, 2);
        let mut last = vec![Last::Unmasks; 7];
        (last[2], last[5]) = (leave, Last::MasksInput);
        assert_eq!(cohort.run(&last).unwrap(), cohort.plain(&last), "{leave:?}");
    }
}

fn sparse(clients: usize, neighbours: u32, threshold: u32) -> Cohort {
    Configuration { clients, threshold, colluders: None, neighbours: Some(neighbours), private: false }
        .cohort()
}

/// With as many different names as the plan has clients.
fn numbered(plan: Plan) -> Cohort {
    let (mut cohort, clients) = (Cohort::new(plan), plan.clients());
    cohort.names = (0..clients).map(|i| format!("site {:02}", clients - i)).collect();
    cohort.keys = cohort.names.iter().map(|name| (name.clone(), identity_of(name))).collect();
    cohort
}

/// Above 32 bits, with two gone: what is unmasked is the same in any number of threads.
#[test]
fn threads_change_nothing() {
    let parameters = Parameters::new().with_security(Security::SemiHonest).with_dropouts(0.2);
    let wide = parameters.with_modulus_range(1 << 64).with_quantization_range(1 << 40);
    for parameters in [parameters, wide, parameters.with_num_shares(NumShares::Auto)] {
        let plan = parameters.plan(12, Layout::new(1, 5000)).unwrap();
        let mut last = [Last::Unmasks; 12];
        (last[2], last[7]) = (Last::SharesKeys, Last::SharesKeys);
        for threads in [1, 2, 3, 64] {
            let mut cohort = numbered(plan);
            let (mut server, clients, signatures) = cohort.checked(&last).unwrap();
            for (i, client) in clients {
                server.receive(&cohort.names[i], client.unmask(&signatures).unwrap()).unwrap();
            }
            let aggregate = server.aggregate_with(NonZeroUsize::new(threads).unwrap()).unwrap();
            assert_eq!(aggregate, cohort.plain(&last), "{threads} threads");
        }
    }
}

/// More clients than one field of shares has places.
#[test]
fn three_hundred_clients_with_eight_neighbours() {
    let mut cohort = sparse(300, 8, 5);
    cohort.names = (0..300).map(|i| format!("{i:03}")).collect();
    let last: Vec<Last> =
        (0..300).map(|i| if i % 60 == 7 { Last::SharesKeys } else { Last::Unmasks }).collect();
    assert_eq!(cohort.run(&last).unwrap(), cohort.plain(&last));
}

/// Too few of one member's neighbours: the error says who of them is missing.
#[test]
fn row_14_a_neighbourhood_below_the_threshold_is_an_error() {
    let mut cohort = sparse(10, 4, 4);
    let mut last = vec![Last::Unmasks; 10];
    last[2] = Last::ChecksConsistency;
    let error = cohort.run(&last).unwrap_err();
    let missing = vec![cohort.names[2].clone()];
    assert_eq!(error, Error::BelowThreshold { stage: Stage::Unmask, required: 4, got: 3, missing });
}

/// The smallest cohort, and one where all are needed.
#[test]
fn two_of_two_and_three_of_three() {
    for clients in [2, 3] {
        let mut cohort = Cohort::of(clients, clients as u32);
        let last = vec![Last::Unmasks; clients];
        assert_eq!(cohort.run(&last).unwrap(), cohort.plain(&last));
    }
}

#[test]
fn a_field_full_of_clients() {
    let parameters = Parameters::new()
        .with_security(Security::SemiHonest)
        .with_colluders(0.0)
        .with_reconstruction_threshold(Threshold::Count(2));
    let plan = parameters.plan(255, Layout::new(0, 0)).unwrap();
    let mut cohort = Cohort::new(plan);
    cohort.names = (0..255).map(|i| format!("{i:03}")).collect();
    cohort.keys.clear();
    let last: Vec<Last> =
        (0..255).map(|i| if i % 85 == 0 { Last::Unmasks } else { Last::FreezesRoster }).collect();
    // Sharing among 255 is the expensive part; only a few go on.
    let (mut server, clients, roster) = cohort.frozen(&last).unwrap();
    assert_eq!(roster.names().count(), 255);
    for (i, client) in clients.into_iter().filter(|(i, _)| last[*i] == Last::Unmasks) {
        server.receive(&cohort.names[i], client.share_keys(&roster).unwrap().1).unwrap();
    }
    let (_, shares) = server.deliver().unwrap();
    assert_eq!(shares.len(), 3);
}

#[test]
fn the_same_id_goes_on_for_many_rounds() {
    let mut cohort = Cohort::of(3, 2);
    for round in 1..4 {
        cohort.session = cohort.session.with_round(round);
        cohort.data[0].weight = round;
        // Another round trains another input.
        cohort.inputs += 1;
        let last = [Last::Unmasks, Last::MasksInput, Last::Unmasks];
        assert_eq!(cohort.run(&last).unwrap(), cohort.plain(&last));
    }
}

#[derive(Clone, Debug)]
struct Case {
    security: Security,
    threshold: u32,
    min_cohort: usize,
    /// And the quantization range: sums of 32 bits, and of more.
    modulus: (u128, u64),
    layout: Layout,
    data: Vec<Data>,
    last: Vec<Last>,
    encode: bool,
}

/// Mostly cohorts that finish: participants stay three times as often as they leave.
fn cases() -> impl Strategy<Value = Case> {
    let lengths = prop_oneof![Just(0_usize), Just(1), 2_usize..40, 2040_usize..2060];
    (2_usize..=8, 0_usize..3, lengths).prop_flat_map(|(clients, scalars, length)| {
        let data = (1_u64..=1000, vec(-9.0_f64..9.0, scalars), vec(-9.0_f32..9.0, length))
            .prop_map(|(weight, scalars, vector)| Data { weight, scalars, vector });
        let stay = prop_oneof![3 => Just(Last::Unmasks), 1 => select(ALL.to_vec())];
        (
            select(securities(clients)),
            2..=clients.min(4),
            select(vec![(1 << 25, 1 << 22), (1 << 30, 1 << 22), (1 << 32, 1 << 22), (1 << 64, 1 << 45)]),
            vec(data, clients),
            vec(stay, clients),
            any::<bool>(),
        )
            .prop_map(move |((security, threshold), min_cohort, modulus, data, last, encode)| Case {
                security,
                threshold,
                min_cohort,
                modulus,
                layout: Layout::new(scalars, length),
                data,
                last,
                encode,
            })
    })
}

/// Each setting with each threshold that it allows.
fn securities(clients: usize) -> Vec<(Security, u32)> {
    let curious = (2..=clients).map(|t| (Security::SemiHonest, t as u32));
    let malicious = (0..clients - 1).flat_map(|colluders| {
        let security = Security::Malicious { adversaries: colluders as f64 / clients as f64 };
        ((clients + colluders) / 2 + 1..=clients).map(move |t| (security, t as u32))
    });
    curious.chain(malicious).collect()
}

/// The outcome that the documents promise, from the pattern of dropouts alone.
fn promised(case: &Case, cohort: &Cohort) -> Result<Aggregate, Error> {
    let min_cohort = cohort.plan.min_cohort();
    let stages = [
        (Last::AdvertisesKeys, Stage::AdvertiseKeys, min_cohort),
        (Last::FreezesRoster, Stage::FreezeRoster, min_cohort),
        (Last::SharesKeys, Stage::ShareKeys, min_cohort),
        (Last::MasksInput, Stage::MaskedInput, min_cohort),
        (Last::ChecksConsistency, Stage::ConsistencyCheck, 0),
        (Last::Unmasks, Stage::Unmask, 0),
    ];
    let mut before = Last::Nothing;
    for (reached, stage, minimum) in stages {
        let got = case.last.iter().filter(|last| **last >= reached).count();
        let missing = cohort.lost(&case.last, before, reached);
        let required = case.threshold as usize;
        if got < required {
            return Err(Error::BelowThreshold { stage, required, got, missing });
        }
        if got < minimum {
            return Err(Error::CohortTooSmall { stage, minimum, got, missing });
        }
        before = reached;
    }
    Ok(cohort.plain(&case.last))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 384, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_secure_sum_is_the_plain_sum_or_a_typed_error(case in cases()) {
        let parameters = Parameters::new()
            .with_min_cohort(case.min_cohort)
            .with_security(case.security)
            .with_modulus_range(case.modulus.0)
            .with_quantization_range(case.modulus.1)
            .with_reconstruction_threshold(Threshold::Count(case.threshold));
        let plan = parameters.plan(case.data.len(), case.layout).unwrap();
        let mut cohort = Cohort::new(plan);
        cohort.data = case.data.clone();
        cohort.encode = case.encode;
        prop_assert_eq!(cohort.run(&case.last), promised(&case, &cohort));
    }
}

/// A sparse plan for few clients, and as many who leave as it is made for, each after any round.
fn graphs() -> impl Strategy<Value = (Plan, Vec<Last>)> {
    let security = prop_oneof![
        Just(Security::SemiHonest),
        (0.0..0.15).prop_map(|adversaries| Security::Malicious { adversaries })
    ];
    (security, 10_usize..24).prop_flat_map(|(security, clients)| {
        let dropouts = 0.15;
        let parameters = Parameters::new()
            .with_security(security)
            .with_dropouts(dropouts)
            .with_num_shares(NumShares::Auto);
        let plan = parameters.plan(clients, Layout::new(1, 3)).unwrap();
        let leave = vec(
            (0..clients, select(vec![Last::SharesKeys, Last::MasksInput, Last::ChecksConsistency])),
            0..=(dropouts * clients as f64) as usize,
        );
        leave.prop_map(move |leave| {
            let mut last = vec![Last::Unmasks; clients];
            leave.into_iter().for_each(|(client, stage)| last[client] = stage);
            (plan, last)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Masks cancel over every graph that is left while no more leave than the plan assumes.
    #[test]
    fn masks_cancel_over_every_surviving_graph((plan, last) in graphs()) {
        let mut cohort = numbered(plan);
        prop_assert_eq!(cohort.run(&last).unwrap(), cohort.plain(&last));
    }
}
