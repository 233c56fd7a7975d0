//! Among how many secrets are shared, and how many of those it takes to rebuild them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::plan::PlanError;

/// How many participants must answer in the last round for the sum to be known.
///
/// Serialized as an integer (a count), as a float (a fraction), or not at all (the default).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Threshold {
    /// So many participants.
    Count(u32),
    /// This part of the participants, in (0, 1], rounded up.
    Fraction(f64),
    /// ⌊2N/3⌋ + 1 of the N who hold shares: on the complete graph no two sets of survivors can both be unmasked with it
    /// while up to a third of the clients work together with the server. With [`NumShares::Auto`] it is the one that
    /// is found.
    #[default]
    TwoThirds,
}

impl Threshold {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::TwoThirds
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            // Debug keeps the decimal point, so that a fraction of 1.0 does not read back as a count.
            Self::Fraction(fraction) => write!(f, "{fraction:?}"),
            Self::TwoThirds => f.write_str("floor(2N/3)+1"),
        }
    }
}

/// A count such as `3`, or a fraction such as `0.6`.
impl FromStr for Threshold {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        if let Ok(count) = text.parse() {
            return Ok(Self::Count(count));
        }
        match text.parse::<f64>() {
            Ok(fraction) if fraction > 0.0 && fraction <= 1.0 => Ok(Self::Fraction(fraction)),
            _ => Err(PlanError::ThresholdUnreadable { got: text.chars().take(40).collect() }),
        }
    }
}

/// Among how many participants each secret is shared, and so with how many each is masked.
///
/// Serialized as an integer (a count), as a float (a fraction), or as the text `auto`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Encoded", into = "Encoded")]
pub enum NumShares {
    /// So many neighbours, an even number. All others, or more, is everybody.
    Count(u32),
    /// This part of the participants, in (0, 1], rounded up to an even number of neighbours; 1.0 is everybody.
    Fraction(f64),
    /// As few as the assumed adversaries and dropouts allow: what [`bounds::find`](crate::bounds::find) finds for the
    /// number invited, or everybody where only the complete graph holds.
    Auto,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Encoded {
    Count(u32),
    Fraction(f64),
    Text(String),
}

impl From<NumShares> for Encoded {
    fn from(shares: NumShares) -> Self {
        match shares {
            NumShares::Count(count) => Self::Count(count),
            NumShares::Fraction(fraction) => Self::Fraction(fraction),
            NumShares::Auto => Self::Text(AUTO.to_owned()),
        }
    }
}

impl TryFrom<Encoded> for NumShares {
    type Error = PlanError;

    fn try_from(encoded: Encoded) -> Result<Self, PlanError> {
        match encoded {
            Encoded::Count(count) => Ok(Self::Count(count)),
            Encoded::Fraction(fraction) => Ok(Self::Fraction(fraction)),
            Encoded::Text(text) => text.parse(),
        }
    }
}

const AUTO: &str = "auto";

impl Default for NumShares {
    /// Everybody: SecAgg on the complete graph.
    fn default() -> Self {
        Self::Fraction(1.0)
    }
}

impl NumShares {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for NumShares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Fraction(fraction) => write!(f, "{fraction:?}"),
            Self::Auto => f.write_str(AUTO),
        }
    }
}

/// A count such as `30`, a fraction such as `0.1`, or `auto`.
impl FromStr for NumShares {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        if text == AUTO {
            return Ok(Self::Auto);
        }
        if let Ok(count) = text.parse() {
            return Ok(Self::Count(count));
        }
        match text.parse::<f64>() {
            Ok(fraction) if fraction > 0.0 && fraction <= 1.0 => Ok(Self::Fraction(fraction)),
            _ => Err(PlanError::NumSharesUnreadable { got: text.chars().take(40).collect() }),
        }
    }
}
