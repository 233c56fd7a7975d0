//! Who is whose neighbour (SecAgg+, Bell et al., CCS 2020, section 3; `SECURITY.md`, row 5).
//!
//! The members stand in a ring in an order that nobody chose, and the graph is the Harary graph of that ring: each has
//! the k/2 next ones on either side, and for an odd k the one opposite. It is k-connected, so fewer than k dropouts
//! leave it in one piece. An odd number of members with an odd k each is impossible; k is one more then.
//!
//! The order is by SHA-256 of seed and name. The seed is the digest of the frozen roster, which covers a random value
//! of every member: each was committed to before any was revealed.

use crate::transcript::{Transcript, domain};

/// The number of neighbours of each of `members`, when `wanted` are asked for: all others at most.
pub(crate) fn degree(members: usize, wanted: usize) -> usize {
    let k = wanted.min(members.saturating_sub(1));
    if !k.is_multiple_of(2) && !members.is_multiple_of(2) { k.saturating_add(1) } else { k }
}

/// The neighbours of a place in a ring of so many, in no order.
fn harary(place: usize, members: usize, wanted: usize) -> Vec<usize> {
    let k = degree(members, wanted);
    let step = |distance: usize| place.saturating_add(distance).checked_rem(members).unwrap_or(0);
    let ring = (1..=k / 2).flat_map(|distance| [step(distance), step(members.saturating_sub(distance))]);
    ring.chain((!k.is_multiple_of(2)).then(|| step(members / 2))).collect()
}

/// Members, by their numbers from 0, on their places in the ring.
#[derive(Clone)]
pub(crate) struct Graph {
    ring: Vec<usize>,
    place: Vec<usize>,
    wanted: usize,
}

impl Graph {
    /// Of the members with these names, numbered in this order.
    pub(crate) fn new<'a>(seed: &[u8; 32], names: impl Iterator<Item = &'a String>, wanted: usize) -> Self {
        let key = |name: &String| Transcript::new(domain!("ring")).bytes(seed).text(name).hash();
        let mut keyed: Vec<([u8; 32], usize)> = names.map(key).zip(0..).collect();
        keyed.sort_unstable();
        let ring: Vec<usize> = keyed.into_iter().map(|(_, member)| member).collect();
        let mut place: Vec<(usize, usize)> = ring.iter().copied().zip(0..).collect();
        place.sort_unstable();
        Self { ring, place: place.into_iter().map(|(_, place)| place).collect(), wanted }
    }

    /// k.
    pub(crate) fn degree(&self) -> usize {
        degree(self.ring.len(), self.wanted)
    }

    /// A member's neighbours in ascending order. Computed when asked for: nobody needs the whole graph.
    pub(crate) fn neighbours(&self, member: usize) -> Vec<usize> {
        let Some(place) = self.place.get(member) else { return Vec::new() };
        let places = harary(*place, self.ring.len(), self.wanted);
        let mut neighbours: Vec<usize> =
            places.into_iter().filter_map(|place| self.ring.get(place).copied()).collect();
        neighbours.sort_unstable();
        neighbours
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn graph(seed: u8, members: usize, wanted: usize) -> Graph {
        let names: Vec<String> = (0..members).map(|i| format!("site {i}")).collect();
        Graph::new(&[seed; 32], names.iter(), wanted)
    }

    fn rows(graph: &Graph) -> Vec<BTreeSet<usize>> {
        (0..graph.ring.len()).map(|member| graph.neighbours(member).into_iter().collect()).collect()
    }

    fn is_connected(rows: &[BTreeSet<usize>], without: &BTreeSet<usize>) -> bool {
        let left: BTreeSet<usize> = (0..rows.len()).filter(|member| !without.contains(member)).collect();
        let mut seen: BTreeSet<usize> = left.first().copied().into_iter().collect();
        let mut open: Vec<usize> = seen.iter().copied().collect();
        while let Some(member) = open.pop() {
            open.extend(rows[member].intersection(&left).filter(|next| seen.insert(**next)));
        }
        seen == left
    }

    proptest! {
        #[test]
        fn symmetric_regular_and_connected(members in 2_usize..60, wanted in 2_usize..64, seed: u8) {
            let graph = graph(seed, members, wanted);
            let (rows, k) = (rows(&graph), degree(members, wanted));
            prop_assert!(k >= wanted.min(members - 1) && k < members);
            for (member, row) in rows.iter().enumerate() {
                prop_assert_eq!(graph.neighbours(member).len(), k, "no neighbour twice");
                prop_assert_eq!(row.len(), k);
                prop_assert!(!row.contains(&member));
                prop_assert!(row.iter().all(|other| rows[*other].contains(&member)));
            }
            prop_assert!(is_connected(&rows, &BTreeSet::new()));
        }
    }

    /// Every set of fewer than k members can leave and the others stay connected: tried out.
    #[test]
    fn k_connected() {
        for members in 3_usize..=9 {
            for wanted in 2..members {
                let rows = rows(&graph(1, members, wanted));
                for set in 0_u32..1 << members {
                    let without: BTreeSet<usize> = (0..members).filter(|i| set >> i & 1 == 1).collect();
                    if without.len() < wanted {
                        assert!(is_connected(&rows, &without), "{members} {wanted} without {without:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn all_others_are_the_complete_graph() {
        for members in 2_usize..20 {
            for row in rows(&graph(2, members, members - 1)).iter().zip(0..) {
                let others: BTreeSet<usize> = (0..members).filter(|other| *other != row.1).collect();
                assert_eq!(*row.0, others);
            }
        }
    }

    #[test]
    fn row_05_another_seed_is_another_graph() {
        assert_ne!(rows(&graph(1, 40, 4)), rows(&graph(2, 40, 4)));
        assert_eq!(rows(&graph(1, 40, 4)), rows(&graph(1, 40, 4)));
    }
}
