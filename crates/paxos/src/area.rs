//! Where leases stand, and reading and writing there.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use storage::{Buffer, Disk, IoError, Pending};

use crate::Context;
use crate::env::planted;
use crate::wait::{Raced, race};

/// A place on a disk: a lockspace, one copy of a resource, a resource index.
#[derive(Debug, Clone)]
pub struct Area {
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// Where on the disk the area starts, in bytes.
    pub offset: u64,
}

impl Area {
    /// The area that starts at byte `offset` of the disk.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, offset: u64) -> Self {
        Self { disk, offset }
    }

    /// An area on a disk that could not be opened: every request fails with the same error.
    ///
    /// A resource on several disks can do without some of them.
    #[must_use]
    pub fn unopened(path: &Path, offset: u64, error: IoError) -> Self {
        Self::new(
            Arc::new(Unopened {
                path: path.to_owned(),
                error,
            }),
            offset,
        )
    }

    /// The disk's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.disk.path()
    }

    /// The same disk from another place on.
    #[must_use]
    pub fn at(&self, offset: u64) -> Self {
        Self {
            disk: Arc::clone(&self.disk),
            offset,
        }
    }

    /// Reads `len` bytes at byte `at` of the area, within an ordinary request's time.
    pub(crate) async fn read(&self, ctx: &Context, at: u64, len: usize) -> Result<Buffer, IoError> {
        let timeout = ctx.io();
        match race(self.start_read(at, len)?, ctx.env.sleep(timeout)).await {
            Raced::First(result) => result,
            Raced::Second(()) => Err(IoError::TimedOut { after: timeout }),
        }
    }

    /// Starts to read `len` bytes at byte `at` of the area.
    pub(crate) fn start_read(&self, at: u64, len: usize) -> Result<Pending<Buffer>, IoError> {
        let bytes = self.bytes(at, len)?;
        Ok(self.disk.read(bytes.start, len))
    }

    /// Writes at byte `at` of the area, within an ordinary request's time.
    pub(crate) async fn write(&self, ctx: &Context, at: u64, data: Buffer) -> Result<(), IoError> {
        self.write_within(ctx, at, data, ctx.io()).await
    }

    /// Writes at byte `at` of the area within `timeout`, once all earlier writes of this host to the same
    /// place have come back.
    pub(crate) async fn write_within(
        &self,
        ctx: &Context,
        at: u64,
        data: Buffer,
        timeout: Duration,
    ) -> Result<(), IoError> {
        let bytes = self.bytes(at, data.len())?;
        let env = &*ctx.env;
        if planted!(ctx, LateWriteForgotten) {
            let write = self.disk.write(bytes.start, data);
            return match race(write, env.sleep(timeout)).await {
                Raced::First(result) => result,
                Raced::Second(()) => Err(IoError::TimedOut { after: timeout }),
            };
        }
        ctx.late.settle(env, self.path(), &bytes, timeout).await?;
        let write = self.disk.write(bytes.start, data);
        ctx.late.wait(env, self.path(), bytes, write, timeout).await
    }

    /// Waits until no earlier write of this host to these bytes of the area is under way.
    pub(crate) async fn settle(&self, ctx: &Context, at: u64, len: usize) -> Result<(), IoError> {
        let bytes = self.bytes(at, len)?;
        ctx.late
            .settle(&*ctx.env, self.path(), &bytes, ctx.io())
            .await
    }

    /// Waits until no earlier write of this host to the disk is under way, wherever on it.
    pub(crate) async fn settle_disk(&self, ctx: &Context) -> Result<(), IoError> {
        let timeout = ctx.io();
        ctx.late
            .settle(&*ctx.env, self.path(), &(0..u64::MAX), timeout)
            .await
    }

    fn bytes(&self, at: u64, len: usize) -> Result<Range<u64>, IoError> {
        let bytes = || {
            let start = self.offset.checked_add(at)?;
            Some(start..start.checked_add(u64::try_from(len).ok()?)?)
        };
        bytes().ok_or_else(|| {
            IoError::Invalid(format!(
                "{len} bytes at {at} of the area at {} of {} are beyond the largest offset",
                self.offset,
                self.path().display()
            ))
        })
    }
}

#[derive(Debug)]
struct Unopened {
    path: PathBuf,
    error: IoError,
}

impl Unopened {
    fn fail<T: Send + 'static>(&self) -> Pending<T> {
        let error = self.error.clone();
        Pending::new(async { Err(error) })
    }
}

impl Disk for Unopened {
    fn path(&self) -> &Path {
        &self.path
    }

    fn device_sector_size(&self) -> u32 {
        512
    }

    fn read(&self, _offset: u64, _len: usize) -> Pending<Buffer> {
        self.fail()
    }

    fn write(&self, _offset: u64, _data: Buffer) -> Pending<()> {
        self.fail()
    }
}
