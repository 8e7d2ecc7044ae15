//! A host's wdmd and its device.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wdmd::watchdog::{Millis, Now, Suspended};

use super::hindrances::time_to_prevent_a_reset;
use super::{BOOT_MILLIS, Machine, Process};
use crate::clock::HostClock;
use crate::trace::{Event, Why};
use crate::watchdog::{Change, Watchdog};
use crate::world::World;

impl Machine {
    pub(super) async fn run_wdmd(self: Arc<Self>) {
        let wdmd = self.world.scenario.wdmd;
        // Its tests have a phase of their own if the device is open before the daemon asks for that.
        let phase = if wdmd.held || wdmd.bystander {
            0..10_000
        } else {
            0..100
        };
        let (mut random, phase) = {
            let mut state = self.state();
            (state.random.fork(), state.random.millis(phase))
        };
        tokio::time::sleep(phase).await;
        {
            let mut state = self.state();
            let now = wdmd_now(&state.clock);
            state.watchdog.start(now);
        }
        loop {
            let (changes, wait) = {
                let mut state = self.state();
                let now = wdmd_now(&state.clock);
                (state.watchdog.run(now), state.watchdog.wakes_in(now))
            };
            changes
                .into_iter()
                .for_each(|change| self.watchdog_changed(change));
            self.device_changed.notify_one();
            let far = Duration::from_secs(86_400);
            tokio::select! {
                biased;
                () = self.wdmd_called.notified() => {}
                () = Arc::clone(&self).sleep(wait.unwrap_or(far)) => {}
            }
            if wdmd.lateness != 0 {
                tokio::time::sleep(random.millis(0..wdmd.lateness)).await;
            }
        }
    }

    /// wdmd is killed, alone or with its keeper; with it only if it was not stopped. `None` if it is not killed. Returns
    /// which boot it was.
    ///
    /// A new one would not start. If the device is not armed, somebody has the host start anew.
    pub fn kill_wdmd(self: &Arc<Self>) -> Option<u32> {
        let (gate, boots, reboots) = {
            let mut state = self.state();
            let keeper_too = state.wdmd_stopped == 0 && state.random.permille(500);
            if !state.on || !state.watchdog.die(keeper_too) {
                return None;
            }
            let unarmed = state.watchdog.fires_at().is_none();
            let reboots = unarmed.then(|| state.random.millis(BOOT_MILLIS));
            (Arc::clone(&state.wdmd_gate), state.boots, reboots)
        };
        gate.close();
        self.device_changed.notify_one();
        if let Some(after) = reboots {
            let machine = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                if machine.state().boots == boots {
                    machine.stop(Why::Power);
                }
            });
        }
        Some(boots)
    }

    fn watchdog_changed(&self, change: Change) {
        match change {
            Change::Closed | Change::Withheld => self.event(Event::PettingEnds),
            Change::Resumed => self.event(Event::PettingResumes),
            Change::Opened | Change::Disarmed => {}
        }
        self.world.count(match change {
            Change::Opened => "watchdog opened",
            Change::Disarmed => "watchdog disarmed",
            Change::Closed => "watchdog no longer petted",
            Change::Withheld => "watchdog no longer petted, too late to close it",
            Change::Resumed => "watchdog petted again",
        });
    }

    /// Whether the watchdog resets the host although the daemon had, for long enough, all that it needs to end the
    /// processes of a lockspace that was lost: the helper, and processes that can be killed.
    ///
    /// A device that is not petted when it is closed leaves no time for that.
    fn resets_in_vain(&self) -> bool {
        let Some(age) = self.world.check(|checker| checker.renewal_age(self.number)) else {
            return false;
        };
        let fire = Duration::from_secs(u64::from(self.world.scenario.fire_timeout));
        let state = self.state();
        let hindered = state.hindrances.within(time_to_prevent_a_reset(age, fire));
        let excused = hindered
            || !self.world.scenario.wdmd.closing_pets
            || state.processes.values().any(Process::is_unkillable);
        let Some(daemon) = state.daemon.clone().filter(|_| !excused) else {
            return false;
        };
        drop(state);
        // A command that hangs keeps a dead process' leases.
        daemon
            .manager
            .look(|clients, _| clients.iter().all(|(_, client)| client.cmd_active == 0))
    }

    /// The watchdog device: it needs nothing of the host to fire.
    pub async fn run_device(self: Arc<Self>) {
        loop {
            let fires_at = self.state().watchdog.fires_at();
            let far = Instant::now() + Duration::from_secs(86_400);
            tokio::select! {
                biased;
                () = self.device_changed.notified() => {}
                () = tokio::time::sleep_until(fires_at.unwrap_or(far)) => {
                    let due = self.state().watchdog.fires_at().is_some_and(|at| at <= Instant::now());
                    if due {
                        if self.state().watchdog.should_be_quiet() {
                            self.world.check(|checker| checker.reset_without_cause(self.number));
                        }
                        if self.resets_in_vain() {
                            self.world.check(|checker| checker.reset_in_vain(self.number));
                        }
                        self.stop(Why::Watchdog);
                    }
                }
            }
        }
    }
}

/// A wdmd that has not started.
pub(super) fn wdmd_of(world: &World) -> Watchdog {
    Watchdog::new(
        world.scenario.wdmd,
        #[cfg(feature = "hazards")]
        world.hazards.wdmd.clone(),
    )
}

/// A host's clocks, as wdmd reads them.
fn wdmd_now(clock: &HostClock) -> Now {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Now {
        at: Millis(millis(clock.monotonic())),
        suspended: Suspended(millis(clock.suspended())),
    }
}
