//! What is wrong with assumptions or parameters, and what would do.

use thiserror::Error as ThisError;

use super::Neighbourhood;

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
        /// What [`find`](super::find) gives.
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
