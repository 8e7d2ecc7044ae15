//! Whether another host lives: what was seen of its delta lease, and what follows.

use std::time::Duration;

use ondisk::{Generation, HostId, IoTimeout, Leader, Name, Timestamp};
use storage::IoError;

use crate::delta::SeenLease;
use crate::env::planted;
use crate::{Context, DeltaArea};

/// What this daemon knows of the other hosts of a lockspace.
pub trait Liveness: Send + Sync {
    /// What the scans of our renewals have seen of a host; `None` if there is no such host id or the
    /// lockspace is gone.
    fn host_status(&self, host: HostId) -> Option<HostSeen>;

    /// Where the delta leases of the lockspace stand.
    ///
    /// # Errors
    /// If this host is not in the lockspace, or its disk cannot be opened.
    fn delta_area(&self, space: &Name) -> Result<DeltaArea, NoDeltaArea>;

    /// Whether our own host id is certainly still ours: by our clock, less than 8 io timeouts have passed
    /// since before the last successful renewal was written, and nobody has begun to give it up.
    ///
    /// Asked right before each write that can make us an owner.
    fn host_id_is_ours(&self) -> bool;
}

/// Why the delta leases of a lockspace cannot be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoDeltaArea {
    /// This host is not in the lockspace.
    NotJoined,
    /// Its disk cannot be opened.
    Disk(IoError),
}

/// Knows nothing, for operations without a daemon: a resource with an owner cannot be acquired.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLiveness;

impl Liveness for NoLiveness {
    fn host_status(&self, _host: HostId) -> Option<HostSeen> {
        None
    }

    fn delta_area(&self, _space: &Name) -> Result<DeltaArea, NoDeltaArea> {
        Err(NoDeltaArea::NotJoined)
    }

    fn host_id_is_ours(&self) -> bool {
        true
    }
}

/// What the scans of our renewals have seen of one host.
///
/// `first_check`, `last_check` and `last_live` are seconds of our own monotonic clock, taken after the
/// scanned lease was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostSeen {
    /// When it was first scanned.
    pub first_check: Option<Timestamp>,
    /// When it was last scanned.
    pub last_check: Option<Timestamp>,
    /// When a scan last found its lease changed.
    pub last_live: Option<Timestamp>,
    /// The owner that its lease told: the host id, or 0 if it was never taken.
    pub owner_id: HostId,
    /// The generation that its lease told.
    pub generation: Generation,
    /// The timestamp that its lease told, on the host's own clock.
    pub timestamp: Timestamp,
    /// The io timeout that its lease told.
    pub io_timeout: Option<IoTimeout>,
}

impl HostSeen {
    /// Takes in what a scan found at `now`; returns whether the lease has changed since the last scan.
    ///
    /// A lease with a wrong magic number or lockspace counts as a sign of life if its timestamp moves,
    /// but what it says of its owner is not believed.
    pub fn observe(&mut self, lease: &SeenLease, now: Timestamp) -> bool {
        self.last_check = Some(now);
        self.first_check = self.first_check.or(Some(now));
        let seen = (self.owner_id, self.generation, self.timestamp);
        if seen == (lease.owner_id, lease.generation, lease.timestamp) {
            return false;
        }
        if lease.is_valid {
            self.owner_id = lease.owner_id;
            self.generation = lease.generation;
            self.io_timeout = lease.io_timeout;
        }
        self.timestamp = lease.timestamp;
        self.last_live = Some(now);
        true
    }

    fn changed_at_the_last_scan(&self) -> bool {
        self.last_live.is_some() && self.last_live == self.last_check
    }
}

/// What an unknown io timeout is taken to be: the longest that older versions could write.
pub(crate) const UNKNOWN_IO_TIMEOUT: IoTimeout = IoTimeout(255);

/// The io timeout that a delta lease tells, if it does.
pub(crate) fn io_timeout_of(delta: &Leader) -> Option<IoTimeout> {
    (delta.io_timeout != 0).then(|| IoTimeout::from_disk(delta.io_timeout))
}

