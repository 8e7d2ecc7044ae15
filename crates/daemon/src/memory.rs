//! Keeping the daemon's memory from being paged out: a daemon that waits for a swap device on the
//! storage it watches cannot renew its lease.

use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use crate::{Error, Need, Outcome};

/// Which memory is locked: the option `-l` of the lease daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLock {
    /// Level 0.
    Nothing,
    /// Level 1: what is mapped now.
    Current,
    /// Level 2: also what will be mapped.
    CurrentAndFuture,
}

impl MemoryLock {
    /// The level as a number; `None` above 2.
    #[must_use]
    pub fn from_level(level: u32) -> Option<Self> {
        match level {
            0 => Some(Self::Nothing),
            1 => Some(Self::Current),
            2 => Some(Self::CurrentAndFuture),
            _ => None,
        }
    }
}

const CONSEQUENCE: &str = "the daemon may stall while memory is paged in";

/// Locks memory of the whole process. Children do not inherit it.
///
/// Level 2 under a finite limit falls back to level 1, with a warning even where it was demanded:
/// the kernel would refuse memory later, in the middle of work, and end the daemon.
///
/// # Errors
/// If it is [`Need::Demanded`] and refused.
pub fn lock(which: MemoryLock, need: Need) -> Result<Outcome, Error> {
    let flags = match which {
        MemoryLock::Nothing => return Ok(Outcome::Done),
        MemoryLock::Current => MlockAllFlags::MCL_CURRENT,
        MemoryLock::CurrentAndFuture if unlimited() => {
            MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE
        }
        MemoryLock::CurrentAndFuture => {
            return Ok(match lock(MemoryLock::Current, need)? {
                Outcome::Done => Outcome::Without(
                    "locked memory is limited (RLIMIT_MEMLOCK): what the daemon allocates from \
                     here on is not locked"
                        .to_owned(),
                ),
                without @ Outcome::Without(_) => without,
            });
        }
    };
    let locked = mlockall(flags).map_err(|error| Error::os("lock memory (mlockall)", error));
    Outcome::or_without(locked, need, CONSEQUENCE)
}

/// Has the kernel serve this process's requests for memory without waiting for any storage, as it does for
/// programs that storage itself depends on (`PR_SET_IO_FLUSHER`, Linux 5.6). Children inherit it.
///
/// # Errors
/// If it is [`Need::Demanded`] and refused: it needs `CAP_SYS_RESOURCE`.
pub fn never_wait_for_storage(need: Need) -> Result<Outcome, Error> {
    const PR_SET_IO_FLUSHER: libc::c_int = 57;
    let none: libc::c_ulong = 0;
    // SAFETY: takes numbers.
    let refused = unsafe { libc::prctl(PR_SET_IO_FLUSHER, 1 as libc::c_ulong, none, none, none) };
    let done = match refused {
        0 => Ok(()),
        _ => Err(Error::last_os(
            "be served memory without waiting for storage (PR_SET_IO_FLUSHER)",
        )),
    };
    Outcome::or_without(
        done,
        need,
        "the daemon may stall while the kernel writes to storage to free memory",
    )
}

/// Whether the kernel counts locked memory against no limit.
fn unlimited() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    matches!(getrlimit(Resource::RLIMIT_MEMLOCK), Ok((RLIM_INFINITY, _)))
        || effective_capabilities().is_some_and(|set| set & (1 << CAP_IPC_LOCK) != 0)
}

fn effective_capabilities() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let set = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(set.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels() {
        assert_eq!(MemoryLock::from_level(0), Some(MemoryLock::Nothing));
        assert_eq!(MemoryLock::from_level(1), Some(MemoryLock::Current));
        assert_eq!(
            MemoryLock::from_level(2),
            Some(MemoryLock::CurrentAndFuture)
        );
        assert_eq!(MemoryLock::from_level(3), None);
    }

    #[test]
    fn nothing_needs_no_right() {
        assert_eq!(
            lock(MemoryLock::Nothing, Need::Demanded).unwrap(),
            Outcome::Done
        );
    }

    #[test]
    fn capabilities_are_read() {
        assert!(effective_capabilities().is_some());
    }
}
