//! What became of the members after round 2, and what the server has of the one secret of each that it may rebuild.

use std::collections::BTreeSet;

use crate::{roster::Roster, shamir::Share};

/// What became of the members, by number.
pub(crate) struct Standings(Vec<Standing>);

/// What became of a member, and with that, which of its secrets is rebuilt.
pub(super) enum Standing {
    /// It shared no keys.
    Absent,
    /// Its vector is in the sum.
    Survived(Secret),
    /// It shared keys and sent no vector.
    Dropped(Secret),
}

/// What the server has of a secret.
pub(super) enum Secret {
    /// No more than a threshold's worth, by position.
    Shares(Vec<(u8, Share)>),
    /// Rebuilt, and found to be what its owner advertised or committed to.
    Whole(Share),
}

impl Standings {
    pub(crate) fn new(
        roster: &Roster,
        threshold: usize,
        survivors: &BTreeSet<String>,
        dropped: &BTreeSet<String>,
    ) -> Self {
        let none = || Secret::Shares(Vec::with_capacity(threshold));
        let mut standings: Vec<Standing> = (0..roster.numbers()).map(|_| Standing::Absent).collect();
        for (number, entry) in roster.members() {
            let Some(standing) = standings.get_mut(number as usize) else { continue };
            if survivors.contains(&entry.name) {
                *standing = Standing::Survived(none());
            } else if dropped.contains(&entry.name) {
                *standing = Standing::Dropped(none());
            }
        }
        Self(standings)
    }

    pub(super) fn of(&self, member: u32) -> &Standing {
        self.0.get(member as usize).unwrap_or(&Standing::Absent)
    }

    pub(super) fn secret(&self, member: u32) -> Option<&Secret> {
        match self.of(member) {
            Standing::Survived(secret) | Standing::Dropped(secret) => Some(secret),
            Standing::Absent => None,
        }
    }

    pub(super) fn secret_mut(&mut self, member: u32) -> Option<&mut Secret> {
        match self.0.get_mut(member as usize)? {
            Standing::Survived(secret) | Standing::Dropped(secret) => Some(secret),
            Standing::Absent => None,
        }
    }

    /// The shares of a member's secret, if there are fewer than so many: no more than a threshold's worth is kept.
    pub(super) fn wanting(&mut self, member: u32, threshold: usize) -> Option<&mut Vec<(u8, Share)>> {
        match self.secret_mut(member) {
            Some(Secret::Shares(shares)) if shares.len() < threshold => Some(shares),
            _ => None,
        }
    }

    /// How many shares of each secret there are.
    pub(super) fn counts(&self) -> Vec<usize> {
        let count = |member: u32| match self.secret(member) {
            Some(Secret::Shares(shares)) => shares.len(),
            _ => 0,
        };
        (0..).take(self.0.len()).map(count).collect()
    }

    /// Forgets the shares that came since.
    pub(super) fn back_to(&mut self, counts: &[usize]) {
        for (member, count) in (0..).zip(counts) {
            if let Some(Secret::Shares(shares)) = self.secret_mut(member) {
                shares.truncate(*count);
            }
        }
    }
}
