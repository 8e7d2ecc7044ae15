//! A simulated host: power, clock, processes, daemon, wdmd.

mod hindrances;
mod wdmd;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ondisk::{HostId, Name};
use sanlock::host::Pid;
use sanlock::manager::Manager;
use storage::sim::HostLabel;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::hindrances::Hindrances;
use self::wdmd::wdmd_of;
use crate::clock::HostClock;
use crate::faults::FaultKind;
use crate::gate::Gate;
use crate::host::SimHost;
use crate::random::Random;
use crate::trace::{Death, Event, Why};
use crate::watchdog::Watchdog;
use crate::world::{World, locked};
use crate::{admin, inject};

/// How long a host takes to boot, in milliseconds. Longer than any request of before may still land.
const BOOT_MILLIS: std::ops::Range<u64> = 15_000..90_000;

/// What a host's renewals are labelled with on the shared storage, on top of the host's number.
pub const RENEWALS: u32 = 1000;

/// What a process does when it is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obedience {
    /// It dies at once.
    AtOnce,
    /// It dies after a while.
    Slowly,
    /// It gives its leases back first.
    Orderly,
    /// Only `SIGKILL` stops it.
    IgnoresTerm,
    /// Nothing stops it.
    Stuck,
}

/// A process.
#[derive(Debug, Clone)]
pub struct Process {
    /// It wants not to be killed by `SIGKILL`.
    pub restricted: bool,
    /// What it does when it is told to stop.
    pub obedience: Obedience,
    /// It is dead.
    pub killed: Arc<Notify>,
    /// It shall end in its own way.
    pub stop: Arc<Notify>,
}

impl Process {
    /// Whether the daemon cannot end it.
    pub fn is_unkillable(&self) -> bool {
        self.obedience == Obedience::Stuck || self.restricted
    }
}

/// A running daemon.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// The real thing.
    pub manager: Arc<Manager>,
    /// Its tasks.
    pub gate: Arc<Gate>,
}

/// A storage fault that lasts.
#[derive(Debug, Clone, Copy)]
pub struct ActiveFault {
    /// Which of the plan, by index.
    pub planned: usize,
    /// What.
    pub kind: FaultKind,
    /// On which disk, or all.
    pub disk: Option<usize>,
    /// How bad.
    pub severity: f64,
}

/// What changes about a host.
#[derive(Debug)]
pub struct State {
    /// Its chance.
    pub random: Random,
    /// Its clock.
    pub clock: HostClock,
    /// It runs.
    pub on: bool,
    /// How often it has booted.
    pub boots: u32,
    /// Its processes but for the daemon and wdmd.
    pub gate: Arc<Gate>,
    /// wdmd's tasks.
    pub wdmd_gate: Arc<Gate>,
    /// wdmd and its device.
    pub watchdog: Watchdog,
    /// The daemon.
    pub daemon: Option<Daemon>,
    /// The daemon was killed, and nobody has found out yet whether it is really gone.
    pub daemon_killed: bool,
    /// The lockspaces and host ids in them that daemons noted as joined, for later ones.
    pub noted: BTreeSet<(Name, HostId)>,
    /// The processes that use leases.
    pub processes: BTreeMap<i32, Process>,
    last_pid: i32,
    /// The helper takes no signals.
    pub helper_stuck: u32,
    /// wdmd takes no new clients.
    pub no_watchdog: u32,
    /// wdmd is stopped.
    pub wdmd_stopped: u32,
    /// Storage faults that last.
    pub faults: Vec<ActiveFault>,
    /// Since when any of them leaves requests unanswered.
    pub hangs_since: Option<Instant>,
    /// The host id that it wants instead of its own.
    pub wants_host_id: Option<u64>,
    /// When it was last suspended.
    pub suspended_at: Option<Instant>,
    /// The result of the last attempt to join.
    pub last_join: i32,
    /// The process that makes what has to be made.
    pub maker: Option<i32>,
    /// What hinders the daemon.
    pub hindrances: Hindrances,
}

/// A host.
#[derive(Debug)]
pub struct Machine {
    /// The world it is in.
    pub world: Arc<World>,
    /// Its number, from 0.
    pub index: usize,
    /// Its number, from 1.
    pub number: u32,
    state: Mutex<State>,
    /// The device was set up otherwise.
    pub device_changed: Notify,
    /// Something came to wdmd's sockets.
    pub wdmd_called: Notify,
}

