//! Against whom a session is to hold, and what follows from it for thresholds and cohorts (`SECURITY.md`, row 3).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{bounds::ServerClass, plan::PlanError};

/// What the server may do. In either setting up to t − 1 clients may tell a server all that they know.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// The server follows the protocol and is curious. No identity keys are needed, and nothing is signed.
    SemiHonest,
    /// The server does anything. Keys, rosters, survivors and shares are signed; thresholds must be so high that two
    /// different stories cannot both be finished.
    Malicious {
        /// The largest part of the *enrolled* participants that works together with the server, in [0, 1).
        adversaries: f64,
    },
}

/// The part of adversaries that [`Security::default`] assumes.
const THIRD: f64 = 1.0 / 3.0;

impl Default for Security {
    /// Malicious, with a third of the enrolled participants on the server's side.
    fn default() -> Self {
        Self::Malicious { adversaries: THIRD }
    }
}

impl Security {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether messages are signed.
    pub fn is_malicious(&self) -> bool {
        matches!(self, Self::Malicious { .. })
    }

    /// What the server is taken for where neighbours and thresholds are found and checked.
    pub fn server_class(&self) -> ServerClass {
        match self {
            Self::SemiHonest => ServerClass::Curious,
            Self::Malicious { .. } => ServerClass::SemiMalicious,
        }
    }

    /// The part of the enrolled that works for the server against honest *sites*; 0 for a curious server.
    pub fn adversaries(&self) -> f64 {
        match self {
            Self::SemiHonest => 0.0,
            Self::Malicious { adversaries } => *adversaries,
        }
    }

    /// ⌊γ·enrolled⌋.
    pub(crate) fn colluders(&self, enrolled: usize) -> usize {
        part(self.adversaries(), enrolled)
    }
}

/// ⌊γ·N⌋.
pub(crate) fn part(fraction: f64, of: usize) -> usize {
    // 0.29 · 100 is a little less than 29 in binary; whoever wrote it meant 29.
    (fraction * of as f64 + 1e-9).floor() as usize
}

/// The smallest number that is more than half of `members + colluders`: of two sets of that many, out of `members`,
/// one honest member at least is in both, and it tells one story only.
pub(crate) fn majority(members: usize, colluders: usize) -> usize {
    (members.saturating_add(colluders) / 2).saturating_add(1)
}

impl fmt::Display for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SemiHonest => f.write_str("semi-honest"),
            Self::Malicious { .. } if self.is_default() => f.write_str("malicious"),
            Self::Malicious { adversaries } => write!(f, "malicious:{adversaries}"),
        }
    }
}

/// `semi-honest`, `malicious` (a third), or `malicious:0.1`.
impl FromStr for Security {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        match text.split_once(':') {
            None if text == "semi-honest" => return Ok(Self::SemiHonest),
            None if text == "malicious" => return Ok(Self::default()),
            Some(("malicious", part)) => {
                if let Ok(adversaries) = part.parse()
                    && (0.0..1.0).contains(&adversaries)
                {
                    return Ok(Self::Malicious { adversaries });
                }
            }
            _ => {}
        }
        Err(PlanError::SecurityUnreadable { got: text.chars().take(40).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_as_written() {
        assert_eq!("semi-honest".parse(), Ok(Security::SemiHonest));
        assert_eq!("malicious".parse(), Ok(Security::default()));
        let tenth = Security::Malicious { adversaries: 0.1 };
        assert_eq!("malicious:0.1".parse(), Ok(tenth));
        for security in [Security::SemiHonest, Security::default(), tenth] {
            assert_eq!(security.to_string().parse(), Ok(security));
        }
        for text in ["", "honest", "malicious:1", "malicious:-0.1", "malicious:NaN", "semi-honest:0.1"] {
            let got = text.to_owned();
            assert_eq!(text.parse::<Security>(), Err(PlanError::SecurityUnreadable { got }), "{text}");
        }
    }

    #[test]
    fn colluders_are_counted_as_they_were_meant() {
        let of = |adversaries, enrolled| Security::Malicious { adversaries }.colluders(enrolled);
        assert_eq!((of(0.29, 100), of(0.05, 100), of(0.05, 19), of(0.0, 9)), (29, 5, 0, 0));
        assert_eq!([2, 3, 4, 6, 255].map(|n| Security::default().colluders(n)), [0, 1, 1, 2, 85]);
        assert_eq!(Security::SemiHonest.colluders(100), 0);
    }

    /// Two majorities out of N share more members than there are colluders.
    #[test]
    fn row_03_two_majorities_share_an_honest_member() {
        for members in 2_usize..60 {
            for colluders in 0..members {
                let needed = majority(members, colluders);
                assert!(2 * needed - members > colluders, "{needed} of {members} with {colluders}");
                assert!(2 * (needed - 1) <= members + colluders, "no more than it takes");
            }
        }
    }
}