/// After how many seconds of silence a host with these io timeouts is dead: the larger one counts.
pub(crate) fn host_dead(
    ctx: &Context,
    on_disk: Option<IoTimeout>,
    scanned: Option<IoTimeout>,
) -> Duration {
    let known = if planted!(ctx, OwnIoTimeoutFallback) {
        scanned.or(Some(ctx.timeouts.io))
    } else {
        on_disk.max(scanned)
    };
    let io_timeout = known.unwrap_or(UNKNOWN_IO_TIMEOUT);
    if planted!(ctx, HostDeadTooShort) {
        return io_timeout.renewal_fail();
    }
    io_timeout.host_dead(ctx.timeouts.watchdog_fire)
}

/// Since when an owner has been silent, and which timestamp it had then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silence {
    pub(crate) timestamp: Timestamp,
    pub(crate) since: Timestamp,
}

impl Silence {
    /// What our scans know of the owner that a leader tells; `None` if they know another incarnation
    /// or none.
    pub(crate) fn scanned(seen: &HostSeen, leader: &Leader) -> Option<Self> {
        let same = seen.owner_id == leader.owner_id && seen.generation == leader.owner_generation;
        let (_, since) = seen.last_check.zip(seen.last_live)?;
        (same && !seen.timestamp.is_free()).then_some(Self {
            timestamp: seen.timestamp,
            since,
        })
    }
}

/// What an owner's delta lease, just read, says about the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnerState {
    /// It has left the lockspace, or its host id has a newer generation: neither is possible before it
    /// has been dead for long enough.
    Gone,
    /// It has been silent for long enough.
    Dead,
    /// It has renewed its host id.
    Alive,
    /// It has not renewed; it is dead if it stays so for this many seconds.
    Silent { dead_in: u64 },
}

/// Judges the owner that `leader` tells by its delta lease as read at `now` and by our last scan.
///
/// `silence` is `None` until something is known to compare with.
pub(crate) fn judge_owner(
    leader: &Leader,
    delta: &Leader,
    seen: Option<&HostSeen>,
    silence: Option<Silence>,
    now: Timestamp,
    dead_after: Duration,
) -> OwnerState {
    if delta.timestamp.is_free()
        || delta.owner_id != leader.owner_id
        || delta.owner_generation > leader.owner_generation
    {
        return OwnerState::Gone;
    }
    let Some(silence) = silence else {
        return OwnerState::Silent {
            dead_in: dead_after.as_secs().saturating_add(1),
        };
    };
    if delta.timestamp != silence.timestamp || seen.is_some_and(HostSeen::changed_at_the_last_scan)
    {
        return OwnerState::Alive;
    }
    silent_since(silence.since, now, dead_after)
}

fn silent_since(since: Timestamp, now: Timestamp, dead_after: Duration) -> OwnerState {
    // Both clocks are cut to whole seconds: only strictly more is certainly enough.
    let silent = now.0.saturating_sub(since.0);
    match dead_after.as_secs().checked_sub(silent) {
        Some(left) => OwnerState::Silent {
            dead_in: left.saturating_add(1),
        },
        None => OwnerState::Dead,
    }
}

/// Whether a host that holds a lease shared since `generation` may still use it, judging by our scans.
///
/// Whatever is not known counts as alive.
pub(crate) fn holder_may_live(
    ctx: &Context,
    seen: Option<&HostSeen>,
    generation: Generation,
    now: Timestamp,
) -> bool {
    let Some(seen) = seen else { return true };
    let (Some(first_check), Some(_)) = (seen.first_check, seen.last_check) else {
        return true;
    };
    if seen.timestamp.is_free() || is_later(seen.generation, generation) {
        return false;
    }
    let since = seen.last_live.unwrap_or(first_check);
    let dead_after = host_dead(ctx, None, seen.io_timeout);
    silent_since(since, now, dead_after) != OwnerState::Dead
}

/// Whether a host that our scans call dead is so by its delta lease as well, read just now.
pub(crate) fn holder_is_dead(
    ctx: &Context,
    delta: &Leader,
    seen: &HostSeen,
    generation: Generation,
    now: Timestamp,
) -> bool {
    if delta.timestamp.is_free() || is_later(delta.owner_generation, generation) {
        return true;
    }
    let unchanged = delta.timestamp == seen.timestamp && delta.owner_generation == seen.generation;
    let since = seen.last_live.or(seen.first_check);
    let dead_after = host_dead(ctx, io_timeout_of(delta), seen.io_timeout);
    unchanged && since.is_some_and(|since| silent_since(since, now, dead_after) == OwnerState::Dead)
}

