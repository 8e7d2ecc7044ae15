//! Very many leases and connections, one after the other: the daemon stays as large as it was.

use std::time::Instant;

use sanlock_proto::Resource;
use sanlock_proto::flags::{AcquireFlags, ReleaseFlags, RemFlags};
use sanlock_proto::request::Release;

use super::common::daemon::{Daemon, Setup};
use super::common::harness::{Case, Outcome};
use super::common::leases::{code, lockspace, resource};
use super::common::measured;
use super::common::process::Size;
use super::common::scratch::Scratch;
use super::common::wait::{PATIENCE, until};

pub const CASES: &[Case] = &[
    (
        "twenty_thousand_leases_leave_nothing_behind",
        twenty_thousand_leases,
    ),
    (
        "ten_thousand_connections_leave_nothing_behind",
        ten_thousand_connections,
    ),
];

const LEASES: u64 = 20_000;
/// In one request.
const AT_ONCE: u64 = 8;
const CONNECTIONS: u32 = 10_000;

/// How much larger the daemon may be in the end than after the first half: less than one KiB that each of ten thousand
/// would leave, and more than what the allocator keeps for a thread that a busy computer made later.
const GROWTH_KIB: u64 = 8 << 10;

fn check_flat(what: &str, first: Size, last: Size) {
    measured(&format!("after half of {what} {first}; after all {last}"));
    assert!(
        last.rss_kib <= first.rss_kib + GROWTH_KIB,
        "{first}; {last}"
    );
}

/// The daemon comes back to what it had open before. How many threads and descriptors it has while it works
/// depends on how many requests happened to be under way at a time, and idle threads stay for a while.
fn check_it_settles(daemon: &Daemon, before: Size) {
    until(
        "its threads and descriptors are as before",
        PATIENCE,
        || {
            let now = daemon.size();
            now.threads <= before.threads && now.descriptors <= before.descriptors
        },
    );
}

fn twenty_thousand_leases() -> Outcome {
    let scratch = Scratch::in_memory();
    let daemon = Setup::new(scratch.path(), "one").start();
    let path = scratch.file("leases", 2 * AT_ONCE + 1);
    let space = lockspace("ls", 1, &path);
    let leases: Vec<_> = (1..=2 * AT_ONCE)
        .map(|at| resource("ls", &format!("r{at}"), &path, at))
        .collect();
    daemon.format(&space, 1, &leases.iter().collect::<Vec<_>>());
    let before = daemon.size();
    daemon.join(&space, 1);
    let rounds = LEASES / (2 * AT_ONCE);
    let began = Instant::now();
    let mut first = None;
    for _half in 0..2 {
        std::thread::scope(|scope| {
            for leases in leases.chunks(leases.len() / 2) {
                let mut connection = daemon.register();
                scope.spawn(move || {
                    for _ in 0..rounds / 2 {
                        again(&mut connection, leases);
                    }
                });
            }
        });
        first = first.or_else(|| Some(daemon.size()));
    }
    measured(&format!(
        "{LEASES} leases taken and given back in {:?}",
        began.elapsed()
    ));
    check_flat("twenty thousand leases", first.unwrap(), daemon.size());
    assert_eq!(code(daemon.client.rem_lockspace(&space, RemFlags::NONE)), 0);
    check_it_settles(&daemon, before);
    Outcome::Passed
}

fn again(connection: &mut sanlock_proto::client::Registered, leases: &[Resource]) {
    assert_eq!(
        code(connection.acquire(AcquireFlags::NONE, leases, None)),
        0
    );
    assert_eq!(code(connection.release(ReleaseFlags::ALL, Release::All)), 0);
}

fn ten_thousand_connections() -> Outcome {
    let scratch = Scratch::new();
    let daemon = Setup::new(scratch.path(), "one").start();
    let mut first = None;
    let before = daemon.size();
    for number in 1..=CONNECTIONS {
        match number % 4 {
            0 => drop(daemon.register()),
            1 => drop(daemon.client.get_lockspaces().unwrap()),
            _ => drop(daemon.client.version().unwrap()),
        }
        if number == CONNECTIONS / 2 {
            first = Some(daemon.size());
        }
    }
    check_flat("ten thousand connections", first.unwrap(), daemon.size());
    check_it_settles(&daemon, before);
    Outcome::Passed
}
