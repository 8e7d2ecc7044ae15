//! Disks that come and go while guests run.

use anyhow::{Result, ensure};

use crate::lab::Lab;
use crate::lab::guest::{Disk, Guest};
use crate::lab::scenario::{Manager, Scenario, Setup};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "hot-plug",
        what: "a disk that is plugged in takes a lease, and one that is in use elsewhere is refused",
        setup: Setup::new(Manager::Sanlock, 1),
        play,
    },
    Scenario {
        name: "hot-plug-lockd",
        what: "the same with virtlockd",
        setup: Setup::new(Manager::Lockd, 1),
        play,
    },
];

/// The disk's description, as virsh wants it.
const FILE: &str = "/run/lab/disk.xml";

fn play(lab: &mut Lab) -> Result<()> {
    let host = lab.host();
    lab.step("A guest runs without the disk, and another has it");
    host.define(&Guest::new("first").image("own"))?;
    host.define(&Guest::new("second").image("disk"))?;
    host.write(FILE, &Disk::image("disk", "sdb").xml())?;
    host.virsh(&["start", "first"])?;
    host.virsh(&["start", "second"])?;

    lab.step("The disk cannot be plugged into the first");
    host.refused(
        &["attach-device", "first", FILE],
        lab.refusal_on_same_host(),
    )?;
    ensure!(
        !host.virsh(&["domblklist", "first"])?.contains("sdb"),
        "the disk was refused, and is there nevertheless"
    );
    lab.holds(host, "second", "disk")?;
    host.expect_state("first", "running")?;

    lab.step("The second stops: now it can");
    host.virsh(&["destroy", "second"])?;
    lab.free(host, "disk")?;
    host.virsh(&["attach-device", "first", FILE])?;
    lab.holds(host, "first", "disk")?;
    host.refused(&["start", "second"], lab.refusal_on_same_host())?;

    lab.step("The disk is unplugged, and the second has it again");
    host.virsh(&["detach-device", "first", FILE])?;
    lab.free(host, "disk")?;
    lab.holds(host, "first", "own")?;
    host.virsh(&["start", "second"])?;
    lab.holds(host, "second", "disk")
}
