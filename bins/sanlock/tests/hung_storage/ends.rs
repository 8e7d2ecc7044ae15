//! Processes and daemons that end while their storage hangs.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use sanlock_proto::flags::{AcquireFlags, RemFlags};

use super::common::daemon::Setup;
use super::common::harness::{Case, Outcome};
use super::common::holder::Holder;
use super::common::leases::{acquire, code, lockspace, release, resource};
use super::common::process::End;
use super::common::scratch::Scratch;
use super::common::status::{list_of, resource_lists};
use super::common::wait::{PATIENCE, until, until_some};
use super::common::{measured, unlike_the_original};
use super::faulty::{Fault, Faulty, Kind, missing};

pub const CASES: &[Case] = &[
    ("a_shutdown_does_not_wait_for_hung_storage", a_shutdown),
    (
        "leases_of_a_process_that_dies_meanwhile_are_freed_later",
        a_dying_process,
    ),
    (
        "a_lease_that_cannot_be_given_back_keeps_no_lockspace",
        leaving_with_a_lease_left,
    ),
];

const IO_TIMEOUT: u32 = 2;

fn a_shutdown() -> Outcome {
    if let Some(skipped) = missing() {
        return skipped;
    }
    if let Some(skipped) = unlike_the_original("an open that hangs stops everything") {
        return skipped;
    }
    let scratch = Scratch::new();
    let mut daemon = Setup::new(scratch.path(), "one").with(&["-o", "2"]).start();
    let faulty = Faulty::mount(&scratch, "mnt");
    let files = [
        ("stuck", faulty.file("stuck", 2)),
        ("well", scratch.file("well", 2)),
    ];
    for (space, path) in &files {
        let lease = resource(space, "r", path, 1);
        daemon.format(&lockspace(space, 1, path), IO_TIMEOUT, &[&lease]);
        daemon.join_later(&lockspace(space, 1, path), IO_TIMEOUT);
    }
    let mut holders = Vec::new();
    for (space, path) in &files {
        daemon.joined(&lockspace(space, 1, path));
        let mut holder = Holder::start(&daemon);
        assert_eq!(
            holder.acquire(AcquireFlags::NONE, &[&resource(space, "r", path, 1)]),
            0
        );
        holders.push(holder);
    }
    faulty.hang_all("stuck");
    let began = Instant::now();
    assert_eq!(code(daemon.client.shutdown_wait(true)), 0);
    let took = began.elapsed();
    for holder in &mut holders {
        // The daemon sees its connection close, which a dying process does before it can be waited for.
        assert_eq!(
            until_some("it is killed", PATIENCE, || holder.end()),
            End::Signal(9)
        );
    }
    measured(&format!(
        "a forced shutdown was answered after {took:?} while a storage hung"
    ));
    // A renewal's write is waited for until others take this host to be dead.
    assert!(took < Duration::from_secs(100));
    // The kernel keeps what is left of it until the storage lets go.
    faulty.recover();
    assert_eq!(daemon.ended(PATIENCE).code(), Some(0));
    Outcome::Passed
}

fn a_dying_process() -> Outcome {
    if let Some(skipped) = missing() {
        return skipped;
    }
    if let Some(skipped) = unlike_the_original("an open that hangs stops everything") {
        return skipped;
    }
    let scratch = Scratch::new();
    let daemon = Setup::new(scratch.path(), "one").with(&["-o", "2"]).start();
    let faulty = Faulty::mount(&scratch, "mnt");
    let (ids, leases) = (scratch.file("ids", 1), faulty.file("leases", 1));
    let (space, lease) = (lockspace("ls", 1, &ids), resource("ls", "r", &leases, 0));
    daemon.format(&space, IO_TIMEOUT, &[&lease]);
    daemon.join(&space, IO_TIMEOUT);
    let client = &daemon.client;
    let mut holder = Holder::start(&daemon);
    assert_eq!(holder.acquire(AcquireFlags::NONE, &[&lease]), 0);
    faulty.hang_all("leases");
    holder.kill();
    until("it is being given back", PATIENCE, || {
        resource_lists(client, "r") == ["rem"]
    });
    let mut other = daemon.register();
    assert_eq!(acquire(&mut other, &lease), -11);
    // Longer than one attempt takes.
    until_some("an attempt timed out", PATIENCE, || {
        daemon
            .said()
            .contains("may still be held on disk")
            .then_some(())
    });
    assert_eq!(resource_lists(client, "r"), ["rem"]);
    faulty.recover();
    let took = until("it is free", PATIENCE, || acquire(&mut other, &lease) == 0);
    measured(&format!("free {took:?} after the storage was back"));
    assert_eq!(list_of(client, "ls").as_deref(), Some("spaces"));
    Outcome::Passed
}

fn leaving_with_a_lease_left() -> Outcome {
    if let Some(skipped) = missing() {
        return skipped;
    }
    let scratch = Scratch::new();
    let daemon = Setup::new(scratch.path(), "one").start();
    let faulty = Faulty::mount(&scratch, "mnt");
    let (ids, leases) = (scratch.file("ids", 1), faulty.file("leases", 1));
    let (space, lease) = (lockspace("ls", 1, &ids), resource("ls", "r", &leases, 0));
    daemon.format(&space, IO_TIMEOUT, &[&lease]);
    daemon.join(&space, IO_TIMEOUT);
    let mut connection = daemon.register();
    assert_eq!(acquire(&mut connection, &lease), 0);
    faulty.only(Fault::Error(Errno::EIO), Kind::Write, "leases");
    assert_eq!(release(&mut connection, &lease), -5);
    std::thread::sleep(Duration::from_secs(2));
    let began = Instant::now();
    assert_eq!(code(daemon.client.rem_lockspace(&space, RemFlags::NONE)), 0);
    measured(&format!("left after {:?}", began.elapsed()));
    faulty.recover();
    // Its owner on disk is a generation that is over.
    daemon.join(&space, IO_TIMEOUT);
    assert_eq!(acquire(&mut connection, &lease), 0);
    Outcome::Passed
}
