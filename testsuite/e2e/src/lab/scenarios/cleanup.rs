//! virt-sanlock-cleanup: lease files that nobody uses.

use anyhow::{Result, ensure};

use crate::lab::Lab;
use crate::lab::guest::Guest;
use crate::lab::scenario::{Broken, Manager, Scenario, Setup};

const PAIR: Setup = Setup::new(Manager::Sanlock, 2);

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "cleanup",
        what: "virt-sanlock-cleanup removes the lease files that no guest of any host uses, and no other",
        setup: PAIR,
        play,
    },
    Scenario {
        name: "broken-cleanup",
        what: "a cleanup that removes everything is found by it",
        setup: Setup {
            broken: Some(Broken {
                program: "virt-sanlock-cleanup",
                script: "#!/bin/sh\nrm -f /var/lib/libvirt/sanlock/[0-9a-f]*\n",
            }),
            ..PAIR
        },
        play: broken,
    },
];

fn play(lab: &mut Lab) -> Result<()> {
    let (one, other) = lab.pair();
    lab.step("One guest runs on each host, and one has run");
    one.define(&Guest::new("here").image("here"))?;
    one.define(&Guest::new("gone").image("gone"))?;
    for host in [one, other] {
        host.define(&Guest::new("there").image("there"))?;
    }
    one.virsh(&["start", "here"])?;
    other.virsh(&["start", "there"])?;
    one.virsh(&["start", "gone"])?;
    one.virsh(&["destroy", "gone"])?;
    lab.free(one, "gone")?;

    lab.step("The cleanup removes the lease file of that one only");
    one.run(&["virt-sanlock-cleanup"])?;
    for (image, stays) in [("here", true), ("there", true), ("gone", false)] {
        let is_there = lab.has_lease_file(one, image)?;
        ensure!(
            is_there == stays,
            "the lease file of {image} {}",
            if is_there {
                "is still there"
            } else {
                "is gone"
            }
        );
    }
    lab.holds(one, "here", "here")?;
    lab.holds(other, "there", "there")?;
    one.refused(&["start", "there"], lab.refusal_on_other_host())?;

    lab.step("Leases that were removed are made again");
    one.virsh(&["start", "gone"])?;
    lab.holds(one, "gone", "gone")
}

fn broken(lab: &mut Lab) -> Result<()> {
    lab.must_find(play, "the lease file of here is gone")
}
