//! Times for people.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_utc_and_one_that_cannot_be_is_told_as_it_is() {
        assert_eq!(utc(0), "1970-01-01 00:00:00");
        assert_eq!(utc(1_790_000_000_999), "2026-09-21 14:13:20");
        assert_eq!(utc(u64::MAX), format!("{} ms after 1970", u64::MAX));
    }
}
