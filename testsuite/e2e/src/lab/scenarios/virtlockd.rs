//! Accidents of virtlockd, and lock daemons that are none.

use anyhow::{Result, ensure};

use super::{dual_host, single_host};
use crate::lab::Lab;
use crate::lab::daemons::Daemon;
use crate::lab::guest::Guest;
use crate::lab::host::Host;
use crate::lab::scenario::{Broken, Manager, Scenario, Setup};

const ONE: Setup = Setup::new(Manager::Lockd, 1);

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "virtlockd-killed",
        what: "virtlockd is killed: the guest goes on, and has its lock again when it was paused and resumed",
        setup: ONE,
        play: killed,
    },
    Scenario {
        name: "virtlockd-stopped",
        what: "virtlockd stops in order: the guests whose locks it gives up are ended first",
        setup: ONE,
        play: stopped,
    },
    Scenario {
        name: "virtlockd-reexecuted",
        what: "virtlockd executes itself anew: the guest goes on, and its lock is never free",
        setup: Setup::new(Manager::Lockd, 2),
        play: reexecuted,
    },
    Scenario {
        name: "virtlockd-replaced",
        what: "virtlockd is replaced by the distribution's and comes back: the guest goes on, and its lock is never free",
        setup: Setup::new(Manager::Lockd, 2),
        play: replaced,
    },
    Scenario {
        name: "broken-virtlockd",
        what: "a lock daemon whose locks the other host does not see is found by dual-host-lockd",
        setup: Setup {
            broken: Some(Broken {
                program: "virtlockd",
                script: "#!/bin/sh\nexec unshare --mount sh -c \
                         'mount -t tmpfs none /var/lib/libvirt/lockd && exec /run/lab/good/virtlockd'\n",
            }),
            ..Setup::new(Manager::Lockd, 2)
        },
        play: broken,
    },
];

fn killed(lab: &mut Lab) -> Result<()> {
    let host = lab.host();
    lab.step("A guest runs, and virtlockd is killed");
    host.define(&Guest::new("first").image("disk"))?;
    host.define(&Guest::new("second").image("disk"))?;
    host.virsh(&["start", "first"])?;
    let pid = host.guest_pid("first")?;
    host.kill_daemon(Daemon::Virtlockd)?;
    host.expect_state("first", "running")?;
    ensure!(host.is_alive(pid), "the guest ended with virtlockd");

    lab.step("Without it no guest starts");
    host.refused(&["start", "second"], &["virtlockd-sock"])?;

    lab.step("It is back, and knows no lock spaces until libvirtd starts again");
    host.start_daemon(Daemon::Virtlockd)?;
    host.refused(&["start", "second"], &["does not exist"])?;
    restart_libvirtd(host)?;

    lab.step("The guest is paused and resumed, and has its lock");
    host.virsh(&["suspend", "first"])?;
    host.virsh(&["resume", "first"])?;
    host.expect_state("first", "running")?;
    lab.holds(host, "first", "disk")?;
    host.refused(&["start", "second"], lab.refusal_on_same_host())
}

/// It is libvirtd that has virtlockd make its lock spaces, when it starts.
fn restart_libvirtd(host: &Host) -> Result<()> {
    host.stop_daemon(Daemon::Libvirtd)?;
    host.start_daemon(Daemon::Libvirtd)
}

fn stopped(lab: &mut Lab) -> Result<()> {
    let host = lab.host();
    lab.step("A guest runs, and virtlockd is told to stop");
    host.define(&Guest::new("first").image("disk"))?;
    host.virsh(&["start", "first"])?;
    let pid = host.guest_pid("first")?;
    host.stop_daemon(Daemon::Virtlockd)?;
    ensure!(
        !host.is_alive(pid),
        "virtlockd has given the lock up, and the guest still runs"
    );
    lab.step("It is back, and the guest starts again");
    host.start_daemon(Daemon::Virtlockd)?;
    restart_libvirtd(host)?;
    host.until_state("first", "shut off", std::time::Duration::from_secs(60))?;
    host.virsh(&["start", "first"])?;
    lab.holds(host, "first", "disk")
}

fn reexecuted(lab: &mut Lab) -> Result<()> {
    lab.step("A guest runs, and virtlockd executes itself anew");
    start_one_of_two(lab)?;
    for _ in 0..3 {
        reexecute(lab)?;
    }
    stop_and_start_elsewhere(lab)
}

fn replaced(lab: &mut Lab) -> Result<()> {
    let host = lab.host();
    lab.step("A guest runs, and virtlockd is replaced by the distribution's");
    start_one_of_two(lab)?;
    let installed = host.installed(Daemon::Virtlockd);
    host.install(Daemon::Virtlockd, None)?;
    reexecute(lab)?;

    lab.step("The other one comes back");
    host.install(Daemon::Virtlockd, installed.as_deref())?;
    reexecute(lab)?;

    lab.step("A second guest starts, and both go on through it once more");
    host.define(&Guest::new("third").image("third"))?;
    host.virsh(&["start", "third"])?;
    host.install(Daemon::Virtlockd, None)?;
    reexecute(lab)?;
    host.install(Daemon::Virtlockd, installed.as_deref())?;
    reexecute(lab)?;
    host.expect_state("third", "running")?;
    lab.holds(host, "third", "third")?;
    stop_and_start_elsewhere(lab)
}

fn start_one_of_two(lab: &Lab) -> Result<()> {
    let (host, other) = lab.pair();
    host.define(&Guest::new("first").image("disk"))?;
    host.define(&Guest::new("second").image("disk"))?;
    other.define(&Guest::new("second").image("disk"))?;
    host.virsh(&["start", "first"]).map(drop)
}

/// Has virtlockd execute what is installed now, and looks whether nobody noticed.
fn reexecute(lab: &Lab) -> Result<()> {
    let (host, other) = lab.pair();
    let pid = host.pid_of(Daemon::Virtlockd)?;
    host.reexecute_virtlockd()?;
    ensure!(host.is_alive(pid), "virtlockd ended");
    ensure!(
        host.runs_what_is_installed(Daemon::Virtlockd)?,
        "virtlockd did not execute what is installed"
    );
    host.expect_state("first", "running")?;
    lab.holds(host, "first", "disk")?;
    host.refused(&["start", "second"], lab.refusal_on_same_host())?;
    other.refused(&["start", "second"], lab.refusal_on_other_host())
}

fn stop_and_start_elsewhere(lab: &Lab) -> Result<()> {
    let (host, other) = lab.pair();
    lab.step("The guest stops, and its lock is free");
    host.virsh(&["destroy", "first"])?;
    lab.free(host, "disk")?;
    other.virsh(&["start", "second"])?;
    lab.holds(other, "second", "disk")
}

fn broken(lab: &mut Lab) -> Result<()> {
    lab.step("On one host alone it looks like a good one");
    single_host::play(lab)?;
    lab.host().virsh(&["destroy", "second"])?;
    lab.must_find(dual_host::play, "succeeded on beta, and must be refused")
}
