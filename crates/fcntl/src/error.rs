//! What can go wrong.

use std::io;
use std::path::PathBuf;

use crate::space::OwnerPid;

/// Why something was not done with a resource or a lock space. The words are those of the C daemon, which users know.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it: an owner here, another process or another host.
    #[error("Lockspace resource '{resource}' is locked")]
    Busy {
        /// The resource's name.
        resource: String,
    },
    /// Nobody here has it.
    #[error("Lockspace resource '{resource}' is not locked")]
    NotLocked {
        /// The resource's name.
        resource: String,
    },
    /// Others have it.
    #[error("owner {owner} does not hold the resource lock")]
    NotOwner {
        /// Who does not.
        owner: OwnerPid,
    },
    /// A file that must be there cannot be opened.
    #[error("Unable to open resource {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file can be neither opened nor made.
    #[error("Unable to open/create resource {}: {source}", path.display())]
    OpenOrCreate {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system does not say which file it is.
    #[error("Unable to check status of pid file '{}': {source}", path.display())]
    Status {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file system refuses to lock.
    #[error("Unable to acquire lock on '{}': {source}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A resource's file cannot be made.
    #[error("cannot create file '{}': {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A resource's file cannot be removed.
    #[error("Unable to delete lockspace resource {}: {source}", path.display())]
    Delete {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such lock space.
    #[error("Lockspace for path {} does not exist", path.display())]
    NoSpace {
        /// Its directory.
        path: PathBuf,
    },
    /// A lock space's directory is none.
    #[error("Lockspace location {} exists, but is not a directory", path.display())]
    NotADirectory {
        /// What is there.
        path: PathBuf,
    },
    /// A lock space's directory cannot be made.
    #[error("Unable to create lockspace {}: {source}", path.display())]
    CreateSpace {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why locks cannot be handed over.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file of the state is JSON, which has no place for it.
    #[error("the name {0:?} is not UTF-8, so the lock cannot be handed over")]
    NotUtf8(PathBuf),
    /// A descriptor cannot be kept open for the next program.
    #[error("cannot keep the descriptor of {}: {source}", path.display())]
    Keep {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A descriptor that the state names is not there.
    #[error("the descriptor {fd} of {} was not handed over: {source}", path.display())]
    Missing {
        /// Its number.
        fd: i32,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The lock is not held any more.
    #[error("the lock on {} was lost in the hand-over: {why}", path.display())]
    Lost {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The same resource twice.
    #[error("resource '{0}' is there twice")]
    Twice(String),
}
