//! Watching a lockspace's lease run out, and stopping the processes that rely on it.

use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::host::{KillPath, Pid, StopSignal, Watchdog};

use super::clients::Client;
use super::join::release_watchdog;
use super::lockspaces::List;
use super::space::{Phase, Space};
use super::{Manager, Shutdown, locked};

/// How often the lease is looked at: a suspended host's clock jumps when no timer runs.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The least time between two looks.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// A process is told to stop once a second, this often.
const KILL_COUNT_MAX: u32 = 100;

/// So many of these times are left for when the grace is over. With the C program there may be none: a lease that was
/// written over long before it runs out leaves more seconds of grace than that.
const KILLS_AFTER_GRACE: u32 = 10;

/// `SANLK_RESTRICT_SIGKILL`: the client wants never to be killed by `SIGKILL`.
pub(super) const RESTRICT_SIGKILL: u32 = 0x2;
/// `SANLK_RESTRICT_SIGTERM`: the client wants never to be told to stop by `SIGTERM`.
pub(super) const RESTRICT_SIGTERM: u32 = 0x4;

/// Why a lockspace is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Removed,
    Shutdown,
    Overwritten(i32),
    Expired,
}

/// What a client is told.
#[derive(Debug)]
enum Stop {
    Signal(StopSignal),
    Run(KillPath, Option<Pid>),
}

impl Manager {
    /// Watches a joined lockspace until it is to be given up, then stops all processes that rely
    /// on it. Returns when none is left, so that the lease may be given back.
    pub(super) async fn guard_lockspace(
        &self,
        space: &Space,
        watchdog: &Mutex<Option<Box<dyn Watchdog>>>,
    ) {
        let reason = self.until_given_up(space, watchdog).await;
        // From now on, as a renewal that is answered late must not put it off.
        let grace_ends = self.grace_ends(space, reason);
        let failed = matches!(reason, Reason::Expired | Reason::Overwritten(_));
        if failed {
            error!(
                space = space.id,
                "lockspace {} is lost ({}): stopping the processes that hold leases in it",
                space.spec.name,
                match reason {
                    Reason::Overwritten(code) => format!(
                        "its lease was overwritten, {}",
                        sanlock_proto::numbers::describe(code)
                    ),
                    _ => "its lease could not be renewed in time".to_owned(),
                }
            );
        } else {
            debug!(
                space = space.id,
                "leaving lockspace {} ({reason:?})", space.spec.name
            );
        }
        {
            let mut state = self.state();
            let state = &mut *state;
            if let Some(listed) = state.spaces.by_id_mut(space.id) {
                listed.renew_fail |= failed;
                listed.space_dead = true;
                listed.killing_pids = 1;
            }
            for (_, client) in state.clients.iter_mut() {
                for token in client.tokens.iter_mut().flatten() {
                    token.space_dead |= token.key.space == space.spec.name;
                }
            }
        }
        space.phase.set(Phase::Leaving);
        if planted!(self, WatchdogLetGoEarly) {
            release_watchdog(space, watchdog);
        }
        if planted!(self, GivenBackInUse) {
            self.stop_processes(space, reason, grace_ends);
        } else {
            self.until_unused(space, watchdog, reason, grace_ends).await;
        }
        if failed {
            warn!(space = space.id, "all processes are gone");
        } else {
            debug!(space = space.id, "all processes are gone");
        }
        self.state().spaces.set_list(space.id, List::Rem);
    }

    async fn until_given_up(
        &self,
        space: &Space,
        watchdog: &Mutex<Option<Box<dyn Watchdog>>>,
    ) -> Reason {
        let valid_for = self.valid_for(space);
        let warn_after = space.io_timeout.renewal_warn();
        let mut warned_at = None;
        loop {
            let (woken, ending) = (space.wake.notified(), self.shutdown.changed());
            if space.lease.corrupt() != 0 {
                return Reason::Overwritten(space.lease.corrupt());
            }
            self.tell_of_suspension(space, watchdog);
            let silent_for = self.uptime().saturating_sub(space.lease.valid_since());
            let run_out = silent_for >= valid_for && !planted!(self, ExpiryAfterRenewalOnly);
            if space.lease.has_expired() || run_out {
                error!(
                    space = space.id,
                    "the lease was not renewed for {} s, it is ours for {} s",
                    silent_for.as_secs(),
                    valid_for.as_secs()
                );
                return Reason::Expired;
            }
            if space.removal_requested() {
                return Reason::Removed;
            }
            if self.shutdown.get() == Shutdown::Forced {
                return Reason::Shutdown;
            }
            if silent_for < warn_after {
                warned_at = None;
            } else if warned_at != Some(silent_for.as_secs()) {
                warned_at = Some(silent_for.as_secs());
                error!(
                    space = space.id,
                    "the lease was not renewed for {} s; at {} s all its processes are stopped",
                    silent_for.as_secs(),
                    valid_for.as_secs()
                );
            }
            let next = valid_for.saturating_sub(silent_for).min(CHECK_INTERVAL);
            let next = next.max(SHORTEST_SLEEP);
            tokio::select! {
                biased;
                () = woken => {}
                () = ending => {}
                () = self.host.sleep(next) => {}
            }
        }
    }

