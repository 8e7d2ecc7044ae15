//! What the tests of the running daemon share: daemons, clients, processes that hold leases, storage.
//!
//! The program under test is ours, or the one that `SANLOCK_PROGRAM` names: with `/usr/sbin/sanlock`
//! there, these tests say what the original does. What the original does not do is skipped then.

// Each program uses a part of it.
#![allow(dead_code, unreachable_pub)]

pub mod daemon;
#[path = "../../../../crates/daemon/tests/common/harness.rs"]
pub mod harness;
pub mod holder;
pub mod leases;
pub mod process;
pub mod scratch;
pub mod status;
pub mod wait;

use std::process::ExitCode;

use harness::{Case, Outcome, skipped};

/// The whole `main` of a test program, whose cases run so many at a time.
pub fn run(cases: &[Case], at_a_time: usize) -> ExitCode {
    if let Some(role) = holder::role() {
        return holder::play(&role);
    }
    harness::run_at_a_time(cases, at_a_time)
}

/// Prints a figure that is worth knowing of a case that passes, too.
pub fn measured(what: &str) {
    println!("measured: {what}");
}

/// Why a case cannot be tried with the original, if that is what is being tried.
pub fn unlike_the_original(why: &str) -> Option<Outcome> {
    daemon::is_original().then(|| skipped(format!("not so in the original: {why}")))
}
