//! How many of those addressed must answer.

use std::fmt;

/// How many of the collaborators that a fan-out addressed must come back for its join to run.
///
/// `3.into()` is a count, `0.6.into()` a fraction of those addressed, rounded up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Quorum {
    /// At least so many.
    Count(usize),
    /// At least this part of those addressed: above 0, at most 1.
    Fraction(f64),
}

/// Why no set of collaborators can meet a quorum.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidQuorum {
    /// A join of nobody's work.
    #[error("a quorum of 0 would join nobody's work: ask for at least 1")]
    Zero,
    /// A fraction outside (0, 1].
    #[error("a quorum of {0} of those addressed cannot be met: a fraction is above 0 and at most 1")]
    Fraction(f64),
}

impl Quorum {
    /// All that were addressed: the quorum of an edge that names none.
    pub const ALL: Quorum = Quorum::Fraction(1.0);

    /// The number that must come back when `addressed` were asked.
    pub fn of(self, addressed: usize) -> usize {
        match self {
            Quorum::Count(count) => count,
            // 0.28 × 100 is 28.000000000000004 in binary, and 28 % of 100 are 28. The product of a count and
            // a fraction in (0, 1] is at most the count.
            Quorum::Fraction(fraction) => ((addressed as f64) * fraction * (1.0 - 1e-12)).ceil() as usize,
        }
    }

    /// Checks that some set of collaborators can meet it.
    ///
    /// # Errors
    /// [`InvalidQuorum`] where it is 0, or a fraction outside (0, 1].
    pub fn validate(self) -> Result<(), InvalidQuorum> {
        match self {
            Quorum::Count(0) => Err(InvalidQuorum::Zero),
            Quorum::Fraction(fraction) if !(fraction > 0.0 && fraction <= 1.0) => {
                Err(InvalidQuorum::Fraction(fraction))
            }
            _ => Ok(()),
        }
    }
}

impl From<usize> for Quorum {
    fn from(count: usize) -> Self {
        Quorum::Count(count)
    }
}

impl From<i32> for Quorum {
    /// So that `.quorum(2)` needs no suffix; a negative count is the 0 that [`Quorum::validate`] refuses.
    fn from(count: i32) -> Self {
        Quorum::Count(usize::try_from(count).unwrap_or(0))
    }
}

impl From<f64> for Quorum {
    fn from(fraction: f64) -> Self {
        Quorum::Fraction(fraction)
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Quorum::Count(count) => write!(f, "at least {count}"),
            Quorum::Fraction(1.0) => f.write_str("all"),
            // Six decimals of a percentage: enough for any cohort, and 0.55 shows as `55`.
            Quorum::Fraction(fraction) => write!(f, "at least {} %", (fraction * 1e8).round() / 1e6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_counts_those_addressed_and_rounds_up() {
        assert_eq!(Quorum::from(0.6).of(3), 2);
        assert_eq!(Quorum::from(1.0).of(7), 7);
        assert_eq!(Quorum::from(2).of(7), 2);
        assert_eq!(Quorum::from(1e-9).of(7), 1, "a fraction above 0 asks for somebody");
    }

    #[test]
    fn binary_fractions_do_not_ask_for_one_too_many() {
        for addressed in 1..=300_usize {
            for count in 1..=addressed {
                assert_eq!(Quorum::from(count as f64 / addressed as f64).of(addressed), count);
            }
        }
        for percent in 1..=100 {
            let quorum = Quorum::from(f64::from(percent) / 100.0);
            assert_eq!(quorum.of(100), percent as usize);
            let shown = if percent == 100 { "all".to_owned() } else { format!("at least {percent} %") };
            assert_eq!(quorum.to_string(), shown);
        }
    }

    #[test]
    fn what_nobody_can_meet_is_refused() {
        assert_eq!(Quorum::from(0).validate(), Err(InvalidQuorum::Zero));
        for bad in [0.0, -0.5, 1.5, f64::NAN] {
            assert!(Quorum::from(bad).validate().is_err(), "{bad}");
        }
        assert_eq!(Quorum::ALL.validate(), Ok(()));
    }
}
