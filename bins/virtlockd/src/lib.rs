//! libvirt's lock daemon: locks on disk images, for as long as the guest lives.
//!
//! The daemon has one thread, as the kernel ties its locks to the process and a second thread could only wait for the
//! first: `lock_program` changes the one [`fcntl::LockTable`], `server` moves packets, `owner` sees to it that
//! no process goes on with a disk that it has lost the lock of.

// Who reads no further must not make it panic.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod admin_program;
mod clients;
mod connection;
mod holders;
mod inhibitor;
mod list;
mod lock_program;
mod logging;
mod options;
mod owner;
mod paths;
mod pid_file;
mod reexec;
mod server;
mod site;
mod start;
mod utc;

use std::process::ExitCode;

/// Entry point for a fuzzer: takes any bytes as the state that another program left, does not panic, and returns whether
/// the laws hold for them.
#[must_use]
pub fn fuzz_state(bytes: &[u8]) -> bool {
    reexec::state::law(bytes)
}

/// Runs the program with this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    start::main()
}
