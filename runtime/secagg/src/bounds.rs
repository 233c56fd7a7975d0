//! How many neighbours and which threshold: the parameters of SecAgg+ from what is assumed about the participants.
//!
//! Bell et al., *Secure Single-Server Aggregation with (Poly)Logarithmic Overhead* (CCS 2020, ePrint 2020/704), section
//! 3, ask of a random graph of degree k and a threshold t that it be *good*, up to small probabilities; section 4 asks
//! more of t when the server lies about who dropped out. The graph is a Harary graph, that is a ring in which
//! everybody knows the k/2 next on each side, over a permutation that nobody chose.
//!
//! Let N clients have A = ⌊γN⌋ adversaries and D = ⌊δN⌋ dropouts, and let both of a client's secrets be shared
//! **among its k neighbours, and nobody else** (see below). Seen from one client, each neighbour is drawn without
//! replacement from the N − 1 others, so the number of its neighbours in a set is hypergeometric.
//!
//! 1. **Connected.** The honest clients that stay must form one component, or the server learns a sum for each. To cut
//!    a ring it takes two disjoint gaps, each of k/2 absent clients in a row. There are N(N − k − 1)/2 pairs of places,
//!    and k given places are all absent with probability ∏ (A + D − i)/(N − i), i < k.
//!    Union bound: N(N − k − 1)/2 · ∏ (A + D − i)/(N − i) < 2⁻⁴¹.
//! 2. **Not opened.** With X adversaries among a client's neighbours, Pr\[X ≥ x\] ≤ 2⁻⁴¹/N has a smallest x. A curious
//!    server has fewer than x shares of each secret: **t ≥ x**. A semi-malicious one tells some neighbours that the
//!    client arrived and others that it did not. Honest ones then give one share each, adversaries both: k + X in
//!    all, and both secrets take 2t. With X ≤ x − 1: **2t > k + x − 1**.
//! 3. **Correct.** With S neighbours that stay, every client's secrets can be rebuilt: **Pr\[S < t\] < 2⁻²⁰/N**.
//!
//! A fraction above 0 stands for one client at least here, because a ring of few neighbours, chosen for small N because
//! nobody is expected to be absent, would break at the first who is.
//!
//! Conditions 1 and 2 share the security 2⁻⁴⁰ evenly and the 1/N are union bounds over clients. [`find`] takes the smallest even k that
//! has a t, and of those t the smallest, because fewer shares rebuild faster.
//!
//! **Who holds a share matters.** If the owner also kept a share of its seed, and gave it as an answer, a server that
//! lies would get k + X + 1 shares, and condition 2 would need 2t > k + x. On the complete graph this crate does so
//! (`unmask.rs`), and t is checked for it here: 2t > N + A.
//!
//! Not covered: a server that chooses the permutation (`SECURITY.md`, row 5) or shows different rosters (row 4), more
//! adversaries or dropouts than assumed, and fractions that hold for the enrolled but not for the roster.
//!
//! All arithmetic is on integers and on `f64` with `+ − × ÷` only, whose results IEEE 754 fixes, so that every
//! participant finds the same answer; the tails are sums of positive terms with a relative error below 10⁻¹⁰.

use serde::{Deserialize, Serialize};
use thiserror::Error as ThisError;

use crate::security::{majority, part};

/// 2⁻⁴⁰ for the security of a session, half of it for each of two ways to fail.
const SECURITY: f64 = 1.0 / (1_u64 << 41) as f64;

/// 2⁻²⁰ for a session that cannot finish although no more than assumed dropped out.
const CORRECTNESS: f64 = 1.0 / (1_u64 << 20) as f64;

/// The search is quadratic in the neighbours that are needed. Those are few unless the fractions leave almost no room
/// for a threshold; then they are almost all clients, and this keeps the search finite in practice.
const MAX_CLIENTS: usize = 100_000;

/// What the server is assumed to do beyond what the protocol asks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerClass {
    /// It follows the protocol, and colludes with the adversaries.
    Curious,
    /// It hands out keys as it got them, then does anything, such as telling clients different stories about who
    /// dropped out.
    SemiMalicious,
}

/// The degree of the graph and the threshold of the secret sharing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbourhood {
    /// k: with how many others a client shares masks and secrets. Even, or all others.
    pub neighbours: usize,
    /// t: how many of them rebuild a secret.
    pub threshold: usize,
}