impl Machine {
    /// A host without power.
    #[must_use]
    pub fn new(world: &Arc<World>, index: usize) -> Arc<Self> {
        let number = u32::try_from(index).unwrap_or(0) + 1;
        let scenario = &world.scenario;
        let mut random = Random::new(scenario.seed, 100 + u64::from(number));
        let gates = [random.fork(), random.fork()].map(|random| Gate::new(number, random, 0));
        gates.iter().for_each(|gate| gate.close());
        let [gate, wdmd_gate] = gates;
        let state = State {
            clock: HostClock::new(Duration::ZERO, 0),
            random,
            on: false,
            boots: 0,
            gate,
            wdmd_gate,
            watchdog: wdmd_of(world),
            daemon: None,
            daemon_killed: false,
            noted: BTreeSet::new(),
            processes: BTreeMap::new(),
            last_pid: 0,
            helper_stuck: 0,
            no_watchdog: 0,
            wdmd_stopped: 0,
            faults: Vec::new(),
            hangs_since: None,
            wants_host_id: None,
            suspended_at: None,
            last_join: 0,
            maker: None,
            hindrances: Hindrances::default(),
        };
        Arc::new(Self {
            world: Arc::clone(world),
            index,
            number,
            state: Mutex::new(state),
            device_changed: Notify::new(),
            wdmd_called: Notify::new(),
        })
    }

    /// What changes about it. Nothing of the daemon may be called meanwhile.
    pub fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Its names on the shared storage: general requests and renewals go through pools of their own.
    #[must_use]
    pub fn labels(&self) -> [HostLabel; 2] {
        [HostLabel(self.number), HostLabel(self.number + RENEWALS)]
    }

    /// Its name in leases.
    #[must_use]
    pub fn name(&self) -> String {
        format!("host{}", self.number)
    }

    /// Its I/O timeout, in seconds.
    #[must_use]
    pub fn io_timeout(&self) -> u32 {
        self.world
            .scenario
            .io_timeouts
            .get(self.index)
            .copied()
            .unwrap_or(10)
    }

    /// Takes note of something that happens on it.
    pub fn event(&self, event: Event) {
        self.world.event(self.number, event);
    }

    /// Switches it on.
    pub fn boot(self: &Arc<Self>) {
        let scenario = &self.world.scenario;
        let (gate, wdmd_gate, boots) = {
            let mut state = self.state();
            let state = &mut *state;
            if state.on {
                return;
            }
            state.on = true;
            state.boots += 1;
            let offset = if state.boots == 1 {
                Duration::from_millis(state.random.within(10_000..100_000_000))
            } else {
                Duration::from_millis(state.random.within(5_000..60_000))
            };
            let drift = scenario.drifts.get(self.index).copied().unwrap_or(0);
            state.clock = HostClock::new(offset, drift);
            state.gate = Gate::new(self.number, state.random.fork(), scenario.jitter);
            state.wdmd_gate = Gate::new(self.number, state.random.fork(), 0);
            state.watchdog = wdmd_of(&self.world);
            (
                Arc::clone(&state.gate),
                Arc::clone(&state.wdmd_gate),
                state.boots,
            )
        };
        self.event(Event::Booted(boots));
        wdmd_gate.spawn(Arc::clone(self).run_wdmd());
        gate.spawn(admin::run(Arc::clone(self)));
        inject::apply_storage_faults(self);
    }

