//! Times for people.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// Milliseconds since 1970 as `2026-09-21 14:13:20`, in UTC.
pub(crate) fn utc(ms: u64) -> String {
    let Ok(time) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000) else {
        return format!("{ms} ms after 1970");
    };
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second) = time.to_hms();
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Milliseconds since 1970 as RFC 3339 has them, `2026-09-21T14:13:20.999Z`, for programs.
pub(crate) fn rfc3339(ms: u64) -> String {
    format!("{}.{:03}Z", utc(ms).replace(' ', "T"), ms % 1000)
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_utc_and_one_that_cannot_be_is_told_as_it_is() {
        assert_eq!(utc(0), "1970-01-01 00:00:00");
        assert_eq!(utc(1_790_000_000_999), "2026-09-21 14:13:20");
        assert_eq!(rfc3339(1_790_000_000_999), "2026-09-21T14:13:20.999Z");
        assert_eq!(utc(u64::MAX), format!("{} ms after 1970", u64::MAX));
    }
}
