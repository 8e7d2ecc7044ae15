//! A host that is gone, and host ids.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ondisk::HostId;

use crate::lab::Lab;
use crate::lab::daemons::Daemon;
use crate::lab::guest::Guest;
use crate::lab::host::Host;
use crate::lab::scenario::{Broken, Manager, Scenario, Setup};

/// A host counts as dead so long after its last renewal: 8 io_timeouts, and a minute for its watchdog.
const EXPIRY: Duration = Duration::from_secs(8 + 60);

/// Within this time after that, somebody else must have the lease, on a busy computer.
const TAKEOVER: Duration = Duration::from_secs(90);

/// On the second host time passes four times as fast for the lease daemon.
const FAST: &str = "#!/bin/sh\n\
    good=/run/lab/good/sanlock\n\
    if [ \"$(uname -n) $1\" = 'beta daemon' ]; then\n\
        exec faketime -m -f '+0 x4' $good \"$@\"\n\
    fi\n\
    exec $good \"$@\"\n";

const PAIR: Setup = Setup::new(Manager::Sanlock, 2);

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "host-crash",
        what: "a host crashes: the other takes its lease when the host counts as dead, never earlier",
        setup: PAIR,
        play: crash,
    },
    Scenario {
        name: "host-crash-lockd",
        what: "the same with virtlockd, whose locks end with the host",
        setup: Setup::new(Manager::Lockd, 2),
        play: crash_lockd,
    },
    Scenario {
        name: "broken-clock",
        what: "a lease daemon whose clock is fast takes the lease too early, and is found by host-crash",
        setup: Setup {
            needs: &["faketime"],
            broken: Some(Broken {
                program: "sanlock",
                script: FAST,
            }),
            ..PAIR
        },
        play: fast,
    },
    Scenario {
        name: "same-host-id",
        what: "a second host with the same host id does not join, and disturbs nobody",
        setup: Setup {
            host_ids: Some([1, 1]),
            ..PAIR
        },
        play: same_host_id,
    },
    Scenario {
        name: "generations",
        what: "a host that left in order joins again at once, with the next generation",
        setup: Setup::new(Manager::Sanlock, 1),
        play: generations,
    },
];

fn crash(lab: &mut Lab) -> Result<()> {
    let renewals = lab.renewals(HostId(1));
    let (one, other) = lab.pair();
    lab.step("A guest runs on the first host");
    for host in [one, other] {
        host.define(&Guest::new("guest").image("disk"))?;
    }
    one.virsh(&["start", "guest"])?;
    lab.holds(one, "guest", "disk")?;

    lab.step("That host crashes");
    let crashed = one.crash()?;
    let last = renewals.last()?;

    lab.step("The other host tries to start the guest until it may");
    let taken = until_taken(other, "guest", last)?;
    lab.holds(other, "guest", "disk")?;
    judge(lab, last, ("crash", crashed), taken)
}

/// Tries to start a guest whose disk belongs to a host that renews no more, until it may; when it could.
pub(super) fn until_taken(host: &Host, guest: &str, last: Instant) -> Result<Instant> {
    let expiry = last + EXPIRY;
    loop {
        // What is asked before the end cannot have been too late for it.
        let asked = Instant::now();
        if host.try_virsh(&["start", guest])?.ok {
            return Ok(Instant::now());
        }
        ensure!(
            asked < expiry + TAKEOVER,
            "nobody could take the lease {} s after the host counted as dead",
            TAKEOVER.as_secs()
        );
        // Each attempt costs the computer a second.
        let wait = if asked + Duration::from_secs(4) < expiry {
            3000
        } else {
            500
        };
        std::thread::sleep(Duration::from_millis(wait));
    }
}

/// Tells when what happened; the lease must not have been taken too early.
pub(super) fn judge(
    lab: &Lab,
    last: Instant,
    (end, ended): (&str, Instant),
    taken: Instant,
) -> Result<()> {
    let expiry = last + EXPIRY;
    for (what, when) in [
        ("last renewal", last),
        (end, ended),
        ("expiry", expiry),
        ("taken", taken),
    ] {
        lab.moment(what, when);
        let after = when.saturating_duration_since(last).as_secs_f64();
        lab.teller.note(format!("{what} {after:.1}"));
    }
    ensure!(
        taken >= expiry,
        "the lease was taken {:.1} s after the last renewal, and the host counts as dead after {} s",
        (taken - last).as_secs_f64(),
        EXPIRY.as_secs()
    );
    Ok(())
}

fn fast(lab: &mut Lab) -> Result<()> {
    lab.must_find(crash, "the lease was taken")
}

fn crash_lockd(lab: &mut Lab) -> Result<()> {
    let (one, other) = lab.pair();
    lab.step("A guest runs on the first host, which crashes");
    for host in [one, other] {
        host.define(&Guest::new("guest").image("disk"))?;
    }
    one.virsh(&["start", "guest"])?;
    other.refused(&["start", "guest"], lab.refusal_on_other_host())?;
    one.crash()?;
    lab.step("The other host may have the guest");
    other.virsh(&["start", "guest"])?;
    lab.holds(other, "guest", "disk")
}

fn same_host_id(lab: &mut Lab) -> Result<()> {
    let (one, other) = lab.pair();
    lab.step("The first host has the id, and runs a guest");
    for host in [one, other] {
        host.define(&Guest::new("guest").image("disk"))?;
    }
    one.virsh(&["start", "guest"])?;

    lab.step("The second has not joined, and no guest starts there");
    let status = other.run(&["sanlock", "client", "status"])?;
    ensure!(
        !status.lines().any(|line| line.starts_with("s ")),
        "two hosts have joined with one host id: {status}"
    );
    other.refused(&["start", "guest"], &["No space left on device"])?;

    lab.step("The first is as it was");
    one.expect_state("guest", "running")?;
    lab.holds(one, "guest", "disk")
}

/// What the lockspace says of this host, which takes it a moment to know.
fn generation(host: &Host) -> Result<u64> {
    let mut found = None;
    host.until("the generation is known", TAKEOVER, |host| {
        let said = host.quietly(&["sanlock", "client", "gets", "-h", "1"])?;
        found = said.text.lines().find_map(|line| {
            let rest = line.trim().strip_prefix("h 1 gen ")?;
            rest.split(' ').next()?.parse().ok()
        });
        Ok(found.is_some())
    })?;
    found.context("no generation")
}

fn generations(lab: &mut Lab) -> Result<()> {
    let host = lab.host();
    host.define(&Guest::new("guest").image("disk"))?;
    let first = generation(host)?;
    lab.step("The daemons stop in order, and start again");
    host.virsh(&["start", "guest"])?;
    host.virsh(&["destroy", "guest"])?;
    lab.free(host, "disk")?;
    host.stop_daemon(Daemon::Libvirtd)?;
    host.run(&["sanlock", "client", "shutdown", "-f", "1", "-w", "1"])?;
    let begin = Instant::now();
    host.until("sanlock is gone", TAKEOVER, |host| {
        Ok(!host.is_alive(host.pid_of(Daemon::Sanlock)?))
    })?;
    host.start_services(&lab.setup)?;
    let joined = begin.elapsed();

    lab.step("The generation is the next one, and the guest starts");
    let second = generation(host)?;
    ensure!(
        second == first + 1,
        "the generation was {first}, and is {second}"
    );
    ensure!(
        joined < EXPIRY,
        "a host that had left in order waited {} s before it joined",
        joined.as_secs()
    );
    host.virsh(&["start", "guest"])?;
    lab.holds(host, "guest", "disk")
}
