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

const PROGRAM: &str = env!("CARGO_BIN_EXE_virt-sanlock-cleanup");

fn main() -> ExitCode {
    messages::run(mistakes, closed_pipe)
}

fn mistakes() -> Outcome {
    let dir = std::env::temp_dir().join(format!("cleanup-messages-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&dir, mode).unwrap();
    let conf = dir.join("conf");
    std::fs::write(&conf, "host_id = \n").unwrap();
    let (dir_name, conf) = (dir.to_str().unwrap(), conf.to_str().unwrap());
    let mistake = Mistake::new;
    let told = messages::make(
        PROGRAM,
        &[
            mistake(
                &["--directory", "/nonexistent/leases"],
                &[
                    "/nonexistent/leases",
                    "No such file",
                    "disk_lease_dir in qemu-sanlock.conf",
                ],
            ),
            mistake(
                &["--directory", dir_name],
                &[dir_name, "Permission denied", "only root"],
            )
            .made_by_nobody(),
            mistake(&["--config", conf], &["conf:1:", "a value is a number"]),
            mistake(
                &["--check-config", "--config", conf],
                &["conf:1:", "a value is a number"],
            ),
            mistake(&["--jobs", "0"], &["--jobs", "1..=256"]),
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
            &["--directory", "/nonexistent"],
            &["--directory", "/proc/self/fdinfo"],
            &["--check-config"],
        ],
    )
}
