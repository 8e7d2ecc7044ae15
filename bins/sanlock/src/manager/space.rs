//! One lockspace that this host is in, or is joining or leaving.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use ondisk::{Generation, Geometry, IoTimeout, Timestamp};
use tokio::sync::Notify;

use crate::watched::Watched;

use super::events::EventListeners;
use super::hosts::HostTable;
use super::locked;
use super::spec::LockspaceSpec;

/// Where a lockspace stands between being asked for and being gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its host id is being acquired.
    Joining,
    /// Leases can be taken in it.
    Joined,
    /// It is given up: its processes are stopped, and nothing new is taken in it.
    Leaving,
    /// It could not be joined, with the number that says why.
    Failed(i32),
    /// It is left and forgotten.
    Gone,
}

/// What is known once the lockspace's area was read and the host id acquired.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    /// Sector and area sizes.
    pub geometry: Geometry,
    /// This host's generation in the lockspace.
    pub generation: Generation,
}

/// A lockspace. Shared by its own task, the clients' tasks and status.
#[derive(Debug)]
pub struct Space {
    /// The number that log lines know it by.
    pub id: u32,
    /// Name, host id and area.
    pub spec: LockspaceSpec,
    /// How long one request on its storage may take.
    pub io_timeout: IoTimeout,
    /// How long a host's bit stays set in our bitmap.
    pub set_bitmap: Duration,
    /// How long to go on waiting for a renewal's read that timed out.
    pub read_extend: Duration,
    /// Known once joined.
    pub facts: OnceLock<Facts>,
    /// The geometry, known before the host id is acquired.
    pub geometry: OnceLock<Geometry>,
    /// KiB that `max_sectors_kb` was set to, or zero.
    pub set_max_sectors_kb: AtomicU32,
    /// How the last acquisition and renewals of the host id went.
    pub lease: LeaseStatus,
    /// What was seen of the other hosts.
    pub hosts: Mutex<HostTable>,
    /// The last renewals.
    pub history: Mutex<RenewalHistory>,
    /// Who wants to hear of events.
    pub events: Mutex<EventListeners>,
    /// Where it stands.
    pub phase: Watched<Phase>,
    /// Wakes the lockspace's own tasks: something that they wait for may have happened.
    pub wake: Notify,
    /// The disks of the leases that were taken in it.
    pub lease_disks: Mutex<BTreeSet<PathBuf>>,
    /// Somebody asked to leave it.
    pub remove: AtomicBool,
    /// All its processes are gone: the renewals may end.
    pub stop: AtomicBool,
}

impl Space {
    /// Asks the lockspace's task to leave it.
    pub fn request_removal(&self) {
        self.remove.store(true, Ordering::Release);
        self.wake.notify_waiters();
        self.wake.notify_one();
    }

    /// Whether somebody asked to leave it.
    pub fn removal_requested(&self) -> bool {
        self.remove.load(Ordering::Acquire)
    }

    /// Waits until it is joined or gone for good.
    pub async fn settled(&self) -> Phase {
        self.phase.until(|phase| phase != Phase::Joining).await
    }

    /// Waits until it is left, or could not be joined.
    pub async fn gone(&self) {
        self.phase
            .until(|phase| matches!(phase, Phase::Gone | Phase::Failed(_)))
            .await;
    }
}

/// How the host id's lease does. Written by the lockspace's task alone, without a lock that
/// anybody could hold against it.
#[derive(Debug, Default)]
pub struct LeaseStatus {
    /// Result of the acquisition; zero while it goes on.
    pub acquire_result: AtomicI32,
    /// When it began, in seconds of the monotonic clock.
    pub acquire_attempt: AtomicU64,
    /// The timestamp that it wrote.
    pub acquire_success: AtomicU64,
    /// Result of the last renewal.
    pub renewal_result: AtomicI32,
    /// When it began.
    pub renewal_attempt: AtomicU64,
    /// The timestamp of the last good renewal.
    pub renewal_success: AtomicU64,
    /// The first result that says that the lease was overwritten under us; zero for none.
    pub corrupt_result: AtomicI32,
    /// Until when wdmd keeps the watchdog quiet for it, as a second of the monotonic clock.
    pub told_watchdog: AtomicU64,
    /// Uptime in milliseconds when the last good renewal began: the lease is ours for eight times
    /// the I/O timeout from here.
    valid_since_ms: AtomicU64,
    /// The lease ran out before it was renewed.
    expired: AtomicBool,
}