    /// Stops it at once. It boots again later by itself.
    pub fn stop(self: &Arc<Self>, why: Why) {
        let (gates, after, boots) = {
            let mut state = self.state();
            let state = &mut *state;
            if !state.on {
                return;
            }
            state.on = false;
            let daemon = state.daemon.take();
            state.daemon_killed = false;
            state.noted.clear();
            state.processes.clear();
            state.maker = None;
            state.watchdog = wdmd_of(&self.world);
            state.suspended_at = None;
            let mut gates = vec![Arc::clone(&state.gate), Arc::clone(&state.wdmd_gate)];
            gates.extend(daemon.map(|daemon| daemon.gate));
            (gates, state.random.millis(BOOT_MILLIS), state.boots)
        };
        self.event(Event::Stopped(why));
        inject::before_crash(self);
        self.labels()
            .into_iter()
            .for_each(|label| self.world.storage.crash(label));
        gates.iter().for_each(|gate| gate.close());
        self.world.check(|checker| checker.stopped(self.number));
        self.device_changed.notify_one();
        self.world.count(match why {
            Why::Watchdog => "reset by the watchdog",
            Why::Power => "power failure",
        });
        let machine = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if machine.state().boots == boots {
                machine.boot();
            }
        });
    }

    /// Starts the daemon, if none runs and it was not killed.
    pub fn start_daemon(self: &Arc<Self>) -> Option<Daemon> {
        let gate = {
            let mut state = self.state();
            if !state.on || state.daemon_killed {
                return None;
            }
            if let Some(daemon) = &state.daemon {
                return Some(daemon.clone());
            }
            // One that has ended is not gone while one of its requests is with the kernel.
            if self.requests_under_way() != 0 {
                return None;
            }
            Gate::new(self.number, state.random.fork(), self.world.scenario.jitter)
        };
        let host = Arc::new(SimHost::new(self, &gate));
        let settings = self.world.scenario.settings(self.name());
        #[cfg(feature = "hazards")]
        let manager = Manager::with_hazards(host, settings, self.world.hazards.sanlock.clone());
        #[cfg(not(feature = "hazards"))]
        let manager = Manager::new(host, settings);
        let daemon = Daemon { manager, gate };
        self.state().daemon = Some(daemon.clone());
        self.event(Event::DaemonStarted);
        Some(daemon)
    }

    /// The daemon ended in an orderly way.
    pub fn daemon_ended(&self, daemon: &Daemon) {
        daemon.gate.close();
        self.state().daemon = None;
        self.world.check(|checker| checker.left(self.number));
        self.event(Event::DaemonEnded);
    }

    /// Kills the daemon. What it has asked of the storage goes on.
    pub fn kill_daemon(&self) {
        let Some(daemon) = self.state().daemon.take() else {
            return;
        };
        self.state().daemon_killed = true;
        daemon.gate.close();
    }

    fn requests_under_way(&self) -> usize {
        let storage = &self.world.storage;
        let labels = self.labels().into_iter();
        labels.map(|label| storage.under_way(label)).sum()
    }

    /// Whether a new daemon may be started after one that was killed: if that is really gone. A process is
    /// not while one of its requests is with the kernel. If it was in a lockspace the host is about to be reset.
    pub fn forget_killed_daemon(&self) -> bool {
        let under_way = self.requests_under_way();
        let mut state = self.state();
        if under_way != 0 {
            return false;
        }
        state.daemon_killed = false;
        if state.watchdog.has_expiry() {
            self.world
                .count("daemon started again after it was killed in a lockspace");
        }
        drop(state);
        self.world.check(|checker| checker.left(self.number));
        true
    }

    /// The daemon.
    #[must_use]
    pub fn daemon(&self) -> Option<Daemon> {
        self.state().daemon.clone()
    }

    /// A new process, if the host runs.
    pub fn new_process(&self, obedience: Obedience, restricted: bool) -> Option<(i32, Process)> {
        let mut state = self.state();
        if !state.on {
            return None;
        }
        state.last_pid += 1;
        let pid = state.last_pid;
        let (killed, stop) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let process = Process {
            restricted,
            obedience,
            killed,
            stop,
        };
        state.processes.insert(pid, process.clone());
        drop(state);
        self.event(Event::Began(pid));
        Some((pid, process))
    }

    /// A process is dead.
    pub fn process_died(&self, pid: i32, how: Death) {
        let process = {
            let mut state = self.state();
            let Some(process) = state.processes.remove(&pid) else {
                return;
            };
            if process.is_unkillable() {
                // As late as this.
                state.hindrances.begins();
                state.hindrances.ends();
            }
            process
        };
        self.event(Event::Died(pid, how));
        self.world.check(|checker| checker.died(self.number, pid));
        process.killed.notify_one();
    }

    /// A process gets a signal, or is asked to end by its kill program.
    pub fn signal(self: &Arc<Self>, pid: Pid, signal: i32) {
        const SIGKILL: i32 = 9;
        let pid = pid.0;
        let Some(process) = self.state().processes.get(&pid).cloned() else {
            return;
        };
        self.event(Event::Signal(pid, signal));
        self.world.count(if signal == SIGKILL {
            "SIGKILL sent"
        } else {
            "SIGTERM sent"
        });
        match process.obedience {
            Obedience::Stuck => {}
            _ if signal == SIGKILL => self.process_died(pid, Death::Killed),
            Obedience::IgnoresTerm => {}
            Obedience::AtOnce => self.process_died(pid, Death::Killed),
            Obedience::Orderly => process.stop.notify_one(),
            Obedience::Slowly => {
                let (gate, after) = {
                    let mut state = self.state();
                    (Arc::clone(&state.gate), state.random.millis(10..8000))
                };
                let machine = Arc::clone(self);
                gate.spawn(async move {
                    tokio::time::sleep(after).await;
                    machine.process_died(pid, Death::Killed);
                });
            }
        }
    }

    /// Seconds of its clock.
    #[must_use]
    pub fn monotonic(&self) -> Duration {
        self.state().clock.monotonic()
    }

    /// The same with the time for which it was suspended.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        let state = self.state();
        state.clock.monotonic() + state.clock.suspended()
    }

    /// Waits until so much of its clock has passed.
    pub async fn sleep(self: Arc<Self>, duration: Duration) {
        let until = self.monotonic() + duration;
        loop {
            let wait = {
                let state = self.state();
                let left = until.saturating_sub(state.clock.monotonic());
                if left.is_zero() {
                    return;
                }
                state.clock.true_time(left)
            };
            tokio::time::sleep(wait).await;
        }
    }
}