/// Why there are no such parameters, or why the given ones do not hold. Each message says what would do.
#[derive(Clone, Debug, PartialEq, ThisError)]
#[non_exhaustive]
pub enum BoundsError {
    /// Not a fraction.
    #[error("{of} of {got}; such a part is at least 0 and less than 1")]
    Fraction {
        /// Of what: `adversaries` or `dropouts`.
        of: &'static str,
        /// The fraction.
        got: f64,
    },
    /// A number of clients that has no graph.
    #[error("{got} clients; neighbourhoods are found for {min} to {max}")]
    Clients {
        /// Fewest.
        min: usize,
        /// Most.
        max: usize,
        /// Clients asked for.
        got: usize,
    },
    /// No threshold lies above what adversaries hold and below what survivors give, even if all share with all.
    #[error(
        "{clients} clients with {adversaries} adversaries and {dropouts} dropouts: no threshold is safe and can be \
         met, even on the complete graph. Up to {most_dropouts} dropouts would do; else assume fewer adversaries"
    )]
    TooManyAbsent {
        /// Clients.
        clients: usize,
        /// How many of them are adversaries.
        adversaries: usize,
        /// How many drop out.
        dropouts: usize,
        /// How many may drop out.
        most_dropouts: usize,
    },
    /// A sparse graph needs more clients, or fewer who are absent.
    #[error(
        "{clients} clients are too few for a sparse graph under these assumptions; use the complete graph \
         (num-shares 1.0) with a threshold of {threshold}"
    )]
    CompleteGraphOnly {
        /// Clients.
        clients: usize,
        /// The smallest threshold that is safe there.
        threshold: usize,
    },
    /// Odd, none, or more than there are.
    #[error("{got} neighbours among {clients} clients; use an even number from 2 to {max}, or {all} for all", max = .clients.saturating_sub(2), all = .clients.saturating_sub(1))]
    Degree {
        /// Clients.
        clients: usize,
        /// Neighbours asked for.
        got: usize,
    },
    /// No threshold would do with so few neighbours.
    #[error("{got} neighbours are too few for any threshold; use {} with a threshold of {}", .would_do.neighbours, .would_do.threshold)]
    TooFewNeighbours {
        /// Neighbours asked for.
        got: usize,
        /// What [`find`] gives.
        would_do: Neighbourhood,
    },
    /// A threshold outside what security and correctness leave.
    #[error(
        "a threshold of {got} with {neighbours} neighbours: below {min} the adversaries can open a mask, above {max} \
         dropouts can leave one closed; use {min} to {max}, or assume fewer of them"
    )]
    Threshold {
        /// Neighbours asked for.
        neighbours: usize,
        /// Threshold asked for.
        got: usize,
        /// The smallest that is safe.
        min: usize,
        /// The largest that can be met.
        max: usize,
    },
}

impl BoundsError {
    /// A short name of the failure.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fraction { .. } => "fraction-out-of-range",
            Self::Clients { .. } => "clients-out-of-range",
            Self::TooManyAbsent { .. } => "too-many-absent",
            Self::CompleteGraphOnly { .. } => "complete-graph-only",
            Self::Degree { .. } => "degree-out-of-range",
            Self::TooFewNeighbours { .. } => "too-few-neighbours",
            Self::Threshold { .. } => "threshold-out-of-range",
        }
    }
}

/// The smallest even number of neighbours, and with it the smallest threshold, for security 2⁻⁴⁰ and correctness 2⁻²⁰.
///
/// `adversaries` and `dropouts` are fractions of the clients.
///
/// ```
/// use veilflow_secagg::bounds::{Neighbourhood, ServerClass, find};
///
/// let found = find(1000, 0.05, 0.05, ServerClass::Curious)?;
/// assert_eq!(found, Neighbourhood { neighbours: 30, threshold: 17 });
/// # Ok::<(), veilflow_secagg::bounds::BoundsError>(())
/// ```
///
/// # Errors
///
/// [`CompleteGraphOnly`](BoundsError::CompleteGraphOnly) with the threshold to use there;
/// [`TooManyAbsent`](BoundsError::TooManyAbsent) where nothing helps.
pub fn find(
    clients: usize,
    adversaries: f64,
    dropouts: f64,
    server: ServerClass,
) -> Result<Neighbourhood, BoundsError> {
    let assumed = Assumed::new(clients, adversaries, dropouts, server)?;
    let complete = assumed.thresholds_of_complete_graph()?;
    assumed.find().ok_or(BoundsError::CompleteGraphOnly { clients, threshold: complete.min })
}

