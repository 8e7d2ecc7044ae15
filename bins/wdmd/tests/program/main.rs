//! The whole program, on a stand-in for the watchdog device; the same text for the original and for ours.
//!
//! The program under test is ours, or the one that `WDMD_PROGRAM` names: with `/usr/sbin/wdmd` (3.8.5) or a newer
//! one there, these tests say what the original does. What the original does not do is skipped then.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    dead_code,
    unreachable_pub
)]

mod bad_input;
mod clients;
mod command_line;
mod daemon;
#[path = "../../../../crates/daemon/tests/common/harness.rs"]
mod harness;
mod host;
mod keeper;
mod libraries;
mod scripts;
mod starting;
mod wakeups;

use std::process::ExitCode;

/// They mostly wait.
const AT_A_TIME: usize = 6;

fn main() -> ExitCode {
    if let Some(status) = host::enter() {
        return status;
    }
    let cases: Vec<harness::Case> = [
        command_line::CASES,
        starting::CASES,
        clients::CASES,
        bad_input::CASES,
        keeper::CASES,
        scripts::CASES,
        libraries::CASES,
        wakeups::CASES,
    ]
    .concat();
    harness::run_at_a_time(&cases, AT_A_TIME)
}
