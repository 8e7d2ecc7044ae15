//! Signals of this process and this thread.

use nix::sys::signal::{SigHandler, SigSet, Signal};

use crate::Error;

/// Signals that ask a daemon to end: upstream takes all three alike.
pub const TERMINATION: [Signal; 3] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];

/// Ignores a signal in the whole process. A client that closed its socket is an error of the write
/// then, not the end of the daemon (`SIGPIPE`).
///
/// # Errors
/// For signals that cannot be ignored (`SIGKILL`, `SIGSTOP`).
pub fn ignore(signal: Signal) -> Result<(), Error> {
    set(signal, SigHandler::SigIgn, "ignore")
}

/// Gives a signal its default effect back.
///
/// # Errors
/// For `SIGKILL` and `SIGSTOP`.
pub fn reset(signal: Signal) -> Result<(), Error> {
    set(signal, SigHandler::SigDfl, "reset")
}

fn set(signal: Signal, handler: SigHandler, action: &str) -> Result<(), Error> {
    // SAFETY: neither disposition runs code of ours.
    unsafe { nix::sys::signal::signal(signal, handler) }
        .map(|_| ())
        .map_err(|error| Error::os(format!("{action} {signal}"), error))
}

/// Keeps the signals that can be kept from this thread and those that it starts, so that another
/// thread gets them.
///
/// # Errors
/// What the kernel says.
pub fn block_all_in_this_thread() -> Result<(), Error> {
    SigSet::all()
        .thread_block()
        .map_err(|error| Error::os("block signals", error))
}

/// Lets all signals reach this thread again: what a program that is about to be run expects.
///
/// # Errors
/// What the kernel says.
pub fn unblock_all_in_this_thread() -> Result<(), Error> {
    SigSet::all()
        .thread_unblock()
        .map_err(|error| Error::os("unblock signals", error))
}
