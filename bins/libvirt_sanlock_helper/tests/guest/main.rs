//! One test text, for Debian's helper (or what `$LIBVIRT_SANLOCK_HELPER_UPSTREAM` names) first and then for ours: a
//! real libvirtd, with a guest that has no operating system, on a host made of namespaces. Where ours differs on
//! purpose, the case says so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    dead_code
)]

#[path = "../../../../crates/daemon/tests/common/harness.rs"]
mod harness;

mod cases;
mod host;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use harness::{Outcome, skipped};

fn main() -> ExitCode {
    if let Some(program) = std::env::var_os(host::INSIDE) {
        return host::be(Path::new(&program));
    }
    harness::run_at_a_time(
        &[
            ("guest (C)", || on(&original())),
            ("guest (ours)", || {
                on(Path::new(env!("CARGO_BIN_EXE_libvirt_sanlock_helper")))
            }),
        ],
        2,
    )
}

fn original() -> PathBuf {
    if let Some(named) = std::env::var_os("LIBVIRT_SANLOCK_HELPER_UPSTREAM") {
        return named.into();
    }
    let places = ["/usr/libexec", "/usr/lib/libvirt"];
    let mut found = places
        .iter()
        .map(|dir| Path::new(dir).join("libvirt_sanlock_helper"));
    found.find(|path| path.is_file()).unwrap_or_default()
}

fn on(program: &Path) -> Outcome {
    if !program.is_file() {
        return skipped("no helper of libvirt's here (package libvirt-sanlock)");
    }
    if !nix::unistd::geteuid().is_root() {
        return skipped("only root may make a host of namespaces");
    }
    let needs = [
        "ip",
        "libvirtd",
        "virtlogd",
        "virsh",
        "qemu-system-x86_64",
        "saslpasswd2",
        "unshare",
    ];
    for need in needs {
        let there = ["/usr/sbin", "/usr/bin"]
            .iter()
            .any(|dir| Path::new(dir).join(need).is_file());
        if !there {
            return skipped(format!("no {need} here"));
        }
    }
    let scratch = std::env::temp_dir().join(format!("helper-test-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).unwrap();
    let mut unshare = Command::new("unshare");
    unshare
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--uts",
            "--ipc",
            "--net",
            "--mount-proc",
        ])
        .arg("--kill-child");
    let can = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--net", "true"])
        .status();
    if !can.is_ok_and(|status| status.success()) {
        return skipped("no namespaces here");
    }
    // The first process takes in those whose parent is gone, and libvirtd waits until they are.
    let status = unshare
        .args(["sh", "-c", "\"$0\"; exit $?"])
        .arg(std::env::current_exe().unwrap())
        .env(host::INSIDE, program)
        .env(host::SCRATCH, &scratch)
        .env_remove("LIBVIRT_AUTH_FILE")
        .env_remove("LIBVIRT_DEFAULT_URI")
        .status()
        .unwrap();
    let _ = std::fs::remove_dir_all(&scratch);
    assert!(status.success(), "{}: {status}", program.display());
    Outcome::Passed
}
