//! What becomes of leases when their processes end, and of orders when there is nobody to carry them
//! out.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use sanlock_proto::flags::{AcquireFlags, ReleaseFlags, ResourceFlags};
use sanlock_proto::request::Release;
use sanlock_proto::{Resource, StateKind};

use super::common::daemon::{Daemon, Setup, is_original};
use super::common::harness::{Case, Outcome};
use super::common::holder::Holder;
use super::common::leases::{acquire, code, held, lockspace, release, resource, with};
use super::common::scratch::Scratch;
use super::common::status::resource_lists;
use super::common::wait::{PATIENCE, until};
use super::common::{measured, process, unlike_the_original};

pub const CASES: &[Case] = &[
    (
        "leases_of_a_killed_process_are_free_at_once",
        a_killed_process,
    ),
    (
        "what_a_killed_process_held_can_be_taken_without_a_second_try",
        taken_at_once,
    ),
    ("persistent_leases_become_orphans", persistent_leases),
    ("a_lost_helper_is_said_and_survived", a_lost_helper),
    ("the_log_can_be_read", the_log),
];

struct Lab {
    daemon: Daemon,
    leases: Vec<Resource>,
    _scratch: Scratch,
}

fn lab() -> Lab {
    let scratch = Scratch::in_memory();
    let daemon = Setup::new(scratch.path(), "one").start();
    let path = scratch.file("leases", 5);
    let space = lockspace("ls", 1, &path);
    let leases: Vec<_> = (1u64..5)
        .map(|at| resource("ls", &format!("r{at}"), &path, at))
        .collect();
    daemon.format(&space, 1, &leases.iter().collect::<Vec<_>>());
    daemon.join(&space, 1);
    Lab {
        daemon,
        leases,
        _scratch: scratch,
    }
}

fn a_killed_process() -> Outcome {
    let Lab {
        daemon,
        leases,
        _scratch,
    } = lab();
    let mut other = daemon.register();
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        let mut holder = Holder::start(&daemon);
        let all: Vec<_> = leases.iter().collect();
        assert_eq!(holder.acquire(AcquireFlags::NONE, &all), 0);
        assert_eq!(acquire(&mut other, &leases[0]), -17);
        holder.kill();
        let killed = Instant::now();
        for lease in &leases {
            until("the lease is free", PATIENCE, || {
                acquire(&mut other, lease) == 0
            });
        }
        slowest = slowest.max(killed.elapsed());
        for lease in &leases {
            assert_eq!(release(&mut other, lease), 0);
        }
    }
    measured(&format!(
        "four leases of a killed process were taken by another within {slowest:?}"
    ));
    assert!(slowest < Duration::from_secs(2));
    Outcome::Passed
}

fn taken_at_once() -> Outcome {
    if let Some(skipped) = unlike_the_original("it answers -11 while a lease is given back") {
        return skipped;
    }
    let Lab {
        daemon,
        leases,
        _scratch,
    } = lab();
    let mut other = daemon.register();
    for _ in 0..30 {
        let mut holder = Holder::start(&daemon);
        let all: Vec<_> = leases.iter().collect();
        assert_eq!(holder.acquire(AcquireFlags::NONE, &all), 0);
        holder.kill();
        for lease in leases.iter().rev() {
            assert_eq!(acquire(&mut other, lease), 0);
            assert_eq!(release(&mut other, lease), 0);
        }
    }
    Outcome::Passed
}

