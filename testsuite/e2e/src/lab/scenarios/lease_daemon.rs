//! sanlock is killed under a guest, and comes back. What becomes of its host then is its watchdog's part, which is played
//! with machines.

use std::time::Instant;

use anyhow::{Result, ensure};
use ondisk::HostId;

use super::crash::{judge, until_taken};
use crate::lab::Lab;
use crate::lab::daemons::Daemon;
use crate::lab::guest::Guest;
use crate::lab::host::Host;
use crate::lab::scenario::{Manager, Scenario, Setup};

const PAIR: Setup = Setup::new(Manager::Sanlock, 2);

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "sanlock-killed-and-back",
        what: "sanlock is killed under a guest: no other starts until libvirtd has joined again with the next sanlock",
        setup: PAIR,
        play: killed_and_back,
    },
    Scenario {
        name: "sanlock-killed-taken",
        what: "the same: the other host takes the lease when its owner counts as dead, never earlier",
        setup: PAIR,
        play: killed_and_taken,
    },
];

/// A guest on the first host, whose sanlock is killed.
fn kill_under_a_guest(lab: &Lab) -> Result<(&Host, &Host, u32)> {
    let (host, other) = lab.pair();
    lab.step("A guest runs, and its host's sanlock is killed");
    for host in [host, other] {
        host.define(&Guest::new("first").image("disk"))?;
        host.define(&Guest::new("second").image("disk"))?;
    }
    host.define(&Guest::new("third").image("third"))?;
    host.virsh(&["start", "first"])?;
    lab.holds(host, "first", "disk")?;
    let pid = host.guest_pid("first")?;
    host.kill_daemon(Daemon::Sanlock)?;
    Ok((host, other, pid))
}

fn killed_and_back(lab: &mut Lab) -> Result<()> {
    let (host, other, pid) = kill_under_a_guest(lab)?;
    lab.step("Without it no guest starts there; the one that runs goes on");
    for guest in ["second", "third"] {
        host.refused(&["start", guest], &["Connection refused"])?;
    }
    ensure!(host.is_alive(pid), "the guest ended with sanlock");

    lab.step("It is back, and in no lockspace: no guest starts");
    host.start_daemon(Daemon::Sanlock)?;
    for guest in ["second", "third"] {
        host.refused(&["start", guest], &["No space left on device"])?;
    }
    ensure!(host.is_alive(pid), "the guest ended when sanlock came back");

    lab.step("The guest is ended, and libvirtd started anew: it joins");
    host.virsh(&["destroy", "first"])?;
    let begin = Instant::now();
    host.stop_daemon(Daemon::Libvirtd)?;
    host.start_daemon(Daemon::Libvirtd)?;
    let took = begin.elapsed().as_secs_f64();
    lab.teller.note(format!("joined after {took:.1} s"));

    // Not before: until its owner is back or counts as dead, an attempt waits for the one or the other.
    lab.step("The guest starts, with a lease that the other host sees");
    host.virsh(&["start", "first"])?;
    lab.holds(host, "first", "disk")?;
    other.refused(&["start", "second"], lab.refusal_on_other_host())?;
    host.refused(&["start", "second"], lab.refusal_on_same_host())?;
    host.virsh(&["start", "third"])?;
    lab.holds(host, "third", "third")
}

fn killed_and_taken(lab: &mut Lab) -> Result<()> {
    let renewals = lab.renewals(HostId(1));
    let (_, other, pid) = kill_under_a_guest(lab)?;
    let killed = Instant::now();
    let (host, _) = lab.pair();
    // The daemon is gone, so there is no later one.
    let last = renewals.last()?;

    lab.step("The other host tries to start a guest with that disk until it may");
    let taken = until_taken(other, "second", last)?;
    lab.holds(other, "second", "disk")?;
    judge(lab, last, ("killed", killed), taken)?;

    lab.step("sanlock is back: the guest that lost its lease, which its watchdog would have ended, starts nowhere again");
    ensure!(host.is_alive(pid), "the guest ended without a reset");
    host.virsh(&["destroy", "first"])?;
    host.start_daemon(Daemon::Sanlock)?;
    host.stop_daemon(Daemon::Libvirtd)?;
    host.start_daemon(Daemon::Libvirtd)?;
    host.refused(&["start", "first"], lab.refusal_on_other_host())?;
    lab.holds(other, "second", "disk")?;

    lab.step("When the other guest has ended it starts");
    other.virsh(&["destroy", "second"])?;
    lab.free(other, "disk")?;
    host.virsh(&["start", "first"])?;
    lab.holds(host, "first", "disk")
}
