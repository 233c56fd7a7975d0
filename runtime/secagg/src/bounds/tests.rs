use proptest::prelude::*;

use super::*;
use ServerClass::{Curious, SemiMalicious};

/// Published by an independent finder for the same paper.
#[test]
fn known_answers() {
    for (clients, adversaries, dropouts, server, neighbours, threshold) in [
        (100, 0.05, 0.05, Curious, 12, 6),
        (1000, 0.05, 0.05, Curious, 30, 17),
        (500, 0.20, 0.10, Curious, 60, 39),
        (1000, 0.20, 0.10, Curious, 68, 44),
        (100, 0.05, 0.05, SemiMalicious, 16, 11),
        (500, 0.05, 0.05, SemiMalicious, 44, 31),
    ] {
        let found = find(clients, adversaries, dropouts, server).unwrap();
        assert_eq!(found, Neighbourhood { neighbours, threshold }, "{clients} {server:?}");
    }
}

/// C(5, 2) · C(7, 2) / C(12, 4) and so on, by hand.
#[test]
fn a_small_distribution_by_hand() {
    let few = Hypergeometric::new(12, 5, 4);
    let counts: Vec<f64> = few.weights.iter().map(|weight| weight / few.total * 495.0).collect();
    for (got, expected) in counts.iter().zip([35.0, 175.0, 210.0, 70.0, 5.0]) {
        assert!((got - expected).abs() < 1e-9, "{counts:?}");
    }
    assert_eq!(few.smallest_with_tail_at_most(5.1 / 495.0), 4);
    assert_eq!(few.smallest_with_tail_at_most(4.9 / 495.0), 5);
    assert_eq!(few.largest_with_fewer_rarer_than(34.9 / 495.0), 0);
    assert_eq!(few.largest_with_fewer_rarer_than(35.1 / 495.0), 1);
    // More draws than unmarked ones: at least one is marked.
    let many = Hypergeometric::new(12, 5, 8);
    assert_eq!((many.smallest, many.weights.len()), (1, 5));
}

#[test]
fn the_union_bound_over_gaps_by_hand() {
    let assumed = Assumed::new(10, 0.2, 0.2, Curious).unwrap();
    // 10 · 7 / 2 pairs of places, both gaps of one absent client: 4/10 · 3/9.
    assert!((assumed.cut_bound(2) - 35.0 * 12.0 / 90.0).abs() < 1e-12);
    assert_eq!(assumed.cut_bound(6), 0.0);
}

#[test]
fn too_few_clients_or_too_many_absent_are_refused_with_what_would_do() {
    let few = find(10, 0.3, 0.3, SemiMalicious).unwrap_err();
    assert_eq!(few, BoundsError::CompleteGraphOnly { clients: 10, threshold: 7 });
    assert!(few.to_string().contains("threshold of 7"), "{few}");
    check(Neighbourhood { neighbours: 9, threshold: 7 }, 10, 0.3, 0.3, SemiMalicious).unwrap();

    let absent =
        BoundsError::TooManyAbsent { clients: 1000, adversaries: 500, dropouts: 500, most_dropouts: 499 };
    assert_eq!(find(1000, 0.5, 0.5, Curious), Err(absent));
    let error = find(1000, 0.4, 0.3, SemiMalicious).unwrap_err();
    assert!(error.to_string().contains("Up to 299 dropouts"), "{error}");

    let code =
        |clients, adversaries, dropouts| find(clients, adversaries, dropouts, Curious).unwrap_err().code();
    assert_eq!(code(1, 0.0, 0.0), "clients-out-of-range");
    assert_eq!(code(MAX_CLIENTS + 1, 0.0, 0.0), "clients-out-of-range");
    for fraction in [-0.1, 1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(code(100, fraction, 0.0), "fraction-out-of-range");
        assert_eq!(code(100, 0.0, fraction), "fraction-out-of-range");
    }
}

