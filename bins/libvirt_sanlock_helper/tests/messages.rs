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

const PROGRAM: &str = env!("CARGO_BIN_EXE_libvirt_sanlock_helper");

fn main() -> ExitCode {
    harness::run(&[
        ("mistakes_are_told_with_their_remedy", mistakes),
        ("a_closed_pipe_is_no_crash", closed_pipe),
    ])
}

const UUID: &str = "d41d8cd9-8f00-b204-e980-0998ecf8427e";

fn mistakes() -> Outcome {
    let elsewhere = [
        ("XDG_RUNTIME_DIR", "/nonexistent/run"),
        ("HOME", "/nonexistent/home"),
    ];
    let mistake = |arguments, said| Mistake {
        arguments,
        variables: &elsewhere,
        as_nobody: false,
        said,
    };
    messages::make(
        Path::new(PROGRAM),
        &[
            mistake(&[], &["uri uuid action"]),
            mistake(&["qemu:///system", UUID, "explode"], &["explode"]),
            mistake(
                &["qemu+ssh://host/system", UUID, "pause"],
                &[
                    "qemu+ssh://host/system",
                    "only talks to libvirt on a local socket",
                ],
            ),
            mistake(
                &[
                    "qemu+unix:///system?socket=/nonexistent/sock",
                    UUID,
                    "pause",
                ],
                &["/nonexistent/sock", "No such file"],
            ),
        ],
    )
}

fn closed_pipe() -> Outcome {
    messages::unread(
        Path::new(PROGRAM),
        &[
            &[],
            &["qemu:///system", UUID, "explode"],
            &["qemu+ssh://h/system", UUID, "pause"],
        ],
    )
}
