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

const PROGRAM: &str = env!("CARGO_BIN_EXE_libvirt_sanlock_helper");

fn main() -> ExitCode {
    messages::run(mistakes, closed_pipe)
}

const UUID: &str = "d41d8cd9-8f00-b204-e980-0998ecf8427e";

fn mistakes() -> Outcome {
    let elsewhere = [
        ("XDG_RUNTIME_DIR", "/nonexistent/run"),
        ("HOME", "/nonexistent/home"),
    ];
    let mistake = |arguments, said| Mistake::new(arguments, said).with(&elsewhere);
    messages::make(
        PROGRAM,
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
        PROGRAM,
        &[
            &[],
            &["qemu:///system", UUID, "explode"],
            &["qemu+ssh://h/system", UUID, "pause"],
        ],
    )
}
