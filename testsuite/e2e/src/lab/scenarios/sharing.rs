//! Disks that several guests may have.

use anyhow::Result;

use crate::lab::Lab;
use crate::lab::guest::{Disk, Guest};
use crate::lab::scenario::{Manager, Scenario, Setup};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "shareable",
        what: "guests share a disk that is marked so, on one host and on two; one that wants it alone is refused",
        setup: Setup::new(Manager::Sanlock, 2),
        play: shareable,
    },
    Scenario {
        name: "shareable-lockd",
        what: "the same with virtlockd",
        setup: Setup::new(Manager::Lockd, 2),
        play: shareable,
    },
    Scenario {
        name: "read-only",
        what: "a disk that is read only takes no lease",
        setup: Setup::new(Manager::Sanlock, 1),
        play: read_only,
    },
    Scenario {
        name: "read-only-lockd",
        what: "the same with virtlockd",
        setup: Setup::new(Manager::Lockd, 1),
        play: read_only,
    },
];

fn shareable(lab: &mut Lab) -> Result<()> {
    let (one, other) = lab.pair();
    let shared = || Disk::image("disk", "sda").shareable();
    lab.step("Three guests share a disk, and one wants it alone");
    one.define(&Guest::new("first").disk(shared()))?;
    one.define(&Guest::new("second").disk(shared()))?;
    other.define(&Guest::new("third").disk(shared()))?;
    for host in [one, other] {
        host.define(&Guest::new("alone").image("disk"))?;
    }

    lab.step("Two of them run on the first host, one on the second");
    one.virsh(&["start", "first"])?;
    one.virsh(&["start", "second"])?;
    other.virsh(&["start", "third"])?;
    lab.holders(one, &["first", "second"], "disk")?;
    lab.holds(other, "third", "disk")?;

    lab.step("The other is refused on both hosts");
    one.refused(&["start", "alone"], lab.refusal_while_shared_here())?;
    other.refused(&["start", "alone"], lab.refusal_while_shared_here())?;
    for (host, guest) in [(one, "first"), (one, "second"), (other, "third")] {
        host.expect_state(guest, "running")?;
    }

    lab.step("It is refused as long as one is left");
    one.virsh(&["destroy", "first"])?;
    one.virsh(&["destroy", "second"])?;
    lab.free(one, "disk")?;
    one.refused(&["start", "alone"], lab.refusal_while_shared_there())?;

    lab.step("With the last one gone it starts, and no other may share");
    other.virsh(&["destroy", "third"])?;
    lab.free(other, "disk")?;
    one.virsh(&["start", "alone"])?;
    lab.holds(one, "alone", "disk")?;
    one.refused(&["start", "first"], lab.refusal_on_same_host())?;
    other.refused(&["start", "third"], lab.refusal_on_other_host())
}

fn read_only(lab: &mut Lab) -> Result<()> {
    let host = lab.host();
    let read_only = || Disk::image("disk", "sda").readonly();
    lab.step("Two guests read a disk");
    host.define(&Guest::new("first").disk(read_only()))?;
    host.define(&Guest::new("second").disk(read_only()))?;

    lab.step("Both run, and nobody holds a lease");
    host.virsh(&["start", "first"])?;
    host.virsh(&["start", "second"])?;
    lab.free(host, "disk")?;
    host.expect_state("first", "running")?;
    host.expect_state("second", "running")
}
