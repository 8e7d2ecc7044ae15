//! Priority and names of threads.

use std::ffi::CString;

use crate::{Error, Need, Outcome};

/// Gives the calling thread the highest round-robin real-time priority.
///
/// Threads and processes that it starts do not inherit it. Upstream raises its main thread alone, so
/// that the threads that renew leases stay ordinary ones; each thread that must not wait for others
/// calls this for itself.
///
/// # Errors
/// If it is [`Need::Demanded`] and refused.
pub fn raise_this_thread(need: Need) -> Result<Outcome, Error> {
    // SAFETY: takes a number and returns one.
    let highest = unsafe { libc::sched_get_priority_max(libc::SCHED_RR) };
    let raised = if highest < 0 {
        Err(Error::last_os("ask for the highest real-time priority"))
    } else {
        let wanted = libc::sched_param {
            sched_priority: highest,
        };
        let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
        // SAFETY: 0 is the calling thread, and the kernel reads one structure, which is ours.
        match unsafe { libc::sched_setscheduler(0, policy, &raw const wanted) } {
            -1 => Err(Error::last_os(format!("take real-time priority {highest}"))),
            _ => Ok(()),
        }
    };
    Outcome::or_without(
        raised,
        need,
        "the thread competes with others for the processor",
    )
}

/// Whether the calling thread has real-time priority.
#[must_use]
pub fn is_this_thread_raised() -> bool {
    // SAFETY: 0 is the calling thread; takes a number and returns one.
    let policy = unsafe { libc::sched_getscheduler(0) };
    policy >= 0 && policy & !libc::SCHED_RESET_ON_FORK == libc::SCHED_RR
}

/// Names the calling thread, as `ps` and `/proc` show it; the main thread's name is the process's.
///
/// Only 15 bytes of it are kept, up to a NUL.
pub fn name_this_thread(name: &str) {
    let kept: Vec<u8> = name
        .bytes()
        .take_while(|byte| *byte != 0)
        .take(15)
        .collect();
    if let Ok(name) = CString::new(kept) {
        // SAFETY: the kernel reads up to 16 bytes of a string that ends with NUL.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
}
