//! Times as the watchdog counts them.

use std::fmt;

/// Milliseconds of the monotonic clock, which does not run while the host is suspended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// So many whole seconds.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds: what clients are told, and what stands in logs.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Later by so many seconds.
    #[must_use]
    pub const fn plus_seconds(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(seconds as u64 * 1000))
    }

    /// Earlier by so many seconds.
    #[must_use]
    pub const fn minus_seconds(self, seconds: u32) -> Self {
        Self(self.0.saturating_sub(seconds as u64 * 1000))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds())
    }
}

/// How long the host was suspended since it started, in milliseconds. It dates what clients say: time for which
/// the host is suspended later is time that they did not know of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Suspended(pub u64);

/// What the clocks say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock.
    pub at: Millis,
    /// For how long it has stood still.
    pub suspended: Suspended,
}

/// Two readings of two clocks are never of the same moment; less than this between them is no suspension.
const NOISE: u64 = 2000;

impl Now {
    /// Milliseconds for which the host was suspended since an earlier reading: other hosts' clocks went on meanwhile.
    #[must_use]
    pub(crate) fn suspended_since(&self, earlier: Suspended) -> u64 {
        let gap = self.suspended.0.saturating_sub(earlier.0);
        if gap < NOISE { 0 } else { gap }
    }
}

/// Seconds between two tests when nothing is wrong, for a device that fires after so many.
#[must_use]
pub const fn test_interval(fire_timeout: u32) -> u32 {
    match fire_timeout {
        60.. => 10,
        30..=59 => 5,
        10..=29 => 2,
        _ => 1,
    }
}

/// Seconds between two tests when something is.
pub const RECOVERY_INTERVAL: u32 = 1;

/// What the device fires after for clients that do not say.
pub const DEFAULT_FIRE_TIMEOUT: u32 = 60;