/// Whether `now` is a later generation than the one that holds; a hold without a generation counts as
/// that of whoever has the host id.
fn is_later(now: Generation, holds: Generation) -> bool {
    holds != Generation(0) && now > holds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::HostEvent;
    use crate::testing::context;

    fn delta(host: u64, generation: u64, timestamp: u64) -> Leader {
        let space = Name::EMPTY;
        Leader {
            owner_id: HostId(host),
            owner_generation: Generation(generation),
            timestamp: Timestamp(timestamp),
            ..Leader::new_delta(ondisk::Geometry::ALL[0], &space, IoTimeout(10))
        }
    }

    fn seen(check: u64, live: u64) -> HostSeen {
        HostSeen {
            first_check: Some(Timestamp(1)),
            last_check: Some(Timestamp(check)),
            last_live: Some(Timestamp(live)),
            owner_id: HostId(2),
            generation: Generation(3),
            timestamp: Timestamp(50),
            io_timeout: Some(IoTimeout(10)),
        }
    }

    const DEAD_AFTER: Duration = Duration::from_secs(140);

    #[test]
    fn an_owner_is_dead_only_after_more_than_the_time_it_takes() {
        let owned = delta(2, 3, 7);
        let judge = |lease: Leader, since: Option<u64>, now| {
            let silence = since.map(|since| Silence {
                timestamp: Timestamp(50),
                since: Timestamp(since),
            });
            let seen = seen(900, 800);
            judge_owner(
                &owned,
                &lease,
                Some(&seen),
                silence,
                Timestamp(now),
                DEAD_AFTER,
            )
        };
        assert_eq!(
            judge(delta(2, 3, 50), Some(1000), 1140),
            OwnerState::Silent { dead_in: 1 }
        );
        assert_eq!(judge(delta(2, 3, 50), Some(1000), 1141), OwnerState::Dead);
        assert_eq!(
            judge(delta(2, 3, 50), None, 9999),
            OwnerState::Silent { dead_in: 141 }
        );
        // Our clock does not go back, but it shall not kill anybody if it does.
        assert_eq!(
            judge(delta(2, 3, 50), Some(1000), 1),
            OwnerState::Silent { dead_in: 141 }
        );
        assert_eq!(judge(delta(2, 3, 51), Some(1000), 9999), OwnerState::Alive);
        for gone in [delta(2, 3, 0), delta(2, 4, 50), delta(9, 3, 50)] {
            assert_eq!(judge(gone, None, 1), OwnerState::Gone);
        }
        assert_eq!(
            judge(delta(2, 2, 50), Some(1000), 1001),
            OwnerState::Silent { dead_in: 140 }
        );
    }

    #[test]
    fn a_change_at_the_last_scan_is_a_sign_of_life() {
        let (owned, lease) = (delta(2, 3, 7), delta(2, 3, 50));
        let silence = Some(Silence {
            timestamp: Timestamp(50),
            since: Timestamp(900),
        });
        let judge = |seen: Option<HostSeen>| {
            judge_owner(
                &owned,
                &lease,
                seen.as_ref(),
                silence,
                Timestamp(9999),
                DEAD_AFTER,
            )
        };
        assert_eq!(judge(Some(seen(900, 900))), OwnerState::Alive);
        assert_eq!(judge(Some(seen(900, 899))), OwnerState::Dead);
        assert_eq!(judge(None), OwnerState::Dead);
        assert_eq!(judge(Some(HostSeen::default())), OwnerState::Dead);
    }

    #[test]
    fn only_a_scan_of_the_same_incarnation_counts() {
        let since = |seen: &HostSeen| Silence::scanned(seen, &delta(2, 3, 7)).map(|it| it.since);
        assert_eq!(since(&seen(900, 800)), Some(Timestamp(800)));
        assert_eq!(
            since(&HostSeen {
                generation: Generation(2),
                ..seen(900, 800)
            }),
            None
        );
        assert_eq!(
            since(&HostSeen {
                owner_id: HostId(1),
                ..seen(900, 800)
            }),
            None
        );
        assert_eq!(
            since(&HostSeen {
                timestamp: Timestamp::FREE,
                ..seen(900, 800)
            }),
            None
        );
        assert_eq!(
            since(&HostSeen {
                last_live: None,
                ..seen(900, 800)
            }),
            None
        );
        assert_eq!(
            since(&HostSeen {
                last_check: None,
                ..seen(900, 800)
            }),
            None
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_larger_of_two_known_timeouts_counts() {
        let ctx = context(10);
        let dead = |on_disk: Option<u32>, scanned: Option<u32>| {
            host_dead(&ctx, on_disk.map(IoTimeout), scanned.map(IoTimeout)).as_secs()
        };
        assert_eq!(dead(Some(10), Some(30)), 300);
        assert_eq!(dead(Some(30), Some(10)), 300);
        assert_eq!(dead(None, Some(5)), 100);
        assert_eq!(dead(Some(5), None), 100);
        assert_eq!(dead(None, None), 2100, "never our own");
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_is_dead_if_scans_and_lease_say_so() {
        let ctx = context(10);
        let may_live = |seen: Option<&HostSeen>, generation, now| {
            holder_may_live(&ctx, seen, Generation(generation), Timestamp(now))
        };
        assert!(may_live(None, 3, 9999), "nothing is known");
        assert!(may_live(Some(&HostSeen::default()), 3, 9999));
        assert!(
            may_live(Some(&seen(900, 800)), 3, 940) && !may_live(Some(&seen(900, 800)), 3, 941)
        );
        assert!(
            !may_live(Some(&seen(900, 900)), 2, 901),
            "a later generation has the host id"
        );
        assert!(
            may_live(Some(&seen(900, 900)), 0, 901),
            "without a generation it is anybody's"
        );
        assert!(!may_live(
            Some(&HostSeen {
                timestamp: Timestamp(0),
                ..seen(900, 900)
            }),
            3,
            901
        ));
        let never_changed = HostSeen {
            last_live: None,
            ..seen(900, 0)
        };
        assert!(may_live(Some(&never_changed), 3, 141) && !may_live(Some(&never_changed), 3, 142));

        let dead = |lease: Leader, generation, now| {
            holder_is_dead(
                &ctx,
                &lease,
                &seen(900, 800),
                Generation(generation),
                Timestamp(now),
            )
        };
        assert!(dead(delta(2, 3, 50), 3, 941) && !dead(delta(2, 3, 50), 3, 940));
        assert!(!dead(delta(2, 3, 51), 3, 9999), "it has renewed");
        assert!(dead(delta(2, 3, 0), 3, 901) && dead(delta(2, 4, 51), 3, 901));
        assert!(
            !dead(delta(2, 4, 51), 4, 9999),
            "we have never seen that generation"
        );
    }

    #[test]
    fn scans_add_up() {
        let mut seen = HostSeen::default();
        let lease = |generation, timestamp, is_valid| SeenLease {
            host: HostId(2),
            is_valid,
            owner_id: HostId(2),
            generation: Generation(generation),
            timestamp: Timestamp(timestamp),
            io_timeout: Some(IoTimeout(20)),
            owner_name: Name::EMPTY,
            notifies_us: false,
            event: HostEvent::default(),
        };
        let unused = SeenLease {
            owner_id: HostId(0),
            ..lease(0, 0, true)
        };
        assert!(!seen.observe(&unused, Timestamp(10)));
        assert_eq!(
            (seen.first_check, seen.last_live),
            (Some(Timestamp(10)), None)
        );
        assert!(seen.observe(&lease(1, 500, true), Timestamp(20)));
        assert!(!seen.observe(&lease(1, 500, true), Timestamp(30)));
        assert_eq!(
            (seen.last_check, seen.last_live),
            (Some(Timestamp(30)), Some(Timestamp(20)))
        );
        assert_eq!(
            (seen.generation, seen.io_timeout),
            (Generation(1), Some(IoTimeout(20)))
        );
        // What a damaged lease says of its owner is not taken over, but somebody writes it.
        assert!(seen.observe(&lease(9, 501, false), Timestamp(40)));
        assert_eq!(
            (seen.generation, seen.timestamp),
            (Generation(1), Timestamp(501))
        );
        assert_eq!(seen.last_live, Some(Timestamp(40)));
        assert_eq!(seen.first_check, Some(Timestamp(10)));
    }
}
