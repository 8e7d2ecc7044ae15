//! Storage of leases that fails under guests, and what `<on_lockfailure>` has done.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::lab::Lab;
use crate::lab::daemons::Daemon;
use crate::lab::guest::Guest;
use crate::lab::libvirt::CREDENTIALS;
use crate::lab::scenario::{Broken, Manager, Scenario, Setup, Storage};

/// A lease is lost 8 io_timeouts after the last renewal; the rest is for a busy computer.
const LOST: Duration = Duration::from_secs(60);

/// Whoever does not react is killed some 40 s later.
const KILLED: Duration = Duration::from_secs(150);

/// Shorter than what loses a lease.
const HICCUP: Duration = Duration::from_secs(3);

const FAULTY: Setup = Setup {
    storage: Storage::Faulty,
    ..Setup::new(Manager::Sanlock, 1)
};

const STUCK: Setup = Setup {
    broken: Some(Broken {
        program: "libvirt_sanlock_helper",
        script: "#!/bin/sh\nexec sleep 1000\n",
    }),
    ..FAULTY
};

const IDLE: Setup = Setup {
    broken: Some(Broken {
        program: "libvirt_sanlock_helper",
        script: "#!/bin/sh\nexit 0\n",
    }),
    ..FAULTY
};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "lock-failure-pause",
        what: "storage fails: the guest is paused, and goes on when storage and lockspace are back",
        setup: FAULTY,
        play: pause,
    },
    Scenario {
        name: "lock-failure-hang",
        what: "storage hangs: the same",
        setup: FAULTY,
        play: hang,
    },
    Scenario {
        name: "lock-failure-poweroff",
        what: "storage fails: the guest is switched off",
        setup: FAULTY,
        play: poweroff,
    },
    Scenario {
        name: "lock-failure-default",
        what: "storage fails, and nothing is said about that: the guest is killed",
        setup: FAULTY,
        play: default,
    },
    Scenario {
        name: "lock-failure-stuck",
        what: "storage fails, and the helper hangs: the guest is killed",
        setup: STUCK,
        play: stuck,
    },
    Scenario {
        name: "lock-failure-password",
        what: "storage fails, and libvirtd asks the helper for a password: the guest is paused",
        setup: Setup {
            passwords: true,
            needs: &["saslpasswd2"],
            ..FAULTY
        },
        play: password,
    },
    Scenario {
        name: "storage-hiccup",
        what: "storage hangs for a moment, errs for another: the guest goes on",
        setup: FAULTY,
        play: hiccup,
    },
    Scenario {
        name: "broken-helper",
        what: "a helper that does nothing is found by lock-failure-pause",
        setup: IDLE,
        play: broken_helper,
    },
];

fn running(lab: &Lab, guest: Guest) -> Result<u32> {
    let host = lab.host();
    lab.step("A guest runs");
    let name = guest.name;
    host.define(&guest.image("disk"))?;
    host.virsh(&["start", name])?;
    lab.holds(host, name, "disk")?;
    host.guest_pid(name)
}

fn until_paused(lab: &Lab, fault: &str) -> Result<()> {
    let host = lab.host();
    let pid = running(lab, Guest::new("guest").on_lockfailure("pause"))?;
    lab.step("The storage of leases fails: the guest is paused");
    host.storage(fault)?;
    let begin = Instant::now();
    host.until_state("guest", "paused", LOST)?;
    lab.teller.note(format!(
        "paused after {:.1} s",
        begin.elapsed().as_secs_f64()
    ));
    ensure!(host.is_alive(pid), "the guest was paused and killed");
    Ok(())
}

fn pause(lab: &mut Lab) -> Result<()> {
    until_paused(lab, "error EIO io")?;
    resume(lab)
}

fn password(lab: &mut Lab) -> Result<()> {
    let host = lab.host();
    lab.step("libvirtd lets nobody in who does not know the password");
    let wrong = CREDENTIALS.replace("secret", "guess");
    host.write("/run/lab/wrong.conf", &wrong)?;
    let said = host.attempt(&[
        "env",
        "LIBVIRT_AUTH_FILE=/run/lab/wrong.conf",
        "virsh",
        "--connect",
        "qemu:///system",
        "list",
    ])?;
    ensure!(
        !said.ok && said.text.contains("authentication failed"),
        "libvirtd lets anybody in: {}",
        said.text
    );
    until_paused(lab, "error EIO io")?;
    resume(lab)
}

fn hang(lab: &mut Lab) -> Result<()> {
    until_paused(lab, "hang io")?;
    lab.step("Storage answers again, too late");
    lab.host().storage("recover")?;
    resume(lab)
}

fn resume(lab: &Lab) -> Result<()> {
    let host = lab.host();
    lab.step("It cannot be resumed, as the lockspace is gone");
    host.until("the lockspace is gone", LOST, |host| {
        let said = host.quietly(&["sanlock", "client", "status"])?;
        Ok(said.ok && !said.text.lines().any(|line| line.starts_with("s ")))
    })?;
    host.refused(&["resume", "guest"], &["No space left on device"])?;
    host.expect_state("guest", "paused")?;

    lab.step("Storage is back, libvirtd joins again, and the guest goes on");
    host.storage("recover")?;
    host.stop_daemon(Daemon::Libvirtd)?;
    host.start_daemon(Daemon::Libvirtd)?;
    host.virsh(&["resume", "guest"])?;
    host.expect_state("guest", "running")?;
    lab.holds(host, "guest", "disk")
}

fn poweroff(lab: &mut Lab) -> Result<()> {
    let pid = running(lab, Guest::new("guest").on_lockfailure("poweroff"))?;
    lab.step("The storage of leases fails: the guest is switched off");
    ends(lab, pid, LOST)
}

fn default(lab: &mut Lab) -> Result<()> {
    let pid = running(lab, Guest::new("guest"))?;
    lab.step("The storage of leases fails: the guest is killed");
    ends(lab, pid, LOST)
}

fn stuck(lab: &mut Lab) -> Result<()> {
    let pid = running(lab, Guest::new("guest").on_lockfailure("pause"))?;
    lab.step("The storage of leases fails, and the helper hangs: the guest is killed");
    ends(lab, pid, KILLED)
}

fn ends(lab: &Lab, pid: u32, limit: Duration) -> Result<()> {
    let host = lab.host();
    host.storage("error EIO io")?;
    let begin = Instant::now();
    host.until("the guest's QEMU is gone", limit, |host| {
        Ok(!host.is_alive(pid))
    })?;
    lab.teller.note(format!(
        "ended after {:.1} s",
        begin.elapsed().as_secs_f64()
    ));
    host.until_state("guest", "shut off", LOST)
}

fn hiccup(lab: &mut Lab) -> Result<()> {
    let pid = running(lab, Guest::new("guest").on_lockfailure("poweroff"))?;
    let host = lab.host();
    for fault in ["hang io", "error EIO io"] {
        lab.step("Storage fails for a moment");
        host.storage(fault)?;
        std::thread::sleep(HICCUP);
        host.storage("recover")?;
        // Until a lease that was not renewed would be lost.
        std::thread::sleep(2 * HICCUP);
        ensure!(host.is_alive(pid), "the guest ended");
        host.expect_state("guest", "running")?;
        lab.holds(host, "guest", "disk")?;
    }
    Ok(())
}

fn broken_helper(lab: &mut Lab) -> Result<()> {
    lab.must_find(pause, "guest is paused")
}
