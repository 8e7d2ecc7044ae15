//! The numbers that leases are made of, each with a type of its own.

use std::fmt;
use std::time::Duration;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number! {
    /// The number of a host in a lockspace, from 1 to the geometry's
    /// [`max_hosts`](crate::Geometry::max_hosts); 0 stands for no host.
    HostId
}

number! {
    /// How many times a host id has been taken: it grows each time a host joins the lockspace with
    /// that id, and so tells a host from the same host before a crash.
    Generation
}

number! {
    /// Lease version: how many times a resource lease has changed hands.
    Lver
}

number! {
    /// Seconds of the writer's monotonic clock (`CLOCK_MONOTONIC`); comparable only with timestamps of the
    /// same host since its last boot. 0 marks a free lease.
    Timestamp
}

impl HostId {
    /// How many hosts have a smaller id: host 1 has slot 0. `None` for host id 0, which is no host.
    pub fn slot(self) -> Option<u64> {
        self.0.checked_sub(1)
    }
}

impl Timestamp {
    /// The timestamp of a lease that nobody owns.
    pub const FREE: Self = Self(0);

    /// Whether this is the timestamp of a lease that nobody owns.
    pub fn is_free(self) -> bool {
        self == Self::FREE
    }
}

/// A host's timeout of one disk request in seconds, from which all others of its lockspace follow.
///
/// On disk, in the delta lease's leader, it has 16 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IoTimeout(pub u32);

impl Default for IoTimeout {
    /// 10 seconds, sanlock's default.
    fn default() -> Self {
        Self(10)
    }
}

impl fmt::Display for IoTimeout {
    /// Seconds, as in `10`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl IoTimeout {
    fn times(self, factor: u64) -> Duration {
        Duration::from_secs(u64::from(self.0).saturating_mul(factor))
    }

    /// The timeout itself.
    pub fn duration(self) -> Duration {
        self.times(1)
    }

    /// From one renewal of a delta lease to the next: twice the timeout.
    pub fn renewal_interval(self) -> Duration {
        self.times(2)
    }

    /// Time since the last successful renewal after which the host warns: six times the timeout.
    pub fn renewal_warn(self) -> Duration {
        self.times(6)
    }

    /// Time since the last successful renewal after which the host must give up its leases:
    /// eight times the timeout.
    pub fn renewal_fail(self) -> Duration {
        self.times(8)
    }

    /// Time since the last renewal seen on disk after which another host is certainly dead: it gave up
    /// its leases, or else its watchdog, set to `fire_timeout`, has reset it.
    pub fn host_dead(self, fire_timeout: Duration) -> Duration {
        self.renewal_fail().saturating_add(fire_timeout)
    }

    /// The timeout as the leader of a delta lease holds it; longer ones are cut to 65535 seconds.
    pub fn on_disk(self) -> u16 {
        u16::try_from(self.0).unwrap_or(u16::MAX)
    }

    /// The timeout from the leader of a delta lease.
    pub fn from_disk(seconds: u16) -> Self {
        Self(u32::from(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sanlocks_default_timeouts() {
        let io_timeout = IoTimeout::default();
        let fire = Duration::from_secs(60);
        assert_eq!(io_timeout.duration().as_secs(), 10);
        assert_eq!(io_timeout.renewal_interval().as_secs(), 20);
        assert_eq!(io_timeout.renewal_warn().as_secs(), 60);
        assert_eq!(io_timeout.renewal_fail().as_secs(), 80);
        assert_eq!(io_timeout.host_dead(fire).as_secs(), 140);
    }

    #[test]
    fn timeouts_do_not_overflow() {
        let longest = IoTimeout(u32::MAX);
        assert_eq!(longest.renewal_fail().as_secs(), 8 * u64::from(u32::MAX));
        assert_eq!(longest.host_dead(Duration::MAX), Duration::MAX);
        assert_eq!(longest.on_disk(), u16::MAX);
        assert_eq!(IoTimeout::from_disk(IoTimeout(20).on_disk()), IoTimeout(20));
    }

    #[test]
    fn slots_count_from_host_1() {
        assert_eq!(HostId(0).slot(), None);
        assert_eq!(HostId(1).slot(), Some(0));
        assert_eq!(HostId(2000).slot(), Some(1999));
    }

    #[test]
    fn numbers_print_with_padding() {
        assert_eq!(format!("{:04}", HostId(7)), "0007");
        assert!(Timestamp(0).is_free() && !Timestamp(1).is_free());
    }
}
