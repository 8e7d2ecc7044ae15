//! What the program says to somebody who makes a mistake.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    dead_code
)]

#[path = "../../../crates/daemon/tests/common/harness.rs"]
mod harness;
#[path = "../../../crates/daemon/tests/common/messages.rs"]
mod messages;

use std::path::Path;
use std::process::ExitCode;

use harness::Outcome;
use messages::Mistake;

const PROGRAM: &str = env!("CARGO_BIN_EXE_wdmd");

fn main() -> ExitCode {
    harness::run(&[
        ("mistakes_are_told_with_their_remedy", mistakes),
        ("a_closed_pipe_is_no_crash", closed_pipe),
    ])
}

fn mistakes() -> Outcome {
    let mistake = |arguments, said| Mistake {
        arguments,
        variables: &[],
        as_nobody: false,
        said,
    };
    messages::make(
        Path::new(PROGRAM),
        &[
            mistake(&["-t", "-5"], &["-t", "number of seconds"]),
            Mistake {
                as_nobody: true,
                ..mistake(&["-D"], &["/run/wdmd", "root"])
            },
        ],
    )
}

fn closed_pipe() -> Outcome {
    messages::unread(
        Path::new(PROGRAM),
        &[
            &["--help"],
            &["--version"],
            &["--check-config"],
            &["-t", "-5"],
        ],
    )
}
