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

/// Members, by their numbers, on their places in the ring.
#[derive(Clone)]
pub(crate) struct Graph {
    ring: Vec<u32>,
    /// By number; of no use where nobody has it.
    place: Vec<u32>,
    wanted: usize,
}

impl Graph {
    /// Of the members with these numbers and names, in ascending order of their numbers.
    pub(crate) fn new<'a>(
        seed: &[u8; 32],
        members: impl Iterator<Item = (u32, &'a String)>,
        wanted: usize,
    ) -> Self {
        let key = |name: &String| Transcript::new(domain!("ring")).bytes(seed).text(name).hash();
        let mut keyed: Vec<([u8; 32], u32)> = members.map(|(member, name)| (key(name), member)).collect();
        let mut place = vec![0; keyed.last().map_or(0, |(_, last)| (*last as usize).saturating_add(1))];
        keyed.sort_unstable();
        let ring: Vec<u32> = keyed.into_iter().map(|(_, member)| member).collect();
        for (at, member) in (0..).zip(&ring) {
            if let Some(place) = place.get_mut(*member as usize) {
                *place = at;
            }
        }
        Self { ring, place, wanted }
    }

    /// k.
    pub(crate) fn degree(&self) -> usize {
        degree(self.ring.len(), self.wanted)
    }

    /// A member's neighbours in ascending order. Computed when asked for: a client needs its own, and for those
    /// its place among theirs.
    pub(crate) fn neighbours(&self, member: u32) -> Vec<u32> {
        let Some(place) = self.place.get(member as usize) else { return Vec::new() };
        let places = harary(*place as usize, self.ring.len(), self.wanted);
        let mut neighbours: Vec<u32> =
            places.into_iter().filter_map(|place| self.ring.get(place).copied()).collect();
        neighbours.sort_unstable();
        neighbours
    }

    /// The place of `to` among the neighbours of `from`, in ascending order; `None` where it is none.
    pub(crate) fn place_among(&self, from: u32, to: u32) -> Option<usize> {
        let places = harary(*self.place.get(from as usize)? as usize, self.ring.len(), self.wanted);
        let (mut before, mut is_neighbour) = (0_usize, false);
        for neighbour in places.into_iter().filter_map(|place| self.ring.get(place)) {
            before = before.saturating_add(usize::from(*neighbour < to));
            is_neighbour |= *neighbour == to;
        }
        is_neighbour.then_some(before)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn graph(seed: u8, members: usize, wanted: usize) -> Graph {
        let names: Vec<String> = (0..members).map(|i| format!("site {i}")).collect();
        Graph::new(&[seed; 32], (0..).zip(&names), wanted)
    }

    fn rows(graph: &Graph) -> Vec<BTreeSet<usize>> {
        let row = |member| graph.neighbours(member).into_iter().map(|other| other as usize).collect();
        (0..graph.ring.len() as u32).map(row).collect()
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
                prop_assert_eq!(graph.neighbours(member as u32).len(), k, "no neighbour twice");
                prop_assert_eq!(row.len(), k);
                prop_assert!(!row.contains(&member));
                prop_assert!(row.iter().all(|other| rows[*other].contains(&member)));
                for other in 0..members {
                    let place = graph.place_among(member as u32, other as u32);
                    prop_assert_eq!(place, row.iter().position(|neighbour| *neighbour == other));
                }
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
