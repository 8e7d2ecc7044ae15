//! The daemon on storage that hangs, fails, tears and loses answers: what waits, what goes on, what is
//! told to whom, and what is left on disk.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

mod answers;
#[path = "../common/mod.rs"]
mod common;
mod ends;
mod expiry;
mod faulty;
mod many;
mod one_of_two;
mod release;
mod replaced;

use std::process::ExitCode;

/// They mostly wait.
const AT_A_TIME: usize = 4;

fn main() -> ExitCode {
    let cases: Vec<_> = [
        expiry::CASES,
        one_of_two::CASES,
        many::CASES,
        release::CASES,
        replaced::CASES,
        ends::CASES,
        answers::CASES,
    ]
    .concat();
    common::run(&cases, AT_A_TIME)
}
