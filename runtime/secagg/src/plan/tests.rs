use super::*;

use crate::bounds::BoundsError;

fn plan(parameters: Parameters, clients: usize) -> Result<Plan, PlanError> {
    parameters.plan(clients, Layout::new(2, 10))
}

#[test]
fn default_threshold_is_two_thirds_and_never_below_two() {
    let two = Parameters::new().with_min_cohort(2);
    for (clients, expected) in [(2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (10, 7), (255, 171)] {
        assert_eq!(plan(two, clients).unwrap().threshold(), expected, "{clients} clients");
    }
}

#[test]
fn threshold_as_count_or_fraction() {
    let with = |threshold| {
        let parameters = Parameters::new().with_security(Security::SemiHonest);
        parameters.with_reconstruction_threshold(threshold)
    };
    assert_eq!(plan(with(Threshold::Count(2)), 5).unwrap().threshold(), 2);
    assert_eq!(plan(with(Threshold::Fraction(0.5)), 5).unwrap().threshold(), 3);
    assert_eq!(plan(with(Threshold::Fraction(0.07)), 100).unwrap().threshold(), 7);
    assert_eq!(plan(with(Threshold::Fraction(1.0)), 5).unwrap().threshold(), 5);
    let code = |threshold, clients| plan(with(threshold), clients).unwrap_err().code();
    assert_eq!(code(Threshold::Count(0), 5), "threshold-below-two");
    assert_eq!(code(Threshold::Count(1), 5), "threshold-below-two");
    assert_eq!(code(Threshold::Fraction(0.1), 5), "threshold-below-two");
    assert_eq!(code(Threshold::Count(6), 5), "threshold-above-clients");
    for fraction in [0.0, -1.0, 1.1, f64::NAN, f64::INFINITY] {
        assert_eq!(code(Threshold::Fraction(fraction), 5), "fraction-out-of-range", "{fraction}");
    }
}

#[test]
fn row_08_a_sum_that_can_overflow_is_refused_with_the_largest_cohort() {
    // 1023 · (2^22 − 1) < 2^32 and 1025 · (2^22 − 1) ≥ 2^32: the package's 255 is the limit there.
    plan(Parameters::new(), 255).unwrap();
    let tight = Parameters::new().with_quantization_range(1 << 29);
    plan(tight, 8).unwrap();
    let error = plan(tight, 9).unwrap_err();
    let expected =
        PlanError::Overflow { clients: 9, largest_cohort: 8, per_client: (1 << 29) - 1, modulus: 1 << 32 };
    assert_eq!(error, expected);
    assert!(error.to_string().contains("largest cohort that fits is 8"), "{error}");
    plan(tight.with_modulus_range(1 << 33), 9).unwrap();
}

/// Up to the last bit of a word, and no bit beyond.
#[test]
fn row_08_sums_of_64_bits_fit_and_larger_ones_are_refused() {
    let widest = Parameters::new().with_modulus_range(1 << 64).with_quantization_range(1 << 52);
    let plan = plan(widest, 4).unwrap();
    assert_eq!((plan.entry_bits(), plan.modulus(), plan.entry_mask()), (54, 1 << 54, (1_u64 << 54) - 1));
    let weight = widest.largest_max_weight(4);
    assert_eq!(weight, (1 << 62) - 1);
    let full = super::tests::plan(widest.with_max_weight(weight), 4).unwrap();
    assert_eq!((full.entry_bits(), full.modulus(), full.entry_mask()), (64, 1 << 64, u64::MAX));
    assert_eq!(full.masked_bytes(), 8 * full.entries());
    let error = super::tests::plan(widest.with_max_weight(weight + 1), 4).unwrap_err();
    let expected =
        PlanError::Overflow { clients: 4, largest_cohort: 3, per_client: 1 << 62, modulus: 1 << 64 };
    assert_eq!(error, expected);
    let sparse = widest.with_security(Security::SemiHonest).with_num_shares(NumShares::Auto);
    assert_eq!(super::tests::plan(sparse, 4096).unwrap().entry_bits(), 64);
    assert_eq!(super::tests::plan(sparse, 4097).unwrap_err().code(), "sum-can-overflow");
}

#[test]
fn row_08_weights_count_as_well() {
    let heavy = Parameters::new().with_max_weight(1 << 30);
    plan(heavy, 3).unwrap();
    assert_eq!(
        plan(heavy, 4).unwrap_err(),
        PlanError::Overflow { clients: 4, largest_cohort: 3, per_client: 1 << 30, modulus: 1 << 32 }
    );
    assert_eq!(plan(Parameters::new().with_max_weight(u64::MAX), 3).unwrap_err().code(), "sum-can-overflow");
}

#[test]
fn row_08_the_modulus_is_the_smallest_power_of_two_that_holds_the_sum() {
    let bits = |parameters: Parameters, clients| plan(parameters, clients).unwrap().entry_bits();
    let base = Parameters::new();
    assert_eq!(bits(base, 3), 24);
    assert_eq!(bits(base, 4), 24);
    assert_eq!(bits(base, 5), 25);
    assert_eq!(bits(base, 255), 30);
    assert_eq!(bits(base.with_quantization_range(1 << 30), 4), 32);
    assert_eq!(bits(base.with_quantization_range(3), 4), 12, "4 · 1001 weights need more than 4 · 3 values");
    assert_eq!(bits(base.with_quantization_range(3).with_max_weight(1), 3), 4);
    let plan = plan(base.with_quantization_range((1 << 22) + 1), 4).unwrap();
    assert_eq!((plan.entry_bits(), plan.modulus()), (25, 1 << 25));
    assert_eq!(plan.masked_bytes(), (14 * 25_usize).div_ceil(8));
}

#[test]
fn row_08_the_largest_that_fit_fit() {
    for clients in [2, 3, 7, 100, 255] {
        let base = Parameters::new().with_min_cohort(2);
        let range = base.largest_quantization_range(clients);
        let weight = base.largest_max_weight(clients);
        plan(base.with_quantization_range(range), clients).unwrap();
        plan(base.with_max_weight(weight), clients).unwrap();
        let wide = base.with_modulus_range(1 << 64);
        plan(wide.with_quantization_range(wide.largest_quantization_range(clients)), clients).unwrap();
        plan(wide.with_max_weight(wide.largest_max_weight(clients)), clients).unwrap();
        let code = |parameters| plan(parameters, clients).unwrap_err().code();
        assert_eq!(code(base.with_quantization_range(range + 1)), "sum-can-overflow");
        assert_eq!(code(base.with_max_weight(weight + 1)), "sum-can-overflow");
    }
}

#[test]
fn row_10_small_cohorts_need_an_explicit_choice() {
    assert_eq!(plan(Parameters::new(), 2).unwrap_err(), PlanError::TooFewClients { min_cohort: 3, got: 2 });
    plan(Parameters::new().with_min_cohort(2), 2).unwrap();
    for min_cohort in [0, 1] {
        let error = plan(Parameters::new().with_min_cohort(min_cohort), 5).unwrap_err();
        assert_eq!(error, PlanError::MinCohortBelowTwo { got: min_cohort });
    }
}

#[test]
fn row_03_a_threshold_for_a_curious_server_is_refused_with_what_would_do() {
    let with = |adversaries, threshold| {
        let parameters = Parameters::new().with_security(Security::Malicious { adversaries });
        parameters.with_reconstruction_threshold(threshold)
    };
    // The default threshold is made for a third.
    for clients in 3..=255 {
        plan(with(1.0 / 3.0, Threshold::TwoThirds), clients).unwrap();
    }
    let error = plan(with(0.2, Threshold::Count(12)), 20).unwrap_err();
    let refused = BoundsError::Threshold { neighbours: 19, got: 12, min: 13, max: 18 };
    assert_eq!(error, PlanError::CuriousServerOnly(refused));
    assert!(error.to_string().contains("curious server only") && error.to_string().contains("use 13 to 18"));
    plan(with(0.2, Threshold::Count(13)), 20).unwrap();
    assert_eq!(plan(with(0.5, Threshold::TwoThirds), 100).unwrap_err().code(), "curious-server-only");
    for adversaries in [-0.1, 1.0, f64::NAN] {
        let error = plan(with(adversaries, Threshold::TwoThirds), 9).unwrap_err();
        assert_eq!(error.code(), "fraction-out-of-range");
    }
    for dropouts in [-0.1, 1.0, f64::NAN] {
        let error = plan(Parameters::new().with_dropouts(dropouts), 9).unwrap_err();
        assert_eq!(error.code(), "fraction-out-of-range");
    }
}

#[test]
fn row_03_a_threshold_below_the_curious_colluders_is_refused_with_what_would_do() {
    let with = |colluders, threshold| {
        let parameters = Parameters::new().with_security(Security::SemiHonest).with_colluders(colluders);
        plan(parameters.with_reconstruction_threshold(Threshold::Count(threshold)), 100)
    };
    let error = with(0.2, 20).unwrap_err();
    let refused = BoundsError::Threshold { neighbours: 99, got: 20, min: 21, max: 90 };
    assert_eq!(error, PlanError::Bounds(refused));
    with(0.2, 21).unwrap();
    // A tenth may drop out, and then 91 never answer.
    assert_eq!(with(0.2, 91).unwrap_err().code(), "threshold-out-of-range");
    with(0.0, 2).unwrap();
}

fn sparse(security: Security, shares: NumShares, threshold: Threshold) -> Parameters {
    let parameters = Parameters::new().with_security(security).with_num_shares(shares).with_dropouts(0.05);
    parameters.with_reconstruction_threshold(threshold)
}

#[test]
fn sparse_plans_count_the_threshold_among_neighbours() {
    let curious = |shares, threshold| sparse(Security::SemiHonest, shares, threshold);
    let by_hand = plan(curious(NumShares::Count(30), Threshold::Count(17)), 1000).unwrap();
    assert_eq!((by_hand.shares(), by_hand.threshold(), by_hand.is_complete()), (30, 17, false));
    assert_eq!(by_hand.neighbours(), 30);
    let fraction = plan(curious(NumShares::Fraction(0.131), Threshold::TwoThirds), 200).unwrap();
    assert_eq!((fraction.shares(), fraction.threshold()), (28, 19), "27 is no even number");
    for all in [7, 6, 99] {
        let all = plan(curious(NumShares::Count(all), Threshold::TwoThirds), 7).unwrap();
        assert!(all.is_complete());
        assert_eq!((all.shares(), all.neighbours()), (7, 6));
    }
    let code = |shares, threshold, clients| plan(curious(shares, threshold), clients).unwrap_err().code();
    assert_eq!(code(NumShares::Count(10), Threshold::Count(11), 100), "threshold-above-clients");
    assert_eq!(code(NumShares::Count(256), Threshold::TwoThirds, 1000), "too-many-shares");
    assert_eq!(code(NumShares::Fraction(0.0), Threshold::TwoThirds, 1000), "fraction-out-of-range");
    assert_eq!(code(NumShares::Count(0), Threshold::TwoThirds, 10), "threshold-below-two");
    assert_eq!(code(NumShares::Count(31), Threshold::Count(17), 1000), "degree-out-of-range");
    assert_eq!(code(NumShares::Count(28), Threshold::Count(16), 1000), "too-few-neighbours");
    assert_eq!(code(NumShares::Count(30), Threshold::Count(16), 1000), "threshold-out-of-range");
}

/// 16 neighbours with t = 11 are what Bell et al.'s bounds give for 100 clients with 0.05 adversaries.
#[test]
fn row_03_sparse_thresholds_hold_against_the_colluding_neighbours() {
    let with = |shares, threshold| {
        let security = Security::Malicious { adversaries: 0.05 };
        plan(sparse(security, NumShares::Count(shares), Threshold::Count(threshold)), 100)
    };
    with(16, 11).unwrap();
    let refused = BoundsError::Threshold { neighbours: 16, got: 10, min: 11, max: 11 };
    assert_eq!(with(16, 10).unwrap_err(), PlanError::CuriousServerOnly(refused).clone());
    // What find gives for a curious server.
    let error = with(12, 6).unwrap_err();
    assert_eq!(error.code(), "curious-server-only");
    assert!(error.to_string().contains("use 16 with a threshold of 11"), "{error}");
}

/// The values that the finder is checked against, as plans.
#[test]
fn automatic_parameters_are_those_that_are_found() {
    let malicious = Security::Malicious { adversaries: 0.05 };
    for (security, clients, found) in [
        (Security::SemiHonest, 100, (12, 6)),
        (Security::SemiHonest, 1000, (30, 17)),
        (malicious, 100, (16, 11)),
        (malicious, 500, (44, 31)),
        // Too few for a sparse graph.
        (Security::SemiHonest, 3, (3, 2)),
        (Security::SemiHonest, 5, (5, 2)),
        (malicious, 5, (5, 3)),
        (Security::default(), 9, (6, 5)),
        (Security::default(), 30, (14, 13)),
    ] {
        let plan = plan(sparse(security, NumShares::Auto, Threshold::TwoThirds), clients).unwrap();
        assert_eq!((plan.shares(), plan.threshold()), found, "{clients} {security}");
        assert_eq!(plan.is_complete(), plan.shares() == clients);
        assert!(!plan.is_refused());
    }
    let by_hand = |threshold| plan(sparse(malicious, NumShares::Auto, Threshold::Count(threshold)), 100);
    assert_eq!(by_hand(11).unwrap().threshold(), 11);
    assert_eq!(by_hand(12).unwrap_err().code(), "threshold-out-of-range");
    let code = |security, clients| {
        plan(sparse(security, NumShares::Auto, Threshold::TwoThirds), clients).unwrap_err().code()
    };
    assert_eq!(code(Security::Malicious { adversaries: 0.9 }, 100), "too-many-absent");
    assert_eq!(code(Security::Malicious { adversaries: 0.7 }, 500), "too-many-shares");
    let two = sparse(Security::SemiHonest, NumShares::Auto, Threshold::TwoThirds).with_min_cohort(2);
    assert_eq!(plan(two, 2).unwrap().threshold(), 2);
}

#[test]
fn a_benchmark_gets_a_plan_and_its_refusal_and_a_client_refuses_it() {
    let layout = Layout::new(0, 1);
    let parameters =
        sparse(Security::SemiHonest, NumShares::Count(15), Threshold::Count(8)).with_colluders(0.4);
    let (plan, refusal) = parameters.plan_unchecked(100, layout).unwrap();
    assert_eq!((plan.neighbours(), plan.threshold(), plan.is_refused()), (15, 8, true));
    assert_eq!(refusal, parameters.plan(100, layout).err());
    assert_eq!(refusal.unwrap().code(), "degree-out-of-range");
    let policy = crate::ClientPolicy::default().with_min_security(Security::SemiHonest);
    let error = crate::Client::new("a", plan, policy).map(drop).unwrap_err();
    assert_eq!(error, crate::Error::PlanRefused { client: "a".into() });
    crate::Client::new("a", plan, policy.with_allow_refused_plans(true)).unwrap();
    let (checked, none) = Parameters::new().plan_unchecked(3, layout).unwrap();
    assert_eq!((checked, none), (Parameters::new().plan(3, layout).unwrap(), None));
    // What cannot be carried out is no plan.
    let error = parameters.with_quantization_range(1 << 30).plan_unchecked(100, layout).unwrap_err();
    assert_eq!(error.code(), "sum-can-overflow");
}

/// Two participants: with nobody on the server's side t = 2 does, with one of them there is nothing to protect.
#[test]
fn row_10_a_sum_hides_in_two_honest_inputs() {
    let two = |adversaries| {
        let security = Security::Malicious { adversaries };
        plan(Parameters::new().with_min_cohort(2).with_security(security), 2)
    };
    for adversaries in [0.0, 1.0 / 3.0, 0.49] {
        assert_eq!(two(adversaries).unwrap().threshold(), 2);
    }
    let error = two(0.5).unwrap_err();
    assert_eq!(error, PlanError::TooFewHonest { clients: 2, colluders: 1, needed: 3 });
    assert!(error.to_string().contains("assume fewer adversaries"), "{error}");
    let plan = plan(Parameters::new(), 30).unwrap();
    assert_eq!((plan.colluders(), plan.min_cohort()), (10, 12));
}

#[test]
fn each_parameter_is_checked() {
    let base = Parameters::new();
    let code = |parameters, clients| plan(parameters, clients).unwrap_err().code();
    assert_eq!(code(base, 256), "too-many-clients");
    assert!(plan(base, 256).unwrap_err().to_string().contains("255"));
    assert_eq!(code(base.with_max_weight(0), 3), "max-weight-zero");
    for clipping in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
        assert_eq!(code(base.with_clipping_range(clipping), 3), "clipping-range", "{clipping}");
    }
    for modulus in [0, 3, (1 << 32) - 1, (1 << 64) - 1, 1 << 65, u128::MAX] {
        assert_eq!(code(base.with_modulus_range(modulus), 3), "modulus-not-a-power-of-two", "{modulus}");
    }
    for range in [0, 1, 2, 1 << 32, u64::MAX] {
        assert_eq!(code(base.with_quantization_range(range), 3), "quantization-range", "{range}");
    }
    let wide = base.with_modulus_range(1 << 64);
    assert_eq!(code(wide.with_quantization_range((1 << 52) + 1), 3), "quantization-range");
    for vector in [usize::MAX, isize::MAX as usize / 8] {
        let layout = Layout::new(1, vector);
        assert_eq!(base.plan(3, layout).unwrap_err(), PlanError::LayoutTooLarge { layout });
    }
}

#[test]
fn digest_depends_on_clients_threshold_and_layout() {
    let digest = |clients, scalars, vector| {
        Parameters::new().plan(clients, Layout::new(scalars, vector)).unwrap().digest()
    };
    assert_ne!(digest(3, 1, 2), digest(4, 1, 2));
    assert_ne!(digest(3, 1, 2), digest(3, 2, 1));
    assert_eq!(digest(3, 1, 2), digest(3, 1, 2));
}
