//! Pausing, saving, killing and restarting guests.

use anyhow::Result;

use crate::lab::Lab;
use crate::lab::guest::Guest;
use crate::lab::scenario::{Manager, Scenario, Setup};

/// How often a guest is restarted at once.
const RESTARTS: u32 = 4;

const fn lifecycle(
    name: &'static str,
    what: &'static str,
    manager: Manager,
    play: fn(&mut Lab) -> Result<()>,
) -> Scenario {
    Scenario {
        name,
        what,
        setup: Setup::new(manager, 1),
        play,
    }
}

const THE_SAME: &str = "the same with virtlockd";

pub(super) const SCENARIOS: &[Scenario] = &[
    lifecycle(
        "pause-resume",
        "a paused guest has no lease; it is resumed only if nobody has taken it",
        Manager::Sanlock,
        pause_resume,
    ),
    lifecycle("pause-resume-lockd", THE_SAME, Manager::Lockd, pause_resume),
    lifecycle(
        "start-paused",
        "a guest that is started paused takes its lease when it is resumed",
        Manager::Sanlock,
        start_paused,
    ),
    lifecycle("start-paused-lockd", THE_SAME, Manager::Lockd, start_paused),
    lifecycle(
        "save-restore",
        "a saved guest has no lease; it is restored only if nobody has taken it",
        Manager::Sanlock,
        save_restore,
    ),
    lifecycle("save-restore-lockd", THE_SAME, Manager::Lockd, save_restore),
    lifecycle(
        "quick-restarts",
        "a guest that was stopped, or whose QEMU was killed, starts again at once",
        Manager::Sanlock,
        quick_restarts,
    ),
    lifecycle(
        "quick-restarts-lockd",
        THE_SAME,
        Manager::Lockd,
        quick_restarts,
    ),
];

fn two_guests(lab: &Lab) -> Result<()> {
    lab.step("Two guests are given the same disk image");
    lab.host().define(&Guest::new("first").image("disk"))?;
    lab.host().define(&Guest::new("second").image("disk"))
}

fn pause_resume(lab: &mut Lab) -> Result<()> {
    two_guests(lab)?;
    let host = lab.host();
    lab.step("The first is paused, and gives its lease back");
    host.virsh(&["start", "first"])?;
    host.virsh(&["suspend", "first"])?;
    lab.free(host, "disk")?;

    lab.step("It is resumed, and has its lease again");
    host.virsh(&["resume", "first"])?;
    lab.holds(host, "first", "disk")?;
    host.refused(&["start", "second"], lab.refusal_on_same_host())?;

    lab.step("It is paused, and the second takes the lease: it cannot be resumed");
    host.virsh(&["suspend", "first"])?;
    host.virsh(&["start", "second"])?;
    lab.holds(host, "second", "disk")?;
    host.refused(&["resume", "first"], lab.refusal_on_same_host())?;
    host.expect_state("first", "paused")?;
    host.expect_state("second", "running")?;

    lab.step("The second stops, and the first goes on");
    host.virsh(&["destroy", "second"])?;
    lab.free(host, "disk")?;
    host.virsh(&["resume", "first"])?;
    host.expect_state("first", "running")?;
    lab.holds(host, "first", "disk")
}

fn start_paused(lab: &mut Lab) -> Result<()> {
    two_guests(lab)?;
    let host = lab.host();
    lab.step("The first is started paused: it has no lease yet");
    host.virsh(&["start", "first", "--paused"])?;
    host.expect_state("first", "paused")?;
    lab.free(host, "disk")?;

    lab.step("The second starts, and the first cannot be resumed");
    host.virsh(&["start", "second"])?;
    lab.holds(host, "second", "disk")?;
    host.refused(&["resume", "first"], lab.refusal_on_same_host())?;
    host.expect_state("first", "paused")?;

    lab.step("The second stops, and the first can");
    host.virsh(&["destroy", "second"])?;
    lab.free(host, "disk")?;
    host.virsh(&["resume", "first"])?;
    lab.holds(host, "first", "disk")
}

fn save_restore(lab: &mut Lab) -> Result<()> {
    const FILE: &str = "/var/lib/libvirt/images/first.save";
    two_guests(lab)?;
    let host = lab.host();
    lab.step("The first is saved, and its lease is free");
    host.virsh(&["start", "first"])?;
    host.virsh(&["save", "first", FILE])?;
    host.expect_state("first", "shut off")?;
    lab.free(host, "disk")?;

    lab.step("The second takes the lease: the first cannot be restored");
    host.virsh(&["start", "second"])?;
    host.refused(&["restore", FILE], lab.refusal_on_same_host())?;
    host.expect_state("second", "running")?;
    lab.holds(host, "second", "disk")?;

    lab.step("The second stops, and the first is restored");
    host.virsh(&["destroy", "second"])?;
    lab.free(host, "disk")?;
    host.virsh(&["restore", FILE])?;
    host.expect_state("first", "running")?;
    lab.holds(host, "first", "disk")
}

fn quick_restarts(lab: &mut Lab) -> Result<()> {
    two_guests(lab)?;
    let host = lab.host();
    lab.step("The first stops and starts, several times without a pause");
    host.virsh(&["start", "first"])?;
    for _ in 0..RESTARTS {
        host.virsh(&["destroy", "first"])?;
        host.virsh(&["start", "first"])?;
    }
    lab.holds(host, "first", "disk")?;

    lab.step("Its QEMU is killed, and the second has the lease at once");
    host.kill_guest("first")?;
    lab.free(host, "disk")?;
    host.virsh(&["start", "second"])?;
    lab.holds(host, "second", "disk")
}
