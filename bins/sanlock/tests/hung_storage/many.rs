//! Many requests on storage that hangs: each is answered in time, and they leave nothing behind.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use sanlock_proto::{Client, Resource};

use super::common::daemon::{Daemon, Setup};
use super::common::harness::{Case, Outcome};
use super::common::leases::{acquire, code, code_of, disk, lockspace, resource};
use super::common::scratch::Scratch;
use super::common::wait::{PATIENCE, until};
use super::common::{measured, unlike_the_original};
use super::faulty::{Fault, Faulty, missing};

pub const CASES: &[Case] = &[(
    "a_thousand_hung_requests_are_answered_and_leave_nothing",
    a_thousand_hung_requests,
)];

/// Seconds.
const IO_TIMEOUT: u32 = 2;

const CLIENTS: usize = 40;

/// The answers may be this late: opening, reading and the waiting of some for others, each in its time, on
/// a busy computer.
const ANSWER: Duration = Duration::from_secs(40);

/// How much more memory the last eight hundred may take than the first two hundred.
const GROWTH_KIB: u64 = 6 << 10;

fn a_thousand_hung_requests() -> Outcome {
    if let Some(skipped) = missing() {
        return skipped;
    }
    if let Some(skipped) =
        unlike_the_original("its io_timeout is 10 s for everything outside lockspaces")
    {
        return skipped;
    }
    let scratch = Scratch::new();
    let daemon = Setup::new(scratch.path(), "one").with(&["-o", "2"]).start();
    let faulty = Faulty::mount(&scratch, "mnt");
    let (well, stuck) = (scratch.file("well", 1), faulty.file("stuck", 3));
    let space = lockspace("ls", 1, &well);
    let there = resource("ls", "r", &stuck, 1);
    daemon.format(&space, IO_TIMEOUT, &[&there]);
    daemon.join(&space, IO_TIMEOUT);
    assert_eq!(ask(&daemon.client, &stuck, 0), 0);

    // Half of the clients' requests hang in their reads, the others before that in opening.
    faulty.io(Fault::Hang, "stuck");
    let mut slowest = many(&daemon, &stuck, 0..100);
    faulty.hang_all("stuck");
    slowest = slowest.max(many(&daemon, &stuck, 100..200));
    let first = daemon.size();
    slowest = slowest.max(many(&daemon, &stuck, 200..1000));
    let mut last = daemon.size();
    // Connections that just ended, and a renewal under way, count for a moment.
    until(
        "threads and descriptors are as few as before",
        PATIENCE,
        || {
            last = daemon.size();
            last.threads <= first.threads + 4 && last.descriptors <= first.descriptors + 8
        },
    );
    measured(&format!(
        "after 200 hung requests {first}; after 1000 {last}; slowest answer {slowest:?}"
    ));
    assert!(
        last.rss_kib <= first.rss_kib + GROWTH_KIB,
        "{first}; {last}"
    );

    faulty.recover();
    until("the file is used again", PATIENCE, || {
        ask(&daemon.client, &stuck, 0) == 0
    });
    let mut connection = daemon.register();
    assert_eq!(acquire(&mut connection, &there), 0);
    let mut after = daemon.size();
    until("the threads end", PATIENCE, || {
        after = daemon.size();
        after.threads < first.threads
    });
    measured(&format!("after the storage came back {after}"));
    Outcome::Passed
}

/// Some requests, from all clients at once. Returns how long the slowest took.
fn many(daemon: &Daemon, stuck: &Path, numbers: std::ops::Range<usize>) -> Duration {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let mine = numbers
                    .clone()
                    .filter(move |number| number % CLIENTS == client);
                scope.spawn(move || mine.map(|number| one(daemon, stuck, number)).max())
            })
            .collect();
        clients
            .into_iter()
            .filter_map(|client| client.join().unwrap())
            .max()
            .unwrap()
    })
}

fn one(daemon: &Daemon, stuck: &Path, number: usize) -> Duration {
    let began = Instant::now();
    let (expected, got) = match number % 4 {
        // Every failure to open is "no such device" here, as with the original.
        0 => (-19, code(daemon.client.align(&disk(stuck, 0)))),
        1 => (-202, acquire(&mut daemon.register(), &other(stuck, number))),
        kind => (-202, ask(&daemon.client, stuck, kind)),
    };
    let took = began.elapsed();
    // While the file can still be opened, its alignment can be told.
    assert!(
        got == expected || (number < 100 && got == 1 << 20),
        "request {number}: {got}"
    );
    assert!(took < ANSWER, "request {number} took {took:?}");
    took
}

/// Each client asks for another lease, so that none waits for one that another asks for.
fn other(stuck: &Path, number: usize) -> Resource {
    resource("ls", &format!("r{number}"), stuck, 2)
}

fn ask(client: &Client, stuck: &Path, kind: usize) -> i64 {
    let there = resource("ls", "r", stuck, 1);
    if kind == 2 {
        code_of(client.read_resource_owners(&there))
    } else {
        code_of(client.read_resource(&there))
    }
}
