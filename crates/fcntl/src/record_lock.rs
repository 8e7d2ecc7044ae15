//! The lock itself: byte 0, length 1.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// Who else may have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Others that say the same.
    Shared,
    /// Nobody.
    Exclusive,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotLocked {
    /// Another process has it.
    #[error("another process holds the lock")]
    Held,
    /// The system refused.
    #[error(transparent)]
    Os(#[from] io::Error),
}

/// Takes the lock, or changes its kind, without waiting.
///
/// # Errors
/// [`NotLocked`].
pub fn take(file: impl AsFd, kind: Kind) -> Result<(), NotLocked> {
    match fcntl(file, FcntlArg::F_SETLK(&first_byte(kind))) {
        Ok(_) => Ok(()),
        Err(Errno::EACCES | Errno::EAGAIN) => Err(NotLocked::Held),
        Err(error) => Err(NotLocked::Os(error.into())),
    }
}

/// The process of this host that keeps the lock from being taken; 0 for one that cannot be seen from here, such as
/// one on another host.
#[must_use]
pub fn holder(file: impl AsFd, kind: Kind) -> Option<i32> {
    let mut lock = first_byte(kind);
    fcntl(file, FcntlArg::F_GETLK(&mut lock)).ok()?;
    let free = lock.l_type == libc::F_UNLCK as libc::c_short;
    (!free).then_some(lock.l_pid.max(0))
}

fn first_byte(kind: Kind) -> libc::flock {
    let kind = match kind {
        Kind::Shared => libc::F_RDLCK,
        Kind::Exclusive => libc::F_WRLCK,
    };
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    }
}