impl LeaseStatus {
    /// Takes note of a good acquisition or renewal that began at `began` (uptime) and wrote
    /// `timestamp`. A lease that had run out before stays expired, whatever was written since.
    pub fn renewed(&self, began: Duration, timestamp: Timestamp, valid_for: Duration) {
        let since = self.valid_since();
        if self.renewal_success.load(Ordering::Acquire) != 0
            && began.saturating_sub(since) >= valid_for
        {
            self.expired.store(true, Ordering::Release);
        }
        let millis = u64::try_from(began.as_millis()).unwrap_or(u64::MAX);
        self.valid_since_ms.store(millis, Ordering::Release);
        self.renewal_success.store(timestamp.0, Ordering::Release);
    }

    /// Uptime when the last good renewal began.
    pub fn valid_since(&self) -> Duration {
        Duration::from_millis(self.valid_since_ms.load(Ordering::Acquire))
    }

    /// Whether it once ran out before it was renewed.
    pub fn has_expired(&self) -> bool {
        self.expired.load(Ordering::Acquire)
    }

    /// The result that says that the lease was overwritten, or zero.
    pub fn corrupt(&self) -> i32 {
        self.corrupt_result.load(Ordering::Acquire)
    }
}

/// One good renewal, and what went wrong after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Renewal {
    /// The timestamp it wrote, in seconds.
    pub timestamp: u64,
    /// How long its read took, in milliseconds.
    pub read_ms: i32,
    /// How long its write took, in milliseconds.
    pub write_ms: i32,
    /// Renewals that timed out before the next good one.
    pub next_timeouts: i32,
    /// Renewals that failed otherwise before the next good one.
    pub next_errors: i32,
}

/// The last renewals of a lockspace.
#[derive(Debug)]
pub struct RenewalHistory {
    size: usize,
    entries: VecDeque<Renewal>,
}

impl RenewalHistory {
    /// Remembers `size` renewals.
    pub fn new(size: usize) -> Self {
        Self {
            size,
            entries: VecDeque::new(),
        }
    }

    /// Takes note of a good renewal.
    pub fn good(&mut self, renewal: Renewal) {
        if self.size == 0 {
            return;
        }
        if self.entries.len() == self.size {
            self.entries.pop_front();
        }
        self.entries.push_back(renewal);
    }

    /// Takes note of a bad renewal.
    pub fn bad(&mut self, timed_out: bool) {
        if let Some(last) = self.entries.back_mut() {
            let counter = if timed_out {
                &mut last.next_timeouts
            } else {
                &mut last.next_errors
            };
            *counter = counter.saturating_add(1);
        }
    }

    /// The renewals, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Renewal> {
        self.entries.iter()
    }
}

impl Space {
    /// The renewals, oldest first.
    pub fn renewals(&self) -> Vec<Renewal> {
        locked(&self.history).entries().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: Duration = Duration::from_secs(80);

    #[test]
    fn a_lease_renewed_too_late_stays_expired() {
        let status = LeaseStatus::default();
        status.renewed(Duration::from_secs(100), Timestamp(100), VALID);
        status.renewed(Duration::from_secs(179), Timestamp(179), VALID);
        assert!(!status.has_expired());
        status.renewed(Duration::from_secs(259), Timestamp(259), VALID);
        assert!(status.has_expired());
        status.renewed(Duration::from_secs(260), Timestamp(260), VALID);
        assert!(
            status.has_expired(),
            "a later good renewal does not undo it"
        );
    }

    #[test]
    fn history_keeps_the_newest() {
        let mut history = RenewalHistory::new(2);
        history.bad(true);
        for timestamp in 1..=3 {
            history.good(Renewal {
                timestamp,
                ..Renewal::default()
            });
        }
        history.bad(true);
        history.bad(false);
        let kept: Vec<_> = history
            .entries()
            .map(|r| (r.timestamp, r.next_timeouts, r.next_errors))
            .collect();
        assert_eq!(kept, [(2, 0, 0), (3, 1, 1)]);
        let mut none = RenewalHistory::new(0);
        none.good(Renewal::default());
        assert_eq!(none.entries().count(), 0);
    }
}
