//! Fedora's "single host": two guests with one disk on one host.

use anyhow::Result;

use crate::lab::Lab;
use crate::lab::guest::Guest;
use crate::lab::scenario::{Manager, Scenario, Setup};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "single-host",
        what: "two guests with one disk on one host: the second is refused until the first has stopped",
        setup: Setup::new(Manager::Sanlock, 1),
        play,
    },
    Scenario {
        name: "single-host-lockd",
        what: "the same with virtlockd",
        setup: Setup::new(Manager::Lockd, 1),
        play,
    },
    Scenario {
        name: "control",
        what: "the same without a lock manager: both start, so nothing else refuses the second",
        setup: Setup::new(Manager::None, 1),
        play: control,
    },
];

pub(super) fn play(lab: &mut Lab) -> Result<()> {
    let host = lab.host();
    lab.step("Two guests are given the same disk image");
    host.define(&Guest::new("first").image("disk"))?;
    host.define(&Guest::new("second").image("disk"))?;

    lab.step("The first starts, and holds the lease");
    host.virsh(&["start", "first"])?;
    lab.holds(host, "first", "disk")?;

    lab.step("The second is refused, and the first is not disturbed");
    host.refused(&["start", "second"], lab.refusal_on_same_host())?;
    host.expect_state("first", "running")?;
    host.expect_state("second", "shut off")?;
    lab.holds(host, "first", "disk")?;

    lab.step("The first stops, and gives the lease back");
    host.virsh(&["destroy", "first"])?;
    lab.free(host, "disk")?;

    lab.step("Now the second starts, and the first is refused");
    host.virsh(&["start", "second"])?;
    lab.holds(host, "second", "disk")?;
    host.refused(&["start", "first"], lab.refusal_on_same_host())?;
    host.expect_state("second", "running")
}

fn control(lab: &mut Lab) -> Result<()> {
    let host = lab.host();
    lab.step("Two guests are given the same disk image");
    host.define(&Guest::new("first").image("disk"))?;
    host.define(&Guest::new("second").image("disk"))?;

    lab.step("Nobody keeps the second from starting");
    host.virsh(&["start", "first"])?;
    host.virsh(&["start", "second"])?;
    host.expect_state("first", "running")?;
    host.expect_state("second", "running")
}
