//! Why libvirt would not start a domain for what concerns its leases.

use std::path::PathBuf;

use crate::OnLockFailure;

/// Why there is no answer which leases or locks a domain takes.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It writes to disks, has no lease, and one is required.
    #[error(
        "the domain writes to disks and has no lease: name one in a <lease> element, or set auto_disk_leases = 1 or \
         require_lease_for_disks = 0"
    )]
    NoLease,
    /// More leases than sanlock takes for one process.
    #[error(
        "the domain needs more than {0} leases, which is the most that sanlock takes for one domain"
    )]
    TooMany(usize),
    /// A name in a lease is longer than sanlock's names.
    #[error("{what} '{name}' of a lease is longer than {most} bytes: choose a shorter one")]
    NameTooLong {
        /// What is too long.
        what: &'static str,
        /// It.
        name: String,
        /// The most.
        most: usize,
    },
    /// A lease's path is longer than sanlock's paths.
    #[error("the lease's path {} is longer than {most} bytes: choose a shorter one", path.display())]
    PathTooLong {
        /// It.
        path: PathBuf,
        /// The most.
        most: usize,
    },
    /// An action that the sanlock driver does not know.
    #[error("<on_lockfailure>{0}</on_lockfailure> is not for sanlock: write poweroff or pause")]
    Action(OnLockFailure),
    /// virtlockd's locks are whole files.
    #[error(
        "the lease '{key}' has the offset {offset}, and locks of virtlockd have none: take it away"
    )]
    Offset {
        /// Its key.
        key: String,
        /// Not 0.
        offset: u64,
    },
    /// Only libvirt knows where a volume is.
    #[error(
        "the disk is the volume '{volume}' of the storage pool '{pool}', and only libvirt knows where that is"
    )]
    Volume {
        /// The pool.
        pool: String,
        /// The volume in it.
        volume: String,
    },
    /// A volume's UUID or name could not be found out.
    #[error("cannot find out what {path} calls itself: {source}")]
    Key {
        /// The volume.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}
