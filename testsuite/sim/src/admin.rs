//! What administrates a host: it starts the daemon, joins the lockspace and starts processes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ondisk::HostId;
use sanlock::manager::lockspaces::List;
use sanlock::manager::spec::LockspaceSpec;
use tokio::sync::oneshot;

use crate::checker::Membership;
use crate::machine::{Daemon, Machine};
use crate::process;
use crate::trace::Event;

/// Administrates the host from its boot on.
pub async fn run(machine: Arc<Machine>) {
    start_maker(&machine);
    loop {
        let pause = machine.state().random.millis(0..3000);
        tokio::time::sleep(pause).await;
        let Some(daemon) = machine.start_daemon() else {
            if !machine.forget_killed_daemon() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            continue;
        };
        start_maker(&machine);
        if !join_and_stay(&machine, &daemon).await {
            let pause = machine.state().random.millis(200..20_000);
            tokio::time::sleep(pause).await;
        }
    }
}

/// One host makes what has to be made.
fn start_maker(machine: &Arc<Machine>) {
    let unmade = machine
        .world
        .scenario
        .layout
        .resources
        .iter()
        .position(|one| one.unmade);
    let Some(resource) = unmade.filter(|_| machine.index == 0) else {
        return;
    };
    let busy = {
        let state = machine.state();
        state
            .maker
            .is_some_and(|pid| state.processes.contains_key(&pid))
    };
    if !busy && machine.world.check(|checker| checker.is_unmade(resource)) {
        let maker = process::start_maker(machine, resource);
        machine.state().maker = maker;
    }
}

/// Runs something in the daemon; `None` if the daemon ends before it does.
async fn in_daemon<T: Send + 'static>(
    daemon: &Daemon,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let (done, result) = oneshot::channel();
    daemon.gate.spawn(async move {
        let _ = done.send(work.await);
    });
    result.await.ok()
}

/// The lockspace as this host joins it.
fn lockspace(machine: &Machine) -> LockspaceSpec {
    let layout = &machine.world.scenario.layout;
    let own = u64::from(machine.number);
    let host_id = machine.state().wants_host_id.unwrap_or(own);
    LockspaceSpec {
        name: layout.space,
        host_id: HostId(host_id),
        area: layout.lockspace.clone(),
        flags: 0,
    }
}

/// A stopped daemon may have left without anybody having noted it.
fn note_who_left(machine: &Machine) {
    for other in machine.world.machines() {
        let Some(daemon) = other.daemon() else {
            continue;
        };
        if daemon.manager.lockspaces().is_empty() {
            machine.world.check(|checker| checker.left(other.number));
        }
    }
}

/// Joins the lockspace, and starts processes as long as the host is in it. True if it was.
async fn join_and_stay(machine: &Arc<Machine>, daemon: &Daemon) -> bool {
    let spec = lockspace(machine);
    let host_id = spec.host_id.0;
    machine.event(Event::Joins(host_id));
    let manager = Arc::clone(&daemon.manager);
    let io_timeout = machine.io_timeout();
    let server = Arc::clone(machine);
    let joined = in_daemon(daemon, async move {
        let space = manager.join_lockspace(spec, io_timeout)?;
        manager.lockspace_joined(&space).await?;
        let generation = space.facts.get().map_or(0, |facts| facts.generation.0);
        let member = Membership {
            host: server.number,
            host_id,
            generation,
        };
        server.event(Event::Joined(host_id, generation));
        note_who_left(&server);
        server.world.check(|checker| checker.joined(member));
        // Whoever asks must not see it gone before it is noted that it is.
        let gone = Arc::clone(&space);
        let (machine, gate) = (
            Arc::clone(&server),
            server.daemon().map(|daemon| daemon.gate),
        );
        if let Some(gate) = gate {
            gate.spawn(async move {
                gone.gone().await;
                machine.event(Event::Left(gone.lease.has_expired()));
                machine.world.check(|checker| checker.left(machine.number));
            });
        }
        Ok(space)
    });
    let space = match joined.await {
        None => return false,
        Some(Err(code)) => {
            machine.event(Event::JoinFailed(code));
            machine.world.count(if code == -262 {
                "host id refused"
            } else {
                "join failed"
            });
            machine.state().last_join = code;
            return false;
        }
        Some(Ok(space)) => space,
    };
    machine.state().last_join = 0;
    let watched = Arc::clone(&space);
    let gone = in_daemon(daemon, async move { watched.gone().await });
    tokio::pin!(gone);
    loop {
        let few = machine.state().processes.len() < machine.world.scenario.habits.per_host;
        if few && !machine.world.is_quiet() {
            process::start(machine);
        }
        let pause = machine.state().random.millis(0..2000);
        tokio::select! {
            biased;
            _ = &mut gone => return true,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Looks at what status shows, as often as it may be asked for; that answers at once.
pub fn look(machine: &Machine) {
    let Some(daemon) = machine.daemon() else {
        return;
    };
    let lost = daemon
        .manager
        .lockspaces()
        .iter()
        .any(|listed| listed.renew_fail);
    for listed in daemon.manager.lockspaces_in(List::Spaces) {
        let lease = &listed.space.lease;
        let timestamp = lease.renewal_success.load(Ordering::Acquire);
        let age = machine.uptime().saturating_sub(lease.valid_since());
        machine
            .world
            .check(|checker| checker.counts_from(machine.number, timestamp, age));
    }
    let held = daemon.manager.look(|clients, resources| {
        let all = [
            sanlock::manager::resources::Stage::Held,
            sanlock::manager::resources::Stage::Rem,
        ];
        clients.count()
            + all
                .iter()
                .map(|stage| resources.listed(*stage).len())
                .sum::<usize>()
    });
    debug_assert!(held < 10_000);
    if machine
        .world
        .check(|checker| checker.lost(machine.number, lost))
    {
        machine.event(Event::Lost);
    }
}

/// Leaves the lockspace; refused if `unused` and it is in use.
pub fn leave(machine: &Arc<Machine>, unused: bool) {
    let Some(daemon) = machine.daemon() else {
        return;
    };
    let server = Arc::clone(machine);
    let manager = Arc::clone(&daemon.manager);
    daemon.gate.spawn(async move {
        let name = server.world.scenario.layout.space;
        let Some(space) = manager.lockspace(&name) else {
            return;
        };
        let left = manager.leave_lockspace(&space.spec, unused);
        server.world.count(if left.is_ok() {
            "lockspace removed"
        } else {
            "removal refused"
        });
    });
}

/// Ends the daemon, leaving all lockspaces; the administrator starts it again.
pub fn restart_daemon(machine: &Arc<Machine>) {
    let Some(daemon) = machine.daemon() else {
        return;
    };
    let server = Arc::clone(machine);
    let gate = Arc::clone(&daemon.gate);
    gate.spawn(async move {
        if daemon.manager.shut_down(true).is_ok() {
            daemon.manager.until_ended().await;
            server.daemon_ended(&daemon);
        }
    });
}

/// How long after the start of a run the first hosts come.
pub const FIRST_BOOT: Duration = Duration::from_secs(10);
