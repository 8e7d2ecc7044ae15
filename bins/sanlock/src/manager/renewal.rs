//! Renewing a lockspace's host id.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ondisk::Timestamp;
use paxos::Context;
use paxos::delta::{self, Renewer};
use storage::Buffer;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use crate::host::Watchdog;

use super::space::{Renewal, Space};
use super::{Manager, locked};

/// The least time between two renewals, so that a disk that fails at once is not flooded.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// `SANLK_OK`, as status shows it.
const OK: i32 = 1;

/// What to add to the history, kept while somebody else looks at it.
enum Remembered {
    Good(Renewal),
    Bad { timed_out: bool },
}

impl Manager {
    /// Renews the host id until the lockspace is to be left. Returns whether what is on disk then is
    /// known to be our last renewal.
    pub(super) async fn keep_renewing(
        self: &Arc<Self>,
        space: &Arc<Space>,
        renewer: &mut Renewer,
        context: &Context,
        watchdog: &Mutex<Option<Box<dyn Watchdog>>>,
    ) -> bool {
        let interval = space.io_timeout.renewal_interval();
        let mut state_known = true;
        let mut due = Instant::now() + self.until_due(space, interval);
        let mut to_remember = Vec::new();
        loop {
            let woken = space.wake.notified();
            if space.stop.load(Ordering::Acquire) {
                return state_known;
            }
            tokio::select! {
                biased;
                () = woken => continue,
                () = self.host.sleep(due.saturating_duration_since(Instant::now())) => {}
            }
            state_known = self
                .renew(space, renewer, context, watchdog, &mut to_remember)
                .await;
            remember(space, &mut to_remember);
            let pause = if state_known {
                self.until_due(space, interval).max(RETRY_PAUSE)
            } else {
                RETRY_PAUSE
            };
            due = Instant::now() + pause;
        }
    }

    /// How long until the next renewal is due, by the last good one.
    fn until_due(&self, space: &Space, interval: Duration) -> Duration {
        interval.saturating_sub(self.uptime().saturating_sub(space.lease.valid_since()))
    }

    async fn renew(
        self: &Arc<Self>,
        space: &Arc<Space>,
        renewer: &mut Renewer,
        context: &Context,
        watchdog: &Mutex<Option<Box<dyn Watchdog>>>,
        to_remember: &mut Vec<Remembered>,
    ) -> bool {
        let status = &space.lease;
        let began = self.host.monotime();
        // A suspension during the renewal counts against it: this offset is taken before.
        let suspended = self.suspended();
        let last_success = status.renewal_success.load(Ordering::Relaxed);
        let (bitmap, event) = locked(&space.hosts).outgoing(began.0, space.set_bitmap);
        let event = delta::HostEvent {
            generation: event.generation,
            event: event.event,
            data: event.data,
        };
        if self.settings.debug_renew != 0 {
            debug!(space = space.id, "renewal begins");
        }
        if planted!(self, WatchdogBeforeRenewal) {
            self.put_watchdog_off_blindly(space, watchdog, began);
        }
        let renewal = renewer.renew(context, &bitmap, Some(event)).await;
        let took = Duration::from_secs(self.now().saturating_sub(began.0));
        status.renewal_attempt.store(began.0, Ordering::Relaxed);
        let good = match &renewal.result {
            Ok(renewed) => {
                let counts_from =
                    Duration::from_secs(renewed.counts_from.0).saturating_add(suspended);
                status.renewed(counts_from, renewed.counts_from, self.valid_for(space));
                status.renewal_result.store(OK, Ordering::Relaxed);
                self.put_watchdog_off(space, watchdog);
                to_remember.push(Remembered::Good(Renewal {
                    timestamp: renewed.counts_from.0,
                    read_ms: millis(renewal.read_time),
                    write_ms: millis(renewal.write_time),
                    ..Renewal::default()
                }));
                if took > space.io_timeout.renewal_interval() {
                    error!(
                        space = space.id,
                        "the renewal took {} s; the storage is slow",
                        took.as_secs()
                    );
                } else if self.settings.debug_renew != 0 {
                    debug!(
                        space = space.id,
                        "renewed {} after {} s",
                        renewed.counts_from,
                        renewed.counts_from.0.saturating_sub(last_success)
                    );
                }
                true
            }
            Err(failed) => {
                status
                    .renewal_result
                    .store(failed.code(), Ordering::Relaxed);
                if overwritten(failed.code()) && status.corrupt() == 0 {
                    status
                        .corrupt_result
                        .store(failed.code(), Ordering::Release);
                    space.wake.notify_waiters();
                }
                to_remember.push(Remembered::Bad {
                    timed_out: failed.is_timeout(),
                });
                error!(
                    space = space.id,
                    "renewal failed after {} s, the last good one was {} s ago: {failed}",
                    took.as_secs(),
                    self.now().saturating_sub(last_success)
                );
                false
            }
        };
        if let Some(leases) = renewal.leases {
            self.look_at_hosts(space, leases);
        }
        good
    }

