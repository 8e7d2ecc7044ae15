//! What the kernel says about a process.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use daemon::ProcessState;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::wait::{PATIENCE, until_some};

/// Sends a signal to a process that is known to be there.
pub fn signal(pid: u32, signal: Signal) {
    kill(nix_pid(pid), signal).unwrap();
}

/// Whether there is a process of this number that has not ended.
pub fn lives(pid: u32) -> bool {
    ProcessState::read(nix_pid(pid).as_raw()).is_ok_and(|state| !state.has_ended())
}

fn nix_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap())
}

/// How much of a process there is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub rss_kib: u64,
    pub threads: u64,
    pub descriptors: usize,
}

impl Size {
    pub fn of(pid: u32) -> Self {
        Self {
            rss_kib: status_number(pid, "VmRSS:"),
            threads: status_number(pid, "Threads:"),
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            rss_kib,
            threads,
            descriptors,
        } = self;
        write!(
            f,
            "{rss_kib} KiB resident, {threads} threads, {descriptors} descriptors"
        )
    }
}

fn status_number(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = status
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .unwrap();
    value.split_whitespace().next().unwrap().parse().unwrap()
}

/// Waits for a child's end.
pub fn ended(child: &mut Child, within: Duration) -> ExitStatus {
    until_some("the end of a process", within, || child.try_wait().unwrap())
}

/// How a child that is about to end ends: its signal, or its exit status.
pub fn end_of(child: &mut Child) -> End {
    let status = ended(child, PATIENCE);
    match (status.signal(), status.code()) {
        (Some(signal), _) => End::Signal(signal),
        (None, code) => End::Exit(code.unwrap_or(-1)),
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Signal(i32),
    Exit(i32),
}
