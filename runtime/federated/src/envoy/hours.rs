//! The hours of the day in which a site works for others.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// From one time of the day to another, over midnight where the second is the earlier one: `20:00-06:00`, in UTC, or
/// `20:00-06:00+05:30` that far east of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Hours {
    /// Minutes since midnight, the first that belongs to it.
    from: i64,
    /// The same, the first that no longer does.
    to: i64,
    /// Minutes east of UTC.
    east: i64,
}

/// A text that names no hours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` are no hours: write `20:00-06:00`, in UTC, or `20:00-06:00+05:30` that far east of it")]
pub struct UnknownHours(String);

const DAY: i64 = 24 * 60;

impl Hours {
    /// Whether this moment is in them.
    pub fn contains(&self, now: SystemTime) -> bool {
        // A clock before 1970 is wrong by so much that the hour says nothing; it counts as midnight.
        let minutes = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 60);
        let minutes = i64::try_from(minutes).unwrap_or(0);
        let minute = minutes.saturating_add(self.east).rem_euclid(DAY);
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

impl FromStr for Hours {
    type Err = UnknownHours;

    fn from_str(text: &str) -> Result<Self, UnknownHours> {
        let read = || {
            let (hours, east) = match text.char_indices().skip(6).find(|(_, c)| matches!(c, '+' | '-')) {
                // The dash between the times is the sixth letter.
                Some((at, sign)) => {
                    let minutes = time_of_day(text.get(at + 1..)?)?;
                    (text.get(..at)?, if sign == '-' { -minutes } else { minutes })
                }
                None => (text, 0),
            };
            let (from, to) = hours.split_once('-')?;
            let (from, to) = (time_of_day(from)?, time_of_day(to)?);
            (from < DAY && from != to && east.abs() <= 14 * 60).then_some(Self { from, to, east })
        };
        read().ok_or_else(|| UnknownHours(text.chars().take(40).collect()))
    }
}

/// `HH:MM`, to `24:00`.
fn time_of_day(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let (hours, minutes): (i64, i64) = if digits(hours) && digits(minutes) {
        (hours.parse().ok()?, minutes.parse().ok()?)
    } else {
        return None;
    };
    let time = hours * 60 + minutes;
    (minutes < 60 && time <= DAY).then_some(time)
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |minutes: i64| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        write!(f, "{}-{}", time(self.from), time(self.to))?;
        match self.east {
            0 => Ok(()),
            east => write!(f, "{}{}", if east < 0 { '-' } else { '+' }, time(east.abs())),
        }
    }
}

impl From<Hours> for String {
    fn from(hours: Hours) -> Self {
        hours.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(hours: u64, minutes: u64) -> SystemTime {
        // Some day, and its midnight.
        UNIX_EPOCH + Duration::from_secs(20_000 * 86_400 + hours * 3600 + minutes * 60)
    }

    #[test]
    fn hours_hold_from_the_first_minute_to_before_the_last() {
        let day: Hours = "08:00-18:30".parse().unwrap();
        for (hour, minute, inside) in [(7, 59, false), (8, 0, true), (18, 29, true), (18, 30, false)] {
            assert_eq!(day.contains(at(hour, minute)), inside, "{hour}:{minute}");
        }
        let night: Hours = "20:00-06:00".parse().unwrap();
        for (hour, minute, inside) in
            [(19, 59, false), (20, 0, true), (0, 0, true), (5, 59, true), (6, 0, false)]
        {
            assert_eq!(night.contains(at(hour, minute)), inside, "{hour}:{minute}");
        }
        let all: Hours = "00:00-24:00".parse().unwrap();
        assert!(all.contains(at(0, 0)) && all.contains(at(23, 59)));
    }

    #[test]
    fn hours_may_be_those_of_another_place() {
        let india: Hours = "20:00-06:00+05:30".parse().unwrap();
        // 14:30 in UTC is 20:00 there.
        assert!(!india.contains(at(14, 29)) && india.contains(at(14, 30)) && !india.contains(at(0, 30)));
        let west: Hours = "20:00-22:00-08:00".parse().unwrap();
        assert!(west.contains(at(4, 0)) && !west.contains(at(6, 0)));
    }

    #[test]
    fn they_are_read_as_they_are_written() {
        for text in ["20:00-06:00", "08:00-24:00", "20:00-06:00+05:30", "20:00-22:00-08:00"] {
            assert_eq!(text.parse::<Hours>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "8-18",
            "08:00",
            "08:60-10:00",
            "24:00-06:00",
            "25:00-26:00",
            "08:00-08:00",
            "08:00-09:00+15:00",
            "é08:00-09:00",
            "08:00–09:00",
        ] {
            assert!(text.parse::<Hours>().is_err(), "{text}");
        }
    }
}
