//! What the program says to somebody who makes a mistake.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    dead_code
)]

#[path = "../../../crates/daemon/tests/common/messages.rs"]
mod messages;

use std::process::ExitCode;

use messages::Mistake;
use messages::harness::Outcome;

const PROGRAM: &str = env!("CARGO_BIN_EXE_wdmd");

fn main() -> ExitCode {
    messages::run(mistakes, closed_pipe)
}

fn mistakes() -> Outcome {
    let mistake = Mistake::new;
    messages::make(
        PROGRAM,
        &[
            mistake(&["-t", "-5"], &["-t", "number of seconds"]),
            mistake(&["-D"], &["/run/wdmd", "root"]).made_by_nobody(),
        ],
    )
}

fn closed_pipe() -> Outcome {
    messages::unread(
        PROGRAM,
        &[
            &["--help"],
            &["--version"],
            &["--check-config"],
            &["-t", "-5"],
        ],
    )
}
