//! Whole-sector direct I/O on shared storage that never blocks its caller for longer than it allows.
//!
//! [`Storage`] opens a path, [`Disk`] reads and writes whole sectors of it. Each request owns its
//! [`Buffer`] until the kernel is done with it, even when the caller stopped waiting: a request is a
//! [`Pending`] that may be waited for with a deadline, waited for again later, or dropped.
//!
//! A dropped or timed-out write may still reach the disk. Whoever gives up on a write treats it as
//! neither done nor undone.

pub mod block_queue;
mod buffer;
mod direct;
mod error;
mod follow;
mod open;
mod path;
mod pool;
mod request;
#[cfg(feature = "sim")]
pub mod sim;
mod stat;

pub use buffer::Buffer;
pub use direct::DirectIo;
pub use error::IoError;
pub use follow::following_answers;
pub use pool::{PoolOptions, PoolStatus};
pub use request::{MAX_TRANSFER, STUCK_AFTER, STUCK_PER_DISK};

use std::fmt::Debug;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A boxed future, as the object-safe traits of this crate return it.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Opens disks: direct I/O on a host, one shared simulated disk in the test suite.
pub trait Storage: Send + Sync + Debug + 'static {
    /// Opens a regular file or block device for reading and writing.
    ///
    /// Opening may hang like any other request (NFS), so it is one.
    fn open(&self, path: &Path) -> Pending<Arc<dyn Disk>>;

    /// A disk that its first request opens, on the way: one hand-over less than [`Storage::open`], for
    /// those who do a few requests and close again. What keeps it from being opened is the error of
    /// that request.
    ///
    /// What [`Disk::device_sector_size`] says is not known before, and 512 until then.
    fn open_on_use(&self, path: &Path) -> Arc<dyn Disk>;
}

/// An open file or block device that holds leases.
///
/// Offsets and lengths are in bytes and whole sectors.
pub trait Disk: Send + Sync + Debug + 'static {
    /// The path it was opened by, for messages.
    fn path(&self) -> &Path;

    /// The device's logical sector size in bytes: 512 for every regular file, as in the C program.
    fn device_sector_size(&self) -> u32;

    /// Reads `len` bytes at `offset`; a short read is an error.
    fn read(&self, offset: u64, len: usize) -> Pending<Buffer>;

    /// Writes all of `data` at `offset`, durably (`O_DIRECT | O_DSYNC`).
    fn write(&self, offset: u64, data: Buffer) -> Pending<()>;

    /// Whether the path that it was opened by still leads to it: not where a file was removed or another put in its
    /// place. A disk that is no file is always at its path.
    fn is_at_its_path(&self) -> Pending<bool> {
        Pending::new(async { Ok(true) })
    }
}

/// A request under way.
///
/// Dropping it abandons the answer, not the request: the buffer stays alive until the kernel is done.
pub struct Pending<T>(BoxFuture<Result<T, IoError>>);

impl<T> Pending<T> {
    /// Wraps a future that owns all it needs.
    pub fn new(future: impl Future<Output = Result<T, IoError>> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }

    /// Waits for the answer, at most `timeout`, and gives up on it then.
    ///
    /// # Errors
    /// What the request failed with, or [`IoError::TimedOut`].
    pub async fn within(mut self, timeout: Duration) -> Result<T, IoError> {
        self.poll_within(timeout).await
    }

    /// Waits for the answer, at most `timeout`; after [`IoError::TimedOut`] it may be waited for again.
    ///
    /// # Errors
    /// As [`Pending::within`].
    pub async fn poll_within(&mut self, timeout: Duration) -> Result<T, IoError> {
        match tokio::time::timeout(timeout, self).await {
            Ok(result) => result,
            Err(_) => Err(IoError::TimedOut { after: timeout }),
        }
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T, IoError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

// SAFETY: the future inside is reached through `&mut self` only (polling) or by value (dropping), so a
// shared reference to a `Pending`, on whatever thread, gives access to nothing.
unsafe impl<T> Sync for Pending<T> {}

impl<T> Debug for Pending<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pending")
    }
}
