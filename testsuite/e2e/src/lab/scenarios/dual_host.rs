//! Fedora's "dual host": one guest, known on two hosts.

use anyhow::Result;

use crate::lab::Lab;
use crate::lab::guest::Guest;
use crate::lab::scenario::{Manager, Scenario, Setup};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "dual-host",
        what: "a guest that runs on one host is refused on the other, until it has stopped",
        setup: Setup::new(Manager::Sanlock, 2),
        play,
    },
    Scenario {
        name: "dual-host-lockd",
        what: "the same with virtlockd",
        setup: Setup::new(Manager::Lockd, 2),
        play,
    },
];

pub(super) fn play(lab: &mut Lab) -> Result<()> {
    let (one, other) = lab.pair();
    lab.step("Both hosts know the guest, and have its disk image");
    for host in [one, other] {
        host.define(&Guest::new("guest").image("disk"))?;
    }

    lab.step("It starts on the first host");
    one.virsh(&["start", "guest"])?;
    lab.holds(one, "guest", "disk")?;

    lab.step("The second host refuses it, and the first is not disturbed");
    other.refused(&["start", "guest"], lab.refusal_on_other_host())?;
    one.expect_state("guest", "running")?;
    lab.holds(one, "guest", "disk")?;

    lab.step("It stops on the first host, and starts on the second");
    one.virsh(&["destroy", "guest"])?;
    lab.free(one, "disk")?;
    other.virsh(&["start", "guest"])?;
    lab.holds(other, "guest", "disk")?;

    lab.step("Now the first host refuses it");
    one.refused(&["start", "guest"], lab.refusal_on_other_host())?;
    other.expect_state("guest", "running")
}
