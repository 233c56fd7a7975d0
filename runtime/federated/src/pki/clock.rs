//! Times as certificates and lists have them: whole seconds since 1970.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, de};
use time::OffsetDateTime;

/// What asks for the time: the system's clock, or a test's.
pub(crate) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The seconds since 1970; 0 for a clock that shows less.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The other way round.
pub(crate) fn from_seconds(seconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH)
}

/// Seconds since 1970 as people read them, in UTC.
pub struct Date(pub u64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = i64::try_from(self.0).ok().and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
        let Some(time) = time else { return f.pad("a day out of reach") };
        let date = time.date();
        let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
        f.pad(&format!("{year}-{month:02}-{day:02} {:02}:{:02} UTC", time.hour(), time.minute()))
    }
}

/// How long something is valid, written as a number and a unit: `90s`, `15m`, `24h`, `30d`, `2w`, `1y` (365 days).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Validity(pub Duration);

/// A text that says no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no duration: use a number and a unit, such as 24h, 30d or 1y (units s, m, h, d, w, y)")]
pub struct InvalidDuration(pub String);

const UNITS: [(&str, u64); 6] =
    [("y", 31_536_000), ("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

impl FromStr for Validity {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let parsed = UNITS.into_iter().find_map(|(unit, seconds)| {
            let number = text.strip_suffix(unit)?;
            let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| number.parse::<u64>().ok()?.checked_mul(seconds)).flatten()
        });
        let parsed = parsed.filter(|seconds| *seconds > 0);
        let seconds = parsed.ok_or_else(|| InvalidDuration(text.chars().take(64).collect()))?;
        Ok(Self(Duration::from_secs(seconds)))
    }
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.as_secs();
        let whole = UNITS.into_iter().find(|(_, seconds)| all >= *seconds && all.is_multiple_of(*seconds));
        let (unit, seconds) = whole.unwrap_or(("s", 1));
        f.pad(&format!("{}{unit}", all / seconds))
    }
}

impl<'de> Deserialize<'de> for Validity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, seconds) in
            [("90s", 90), ("15m", 900), ("24h", 86_400), ("2w", 1_209_600), ("1y", 31_536_000)]
        {
            let validity: Validity = text.parse().unwrap();
            assert_eq!(validity.0, Duration::from_secs(seconds), "{text}");
            assert_eq!(validity.to_string().parse(), Ok(validity));
        }
        for bad in ["", "h", "0h", "1", "-1h", "1.5h", "1H", "h1", "99999999999999999y", "+1d", "1 d"] {
            assert!(bad.parse::<Validity>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn dates_are_told_in_utc() {
        assert_eq!(Date(0).to_string(), "1970-01-01 00:00 UTC");
        assert_eq!(Date(1_000_000_000).to_string(), "2001-09-09 01:46 UTC");
        assert_eq!(Date(u64::MAX).to_string(), "a day out of reach");
    }
}
