//! Dates and times of day, for people to read.

use std::time::{SystemTime, UNIX_EPOCH};

/// A moment, in universal time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Utc {
    /// Year, month and day.
    date: (u64, u64, u64),
    /// Hour, minute and second.
    time: (u64, u64, u64),
    millisecond: u32,
}

impl Utc {
    /// One before 1970 is shown as its first.
    pub(crate) fn of(moment: SystemTime) -> Self {
        let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        let second = since.as_secs() % 86_400;
        Self {
            date: date(since.as_secs() / 86_400),
            time: (second / 3600, second / 60 % 60, second % 60),
            millisecond: since.subsec_millis(),
        }
    }

    /// As libvirt logs it: `2026-01-31 12:00:00.123+0000`.
    pub(crate) fn in_the_log(self) -> String {
        let ((year, month, day), (hour, minute, second)) = (self.date, self.time);
        let millisecond = self.millisecond;
        format!(
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millisecond:03}+0000"
        )
    }

    /// As RFC 3339 has it, in seconds: `2026-01-31T12:00:00Z`.
    pub(crate) fn rfc3339(self) -> String {
        let ((year, month, day), (hour, minute, second)) = (self.date, self.time);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Year, month and day of a day since 1970, counted in eras of 400 years that begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(59), (1970, 3, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(20_778), (2026, 11, 21));
        assert_eq!(date(47_540), (2100, 2, 28));
        assert_eq!(date(47_541), (2100, 3, 1));
    }

    #[test]
    fn both_forms() {
        let moment = Utc::of(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123));
        assert_eq!(moment.in_the_log(), "2023-11-14 22:13:20.123+0000");
        assert_eq!(moment.rfc3339(), "2023-11-14T22:13:20Z");
    }
}
