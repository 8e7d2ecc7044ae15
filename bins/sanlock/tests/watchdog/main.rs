//! The daemon and wdmd, played by the test: what wdmd is told, when, and in which order.
//!
//! wdmd's socket has one place only. Each case has a /run of its own, in a mount namespace.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

mod cases;
#[path = "../common/mod.rs"]
mod common;
mod namespace;
mod wdmd;

use std::process::ExitCode;

/// They mostly wait.
const AT_A_TIME: usize = 4;

fn main() -> ExitCode {
    common::run(cases::CASES, AT_A_TIME)
}
