use super::*;

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
    assert_eq!(plan.masked_bytes(), (13 * 25_usize).div_ceil(8));
}

#[test]
fn row_08_the_largest_that_fit_fit() {
    for clients in [2, 3, 7, 100, 255] {
        let base = Parameters::new().with_min_cohort(2);
        let range = base.largest_quantization_range(clients);
        let weight = base.largest_max_weight(clients);
        plan(base.with_quantization_range(range), clients).unwrap();
        plan(base.with_max_weight(weight), clients).unwrap();
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
    let refused = PlanError::ThresholdForCuriousServer { holders: 20, colluders: 4, required: 13, got: 12 };
    assert_eq!(error, refused);
    assert!(error.to_string().contains("use 13 or more"), "{error}");
    plan(with(0.2, Threshold::Count(13)), 20).unwrap();
    assert_eq!(
        plan(with(0.5, Threshold::TwoThirds), 100).unwrap_err().code(),
        "threshold-for-curious-server"
    );
    for adversaries in [-0.1, 1.0, f64::NAN] {
        let error = plan(with(adversaries, Threshold::TwoThirds), 9).unwrap_err();
        assert_eq!(error.code(), "adversaries-out-of-range");
    }
}

#[test]
fn sparse_plans_count_the_threshold_among_neighbours() {
    let with = |security, shares, threshold| {
        let parameters = Parameters::new().with_security(security).with_num_shares(shares);
        parameters.with_reconstruction_threshold(threshold)
    };
    let sparse = plan(with(Security::SemiHonest, NumShares::Count(30), Threshold::Count(17)), 1000).unwrap();
    assert_eq!((sparse.shares(), sparse.threshold(), sparse.is_complete()), (30, 17, false));
    let fraction =
        plan(with(Security::SemiHonest, NumShares::Fraction(0.1), Threshold::TwoThirds), 200).unwrap();
    assert_eq!((fraction.shares(), fraction.threshold()), (20, 14));
    let all = plan(with(Security::SemiHonest, NumShares::Count(99), Threshold::TwoThirds), 7).unwrap();
    assert!(all.is_complete());
    let code = |shares, threshold, clients| {
        plan(with(Security::SemiHonest, shares, threshold), clients).unwrap_err().code()
    };
    assert_eq!(code(NumShares::Count(10), Threshold::Count(11), 100), "threshold-above-clients");
    assert_eq!(code(NumShares::Count(255), Threshold::TwoThirds, 1000), "too-many-shares");
    assert_eq!(code(NumShares::Fraction(0.0), Threshold::TwoThirds, 1000), "fraction-out-of-range");
    assert_eq!(code(NumShares::Count(0), Threshold::TwoThirds, 10), "threshold-below-two");
}

/// 16 neighbours with t = 11 are what Bell et al.'s bounds give for 100 clients with 0.05 adversaries.
#[test]
fn row_03_sparse_thresholds_hold_against_the_colluding_neighbours() {
    let with = |shares, threshold| {
        let security = Security::Malicious { adversaries: 0.05 };
        let parameters = Parameters::new().with_security(security);
        parameters
            .with_num_shares(NumShares::Count(shares))
            .with_reconstruction_threshold(Threshold::Count(threshold))
    };
    plan(with(16, 11), 100).unwrap();
    let error = plan(with(16, 10), 100).unwrap_err();
    let refused = PlanError::ThresholdForCuriousServer { holders: 16, colluders: 5, required: 11, got: 10 };
    assert_eq!(error, refused);
    // 15 each is impossible for 99 members: it would be 16 then.
    assert_eq!(plan(with(15, 10), 100).unwrap_err().code(), "threshold-for-curious-server");
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
    assert!(error.to_string().contains("semi-honest"), "{error}");
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
    for modulus in [0, 3, (1 << 32) - 1, 1 << 33] {
        assert_eq!(code(base.with_modulus_range(modulus), 3), "modulus-not-a-power-of-two", "{modulus}");
    }
    for range in [0, 1, 2, 1 << 32, u64::MAX] {
        assert_eq!(code(base.with_quantization_range(range), 3), "quantization-range", "{range}");
    }
    let layout = Layout::new(1, usize::MAX);
    assert_eq!(base.plan(3, layout).unwrap_err(), PlanError::LayoutTooLarge { layout });
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
