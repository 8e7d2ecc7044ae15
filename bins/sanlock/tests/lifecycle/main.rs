//! The daemon from its start to its end, and what becomes of leases when processes, daemons and hosts
//! come and go.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

mod clients;
#[path = "../common/mod.rs"]
mod common;
mod crash;
mod ending;
mod endurance;
mod hosts;
mod leaving;
mod starting;
mod stopping;

use std::process::ExitCode;

/// They mostly wait.
const AT_A_TIME: usize = 3;

fn main() -> ExitCode {
    let cases: Vec<_> = [
        endurance::CASES,
        stopping::CASES,
        hosts::CASES,
        crash::CASES,
        clients::CASES,
        leaving::CASES,
        ending::CASES,
        starting::CASES,
    ]
    .concat();
    common::run(&cases, AT_A_TIME)
}
