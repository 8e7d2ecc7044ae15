//! The host's clocks.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The clocks that leases are counted by. None of them can be set.
#[derive(Debug, Clone, Copy)]
pub struct Clock;

impl Clock {
    /// Time since some moment before the start of the host, as `CLOCK_MONOTONIC` counts it: not while
    /// the host is suspended. Its whole seconds are the timestamps in leases and in the log.
    #[must_use]
    pub fn monotonic() -> Duration {
        read(ClockId::CLOCK_MONOTONIC)
    }

    /// [`Clock::monotonic`] in whole seconds.
    #[must_use]
    pub fn monotonic_seconds() -> u64 {
        Self::monotonic().as_secs()
    }

    /// Time since the start of the host, as `CLOCK_BOOTTIME` counts it: also while the host is
    /// suspended. When it runs ahead of [`Clock::monotonic`], the host slept, and other hosts may have
    /// counted it dead meanwhile.
    #[must_use]
    pub fn boottime() -> Duration {
        read(ClockId::CLOCK_BOOTTIME)
    }

    /// How long the host was suspended since it started.
    #[must_use]
    pub fn suspended() -> Duration {
        // Read in this order, the difference is never too large for the time between the two.
        let boottime = Self::boottime();
        boottime.saturating_sub(Self::monotonic())
    }

    /// Seconds since 1970, and the local date and time of day that this is: `2026-01-31 12:00:00`.
    #[must_use]
    pub fn local_time() -> (i64, String) {
        let seconds = Self::realtime_seconds();
        (seconds, crate::log::local_date(seconds))
    }

    /// Seconds since 1970, for people.
    pub(crate) fn realtime_seconds() -> i64 {
        clock_gettime(ClockId::CLOCK_REALTIME).map_or(0, |time| time.tv_sec())
    }
}

/// These clocks exist on every kernel that can run this, so reading one cannot fail.
fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_run_and_agree() {
        let before = Clock::monotonic();
        assert!(before > Duration::ZERO);
        assert!(Clock::monotonic() >= before);
        assert!(Clock::boottime() >= before);
        assert!(Clock::monotonic_seconds() >= before.as_secs());
        assert!(Clock::realtime_seconds() > 1_600_000_000);
        assert!(Clock::suspended() <= Clock::boottime());
    }
}
