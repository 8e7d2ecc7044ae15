//! Signals of this process and this thread.

use std::time::Duration;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction};

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

/// Signals that are ignored as long as this lives; then they do again what they did before.
///
/// A program that is executed meanwhile ignores them until it says otherwise.
#[derive(Debug)]
pub struct Ignored(Vec<(Signal, SigAction)>);

impl Ignored {
    /// Begins.
    ///
    /// # Errors
    /// For signals that cannot be ignored: those before it do what they did.
    pub fn begin(signals: &[Signal]) -> Result<Self, Error> {
        let mut ignored = Self(Vec::new());
        let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
        for signal in signals {
            // SAFETY: ignoring runs no code of ours.
            let before = unsafe { sigaction(*signal, &ignore) }
                .map_err(|error| Error::os(format!("ignore {signal}"), error))?;
            ignored.0.push((*signal, before));
        }
        Ok(ignored)
    }
}

impl Drop for Ignored {
    fn drop(&mut self) {
        for (signal, before) in &self.0 {
            // SAFETY: it is what was in effect before, and whoever set it still is there. It cannot fail, as it could
            // be set before.
            let _ = unsafe { sigaction(*signal, before) };
        }
    }
}

/// Signals that are kept from this thread as long as this lives, and come then.
///
/// A program that is executed meanwhile begins with them blocked, and gets those that have come when it unblocks them.
#[derive(Debug)]
pub struct Blocked(SigSet);

impl Blocked {
    /// Begins.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn begin(signals: &[Signal]) -> Result<Self, Error> {
        let set: SigSet = signals.iter().copied().collect();
        set.thread_swap_mask(SigmaskHow::SIG_BLOCK)
            .map(Self)
            .map_err(|error| Error::os("block signals", error))
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // It cannot fail: it is what was in effect before.
        let _ = self.0.thread_set_mask();
    }
}

/// Waits for a signal, which must be blocked ([`block_in_this_thread`]), but only so long; whether it came.
#[must_use]
pub fn arrives_within(signal: Signal, time: Duration) -> bool {
    let set: SigSet = [signal].into_iter().collect();
    let time = libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos().into(),
    };
    // SAFETY: both outlive the call, which writes nothing.
    let found = unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), &time) };
    found == signal as libc::c_int
}

/// Keeps these signals from this thread until they are waited for.
///
/// # Errors
/// What the kernel says.
pub fn block_in_this_thread(signals: &[Signal]) -> Result<(), Error> {
    let set: SigSet = signals.iter().copied().collect();
    set.thread_block()
        .map_err(|error| Error::os("block signals", error))
}

/// Lets these signals reach this thread again.
///
/// # Errors
/// What the kernel says.
pub fn unblock_in_this_thread(signals: &[Signal]) -> Result<(), Error> {
    let set: SigSet = signals.iter().copied().collect();
    set.thread_unblock()
        .map_err(|error| Error::os("unblock signals", error))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn handler(signal: Signal) -> String {
        // The only way to ask is to set, so /proc is read instead.
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let bit = 1_u64 << (signal as i32 - 1);
        let has = |field: &str| {
            let line = status.lines().find(|line| line.starts_with(field)).unwrap();
            let mask = line.split_whitespace().nth(1).unwrap();
            u64::from_str_radix(mask, 16).unwrap() & bit != 0
        };
        match (has("SigIgn"), has("SigCgt")) {
            (true, _) => "ignored",
            (_, true) => "caught",
            _ => "default",
        }
        .to_owned()
    }

    #[test]
    fn blocked_for_a_while() {
        let mask = || SigSet::thread_get_mask().unwrap();
        let before = mask();
        let blocked = Blocked::begin(&[Signal::SIGWINCH]).unwrap();
        assert!(mask().contains(Signal::SIGWINCH));
        let again = Blocked::begin(&[Signal::SIGWINCH, Signal::SIGURG]).unwrap();
        assert!(mask().contains(Signal::SIGURG));
        drop(again);
        assert!(mask().contains(Signal::SIGWINCH) && !mask().contains(Signal::SIGURG));
        drop(blocked);
        assert_eq!(mask(), before);
    }

    #[test]
    fn ignored_for_a_while() {
        extern "C" fn nothing(_: libc::c_int) {}
        let caught = Signal::SIGUSR2;
        let action = SigHandler::Handler(nothing);
        // SAFETY: the handler does nothing.
        unsafe { nix::sys::signal::signal(caught, action) }.unwrap();
        let signals = [caught, Signal::SIGWINCH];
        let ignored = Ignored::begin(&signals).unwrap();
        assert_eq!(signals.map(handler), ["ignored", "ignored"]);
        drop(ignored);
        assert_eq!(signals.map(handler), ["caught", "default"]);
        assert!(Ignored::begin(&[caught, Signal::SIGKILL]).is_err());
        assert_eq!(handler(caught), "caught");
    }
}
