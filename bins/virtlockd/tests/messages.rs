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

const PROGRAM: &str = env!("CARGO_BIN_EXE_virtlockd");

fn main() -> ExitCode {
    messages::run(mistakes, closed_pipe)
}

fn mistakes() -> Outcome {
    let dir = std::env::temp_dir().join(format!("virtlockd-messages-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let conf = dir.join("conf");
    std::fs::write(&conf, "max_clients = \n").unwrap();
    let conf = conf.to_str().unwrap();
    let mistake = Mistake::new;
    let elsewhere = [
        ("XDG_RUNTIME_DIR", "/nonexistent/run"),
        ("HOME", "/nonexistent/home"),
    ];
    let as_nobody = |arguments, said| mistake(arguments, said).with(&elsewhere).made_by_nobody();
    let told = messages::make(
        PROGRAM,
        &[
            mistake(
                &["-f", "/nonexistent/conf"],
                &["/nonexistent/conf", "No such file"],
            ),
            mistake(&["-f", conf], &["conf:1:", "a value is a number"]),
            mistake(
                &["--check-config", "-f", conf],
                &["conf:1:", "a value is a number"],
            ),
            mistake(&["--bogus"], &["--bogus", "Usage:", "--check-config"]),
            as_nobody(
                &["--list"],
                &["no virtlockd is running", "/nonexistent/run"],
            ),
            as_nobody(
                &["-f", "/dev/null"],
                &["/nonexistent/run", "Permission denied", "as root"],
            ),
        ],
    );
    std::fs::remove_dir_all(&dir).unwrap();
    told
}

fn closed_pipe() -> Outcome {
    messages::unread(
        PROGRAM,
        &[
            &["--help"],
            &["--version"],
            &["--bogus"],
            &["--check-config"],
            &["-f", "/nonexistent"],
        ],
    )
}
