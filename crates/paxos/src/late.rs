//! Writes that nobody waits for any more.
//!
//! A write that timed out may reach the disk at any later time. If the same host wrote that sector again
//! meanwhile, the old bytes would replace the new ones, and a ballot that has been won could be lost
//! again. So such writes are kept, and nothing is written over them before they have come back.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storage::{IoError, Pending};

use crate::env::Env;
use crate::wait::{Raced, race};

/// The late writes of one daemon; clones share their contents.
#[derive(Debug, Clone, Default)]
pub struct LateWrites(Arc<Mutex<Vec<Arc<Late>>>>);

#[derive(Debug)]
struct Late {
    path: PathBuf,
    bytes: Range<u64>,
    /// Empty once it has come back.
    write: tokio::sync::Mutex<Option<Pending<()>>>,
}

impl LateWrites {
    /// How many writes have not been seen to come back.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Waits until no late write to any of these disks is under way, which may be never.
    pub async fn all_back(&self, paths: &BTreeSet<PathBuf>) {
        loop {
            let of_these = |late: &&Arc<Late>| paths.contains(&late.path);
            let all: Vec<_> = self.lock().iter().filter(of_these).cloned().collect();
            if all.is_empty() {
                return;
            }
            come_back(&all).await;
            self.drop_those_that_came_back();
        }
    }

    /// Waits until no late write overlaps `bytes` of the disk at `path`.
    ///
    /// Whether such a write succeeded or failed does not matter: once it has come back it changes the
    /// disk no more.
    ///
    /// # Errors
    /// [`IoError::TimedOut`] if that takes longer than `timeout`.
    pub(crate) async fn settle(
        &self,
        env: &dyn Env,
        path: &Path,
        bytes: &Range<u64>,
        timeout: Duration,
    ) -> Result<(), IoError> {
        let overlapping = self.overlapping(path, bytes);
        if overlapping.is_empty() {
            return Ok(());
        }
        let raced = race(come_back(&overlapping), env.sleep(timeout)).await;
        self.drop_those_that_came_back();
        match raced {
            Raced::First(()) => Ok(()),
            Raced::Second(()) => Err(IoError::TimedOut { after: timeout }),
        }
    }

    /// Waits for a write, at most `timeout`; keeps it if it has not come back by then, or if the wait
    /// itself is dropped.
    pub(crate) async fn wait(
        &self,
        env: &dyn Env,
        path: &Path,
        bytes: Range<u64>,
        write: Pending<()>,
        timeout: Duration,
    ) -> Result<(), IoError> {
        let mut under_way = UnderWay {
            late: self,
            path: path.to_owned(),
            bytes,
            write: Some(write),
        };
        let Some(pending) = under_way.write.as_mut() else {
            return Ok(());
        };
        match race(pending, env.sleep(timeout)).await {
            Raced::First(result) => {
                under_way.write = None;
                result
            }
            Raced::Second(()) => Err(IoError::TimedOut { after: timeout }),
        }
    }

    fn overlapping(&self, path: &Path, bytes: &Range<u64>) -> Vec<Arc<Late>> {
        let overlaps = |late: &&Arc<Late>| {
            late.path == path && late.bytes.start < bytes.end && bytes.start < late.bytes.end
        };
        self.lock().iter().filter(overlaps).cloned().collect()
    }

    fn drop_those_that_came_back(&self) {
        // One that is locked is being waited for by somebody else.
        self.lock()
            .retain(|late| late.write.try_lock().map_or(true, |write| write.is_some()));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Late>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn come_back(writes: &[Arc<Late>]) {
    for late in writes {
        let mut write = late.write.lock().await;
        if let Some(pending) = write.as_mut() {
            let _ = pending.await;
        }
        *write = None;
    }
}

/// A write that is being waited for, and kept if that ends before it has come back.
struct UnderWay<'a> {
    late: &'a LateWrites,
    path: PathBuf,
    bytes: Range<u64>,
    write: Option<Pending<()>>,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(write) = self.write.take() {
            let late = Late {
                path: std::mem::take(&mut self.path),
                bytes: self.bytes.clone(),
                write: tokio::sync::Mutex::new(Some(write)),
            };
            self.late.lock().push(Arc::new(late));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fault, MemDisk, context};
    use storage::Buffer;

    #[tokio::test(start_paused = true)]
    async fn a_write_that_hangs_keeps_others_from_its_bytes_only() {
        let (disk, ctx) = (MemDisk::new(), context(10));
        let area = disk.area(4096);
        let write = async |at, byte: u8| area.write(&ctx, at, Buffer::copy_of(&[byte; 512])).await;
        disk.fail(0, Fault::Hang);
        assert_eq!(write(512, 1).await.unwrap_err().code(), -202);
        assert_eq!(ctx.late.count(), 1);
        // Before and behind it, and on another disk.
        write(0, 2).await.unwrap();
        write(1024, 3).await.unwrap();
        let other = MemDisk::at("/other").area(4096);
        other.write(&ctx, 512, Buffer::zeroed(512)).await.unwrap();
        // In the same place nothing is even sent.
        assert_eq!(write(512, 4).await.unwrap_err().code(), -202);
        disk.release_hung();
        write(512, 5).await.unwrap();
        assert_eq!(ctx.late.count(), 0);
        assert_eq!(disk.peek(4096 + 512, 512), [5; 512]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_dropped_leaves_the_write_to_the_others() {
        let (disk, ctx) = (MemDisk::new(), context(10));
        let area = disk.area(0);
        disk.fail(0, Fault::Hang);
        let write = area.write(&ctx, 0, Buffer::copy_of(&[1; 512]));
        let second = tokio::time::timeout(Duration::from_secs(1), write).await;
        assert!(second.is_err());
        assert_eq!(ctx.late.count(), 1);
        // Two wait for it, the first of which gives up: it is not lost with it.
        let settle = async || area.settle(&ctx, 0, 512).await;
        let first = tokio::time::timeout(Duration::from_secs(1), settle());
        let (first, second) = tokio::join!(first, async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            disk.release_hung();
            settle().await
        });
        assert!(first.is_err() && second.is_ok());
        assert_eq!(ctx.late.count(), 0);
    }
}
