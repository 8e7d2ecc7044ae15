//! The end of a run: the faults are over, and everything must work again soon.

use std::sync::Arc;
use std::time::Duration;

use sanlock::manager::lockspaces::List;
use sanlock::manager::spec::ResourceKey;
use sanlock::manager::{AcquireRequest, ReleaseRequest};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::connection::{Introduction, Wish, spec};

use crate::machine::{Machine, Obedience};
use crate::process::{self, RES_SHARED};
use crate::trace::{Asked, Death, Mode, Why};
use crate::world::World;
use crate::{admin, inject};

/// No more hosts than this take part in the last exercise.
const MOST: usize = 4;

/// Ends all faults.
pub fn begin(world: &Arc<World>, machines: &[Arc<Machine>]) {
    world.set_quiet();
    for machine in machines {
        inject::apply_storage_faults(machine);
    }
}

/// Makes sure that all hosts are in the lockspace, and can have each resource: alone, one after the other,
/// and together.
pub async fn everything_works(world: &Arc<World>, machines: &[Arc<Machine>]) {
    let dead = world.scenario.longest_host_dead();
    until_all_joined(
        world,
        machines,
        Instant::now() + dead * 3 + Duration::from_secs(400),
    )
    .await;
    if world.violation().is_some() {
        return;
    }
    for machine in machines {
        release_orphans(machine).await;
    }
    let some: Vec<_> = machines.iter().take(MOST).cloned().collect();
    for resource in 0..world.scenario.layout.resources.len() {
        make_if_unmade(world, &some, resource).await;
        for machine in &some {
            if !take(
                machine,
                resource,
                Mode::Exclusive,
                dead + Duration::from_secs(60),
            )
            .await
            {
                return;
            }
        }
    }
    for resource in 0..world.scenario.layout.resources.len() {
        let mut taking = Vec::new();
        for machine in &some {
            let machine = Arc::clone(machine);
            taking.push(tokio::spawn(async move {
                take(
                    &machine,
                    resource,
                    Mode::Shared,
                    dead + Duration::from_secs(60),
                )
                .await
            }));
        }
        for one in taking {
            if !one.await.unwrap_or(false) {
                return;
            }
        }
    }
}

/// Waits for all hosts to be in the lockspace, each with its own id and without old processes.
async fn until_all_joined(world: &World, machines: &[Arc<Machine>], deadline: Instant) {
    let mut patience = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        patience += 1;
        if patience == 20 {
            machines.iter().for_each(end_processes);
        }
        // Who was told to give up another host's id may have been busy, or just about to take it.
        if patience % 20 == 0 {
            machines
                .iter()
                .filter(|machine| has_others_id(machine))
                .for_each(|machine| admin::leave(machine, false));
        }
        let missing = machines.iter().find(|machine| !is_well(machine));
        let Some(missing) = missing else { return };
        if Instant::now() > deadline {
            let (number, state) = (missing.number, missing.state());
            let what = format!(
                "host {number} is not in the lockspace, {} s after the faults were over: {}, last result {}, \
                 {} processes",
                patience,
                if state.on { "it is on" } else { "it is off" },
                state.last_join,
                state.processes.len()
            );
            drop(state);
            return world.check(|checker| checker.violate("L1", what));
        }
    }
}

/// Ends processes that did not end by themselves; a host whose processes cannot be ended is reset.
fn end_processes(machine: &Arc<Machine>) {
    let processes: Vec<_> = {
        let state = machine.state();
        state
            .processes
            .iter()
            .map(|(pid, process)| (*pid, process.obedience))
            .collect()
    };
    if processes
        .iter()
        .any(|(_, obedience)| *obedience == Obedience::Stuck)
    {
        return machine.stop(Why::Power);
    }
    for (pid, _) in processes {
        machine.process_died(pid, Death::Killed);
    }
}

fn has_others_id(machine: &Machine) -> bool {
    let member = machine
        .world
        .check(|checker| checker.member(machine.number));
    member.is_some_and(|member| member.host_id != u64::from(machine.number))
}