    /// When the lease runs out, as a second of the monotonic clock: that is what wdmd goes by, so that the time
    /// for which the host was suspended since the renewal comes off. Never zero, which ends the protection.
    pub(super) fn watchdog_expiry(&self, space: &Space) -> u64 {
        /// By how much two readings of a constant difference of two clocks may differ.
        const BLUR: Duration = Duration::from_millis(10);
        let until = space
            .lease
            .valid_since()
            .saturating_add(self.valid_for(space));
        let until = until.saturating_add(BLUR).saturating_sub(self.suspended());
        until.as_secs().max(1)
    }

    /// Has wdmd keep the watchdog quiet until the lease runs out, by the last renewal that is known to be on
    /// disk.
    pub(super) fn put_watchdog_off(
        &self,
        space: &Space,
        watchdog: &Mutex<Option<Box<dyn Watchdog>>>,
    ) {
        let renewed = Timestamp(space.lease.renewal_success.load(Ordering::Acquire));
        // Gone once the lockspace is given up.
        if let Some(connection) = locked(watchdog).as_mut() {
            let expires = self.watchdog_expiry(space);
            space.lease.told_watchdog.store(expires, Ordering::Release);
            if let Err(failed) = connection.test_live(renewed, expires) {
                error!(
                    space = space.id,
                    "wdmd could not be told of the renewal: {failed}"
                );
            }
        }
    }

    /// As if a renewal that only begins were on disk already: a planted mistake.
    fn put_watchdog_off_blindly(
        &self,
        space: &Space,
        watchdog: &Mutex<Option<Box<dyn Watchdog>>>,
        began: Timestamp,
    ) {
        let expires = began.0.saturating_add(self.valid_for(space).as_secs());
        if let Some(connection) = locked(watchdog).as_mut() {
            let _ = connection.test_live(began, expires);
        }
    }

    /// Has the other hosts' leases looked at, away from the thread that renews.
    fn look_at_hosts(self: &Arc<Self>, space: &Arc<Space>, leases: Buffer) {
        let manager = Arc::clone(self);
        let space = Arc::clone(space);
        let now = self.host.monotime();
        self.host.spawn(Box::pin(async move {
            manager.take_in_hosts(&space, &leases, now)
        }));
    }

    fn take_in_hosts(self: &Arc<Self>, space: &Arc<Space>, leases: &[u8], now: Timestamp) {
        let Some(geometry) = space.geometry.get() else {
            return;
        };
        let findings = locked(&space.hosts).scan(leases, *geometry, now, space.set_bitmap);
        if self.settings.debug_hosts != 0 {
            for remark in &findings.remarks {
                warn!(space = space.id, "{remark}");
            }
        }
        for event in findings.events {
            self.deliver_event(space, event);
        }
        if !findings.requests_from.is_empty() {
            debug!(
                space = space.id,
                "hosts {:?} ask for resources", findings.requests_from
            );
            self.examine(&space.spec.name, None);
        }
    }
}

/// Moves what is to be remembered into the history, unless somebody looks at it just now.
fn remember(space: &Space, to_remember: &mut Vec<Remembered>) {
    let Ok(mut history) = space.history.try_lock() else {
        return;
    };
    for one in to_remember.drain(..) {
        match one {
            Remembered::Good(renewal) => history.good(renewal),
            Remembered::Bad { timed_out } => history.bad(timed_out),
        }
    }
}

fn millis(time: Option<Duration>) -> i32 {
    time.map_or(-1, |time| {
        i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
    })
}

/// Whether a renewal's result says that somebody else has written over our lease: there is no point in
/// trying again.
fn overwritten(code: i32) -> bool {
    // RENEW_OWNER, RENEW_DIFF, LEADER_MAGIC, _VERSION, _SECTORSIZE, _LOCKSPACE, _CHECKSUM
    matches!(code, -260 | -261 | -226..=-223 | -229)
}
