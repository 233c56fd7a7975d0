//! Times and sizes as people write them in configurations: with their unit, since a bare number is read as seconds by one
//! and as milliseconds by another.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A time: `500ms`, `60s`, `5min`, `24h`, `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A number of bytes: `65536`, `64 KiB`, `4 GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A text that is no time or size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}")]
pub struct InvalidUnit {
    text: String,
    what: &'static str,
}

const TIMES: [(&str, u64); 6] =
    [("ms", 1), ("s", 1000), ("min", 60_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZES: [(&str, u64); 5] = [("", 1), ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

fn measure(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

impl FromStr for Span {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let what = "time: write it with its unit, such as 500ms, 60s, 5min or 24h";
        let invalid = || InvalidUnit { text: text.to_owned(), what };
        measure(text, &TIMES).map(|ms| Self(Duration::from_millis(ms))).ok_or_else(invalid)
    }
}

impl FromStr for Size {
    type Err = InvalidUnit;

    fn from_str(text: &str) -> Result<Self, InvalidUnit> {
        let what = "size: write it as 65536, 64 KiB or 4 GiB";
        let invalid = || InvalidUnit { text: text.to_owned(), what };
        measure(text, &SIZES).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_their_units() {
        for (text, ms) in
            [("500ms", 500), ("60s", 60_000), ("5 min", 300_000), ("2h", 7_200_000), ("1D", 86_400_000)]
        {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(ms))), "{text}");
        }
        for (text, bytes) in [("7", 7), ("64 KiB", 65536), ("4gib", 4 << 30)] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for bad in ["60", "", "s", "-1s", "1.5h", "99999999999999999999s", "1 week"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
        assert!("12 parsecs".parse::<Size>().is_err() && "18446744073709551615 GiB".parse::<Size>().is_err());
        assert!("60".parse::<Span>().unwrap_err().to_string().contains("with its unit"));
    }
}
