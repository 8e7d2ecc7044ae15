//! The daemon is killed, and started again.

use std::time::Instant;

use sanlock_proto::flags::AcquireFlags;

use super::common::daemon::Setup;
use super::common::harness::{Case, Outcome};
use super::common::holder::Holder;
use super::common::leases::{acquire, lockspace, resource};
use super::common::measured;
use super::common::scratch::Scratch;
use super::common::status::generation;

pub const CASES: &[Case] = &[(
    "after_a_crash_the_host_comes_back_in_a_new_generation",
    a_new_generation,
)];

fn a_new_generation() -> Outcome {
    let scratch = Scratch::in_memory();
    let setup = Setup::new(scratch.path(), "one");
    let path = scratch.file("leases", 2);
    let (space, lease) = (lockspace("ls", 1, &path), resource("ls", "r", &path, 1));
    let daemon = setup.start();
    daemon.format(&space, 1, &[&lease]);
    daemon.join(&space, 1);
    let first = generation(&daemon.client, "ls");
    assert_eq!(first, 1);
    // It outlives its daemon; the C program does not look after that either.
    let mut holder = Holder::start(&daemon);
    assert_eq!(holder.acquire(AcquireFlags::NONE, &[&lease]), 0);
    daemon.crash();

    for expected in 2..4 {
        let daemon = setup.start();
        let began = Instant::now();
        daemon.join(&space, 1);
        measured(&format!("joined again {:?} after a crash", began.elapsed()));
        assert_eq!(generation(&daemon.client, "ls"), expected);
        // The lease of the generation before is ours to take.
        assert_eq!(acquire(&mut daemon.register(), &lease), 0);
        daemon.crash();
    }
    Outcome::Passed
}
