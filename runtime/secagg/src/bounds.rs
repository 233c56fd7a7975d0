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

mod error;
mod hypergeometric;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use self::error::BoundsError;
use self::hypergeometric::Hypergeometric;
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
