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
        ("SANLOCK_HINTS", "1"),
    ];
    let dir = std::env::temp_dir().join(format!("helper-messages-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&dir, mode).unwrap();
    let socket = dir.join("libvirt-sock");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let of_root = format!("qemu+unix:///system?socket={}", socket.display());
    let mistake = |arguments, said| Mistake::new(arguments, said).with(&elsewhere);
    let told = messages::make(
        PROGRAM,
        &[
            mistake(&[], &["uri uuid action", "virsh domuuid"]),
            mistake(
                &["qemu:///system", UUID, "explode"],
                &["explode", "poweroff and pause"],
            ),
            mistake(
                &["qemu+ssh://host/system", UUID, "pause"],
                &[
                    "qemu+ssh://host/system",
                    "only talks to libvirt on a local socket",
                    "must be on this host",
                ],
            ),
            mistake(
                &[
                    "qemu+unix:///system?socket=/nonexistent/sock",
                    UUID,
                    "pause",
                ],
                &["/nonexistent/sock", "No such file", "systemctl start"],
            ),
            mistake(
                &[&of_root, UUID, "pause"],
                &["libvirt-sock", "Permission denied", "unix_sock_group"],
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
            &[],
            &["qemu:///system", UUID, "explode"],
            &["qemu+ssh://h/system", UUID, "pause"],
        ],
    )
}
