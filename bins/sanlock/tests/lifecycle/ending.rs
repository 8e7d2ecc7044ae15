//! Ending: on a signal only without lockspaces, on a forced shutdown in any case.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use ondisk::{Leader, Timestamp};
use sanlock_proto::flags::{AcquireFlags, RemFlags};

use super::common::daemon::{Setup, program};
use super::common::harness::{Case, Outcome};
use super::common::holder::Holder;
use super::common::leases::{code, lockspace, resource};
use super::common::measured;
use super::common::process::End;
use super::common::scratch::Scratch;
use super::common::status::list_of;
use super::common::wait::{PATIENCE, until_some};

pub const CASES: &[Case] = &[
    (
        "signals_end_it_without_lockspaces",
        signals_without_lockspaces,
    ),
    (
        "signals_do_not_end_it_in_a_lockspace",
        signals_in_a_lockspace,
    ),
    ("a_forced_shutdown_leaves_all_lockspaces", a_forced_shutdown),
    ("a_shutdown_can_be_waited_for", a_shutdown_can_be_waited_for),
];

const SIGNALS: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

fn signals_without_lockspaces() -> Outcome {
    let scratch = Scratch::new();
    for signal in SIGNALS {
        let mut daemon = Setup::new(scratch.path(), signal.as_str()).start();
        // A connection that stands for a process does not keep it.
        let _registered = daemon.register();
        daemon.signal(signal);
        assert_eq!(daemon.ended(PATIENCE).code(), Some(0), "{signal}");
    }
    Outcome::Passed
}

fn signals_in_a_lockspace() -> Outcome {
    let scratch = Scratch::in_memory();
    let mut daemon = Setup::new(scratch.path(), "one").start();
    let path = scratch.file("leases", 1);
    let space = lockspace("ls", 1, &path);
    daemon.format(&space, 1, &[]);
    daemon.join(&space, 1);
    for signal in SIGNALS {
        daemon.signal(signal);
    }
    std::thread::sleep(Duration::from_secs(1));
    assert!(daemon.runs());
    assert_eq!(list_of(&daemon.client, "ls").as_deref(), Some("spaces"));
    daemon.client.shutdown(false).unwrap();
    assert_eq!(code(daemon.client.shutdown_wait(false)), -16);
    assert!(daemon.runs());
    daemon.client.rem_lockspace(&space, RemFlags::NONE).unwrap();
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended(PATIENCE).code(), Some(0));
    Outcome::Passed
}

/// The leader of a host's delta lease.
fn delta_leader(path: &Path, host_id: usize) -> Leader {
    let start = (host_id - 1) * 512;
    Leader::decode(&fs::read(path).unwrap()[start..start + 512])
        .unwrap()
        .record
}

fn a_forced_shutdown() -> Outcome {
    let scratch = Scratch::in_memory();
    let mut daemon = Setup::new(scratch.path(), "one").start();
    let paths = ["a", "b"].map(|space| scratch.file(space, 2));
    for (space, path) in ["a", "b"].iter().zip(&paths) {
        daemon.format(
            &lockspace(space, 1, path),
            1,
            &[&resource(space, "r", path, 1)],
        );
        daemon.join_later(&lockspace(space, 1, path), 1);
    }
    for (space, path) in ["a", "b"].iter().zip(&paths) {
        daemon.joined(&lockspace(space, 1, path));
    }
    let mut holders = [Holder::start(&daemon), Holder::start_deaf(&daemon)];
    for (holder, (space, path)) in holders.iter_mut().zip(["a", "b"].iter().zip(&paths)) {
        let lease = resource(space, "r", path, 1);
        assert_eq!(holder.acquire(AcquireFlags::NONE, &[&lease]), 0);
    }
    let mut idle = Holder::start(&daemon);
    daemon.client.shutdown(true).unwrap();
    for holder in &mut holders {
        assert_eq!(
            until_some("it is killed", PATIENCE, || holder.end()),
            End::Signal(9)
        );
    }
    assert_eq!(daemon.ended(PATIENCE).code(), Some(0));
    assert!(idle.lives(), "who holds nothing is left alone");
    for path in &paths {
        assert_eq!(
            delta_leader(path, 1).timestamp,
            Timestamp::FREE,
            "the host id is given back"
        );
    }
    Outcome::Passed
}

fn a_shutdown_can_be_waited_for() -> Outcome {
    let scratch = Scratch::in_memory();
    let setup = Setup::new(scratch.path(), "one");
    let mut idle = setup.start();
    assert_eq!(code(idle.client.shutdown_wait(false)), 0);
    assert_eq!(idle.ended(PATIENCE).code(), Some(0));

    let mut daemon = setup.start();
    let path = scratch.file("leases", 2);
    let (space, lease) = (lockspace("ls", 1, &path), resource("ls", "r", &path, 1));
    daemon.format(&space, 1, &[&lease]);
    daemon.join(&space, 1);
    let mut holder = Holder::start(&daemon);
    assert_eq!(holder.acquire(AcquireFlags::NONE, &[&lease]), 0);
    let began = std::time::Instant::now();
    let shutdown = Command::new(program())
        .args(["client", "shutdown", "-f", "1", "-w", "1"])
        .env("SANLOCK_RUN_DIR", &daemon.run_dir)
        .output()
        .unwrap();
    assert!(shutdown.status.success(), "{shutdown:?}");
    measured(&format!(
        "shutdown -f 1 -w 1 was answered after {:?}",
        began.elapsed()
    ));
    // The daemon sees its connection close, which a dying process does before it can be waited for.
    assert_eq!(
        until_some("it is killed", PATIENCE, || holder.end()),
        End::Signal(9)
    );
    assert_eq!(delta_leader(&path, 1).timestamp, Timestamp::FREE);
    assert_eq!(daemon.ended(PATIENCE).code(), Some(0));
    Outcome::Passed
}
