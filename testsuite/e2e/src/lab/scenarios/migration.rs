//! Fedora's "migration" and "libvirtd failure".

use anyhow::Result;

use crate::lab::Lab;
use crate::lab::daemons::Daemon;
use crate::lab::guest::Guest;
use crate::lab::host::Host;
use crate::lab::scenario::{Manager, Scenario, Setup};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "migration",
        what: "a guest migrates to the other host and back, and its lease with it",
        setup: Setup::new(Manager::Sanlock, 2),
        play: migration,
    },
    Scenario {
        name: "migration-lockd",
        what: "the same with virtlockd",
        setup: Setup::new(Manager::Lockd, 2),
        play: migration,
    },
    Scenario {
        name: "migration-refused",
        what: "a guest does not migrate to a host without lease daemon, and stays what it is",
        setup: Setup::new(Manager::Sanlock, 2),
        play: refused,
    },
    Scenario {
        name: "libvirtd-failure",
        what: "libvirtd is killed: its guests go on, and keep their leases",
        setup: Setup::new(Manager::Sanlock, 2),
        play: libvirtd_failure,
    },
    Scenario {
        name: "libvirtd-failure-lockd",
        what: "the same with virtlockd",
        setup: Setup::new(Manager::Lockd, 2),
        play: libvirtd_failure,
    },
];

/// Unsafe for libvirt, which does not know that this directory is shared.
fn migrate(to: &Host) -> Vec<String> {
    let uri = format!("qemu+tcp://{}/system", to.name());
    ["migrate", "--live", "--unsafe", "guest", &uri]
        .map(str::to_owned)
        .to_vec()
}

fn move_over(lab: &Lab, from: &Host, to: &Host) -> Result<()> {
    let words = migrate(to);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    from.virsh(&words)?;
    to.expect_state("guest", "running")?;
    lab.holds(to, "guest", "disk")?;
    lab.free(from, "disk")
}

fn migration(lab: &mut Lab) -> Result<()> {
    let (one, other) = lab.pair();
    lab.step("A guest runs on the first host");
    for host in [one, other] {
        host.define(&Guest::new("rival").image("disk"))?;
    }
    one.define(&Guest::new("guest").image("disk"))?;
    one.virsh(&["start", "guest"])?;

    lab.step("It migrates to the second");
    move_over(lab, one, other)?;
    one.refused(&["start", "rival"], lab.refusal_on_other_host())?;
    other.refused(&["start", "rival"], lab.refusal_on_same_host())?;

    lab.step("It migrates back");
    move_over(lab, other, one)?;
    one.refused(&["start", "rival"], lab.refusal_on_same_host())?;
    other.refused(&["start", "rival"], lab.refusal_on_other_host())?;
    one.expect_state("guest", "running")
}

fn refused(lab: &mut Lab) -> Result<()> {
    let (one, other) = lab.pair();
    lab.step("A guest runs on the first host, and the second has no lease daemon");
    one.define(&Guest::new("guest").image("disk"))?;
    one.virsh(&["start", "guest"])?;
    other.kill_daemon(Daemon::Sanlock)?;

    lab.step("It cannot migrate, and runs on where it is");
    let words = migrate(other);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    one.refused(&words, &["sanlock daemon"])?;
    one.expect_state("guest", "running")?;
    lab.holds(one, "guest", "disk")
}

fn libvirtd_failure(lab: &mut Lab) -> Result<()> {
    let (one, other) = lab.pair();
    lab.step("A guest runs on the first host");
    one.define(&Guest::new("rival").image("disk"))?;
    for host in [one, other] {
        host.define(&Guest::new("guest").image("disk"))?;
    }
    one.virsh(&["start", "guest"])?;
    let pid = one.guest_pid("guest")?;

    lab.step("libvirtd is killed there: the guest goes on, and keeps its lease");
    one.kill_daemon(Daemon::Libvirtd)?;
    lab.holds(one, "guest", "disk")?;
    other.refused(&["start", "guest"], lab.refusal_on_other_host())?;
    anyhow::ensure!(one.is_alive(pid), "the guest ended with libvirtd");

    lab.step("libvirtd is back: it finds the guest as it was");
    one.start_daemon(Daemon::Libvirtd)?;
    one.expect_state("guest", "running")?;
    lab.holds(one, "guest", "disk")?;
    one.refused(&["start", "rival"], lab.refusal_on_same_host())?;

    lab.step("The guest stops, and the second host may have it");
    one.virsh(&["destroy", "guest"])?;
    lab.free(one, "disk")?;
    other.virsh(&["start", "guest"])?;
    lab.holds(other, "guest", "disk")?;

    lab.step("libvirtd and the guest are killed there: the first host may have it");
    other.kill_daemon(Daemon::Libvirtd)?;
    other.kill_guest("guest")?;
    lab.free(other, "disk")?;
    one.virsh(&["start", "guest"])?;
    lab.holds(one, "guest", "disk")
}