    /// wdmd does not count a suspension, and would let the watchdog fire later by so much.
    fn tell_of_suspension(&self, space: &Space, watchdog: &Mutex<Option<Box<dyn Watchdog>>>) {
        let told = space.lease.told_watchdog.load(Ordering::Acquire);
        if self.watchdog_expiry(space) < told && !planted!(self, SuspensionUntold) {
            self.put_watchdog_off(space, watchdog);
        }
    }

    async fn until_unused(
        &self,
        space: &Space,
        watchdog: &Mutex<Option<Box<dyn Watchdog>>>,
        reason: Reason,
        grace_ends: u64,
    ) {
        loop {
            self.tell_of_suspension(space, watchdog);
            let changed = self.clients_changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let woken = space.wake.notified();
            if self.stop_processes(space, reason, grace_ends) == 0 && !self.held_back(space) {
                return;
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = woken => {}
                () = self.host.sleep(CHECK_INTERVAL) => {}
            }
        }
    }

    /// Waits until no lease of the lockspace is being taken, converted or given back any more, and nothing that was
    /// written for one is under way: it must land while the host id is ours, or at least before others
    /// can take us to be dead. False if it takes longer than that.
    ///
    /// The host id must be neither given back nor taken anew before: with a new generation, others take
    /// what the old one had at once.
    pub(super) async fn until_leases_rest(&self, space: &Space) -> bool {
        let at_rest = async {
            loop {
                let changed = self.clients_changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                let under_way = {
                    let state = self.state();
                    state.resources.are_worked_on(&space.spec.name)
                        || state.rindex_ops.contains_key(&space.spec.name)
                };
                if !under_way {
                    break;
                }
                changed.await;
            }
            let disks = locked(&space.lease_disks).clone();
            self.context.late.all_back(&disks).await;
        };
        let dead_at = space
            .lease
            .valid_since()
            .saturating_add(space.io_timeout.host_dead(self.watchdog_fire()));
        let until_dead = self.host.sleep(dead_at.saturating_sub(self.uptime()));
        tokio::select! {
            biased;
            () = at_rest => true,
            () = until_dead => false,
        }
    }

    /// The second of the monotonic clock until which processes are asked, and not yet made, to stop.
    fn grace_ends(&self, space: &Space, reason: Reason) -> u64 {
        let renewed = space.lease.renewal_success.load(Ordering::Acquire);
        let mut failed_at = renewed.saturating_add(self.valid_for(space).as_secs());
        if reason == Reason::Expired {
            // Time for which the host was suspended counts, and not by this clock.
            failed_at = failed_at.min(self.now());
        }
        failed_at.saturating_add(u64::from(self.settings.kill_grace_seconds))
    }

    /// Tells each process that uses the lockspace to stop, at most once a second. Returns how many
    /// there are.
    fn stop_processes(&self, space: &Space, reason: Reason, grace_ends: u64) -> usize {
        let now = self.now();
        let in_grace = now < grace_ends || planted!(self, GraceWithoutEnd);
        let at_once = matches!(reason, Reason::Removed | Reason::Shutdown)
            || space.removal_requested()
            || self.shutdown.get() == Shutdown::Forced;

        let most = match in_grace && !at_once {
            true => KILL_COUNT_MAX - KILLS_AFTER_GRACE,
            false => KILL_COUNT_MAX,
        };

        let mut using = 0;
        let mut stuck = 0;
        let mut stops = Vec::new();
        {
            let mut state = self.state();
            for (_, client) in state.clients.iter_mut() {
                let Some(pid) = client.pid else { continue };
                if !client.uses(&space.spec.name) {
                    continue;
                }
                using += 1;
                if client.kill_count >= KILL_COUNT_MAX {
                    stuck += 1;
                    continue;
                }
                if client.kill_count >= most {
                    continue;
                }
                if client.kill_count != 0 && now <= client.kill_last {
                    continue;
                }
                client.kill_last = now;
                client.kill_count += 1;
                let count = client.kill_count;
                if let Some(stop) = choose_stop(client, pid, at_once, in_grace) {
                    stops.push((pid, count, stop));
                }
            }
            if stuck != 0 && stuck == using {
                if let Some(listed) = state.spaces.by_id_mut(space.id) {
                    if listed.killing_pids < 2 {
                        listed.killing_pids = 2;
                        error!(
                            space = space.id,
                            "{stuck} processes do not die; the watchdog is left to do its work"
                        );
                    }
                }
            }
        }
        for (pid, count, stop) in stops {
            self.stop_process(space, pid, count, &stop);
        }
        if planted!(self, StuckCountsAsGone) {
            return using - stuck;
        }
        using
    }

