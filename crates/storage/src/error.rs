//! Why a request on storage failed.

use std::time::Duration;

/// A failed request on storage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IoError {
    /// No answer in time. A write may still reach the disk.
    #[error("no answer from the storage in {after:?}")]
    TimedOut {
        /// How long the caller waited.
        after: Duration,
    },
    /// Too many earlier requests on this disk never came back, so this one was not sent.
    #[error("not sent: {stuck} earlier requests on this disk have not come back")]
    TooManyStuck {
        /// How many are stuck.
        stuck: usize,
    },
    /// The kernel refused or failed it.
    #[error("{action}: {}", std::io::Error::from_raw_os_error(*errno))]
    Os {
        /// What was tried, on what: `open /dev/vg/leases`, `read 512 bytes at 1048576 of ...`.
        action: String,
        /// The system's error number.
        errno: i32,
    },
    /// Fewer bytes than asked for.
    #[error("{action}: only {got} of {wanted} bytes")]
    Short {
        /// What was tried, on what.
        action: String,
        /// Bytes transferred.
        got: usize,
        /// Bytes asked for.
        wanted: usize,
    },
    /// The file system takes direct I/O in larger sectors only.
    #[error(
        "{action}: the file system refuses 512-byte direct I/O; create the lockspace and its resources \
         with 4096-byte sectors and 8 MiB alignment (-Z 4096 -A 8M)"
    )]
    SectorTooSmall {
        /// What was tried, on what.
        action: String,
    },
    /// Not a regular file or block device, or not whole sectors, or too large.
    #[error("{0}")]
    Invalid(String),
}

impl IoError {
    /// Whether the open file has gone stale, so that opening its path again may help: a file server or
    /// a path to a device that came back is a new one.
    #[must_use]
    pub fn wants_reopen(&self) -> bool {
        matches!(
            self,
            Self::Os {
                errno: libc::ESTALE | libc::ENXIO | libc::ENODEV,
                ..
            }
        )
    }

    /// Whether there was no answer in time, or none can be expected.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::TooManyStuck { .. })
    }

    /// Whether the same request may work later: it timed out, or the device failed it. What the path leads
    /// to, and who may use it, do not change by themselves.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::TooManyStuck { .. } | Self::Short { .. } => true,
            Self::Os { errno, .. } => !matches!(
                *errno,
                libc::ENOENT
                    | libc::ENOTDIR
                    | libc::EISDIR
                    | libc::ELOOP
                    | libc::ENAMETOOLONG
                    | libc::EACCES
                    | libc::EPERM
                    | libc::EROFS
                    | libc::EINVAL
                    | libc::EFBIG
                    | libc::EBADF
            ),
            Self::SectorTooSmall { .. } | Self::Invalid(_) => false,
        }
    }

    /// The number that sanlock's clients expect: -202 (`SANLK_AIO_TIMEOUT`) or a negative errno.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            // The C program answers -ENOENT when all its slots are stuck, which reads as a missing
            // file; a request that was not sent because the disk hangs is a timeout to its caller.
            Self::TimedOut { .. } | Self::TooManyStuck { .. } => -202,
            Self::Os { errno, .. } => -errno,
            Self::Short { .. } => -libc::EMSGSIZE,
            Self::SectorTooSmall { .. } | Self::Invalid(_) => -libc::EINVAL,
        }
    }
}
