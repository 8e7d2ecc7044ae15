//! Clients that send what no client should: what each is told, and that nobody else is disturbed.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

mod bodies;
#[path = "../common/mod.rs"]
mod common;
mod crowds;
mod framing;
mod garbage;
mod raw;
mod registered;

use std::process::ExitCode;

/// They work more than they wait.
const AT_A_TIME: usize = 2;

fn main() -> ExitCode {
    let cases: Vec<_> = [
        crowds::CASES,
        garbage::CASES,
        registered::CASES,
        framing::CASES,
        bodies::CASES,
    ]
    .concat();
    common::run(&cases, AT_A_TIME)
}
