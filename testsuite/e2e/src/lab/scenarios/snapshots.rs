//! Snapshots of running guests: in the image itself, and with a new image on top, to which the lease then belongs.

use anyhow::Result;

use crate::lab::Lab;
use crate::lab::guest::{Disk, Guest};
use crate::lab::host::Host;
use crate::lab::scenario::{Manager, Scenario, Setup};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "snapshot-internal",
        what: "a guest keeps its lease through a snapshot and back; it goes back only if nobody has taken the lease",
        setup: Setup::new(Manager::Sanlock, 1),
        play: internal,
    },
    Scenario {
        name: "snapshot-internal-lockd",
        what: "the same with virtlockd",
        setup: Setup::new(Manager::Lockd, 1),
        play: internal,
    },
    Scenario {
        name: "snapshot-external",
        what: "the lease follows the guest to the image on top, and back when that is merged",
        setup: Setup::new(Manager::Sanlock, 2),
        play: external,
    },
    Scenario {
        name: "snapshot-external-lockd",
        what: "the same with virtlockd",
        setup: Setup::new(Manager::Lockd, 2),
        play: external,
    },
];

fn internal(lab: &mut Lab) -> Result<()> {
    let host = lab.host();
    lab.step("Two guests are given the same disk image, and one runs");
    for name in ["first", "second"] {
        host.define(&Guest::new(name).disk(Disk::image("disk", "sda").qcow2()))?;
    }
    host.virsh(&["start", "first"])?;

    lab.step("A snapshot is made: the guest has its lease again");
    host.virsh(&["snapshot-create-as", "first", "one"])?;
    host.expect_state("first", "running")?;
    lab.holds(host, "first", "disk")?;
    host.refused(&["start", "second"], lab.refusal_on_same_host())?;

    lab.step("It goes back to it, and has its lease as well");
    host.virsh(&["snapshot-revert", "first", "one"])?;
    host.expect_state("first", "running")?;
    lab.holds(host, "first", "disk")?;
    host.refused(&["start", "second"], lab.refusal_on_same_host())?;

    lab.step("It stops and the second has the lease: it cannot go back, and does not run");
    host.virsh(&["destroy", "first"])?;
    lab.free(host, "disk")?;
    host.virsh(&["start", "second"])?;
    host.refused(
        &["snapshot-revert", "first", "one"],
        lab.refusal_on_same_host(),
    )?;
    host.expect_state("first", "paused")?;
    host.expect_state("second", "running")?;
    lab.holds(host, "second", "disk")?;

    lab.step("The second stops: now it goes back");
    host.virsh(&["destroy", "second"])?;
    lab.free(host, "disk")?;
    host.virsh(&["snapshot-revert", "first", "one"])?;
    host.expect_state("first", "running")?;
    lab.holds(host, "first", "disk")?;

    lab.step("A snapshot that ends the guest leaves no lease");
    host.virsh(&["snapshot-create-as", "first", "two", "--halt"])?;
    host.expect_state("first", "shut off")?;
    lab.free(host, "disk")
}

/// Goes on with an image on top of the guest's disk.
fn put_on_top<'a>(spec: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = [
        "snapshot-create-as",
        "first",
        "one",
        "--disk-only",
        "--no-metadata",
        "--diskspec",
        spec,
    ];
    words.iter().chain(more).copied().collect()
}

/// The guest's disk must be this image, and its lease that image's.
fn expect_image(lab: &Lab, host: &Host, image: &str, other: &str) -> Result<()> {
    let source = Disk::image(image, "sda").source;
    let disks = host.virsh(&["domblklist", "first"])?;
    anyhow::ensure!(disks.contains(&source), "its disk is not {image}: {disks}");
    host.expect_state("first", "running")?;
    lab.holds(host, "first", image)?;
    lab.free(host, other)
}

fn external(lab: &mut Lab) -> Result<()> {
    let (host, other) = lab.pair();
    lab.step("A guest runs on an image; another one wants an image that is on top of it, or the same image");
    host.define(&Guest::new("first").image("disk"))?;
    let top = || Disk::image("top", "sda").qcow2();
    for host in [host, other] {
        host.define(&Guest::new("on-top").disk(top()))?;
        host.define(&Guest::new("below").image("disk"))?;
    }
    host.virsh(&["start", "first"])?;
    lab.holds(host, "first", "disk")?;
    let spec = format!("sda,snapshot=external,file={}", top().source);

    lab.step("The image on top is another guest's, on the other host: no snapshot is made");
    other.virsh(&["start", "on-top"])?;
    host.refused(
        &put_on_top(&spec, &["--reuse-external"]),
        lab.refusal_on_other_host(),
    )?;
    expect_image(lab, host, "disk", "top")?;
    other.refused(&["start", "below"], lab.refusal_on_other_host())?;

    lab.step("That guest stops: the snapshot is made, and the lease is that of the image on top");
    other.virsh(&["destroy", "on-top"])?;
    lab.free(other, "top")?;
    host.run(&["rm", &top().source])?;
    host.virsh(&put_on_top(&spec, &[]))?;
    expect_image(lab, host, "top", "disk")?;
    host.refused(&["start", "on-top"], lab.refusal_on_same_host())?;
    other.refused(&["start", "on-top"], lab.refusal_on_other_host())?;

    lab.step("So it is when the guest was paused meanwhile");
    host.virsh(&["suspend", "first"])?;
    lab.free(host, "top")?;
    host.virsh(&["resume", "first"])?;
    expect_image(lab, host, "top", "disk")?;

    lab.step("The image on top is merged into the one below, which has the lease again");
    let merge = [
        "blockcommit",
        "first",
        "sda",
        "--active",
        "--pivot",
        "--wait",
    ];
    host.virsh(&merge)?;
    expect_image(lab, host, "disk", "top")?;
    host.refused(&["start", "below"], lab.refusal_on_same_host())?;
    other.refused(&["start", "below"], lab.refusal_on_other_host())?;

    lab.step("The guest stops, and the other host may have the image");
    host.virsh(&["destroy", "first"])?;
    lab.free(host, "disk")?;
    other.virsh(&["start", "below"])?;
    lab.holds(other, "below", "disk")
}
