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

const PROGRAM: &str = env!("CARGO_BIN_EXE_sanlock");

fn main() -> ExitCode {
    messages::run(mistakes, closed_pipe)
}

const HINTS: (&str, &str) = ("SANLOCK_HINTS", "1");

fn mistakes() -> Outcome {
    let dir = std::env::temp_dir().join(format!("sanlock-messages-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("leases");
    std::fs::write(&file, b"").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, mode).unwrap();
    let (file, lockspace) = (file.to_str().unwrap(), "ls:1:/nonexistent/leases:0");
    let elsewhere = [HINTS, ("SANLOCK_RUN_DIR", "/nonexistent/run")];
    let down: &[&str] = &["/nonexistent/run/sanlock.sock", "systemctl start sanlock"];
    let missing: &[&str] = &["/nonexistent/leases", "Check that it exists on this host"];
    let mistake = |arguments, said| Mistake::new(arguments, said).with(&elsewhere);
    let told = messages::make(
        PROGRAM,
        &[
            mistake(&["client", "status"], down),
            mistake(&["client", "add_lockspace", "-s", lockspace], down),
            mistake(&["direct", "dump", "/nonexistent/leases"], missing),
            mistake(&["direct", "read_leader", "-s", lockspace], missing),
            mistake(
                &["direct", "dump", file],
                &[
                    file,
                    "Permission denied",
                    "as user nobody",
                    "can read and write it",
                ],
            )
            .made_by_nobody(),
        ],
    );
    std::fs::remove_dir_all(&dir).unwrap();
    told
}

fn closed_pipe() -> Outcome {
    messages::unread(
        PROGRAM,
        &[
            &["version"],
            &["help"],
            &["client", "status"],
            &["--check-config"],
            &["explain", "-243"],
        ],
    )
}
