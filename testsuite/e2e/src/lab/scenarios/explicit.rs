//! Leases that guests' descriptions name by themselves, on a device that both hosts have.

use anyhow::Result;

use crate::lab::Lab;
use crate::lab::guest::{Guest, Lease};
use crate::lab::host::Host;
use crate::lab::scenario::{Manager, Scenario, Setup};

const SPACE: &str = "SPACE";

const fn on_device(sector: u16) -> Setup {
    Setup {
        auto_leases: false,
        require_leases: true,
        device_sector: Some(sector),
        ..Setup::new(Manager::Sanlock, 2)
    }
}

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "explicit-lease",
        what: "guests name leases at offsets of a device of 512 byte sectors; without a lease none starts",
        setup: on_device(512),
        play: explicit_512,
    },
    Scenario {
        name: "explicit-lease-4k",
        what: "the same with 4096 byte sectors",
        setup: on_device(4096),
        play: explicit_4k,
    },
    Scenario {
        name: "required-with-automatic",
        what: "leases are required, and made for disks: a guest has both kinds, or none",
        setup: Setup {
            auto_leases: true,
            ..on_device(512)
        },
        play: both_kinds,
    },
];

fn explicit_512(lab: &mut Lab) -> Result<()> {
    play(lab, 1 << 20)
}

fn explicit_4k(lab: &mut Lab) -> Result<()> {
    play(lab, 8 << 20)
}

fn join(host: &Host, device: &str) -> Result<()> {
    let space = format!("{SPACE}:{}:{device}:0", host.plan.number);
    host.run(&[
        "sanlock",
        "client",
        "add_lockspace",
        "-s",
        &space,
        "-o",
        "1",
    ])
    .map(drop)
}

/// Gives the device a lockspace and two leases, at multiples of the alignment.
fn prepare(lab: &Lab, align: u64) -> Result<String> {
    let (one, other) = lab.pair();
    let device = lab.device()?;
    lab.step("The device is given a lockspace and two leases, and both hosts join");
    let space = format!("{SPACE}:0:{device}:0");
    one.run(&["sanlock", "direct", "init", "-s", &space, "-o", "1"])?;
    for (key, number) in [("red", 1), ("blue", 2)] {
        let resource = format!("{SPACE}:{key}:{device}:{}", number * align);
        one.run(&["sanlock", "direct", "init", "-r", &resource, "-o", "1"])?;
    }
    join(one, &device)?;
    join(other, &device)?;
    Ok(device)
}

fn play(lab: &mut Lab, align: u64) -> Result<()> {
    let device = prepare(lab, align)?;
    let (one, other) = lab.pair();

    lab.step("Each guest has a disk of its own, and names a lease");
    let lease = |key, number| Lease {
        space: SPACE,
        key,
        path: device.clone(),
        offset: number * align,
    };
    for host in [one, other] {
        host.define(&Guest::new("red").image("one").lease(lease("red", 1)))?;
        host.define(&Guest::new("also-red").image("two").lease(lease("red", 1)))?;
        host.define(&Guest::new("blue").image("three").lease(lease("blue", 2)))?;
    }
    one.define(&Guest::new("without").image("four"))?;

    lab.step("A guest without a lease is refused, as leases are required");
    one.refused(&["start", "without"], &["no leases specified"])?;

    lab.step("Two guests with different leases run, one on each host");
    one.virsh(&["start", "red"])?;
    other.virsh(&["start", "blue"])?;
    lab.lease_held(one, "red", "red")?;
    lab.lease_held(other, "blue", "blue")?;

    lab.step("Who wants a lease that is taken is refused, on the same host and on the other");
    one.refused(&["start", "also-red"], lab.refusal_on_same_host())?;
    other.refused(&["start", "also-red"], lab.refusal_on_other_host())?;
    one.refused(&["start", "blue"], lab.refusal_on_other_host())?;

    lab.step("The holder stops: now the other host may");
    one.virsh(&["destroy", "red"])?;
    lab.lease_free(one, "red")?;
    other.virsh(&["start", "also-red"])?;
    lab.lease_held(other, "also-red", "red")?;
    one.refused(&["start", "red"], lab.refusal_on_other_host())
}

fn both_kinds(lab: &mut Lab) -> Result<()> {
    const ALIGN: u64 = 1 << 20;
    let device = prepare(lab, ALIGN)?;
    let (one, other) = lab.pair();
    lab.step("Guests name leases, and have disks");
    let lease = |key, number| Lease {
        space: SPACE,
        key,
        path: device.clone(),
        offset: number * ALIGN,
    };
    for host in [one, other] {
        host.define(&Guest::new("both").image("one").lease(lease("red", 1)))?;
        host.define(&Guest::new("same-lease").image("two").lease(lease("red", 1)))?;
        host.define(&Guest::new("same-disk").image("one").lease(lease("blue", 2)))?;
        host.define(&Guest::new("disk-only").image("three"))?;
    }

    lab.step("A guest that names none has its disk's, which is enough");
    one.virsh(&["start", "disk-only"])?;
    lab.holds(one, "disk-only", "three")?;

    lab.step("A guest that names one has both");
    one.virsh(&["start", "both"])?;
    lab.holds(one, "both", "one")?;
    lab.lease_held(one, "both", "red")?;

    lab.step("Who lacks one of two is refused, and holds neither");
    for (host, reasons) in [
        (one, lab.refusal_on_same_host()),
        (other, lab.refusal_on_other_host()),
    ] {
        host.refused(&["start", "same-lease"], reasons)?;
        host.refused(&["start", "same-disk"], reasons)?;
        lab.free(host, "two")?;
        lab.lease_free(host, "blue")?;
    }
    lab.holds(one, "both", "one")?;
    lab.lease_held(one, "both", "red")?;

    lab.step("The guest stops: both are free");
    one.virsh(&["destroy", "both"])?;
    lab.free(one, "one")?;
    lab.lease_free(one, "red")?;
    other.virsh(&["start", "same-disk"])?;
    one.virsh(&["start", "same-lease"])?;
    lab.lease_held(other, "same-disk", "blue")?;
    lab.lease_held(one, "same-lease", "red")
}
