//! Makes the plan's faults happen.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::admin;
use crate::disk;
use crate::faults::{FaultKind, Planned, combined};
use crate::gate::Gate;
use crate::machine::{ActiveFault, Machine};
use crate::trace::{Event, Why};
use crate::watchdog::{Script, test_interval};
use crate::world::World;

/// Makes one fault of the plan happen, and ends it.
pub async fn fault(world: Arc<World>, number: usize, planned: Planned) {
    tokio::time::sleep(planned.at).await;
    for (index, moment) in &planned.moments {
        let number = world.machines().get(*index).map(|machine| machine.number);
        world.until(number.unwrap_or_default(), *moment).await;
    }
    if world.is_quiet() {
        return;
    }
    let machines = world.machines();
    for index in &planned.hosts {
        if let Some(machine) = machines.get(*index) {
            tokio::spawn(on_host(Arc::clone(machine), number, planned.clone()));
        }
    }
}

async fn on_host(machine: Arc<Machine>, number: usize, planned: Planned) {
    let kind = planned.kind;
    let seen = || {
        machine.event(Event::Fault(kind));
        machine.world.count(kind.name());
    };
    match kind {
        _ if kind.is_of_storage() => {
            seen();
            let active = ActiveFault {
                planned: number,
                kind,
                disk: planned.disk,
                severity: planned.severity,
            };
            {
                let mut state = machine.state();
                state.faults.push(active);
                if kind.hangs() && state.hangs_since.is_none() {
                    state.hangs_since = Some(Instant::now());
                }
            }
            apply_storage_faults(&machine);
            until_over(&machine.world, planned.lasts).await;
            end_storage_fault(&machine, number);
        }
        FaultKind::Crash | FaultKind::PowerCycle => {
            if machine.state().on {
                seen();
                machine.stop(Why::Power);
            }
            return;
        }
        FaultKind::DaemonStopped | FaultKind::HostFrozen if recently_suspended(&machine) => return,
        FaultKind::DaemonKilled if recently_suspended(&machine) => return,
        FaultKind::DaemonStopped => {
            let Some(daemon) = machine.daemon() else {
                return;
            };
            seen();
            machine.state().hindrances.begins();
            hold(&machine.world, &[daemon.gate], planned.lasts).await;
            machine.state().hindrances.ends();
        }
        FaultKind::HostFrozen => {
            let Some(gates) = gates(&machine) else { return };
            seen();
            machine.state().hindrances.begins();
            hold(&machine.world, &gates, planned.lasts).await;
            machine.state().hindrances.ends();
        }
        FaultKind::MachinePaused | FaultKind::Suspended => {
            let Some(lasts) = allowed_standstill(&machine, planned.lasts) else {
                return;
            };
            let Some(gates) = gates(&machine) else { return };
            seen();
            machine.state().hindrances.begins();
            stand_still(&machine, &gates, lasts, kind == FaultKind::Suspended).await;
            machine.state().hindrances.ends();
        }
        FaultKind::DaemonKilled => {
            if machine.daemon().is_none() {
                return;
            }
            seen();
            machine.kill_daemon();
            return;
        }
        FaultKind::DaemonRestart => {
            seen();
            admin::restart_daemon(&machine);
            return;
        }
        FaultKind::Leave | FaultKind::LeaveUnused => {
            seen();
            admin::leave(&machine, kind == FaultKind::LeaveUnused);
            return;
        }
        FaultKind::Impostor => {
            seen();
            let others = machine.world.scenario.hosts as u64;
            let own = u64::from(machine.number);
            {
                let mut state = machine.state();
                // Several want the same.
                let other = match planned.hosts.as_slice() {
                    [first, _, ..] => *first as u64 + 1,
                    _ => 1 + (own + state.random.below(others.max(2) - 1)) % others.max(1),
                };
                state.wants_host_id = Some(other);
            }
            admin::leave(&machine, false);
            until_over(&machine.world, planned.lasts * 3).await;
            machine.state().wants_host_id = None;
            admin::leave(&machine, false);
        }
        FaultKind::HelperStuck => {
            seen();
            machine.state().helper_stuck += 1;
            machine.state().hindrances.begins();
            until_over(&machine.world, planned.lasts).await;
            machine.state().helper_stuck -= 1;
            machine.state().hindrances.ends();
        }
        FaultKind::NoWatchdog => {
            seen();
            machine.state().no_watchdog += 1;
            until_over(&machine.world, planned.lasts).await;
            machine.state().no_watchdog -= 1;
        }
        FaultKind::WdmdStopped => {
            let gate = {
                let mut state = machine.state();
                if !state.on {
                    return;
                }
                state.wdmd_stopped += 1;
                Arc::clone(&state.wdmd_gate)
            };
            seen();
            machine.state().hindrances.begins();
            hold(&machine.world, &[gate], planned.lasts).await;
            machine.state().hindrances.ends();
            machine.state().wdmd_stopped -= 1;
        }
        FaultKind::Overwritten => {
            if disk::write_over(&machine) {
                seen();
            }
            return;
        }
        FaultKind::WdmdKilled => {
            let Some(boots) = machine.kill_wdmd() else {
                return;
            };
            seen();
            machine.state().hindrances.begins();
            while machine.state().boots == boots {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            machine.state().hindrances.ends();
            return;
        }
        FaultKind::ScriptFails | FaultKind::ScriptHangs => {
            let script = match kind {
                FaultKind::ScriptFails => Script::Fails,
                _ => Script::Hangs,
            };
            let boots = {
                let mut state = machine.state();
                if !state.on || !machine.world.scenario.wdmd.scripts {
                    return;
                }
                state.watchdog.script(script);
                state.boots
            };
            seen();
            machine.state().hindrances.begins();
            until_over(&machine.world, planned.lasts).await;
            machine.state().hindrances.ends();
            if machine.state().boots == boots {
                machine.state().watchdog.script(Script::Works);
                machine.wdmd_called.notify_one();
            }
        }
        _ => return,
    }
    machine.event(Event::FaultEnds(kind));
}

/// Waits, but not beyond the end of all faults.
async fn until_over(world: &World, lasts: Duration) {
    let end = Instant::now() + lasts;
    while Instant::now() < end && !world.is_quiet() {
        let left = end.saturating_duration_since(Instant::now());
        tokio::time::sleep(left.min(Duration::from_secs(1))).await;
    }
}

async fn hold(world: &World, gates: &[Arc<Gate>], lasts: Duration) {
    gates.iter().for_each(|gate| gate.pause());
    until_over(world, lasts).await;
    gates.iter().for_each(|gate| gate.resume());
}

/// All that runs on a host, if it is on.
fn gates(machine: &Machine) -> Option<Vec<Arc<Gate>>> {
    let state = machine.state();
    let mut gates = vec![Arc::clone(&state.gate), Arc::clone(&state.wdmd_gate)];
    gates.extend(state.daemon.as_ref().map(|daemon| Arc::clone(&daemon.gate)));
    state.on.then_some(gates)
}

/// For how long a host may stand still together with its watchdog now, so that the watchdog still fires
/// before others take the host to be dead.
fn allowed_standstill(machine: &Machine, wanted: Duration) -> Option<Duration> {
    let scenario = &machine.world.scenario;
    let age = machine
        .world
        .check(|checker| checker.renewal_age(machine.number));
    let Some(age) = age else { return Some(wanted) };
    let fire = Duration::from_secs(u64::from(scenario.fire_timeout));
    let needed = age + fire + test_interval(scenario.fire_timeout) + Duration::from_secs(1);
    let allowed = scenario
        .host_dead(machine.io_timeout())
        .checked_sub(needed)?
        .mul_f64(0.98);
    (allowed > Duration::from_millis(50)).then(|| wanted.min(allowed))
}

async fn stand_still(machine: &Arc<Machine>, gates: &[Arc<Gate>], lasts: Duration, suspend: bool) {
    let boots = {
        let mut state = machine.state();
        state.watchdog.freeze(true);
        if suspend {
            state.clock.set_suspended(true);
            state.suspended_at = Some(Instant::now());
        }
        state.boots
    };
    machine.device_changed.notify_one();
    gates.iter().for_each(|gate| gate.pause());
    until_over(&machine.world, lasts).await;
    {
        let mut state = machine.state();
        if state.on && state.boots == boots {
            state.watchdog.freeze(false);
            if suspend {
                state.clock.set_suspended(false);
            }
        }
    }
    machine.device_changed.notify_one();
    // wdmd is woken by the end of a suspension.
    machine.wdmd_called.notify_one();
    gates.iter().for_each(|gate| gate.resume());
}

/// Whether the host was suspended since its last renewal and its wdmd does not know of that time, so that only
/// the daemon can still stop its processes when it should.
fn recently_suspended(machine: &Machine) -> bool {
    if machine.world.scenario.wdmd.counts_suspension {
        return false;
    }
    let Some(at) = machine.state().suspended_at else {
        return false;
    };
    let age = machine
        .world
        .check(|checker| checker.renewal_age(machine.number));
    age.is_some_and(|age| at + age > Instant::now())
}

/// Sets what goes wrong with a host's requests to what its faults say now.
pub fn apply_storage_faults(machine: &Machine) {
    let scenario = &machine.world.scenario;
    let faults = machine.state().faults.clone();
    let io_timeout = Duration::from_secs(u64::from(machine.io_timeout()));
    let base = if machine.world.is_quiet() {
        &storage::sim::Faults::none()
    } else {
        &scenario.requests
    };
    for (disk, path) in scenario.layout.paths().iter().enumerate() {
        let active: Vec<_> = faults
            .iter()
            .filter(|fault| fault.disk.is_none_or(|only| only == disk))
            .map(|fault| (fault.kind, fault.severity))
            .collect();
        let faults = combined(base, &active, io_timeout, scenario.late);
        for label in machine.labels() {
            machine
                .world
                .storage
                .set_path_faults(label, path, Some(faults.clone()));
        }
    }
}

fn end_storage_fault(machine: &Arc<Machine>, number: usize) {
    let since = {
        let mut state = machine.state();
        if let Some(place) = state.faults.iter().position(|one| one.planned == number) {
            state.faults.remove(place);
        }
        let still = state.faults.iter().any(|one| one.kind.hangs());
        if still {
            None
        } else {
            state.hangs_since.take()
        }
    };
    apply_storage_faults(machine);
    let Some(since) = since else { return };
    // What hung for longer than a request may be late has failed on its way.
    let too_late = since.elapsed() > machine.world.scenario.late;
    for label in machine.labels() {
        if too_late {
            machine.world.storage.fail_hung(label);
        } else {
            machine.world.storage.release_hung(label);
        }
    }
    machine.world.count(if too_late {
        "hung requests failed"
    } else {
        "hung requests done late"
    });
}

/// What is about to happen to the requests of a host that stops: those that have hung for long are lost.
pub fn before_crash(machine: &Machine) {
    let long_ago = {
        let longest = machine.world.scenario.late;
        let since = machine.state().hangs_since;
        since.is_some_and(|since| since.elapsed() > longest)
    };
    if long_ago {
        machine
            .labels()
            .into_iter()
            .for_each(|label| machine.world.storage.fail_hung(label));
    }
}