#[test]
fn parameters_by_hand_are_refused_with_what_would_do() {
    let check =
        |neighbours, threshold| check(Neighbourhood { neighbours, threshold }, 1000, 0.05, 0.05, Curious);
    check(30, 17).unwrap();
    check(30, 18).unwrap();
    check(999, 51).unwrap();
    for got in [16, 19] {
        assert_eq!(check(30, got), Err(BoundsError::Threshold { neighbours: 30, got, min: 17, max: 18 }));
    }
    assert_eq!(check(999, 50).unwrap_err().code(), "threshold-out-of-range");
    for got in [0, 1, 31, 1000] {
        assert_eq!(check(got, 17), Err(BoundsError::Degree { clients: 1000, got }));
    }
    let error = check(28, 16).unwrap_err();
    let would_do = Neighbourhood { neighbours: 30, threshold: 17 };
    assert_eq!(error, BoundsError::TooFewNeighbours { got: 28, would_do });
    assert!(error.to_string().contains("use 30 with a threshold of 17"), "{error}");
    let semi = super::check(would_do, 1000, 0.05, 0.05, SemiMalicious).unwrap_err();
    assert_eq!(semi.code(), "too-few-neighbours", "what holds for a curious server only is refused");
}

#[test]
fn nobody_to_fear_still_needs_two_shares() {
    assert_eq!(find(50, 0.0, 0.0, Curious), Ok(Neighbourhood { neighbours: 2, threshold: 2 }));
}

#[test]
fn a_part_of_few_is_one_at_least_on_a_sparse_graph() {
    assert_eq!(find(10, 0.05, 0.05, Curious), Ok(Neighbourhood { neighbours: 4, threshold: 2 }));
    assert_eq!(find(10, 0.05, 0.05, SemiMalicious), Ok(Neighbourhood { neighbours: 4, threshold: 3 }));
    let ring = check(Neighbourhood { neighbours: 2, threshold: 2 }, 10, 0.05, 0.05, Curious);
    assert_eq!(ring.unwrap_err().code(), "too-few-neighbours");
    // Everybody shares with everybody else: as many as there are, rounded down.
    check(Neighbourhood { neighbours: 9, threshold: 10 }, 10, 0.05, 0.05, Curious).unwrap();
}

/// 2⁻⁴⁰ by the chance of a bad graph, as exact fractions give it.
#[test]
fn row_05_shares_that_just_hold_leave_no_choice_of_graphs() {
    let graphs = |members, colluders, dropouts, neighbours, threshold| {
        graphs_to_choose_from(members, colluders, dropouts, Neighbourhood { neighbours, threshold })
    };
    assert_eq!(graphs(500, 25, 0.05, 44, 31), 2);
    assert_eq!(graphs(500, 25, 0.05, 44, 32), 6362);
    assert_eq!(graphs(500, 100, 0.1, 116, 86), 3);
    assert_eq!(graphs(1000, 50, 0.05, 52, 37), 60);
    assert_eq!(graphs(88, 26, 0.05, 34, 30), 5);
    // All five adversaries around one client are too few, whatever the graph.
    assert_eq!(graphs(100, 5, 0.05, 16, 11), u64::MAX);
    assert_eq!(graphs(500, 250, 0.05, 44, 31), 1);
}

#[test]
fn ten_thousand_clients_take_no_noticeable_time() {
    let found = find(10_000, 0.2, 0.2, SemiMalicious).unwrap();
    check(found, 10_000, 0.2, 0.2, SemiMalicious).unwrap();
}

proptest! {
    #[test]
    fn what_is_found_holds_and_nothing_smaller_does(
        clients in 50_usize..2000, adversaries in 0.0_f64..0.3, dropouts in 0.0_f64..0.2, semi: bool,
    ) {
        let server = if semi { SemiMalicious } else { Curious };
        let Ok(found) = find(clients, adversaries, dropouts, server) else { return Ok(()) };
        check(found, clients, adversaries, dropouts, server).unwrap();
        let lower = Neighbourhood { threshold: found.threshold - 1, ..found };
        prop_assert!(check(lower, clients, adversaries, dropouts, server).is_err());
        if found.neighbours > 2 {
            let fewer = Neighbourhood { neighbours: found.neighbours - 2, ..found };
            prop_assert!(check(fewer, clients, adversaries, dropouts, server).is_err());
        }
    }

    #[test]
    fn more_to_fear_never_needs_fewer_neighbours(
        clients in 50_usize..1500, adversaries in 0.0_f64..0.25, dropouts in 0.0_f64..0.15, more in 0.0_f64..0.1,
    ) {
        let neighbours = |adversaries, dropouts, server| {
            find(clients, adversaries, dropouts, server).map_or(clients, |found| found.neighbours)
        };
        let base = neighbours(adversaries, dropouts, Curious);
        prop_assert!(neighbours(adversaries + more, dropouts, Curious) >= base);
        prop_assert!(neighbours(adversaries, dropouts + more, Curious) >= base);
        prop_assert!(neighbours(adversaries, dropouts, SemiMalicious) >= base);
    }
}