/// Checks parameters that were given by hand. N − 1 neighbours are the complete graph.
///
/// # Errors
///
/// What is wrong, and what would do.
pub fn check(
    given: Neighbourhood,
    clients: usize,
    adversaries: f64,
    dropouts: f64,
    server: ServerClass,
) -> Result<(), BoundsError> {
    let assumed = Assumed::new(clients, adversaries, dropouts, server)?;
    let complete = assumed.thresholds_of_complete_graph()?;
    let Neighbourhood { neighbours, threshold } = given;
    let all = clients.saturating_sub(1);
    if neighbours > all || (neighbours != all && (neighbours < 2 || !neighbours.is_multiple_of(2))) {
        return Err(BoundsError::Degree { clients, got: neighbours });
    }
    let allowed =
        if neighbours == all { Some(complete) } else { assumed.on_sparse_graph().thresholds(neighbours) };
    match allowed {
        Some(Thresholds { min, max }) if threshold < min || threshold > max => {
            Err(BoundsError::Threshold { neighbours, got: threshold, min, max })
        }
        Some(_) => Ok(()),
        None => Err(match assumed.find() {
            Some(would_do) => BoundsError::TooFewNeighbours { got: neighbours, would_do },
            None => BoundsError::CompleteGraphOnly { clients, threshold: complete.min },
        }),
    }
}

/// The smallest threshold that keeps a semi-malicious server from opening anything, in a random graph of so many
/// members, so many of whom work for it, with so many neighbours each.
pub(crate) fn safe_threshold(members: usize, colluders: usize, neighbours: usize) -> usize {
    let (adversaries, server) = (colluders, ServerClass::SemiMalicious);
    let assumed = Assumed { clients: members, adversaries, dropouts: 0, server, at_least: (0, 0) };
    assumed.safe_threshold(neighbours)
}

/// How many random graphs a semi-malicious server may choose from before the chance that one of them is bad, or
/// disconnected, passes 2⁻⁴⁰; at least the one that it gets anyhow.
pub(crate) fn graphs_to_choose_from(
    members: usize,
    colluders: usize,
    dropouts: f64,
    Neighbourhood { neighbours, threshold }: Neighbourhood,
) -> u64 {
    let others = members.saturating_sub(1);
    let (adversaries, server) = (colluders.min(others), ServerClass::SemiMalicious);
    let at_least = (0, usize::from(dropouts > 0.0));
    let dropouts = part(dropouts, members);
    let assumed = Assumed { clients: members, adversaries, dropouts, server, at_least }.on_sparse_graph();
    // 2t > k + X fails from here on.
    let opened_at = threshold.saturating_mul(2).saturating_sub(neighbours);
    let opened = Hypergeometric::new(others, adversaries, neighbours).tail(opened_at);
    let bad = assumed.cut_bound(neighbours) + members as f64 * opened;
    // The cast saturates: nothing bad is as many graphs as one likes.
    ((2.0 * SECURITY / bad) as u64).max(1)
}

/// The thresholds that are safe and can be met, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Thresholds {
    min: usize,
    max: usize,
}

/// Assumptions in numbers of clients.
#[derive(Clone, Copy)]
struct Assumed {
    clients: usize,
    adversaries: usize,
    dropouts: usize,
    server: ServerClass,
    /// The least of adversaries and of dropouts on a sparse graph.
    at_least: (usize, usize),
}

/// A part of the clients, or an error that says of what.
pub(crate) fn check_fraction(of: &'static str, got: f64) -> Result<(), BoundsError> {
    if (0.0..1.0).contains(&got) { Ok(()) } else { Err(BoundsError::Fraction { of, got }) }
}

impl Assumed {
    fn new(
        clients: usize,
        adversaries: f64,
        dropouts: f64,
        server: ServerClass,
    ) -> Result<Self, BoundsError> {
        if !(2..=MAX_CLIENTS).contains(&clients) {
            return Err(BoundsError::Clients { min: 2, max: MAX_CLIENTS, got: clients });
        }
        check_fraction("adversaries", adversaries)?;
        check_fraction("dropouts", dropouts)?;
        let at_least = (usize::from(adversaries > 0.0), usize::from(dropouts > 0.0));
        let (adversaries, dropouts) = (part(adversaries, clients), part(dropouts, clients));
        Ok(Self { clients, adversaries, dropouts, server, at_least })
    }

    fn on_sparse_graph(&self) -> Self {
        let (adversaries, dropouts) = self.at_least;
        Self {
            adversaries: self.adversaries.max(adversaries),
            dropouts: self.dropouts.max(dropouts),
            ..*self
        }
    }

    fn find(&self) -> Option<Neighbourhood> {
        let (assumed, sparse) = (self.on_sparse_graph(), (2..self.clients.saturating_sub(1)).step_by(2));
        sparse
            .filter_map(|neighbours| Some((neighbours, assumed.thresholds(neighbours)?.min)))
            .next()
            .map(|(neighbours, threshold)| Neighbourhood { neighbours, threshold })
    }

