//! virtlockd that its first client starts, and that ends when nobody has anything to do with it.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::lab::Lab;
use crate::lab::daemons::Daemon;
use crate::lab::guest::Guest;
use crate::lab::host::Host;
use crate::lab::scenario::{Manager, Scenario, Setup};

/// So long after its last client virtlockd ends.
const TIMEOUT: Duration = Duration::from_secs(2);

/// When it must have done so, on a busy computer.
const ENDED: Duration = Duration::from_secs(60);

const ACTIVATED: Setup = Setup {
    // A virtlockd that was not told of lock spaces by libvirtd since it began has none.
    lockspace: false,
    activated: Some(TIMEOUT),
    ..Setup::new(Manager::Lockd, 1)
};

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "virtlockd-activated",
    what: "virtlockd is started by the first guest, stays as long as one runs, ends, and comes back",
    setup: ACTIVATED,
    play,
}];

fn until_ended(host: &Host, pid: u32) -> Result<()> {
    host.until("virtlockd has ended", ENDED, |host| Ok(!host.is_alive(pid)))
        .map(drop)
}

fn play(lab: &mut Lab) -> Result<()> {
    let host = lab.host();
    lab.step("Nobody has wanted anything of virtlockd: it does not run");
    host.define(&Guest::new("first").image("disk"))?;
    host.define(&Guest::new("second").image("disk"))?;
    ensure!(
        host.pid_of(Daemon::Virtlockd).is_err(),
        "virtlockd runs, and nobody needs it"
    );

    lab.step("A guest starts it");
    host.virsh(&["start", "first"])?;
    lab.holds(host, "first", "disk")?;
    let pid = host.pid_of(Daemon::Virtlockd)?;

    lab.step("It stays, as the guest does");
    std::thread::sleep(2 * TIMEOUT);
    ensure!(host.is_alive(pid), "virtlockd ended under a guest");
    lab.holds(host, "first", "disk")?;
    host.refused(&["start", "second"], lab.refusal_on_same_host())?;

    lab.step("The guest stops, and so does virtlockd");
    host.virsh(&["destroy", "first"])?;
    until_ended(host, pid)?;
    lab.free(host, "disk")?;

    lab.step("The next guest starts another one");
    host.virsh(&["start", "second"])?;
    lab.holds(host, "second", "disk")?;
    let next = host.pid_of(Daemon::Virtlockd)?;
    ensure!(next != pid, "virtlockd did not start anew");
    host.refused(&["start", "first"], lab.refusal_on_same_host())?;

    lab.step("It executes itself anew with the sockets that it was given, and ends as well");
    host.reexecute_virtlockd()?;
    ensure!(
        host.is_alive(next),
        "virtlockd ended when it was to execute itself anew"
    );
    lab.holds(host, "second", "disk")?;
    host.refused(&["start", "first"], lab.refusal_on_same_host())?;
    host.virsh(&["destroy", "second"])?;
    until_ended(host, next)?;

    lab.step("An administrator starts it too");
    let servers = host.run(&[
        "virt-admin",
        "--connect",
        "virtlockd:///system",
        "server-list",
    ])?;
    ensure!(
        servers.contains("virtlockd") && servers.contains("admin"),
        "these are not virtlockd's servers: {servers}"
    );
    let last = host.pid_of(Daemon::Virtlockd)?;
    ensure!(last != next, "virtlockd did not start anew");
    until_ended(host, last)
}
