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

const PROGRAM: &str = env!("CARGO_BIN_EXE_virt-sanlock-cleanup");

fn main() -> ExitCode {
    harness::run(&[
        ("mistakes_are_told_with_their_remedy", mistakes),
        ("a_closed_pipe_is_no_crash", closed_pipe),
    ])
}

fn mistakes() -> Outcome {
    let dir = std::env::temp_dir().join(format!("cleanup-messages-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&dir, mode).unwrap();
    let conf = dir.join("conf");
    std::fs::write(&conf, "host_id = \n").unwrap();
    let (dir_name, conf) = (dir.to_str().unwrap(), conf.to_str().unwrap());
    let mistake = |arguments, said| Mistake {
        arguments,
        variables: &[],
        as_nobody: false,
        said,
    };
    let told = messages::make(
        Path::new(PROGRAM),
        &[
            mistake(
                &["--directory", "/nonexistent/leases"],
                &[
                    "/nonexistent/leases",
                    "No such file",
                    "disk_lease_dir in qemu-sanlock.conf",
                ],
            ),
            Mistake {
                as_nobody: true,
                ..mistake(
                    &["--directory", dir_name],
                    &[dir_name, "Permission denied", "only root"],
                )
            },
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
        Path::new(PROGRAM),
        &[
            &["--help"],
            &["--directory", "/nonexistent"],
            &["--directory", "/proc/self/fdinfo"],
            &["--check-config"],
        ],
    )
}