    /// All share with all, the owner of a seed with itself; nothing is left to chance.
    fn thresholds_of_complete_graph(&self) -> Result<Thresholds, BoundsError> {
        let min = match self.server {
            ServerClass::Curious => self.adversaries.saturating_add(1),
            ServerClass::SemiMalicious => majority(self.clients, self.adversaries),
        };
        let (min, max) = (min.max(2), self.clients.saturating_sub(self.dropouts));
        if min <= max {
            return Ok(Thresholds { min, max });
        }
        Err(BoundsError::TooManyAbsent {
            clients: self.clients,
            adversaries: self.adversaries,
            dropouts: self.dropouts,
            most_dropouts: self.clients.saturating_sub(min),
        })
    }

    /// Conditions 1 to 3 for a sparse graph.
    fn thresholds(&self, neighbours: usize) -> Option<Thresholds> {
        if self.cut_bound(neighbours) >= SECURITY {
            return None;
        }
        let others = self.clients.saturating_sub(1);
        let staying = Hypergeometric::new(others, others.saturating_sub(self.dropouts), neighbours);
        let max = staying.largest_with_fewer_rarer_than(CORRECTNESS / self.clients as f64);
        let min = self.safe_threshold(neighbours);
        (min <= max).then_some(Thresholds { min, max })
    }

    /// Condition 2.
    fn safe_threshold(&self, neighbours: usize) -> usize {
        let others = self.clients.saturating_sub(1);
        let corrupt = Hypergeometric::new(others, self.adversaries.min(others), neighbours);
        let opened_at = corrupt.smallest_with_tail_at_most(SECURITY / self.clients as f64);
        let min = match self.server {
            ServerClass::Curious => opened_at,
            ServerClass::SemiMalicious => majority(neighbours, opened_at.saturating_sub(1)),
        };
        min.max(2)
    }

    /// Condition 1's left side.
    fn cut_bound(&self, neighbours: usize) -> f64 {
        let (clients, absent) = (self.clients as f64, self.adversaries.saturating_add(self.dropouts) as f64);
        let pairs = clients * (clients - neighbours as f64 - 1.0) / 2.0;
        // Falls to 0 when there are fewer absent than places, or by underflow, far below any bound.
        (0..neighbours)
            .fold(pairs, |product, i| product * (absent - i as f64).max(0.0) / (clients - i as f64))
    }
}

/// The number of marked ones among `draws` from a population, without replacement.
struct Hypergeometric {
    smallest: usize,
    /// Multiples of the probabilities of `smallest`, `smallest + 1`, …; the mode's is 1, and what is too small for an
    /// `f64` beside it is 0.
    weights: Vec<f64>,
    total: f64,
}

impl Hypergeometric {
    fn new(population: usize, marked: usize, draws: usize) -> Self {
        let unmarked = population.saturating_sub(marked);
        let (smallest, largest) = (draws.saturating_sub(unmarked), marked.min(draws));
        let mode = (draws as f64 + 1.0) * (marked as f64 + 1.0) / (population as f64 + 2.0);
        let mode = (mode as usize).clamp(smallest, largest);
        // Pr[x + 1] / Pr[x]
        let (m, d, u) = (marked as f64, draws as f64, unmarked as f64);
        let ratio = |x: usize| {
            let x = x as f64;
            (m - x) * (d - x) / ((x + 1.0) * (u - d + x + 1.0))
        };
        let mut weights: Vec<f64> = (smallest..mode)
            .rev()
            .scan(1.0, |weight, x| {
                *weight /= ratio(x);
                Some(*weight)
            })
            .collect();
        weights.reverse();
        weights.push(1.0);
        weights.extend((mode..largest).scan(1.0, |weight, x| {
            *weight *= ratio(x);
            Some(*weight)
        }));
        let total = weights.iter().sum();
        Self { smallest, weights, total }
    }

    /// Pr\[X ≥ x\].
    fn tail(&self, x: usize) -> f64 {
        let below = x.saturating_sub(self.smallest);
        self.weights.iter().skip(below).rev().sum::<f64>() / self.total
    }

    /// The smallest x with Pr\[X ≥ x\] ≤ `limit`.
    fn smallest_with_tail_at_most(&self, limit: f64) -> usize {
        let mut tail = 0.0;
        let rare = self.weights.iter().rev().take_while(|weight| {
            tail += **weight;
            tail <= limit * self.total
        });
        self.smallest.saturating_add(self.weights.len()).saturating_sub(rare.count())
    }

    /// The largest x with Pr\[X < x\] < `limit`.
    fn largest_with_fewer_rarer_than(&self, limit: f64) -> usize {
        let mut tail = 0.0;
        let rare = self.weights.iter().take_while(|weight| {
            tail += **weight;
            tail < limit * self.total
        });
        self.smallest.saturating_add(rare.count())
    }
}

#[cfg(test)]
mod tests {
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

        let code = |clients, adversaries, dropouts| {
            find(clients, adversaries, dropouts, Curious).unwrap_err().code()
        };
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
}
