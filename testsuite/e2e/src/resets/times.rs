//! The times that are allowed, as the programs' manuals and the C programs have them.

use std::time::Duration;

/// What a scenario sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// `io_timeout` of the lockspace, in seconds.
    pub(crate) io: u32,
    /// `watchdog_fire_timeout`, in seconds.
    pub(crate) fire: u32,
}

impl Times {
    /// After its last renewal a host may use its leases for so long: 8 io_timeouts.
    pub(crate) fn usable(self) -> Duration {
        seconds(8 * self.io)
    }

    /// After its last renewal, a host that cannot stop its processes has been reset, and another one that has
    /// seen no renewal for so long may take its leases.
    pub(crate) fn expiry(self) -> Duration {
        self.usable() + self.fire()
    }

    /// From the watchdog's last keepalive to the reset.
    pub(crate) fn fire(self) -> Duration {
        seconds(self.fire)
    }

    /// How often wdmd decides on a keepalive: so much before the expiry may a reset come.
    pub(crate) fn test_interval(self) -> Duration {
        seconds(match self.fire {
            60.. => 10,
            30..=59 => 5,
            10..=29 => 2,
            _ => 1,
        })
    }
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_that_of_the_manual() {
        // sanlock(8): with the default io_timeout of 10, a host is dead after 140 seconds.
        let times = Times { io: 10, fire: 60 };
        assert_eq!(times.expiry(), Duration::from_secs(140));
        assert_eq!(times.usable(), Duration::from_secs(80));
    }
}
