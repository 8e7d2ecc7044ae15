//! POSIX record locks as virtlockd takes them, and its lock spaces.
//!
//! A resource is a file, and whoever holds a lock on its first byte holds the resource: shared or exclusive, on
//! every host that can see the file. The kernel ties such a lock to the *process*, which has two consequences that
//! the C daemon suffers from and this crate is built around ([`LockTable`]):
//!
//! * a process never conflicts with itself, so a file that is reached by two names would be given to two owners;
//! * closing any descriptor of the file gives up the lock, whichever descriptor took it.
//!
//! Everything is synchronous: a file system that hangs holds the caller up. Nothing here knows guests, sockets or
//! protocols.

mod error;
mod files;
pub mod record_lock;
mod space;
mod state;
mod table;

pub use error::{LockError, StateError};
pub use record_lock::Kind;
pub use space::{AcquireFlags, OwnerPid, Resource};
pub use state::{ResourceState, Restored, SpaceState};
pub use table::LockTable;