    fn stop_process(&self, space: &Space, pid: Pid, count: u32, stop: &Stop) {
        let sent = match stop {
            Stop::Signal(signal) => {
                error!(
                    space = space.id,
                    "kill {pid} sig {} count {count}",
                    signal.number()
                );
                self.host.kill(pid, *signal)
            }
            Stop::Run(program, argument) => {
                error!(
                    space = space.id,
                    "kill {pid} by {} count {count}",
                    String::from_utf8_lossy(&program.path)
                );
                self.host.run_kill_path(program, *argument)
            }
        };
        match sent {
            Ok(()) => {
                if matches!(stop, Stop::Run(..)) {
                    for (_, client) in self.state().clients.iter_mut() {
                        if client.pid == Some(pid) {
                            client.flags |= Client::RUNPATH_SENT;
                        }
                    }
                }
                if count > 1 && count % 10 == 0 {
                    info!(
                        space = space.id,
                        "process {pid}: {}",
                        self.host.describe_process(pid)
                    );
                }
            }
            Err(failed) => error!(
                space = space.id,
                "process {pid} could not be told: {failed}"
            ),
        }
    }
}

/// What a client is told: its kill path or `SIGTERM` while there is time, `SIGKILL` after that, and
/// each of the signals instead of the other where the client asked for that.
fn choose_stop(client: &Client, pid: Pid, at_once: bool, in_grace: bool) -> Option<Stop> {
    if !at_once && in_grace && client.kill_path.is_set() {
        if client.flags & Client::RUNPATH_SENT != 0 {
            return None;
        }
        let argument = (client.flags & Client::KILLPATH_PID != 0).then_some(pid);
        return Some(Stop::Run(client.kill_path.clone(), argument));
    }
    let mut signal = if !at_once && in_grace {
        StopSignal::Term
    } else {
        StopSignal::Kill
    };
    if signal == StopSignal::Kill && client.restricted & RESTRICT_SIGKILL != 0 {
        signal = StopSignal::Term;
    }
    if signal == StopSignal::Term && client.restricted & RESTRICT_SIGTERM != 0 {
        signal = StopSignal::Kill;
    }
    Some(Stop::Signal(signal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(restricted: u32, kill_path: &[u8], flags: u32) -> Client {
        Client {
            pid: Some(Pid(7)),
            restricted,
            flags,
            kill_path: KillPath {
                path: kill_path.to_vec(),
                args: Vec::new(),
            },
            ..Client::default()
        }
    }

    fn told(client: &Client, at_once: bool, in_grace: bool) -> String {
        match choose_stop(client, Pid(7), at_once, in_grace) {
            None => "nothing".to_owned(),
            Some(Stop::Signal(signal)) => signal.number().to_string(),
            Some(Stop::Run(program, pid)) => {
                format!("{} {pid:?}", String::from_utf8_lossy(&program.path))
            }
        }
    }

    #[test]
    fn severity_grows() {
        let plain = client(0, b"", 0);
        assert_eq!(told(&plain, false, true), "15");
        assert_eq!(told(&plain, false, false), "9");
        assert_eq!(told(&plain, true, true), "9");
        assert_eq!(told(&client(RESTRICT_SIGKILL, b"", 0), true, true), "15");
        assert_eq!(told(&client(RESTRICT_SIGTERM, b"", 0), false, true), "9");
        let with_path = client(0, b"/bin/stop", 0);
        assert_eq!(told(&with_path, false, true), "/bin/stop None");
        assert_eq!(told(&with_path, false, false), "9");
        assert_eq!(told(&with_path, true, true), "9");
        let with_pid = client(0, b"/bin/stop", Client::KILLPATH_PID);
        assert_eq!(told(&with_pid, false, true), "/bin/stop Some(Pid(7))");
        assert_eq!(
            told(&client(0, b"/bin/stop", Client::RUNPATH_SENT), false, true),
            "nothing"
        );
    }
}