fn is_well(machine: &Machine) -> bool {
    let own = u64::from(machine.number);
    // One whose host id was taken may see that only with its next renewal.
    let member = machine.world.check(|checker| {
        let member = checker.member(machine.number);
        member.filter(|member| !checker.was_taken(*member))
    });
    let uptime = machine.uptime();
    // One that is about to end, or to leave, has not yet begun anew. What it still takes for a process that is dead may
    // become an orphan.
    let stays = machine.daemon().is_some_and(|daemon| {
        let manager = &daemon.manager;
        let at_rest =
            manager.look(|clients, _| clients.iter().all(|(_, client)| client.cmd_active == 0));
        let spaces = manager.lockspaces_in(List::Spaces);
        // A renewal that is under way may have been sent before the faults were over, and come back when the lease is lost.
        let renewed = spaces.iter().all(|listed| {
            let since = uptime.saturating_sub(listed.space.lease.valid_since());
            since < listed.space.io_timeout.renewal_interval()
        });
        !manager.is_shutting_down() && !spaces.is_empty() && renewed && at_rest
    });
    let state = machine.state();
    state.on
        && stays
        // Its device is about to reset the host.
        && !state.watchdog.is_dead()
        && state.processes.is_empty()
        && member.is_some_and(|member| member.host_id == own)
}

async fn make_if_unmade(world: &World, machines: &[Arc<Machine>], resource: usize) {
    let Some(machine) = machines.first() else {
        return;
    };
    if world.check(|checker| checker.is_unmade(resource)) {
        let (done, is_done) = oneshot::channel();
        let random = machine.state().random.fork();
        let introduction = Introduction::default();
        process::run(
            machine,
            Obedience::AtOnce,
            introduction,
            random,
            move |worker| {
                Box::pin(async move {
                    let wish = process::make(&worker.machine, resource);
                    let made = worker.ask(Asked::Make, &[resource], wish).await;
                    let _ = done.send(made.is_ok_and(|(code, _)| code == 0));
                    Death::Exit
                })
            },
        );
        if !is_done.await.unwrap_or(false) {
            let what = format!(
                "resource {resource} could not be made by host {}",
                machine.number
            );
            world.check(|checker| checker.violate("L1", what));
        }
    }
}

/// Gives the leases back that dead processes of the host wanted kept.
async fn release_orphans(machine: &Arc<Machine>) {
    let (done, is_done) = oneshot::channel();
    let random = machine.state().random.fork();
    let introduction = Introduction::default();
    process::run(
        machine,
        Obedience::AtOnce,
        introduction,
        random,
        move |worker| {
            Box::pin(async move {
                let all = ResourceKey {
                    name: ondisk::Name::EMPTY,
                    ..worker.key(0)
                };
                let wish = Wish::Release(ReleaseRequest::Orphans(all));
                let _ = done.send(worker.ask(Asked::Release, &[], wish).await);
                Death::Exit
            })
        },
    );
    let _ = is_done.await;
}

/// Has a process of the host take the resource and give it back; false if it could not, in this time.
async fn take(machine: &Arc<Machine>, resource: usize, mode: Mode, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    let (done, is_done) = oneshot::channel();
    let random = machine.state().random.fork();
    let introduction = Introduction::default();
    process::run(
        machine,
        Obedience::AtOnce,
        introduction,
        random,
        move |worker| {
            Box::pin(async move {
                let taken = take_and_give_back(&worker, resource, mode, deadline).await;
                let _ = done.send(taken);
                Death::Exit
            })
        },
    );
    let code = is_done.await.unwrap_or(Err(0));
    if let Err(code) = code {
        let what = format!(
            "host {} cannot have resource {resource} {mode:?}, {} s after it first tried: {code}",
            machine.number,
            within.as_secs()
        );
        machine.world.check(|checker| checker.violate("L1", what));
    }
    code.is_ok()
}

async fn take_and_give_back(
    worker: &process::Worker,
    resource: usize,
    mode: Mode,
    deadline: Instant,
) -> Result<(), i32> {
    let (flags, asked) = match mode {
        Mode::Shared => (RES_SHARED, Asked::Shared),
        Mode::Exclusive => (0, Asked::Exclusive),
    };
    loop {
        let request = AcquireRequest {
            flags: 0,
            resources: vec![spec(&worker.machine, resource, flags)],
            owner_name: b"last".to_vec(),
        };
        let (code, _) = worker
            .ask(asked, &[resource], Wish::Acquire(request))
            .await
            .map_err(|_| 0)?;
        if code == 0 {
            break;
        }
        if Instant::now() > deadline {
            return Err(code);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    worker.claim(resource, mode);
    tokio::time::sleep(Duration::from_millis(100)).await;
    worker.unclaim(resource);
    let release = Wish::Release(ReleaseRequest::All);
    match worker.ask(Asked::Release, &[resource], release).await {
        Ok((0, _)) => Ok(()),
        Ok((code, _)) => Err(code),
        Err(_) => Err(0),
    }
}