fn persistent_leases() -> Outcome {
    let Lab {
        daemon,
        leases,
        _scratch,
    } = lab();
    let (kept, dropped) = (with(&leases[0], ResourceFlags::PERSISTENT), &leases[1]);
    let client = &daemon.client;
    let orphaned = || {
        until("it is an orphan", PATIENCE, || {
            resource_lists(client, "r1") == ["orphan"]
        });
    };
    let mut holder = Holder::start(&daemon);
    assert_eq!(holder.acquire(AcquireFlags::NONE, &[&kept, dropped]), 0);
    holder.kill();
    orphaned();
    until("the other is free", PATIENCE, || {
        resource_lists(client, "r2").is_empty()
    });

    let mut other = daemon.register();
    assert_eq!(
        acquire(&mut other, &kept),
        -117,
        "an orphan stands in the way"
    );
    let mut take =
        |flags, lease: &Resource| code(other.acquire(flags, std::slice::from_ref(lease), None));
    if !is_original() {
        // The original looks at the flag only where there is an orphan.
        assert_eq!(take(AcquireFlags::ORPHAN_ONLY, dropped), -2);
    }
    assert_eq!(take(AcquireFlags::ORPHAN, &kept), 0);
    assert_eq!(take(AcquireFlags::ORPHAN, dropped), 0, "as usual");
    assert_eq!(held(&mut other), ["r1", "r2"]);
    drop(other);
    orphaned();

    let other = daemon.register();
    let pid = i32::try_from(std::process::id()).unwrap();
    let release_orphans = |name: &str| {
        let named = resource("ls", "x", std::path::Path::new("/"), 0);
        let head = sanlock_proto::ResourceHead {
            name: super::common::leases::name(name),
            ..named.head()
        };
        code(client.release(pid, ReleaseFlags::ORPHAN, Release::Orphan(head)))
    };
    until("it is registered", PATIENCE, || client.inquire(pid).is_ok());
    assert_eq!(release_orphans("r3"), 0, "not an orphan");
    assert_eq!(release_orphans("r1"), 1);
    until("it is free", PATIENCE, || {
        resource_lists(client, "r1").is_empty()
    });

    let mut holder = Holder::start(&daemon);
    let both = [0, 2].map(|at: usize| with(&leases[at], ResourceFlags::PERSISTENT));
    assert_eq!(holder.acquire(AcquireFlags::NONE, &[&both[0], &both[1]]), 0);
    holder.kill();
    orphaned();
    until("so is the other", PATIENCE, || {
        resource_lists(client, "r3") == ["orphan"]
    });
    assert_eq!(release_orphans(""), 2, "all of the lockspace");
    until("both are free", PATIENCE, || {
        resource_lists(client, "r1").is_empty() && resource_lists(client, "r3").is_empty()
    });
    drop(other);
    Outcome::Passed
}

fn a_lost_helper() -> Outcome {
    let Lab {
        mut daemon,
        leases,
        _scratch,
    } = lab();
    let status = daemon.client.status(Some(StateKind::Daemon)).unwrap();
    let helper: u32 = status[0].value("helper_pid").unwrap().parse().unwrap();
    assert!(process::lives(helper));
    process::signal(helper, Signal::SIGKILL);
    if !is_original() {
        until("it is said", PATIENCE, || {
            let log = daemon.client.log_dump().unwrap().text;
            String::from_utf8_lossy(&log).contains("the helper process is gone")
        });
    }
    let mut connection = daemon.register();
    assert_eq!(acquire(&mut connection, &leases[0]), 0);
    assert_eq!(release(&mut connection, &leases[0]), 0);
    std::thread::sleep(Duration::from_secs(2));
    assert!(daemon.runs());
    Outcome::Passed
}

fn the_log() -> Outcome {
    let Lab {
        daemon,
        leases,
        _scratch,
    } = lab();
    let mut connection = daemon.register();
    assert_eq!(acquire(&mut connection, &leases[0]), 0);
    let dump = daemon.client.log_dump().unwrap();
    assert_eq!(dump.text.len(), dump.announced);
    let text = String::from_utf8(dump.text).unwrap();
    let path = std::str::from_utf8(leases[0].disks[0].path.as_bytes()).unwrap();
    for part in [
        "sanlock daemon started".to_owned(),
        format!("s1 lockspace ls:1:{path}:0"),
        format!("s1:r2 resource ls:r1:{path}:1048576"),
    ] {
        assert!(text.contains(&part), "{part:?} is not in\n{text}");
    }
    Outcome::Passed
}
