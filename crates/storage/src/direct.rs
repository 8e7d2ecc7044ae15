//! Direct I/O on this host's files and block devices.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use nix::errno::Errno;
use nix::sys::uio::{pread, pwrite};

use crate::open::{Kind, open_direct};
use crate::path::leads_to;
use crate::pool::{Lane, Pool, PoolOptions, PoolStatus};
use crate::request::check_whole_sectors;
use crate::{Buffer, Disk, IoError, Pending, Storage};

/// Direct I/O on regular files and block devices, each request in a thread of a pool.
///
/// Threads rather than native AIO or io_uring: they work on every file system and in every container,
/// and where the storage hangs already in the submitting system call (an open, NFS, a full device
/// queue) only that request's thread waits.
///
/// Clones share the pool. Requests that must not wait behind others, as lease renewals, get a
/// `DirectIo` of their own.
#[derive(Debug, Clone)]
pub struct DirectIo {
    pool: Pool,
}

impl DirectIo {
    /// A pool with the default bounds.
    #[must_use]
    pub fn new() -> Self {
        Self::with_options(PoolOptions::default())
    }

    /// A pool with these bounds, thread names and scheduling.
    #[must_use]
    pub fn with_options(options: PoolOptions) -> Self {
        Self {
            pool: Pool::new(options),
        }
    }

    /// What the pool is doing.
    #[must_use]
    pub fn status(&self) -> PoolStatus {
        self.pool.status()
    }

    /// Does anything else that may hang on `path` in a thread of the pool, as one request on it: reads
    /// the properties of its device, for example.
    pub fn run<T: Send + 'static>(
        &self,
        path: &Path,
        work: impl FnOnce() -> Result<T, IoError> + Send + 'static,
    ) -> Pending<T> {
        self.pool.lane(path).submit(work)
    }
}

impl Default for DirectIo {
    fn default() -> Self {
        Self::new()
    }
}

impl Storage for DirectIo {
    /// Opens with `O_RDWR | O_DIRECT | O_DSYNC`.
    ///
    /// The answer fails with [`IoError::Invalid`] for what is neither a regular file nor a block
    /// device, without having opened it, and with [`IoError::Os`] for what the kernel refuses.
    fn open(&self, path: &Path) -> Pending<Arc<dyn Disk>> {
        let lane = self.pool.lane(path);
        let (of_file, path) = (lane.clone(), path.to_owned());
        lane.submit(move || {
            let disk = open_disk(of_file, path)?;
            Ok(Arc::new(disk) as Arc<dyn Disk>)
        })
    }

    fn open_on_use(&self, path: &Path) -> Arc<dyn Disk> {
        Arc::new(OpenedOnUse {
            lane: self.pool.lane(path),
            path: path.to_owned(),
            disk: Arc::default(),
        })
    }
}

/// Opens a disk; blocks.
fn open_disk(lane: Lane, path: PathBuf) -> Result<DirectDisk, IoError> {
    let opened = open_direct(&path)?;
    let file = Arc::new(OpenFile {
        fd: Some(opened.fd),
        kind: opened.kind,
        lane,
        path,
    });
    Ok(DirectDisk {
        file,
        sector_size: opened.sector_size,
    })
}

/// A disk that its first request opens.
#[derive(Debug)]
struct OpenedOnUse {
    lane: Lane,
    path: PathBuf,
    disk: Arc<OnceLock<DirectDisk>>,
}

impl OpenedOnUse {
    /// Does `work` with the disk, which it opens first if nobody has.
    fn with_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&DirectDisk) -> Result<T, IoError> + Send + 'static,
    ) -> Pending<T> {
        let (disk, lane, path) = (Arc::clone(&self.disk), self.lane.clone(), self.path.clone());
        self.lane.submit(move || {
            if disk.get().is_none() {
                // Of two first requests both open; one of them for nothing.
                let _ = disk.set(open_disk(lane, path)?);
            }
            match disk.get() {
                Some(disk) => work(disk),
                None => Err(IoError::Invalid(
                    "a disk that was just opened is not open".to_owned(),
                )),
            }
        })
    }
}

impl Disk for OpenedOnUse {
    fn path(&self) -> &Path {
        &self.path
    }

    fn device_sector_size(&self) -> u32 {
        self.disk.get().map_or(512, |disk| disk.sector_size)
    }

    fn read(&self, offset: u64, len: usize) -> Pending<Buffer> {
        self.with_disk(move |disk| {
            check_whole_sectors(&disk.file.path, "read", disk.sector_size, offset, len)?;
            disk.file.read(offset, len)
        })
    }

    fn write(&self, offset: u64, data: Buffer) -> Pending<()> {
        self.with_disk(move |disk| {
            check_whole_sectors(
                &disk.file.path,
                "write",
                disk.sector_size,
                offset,
                data.len(),
            )?;
            disk.file.write(offset, &data)
        })
    }

    fn is_at_its_path(&self) -> Pending<bool> {
        match self.disk.get() {
            Some(disk) => disk.is_at_its_path(),
            None => self.with_disk(|disk| disk.file.is_at_its_path()),
        }
    }
}

/// A file descriptor that requests under way keep open.
#[derive(Debug)]
struct OpenFile {
    fd: Option<OwnedFd>,
    kind: Kind,
    lane: Lane,
    path: PathBuf,
}

impl Drop for OpenFile {
    /// Closing can hang as well (NFS, FUSE).
    fn drop(&mut self) {
        if let Some(fd) = self.fd.take() {
            self.lane.submit_unasked(move || drop(fd));
        }
    }
}

#[derive(Debug)]
struct DirectDisk {
    file: Arc<OpenFile>,
    sector_size: u32,
}

impl Disk for DirectDisk {
    fn path(&self) -> &Path {
        &self.file.path
    }

    fn device_sector_size(&self) -> u32 {
        self.sector_size
    }

    fn read(&self, offset: u64, len: usize) -> Pending<Buffer> {
        if let Err(error) = check_whole_sectors(self.path(), "read", self.sector_size, offset, len)
        {
            return Pending::new(async { Err(error) });
        }
        let file = Arc::clone(&self.file);
        self.file.lane.submit(move || file.read(offset, len))
    }

    fn write(&self, offset: u64, data: Buffer) -> Pending<()> {
        let len = data.len();
        if let Err(error) = check_whole_sectors(self.path(), "write", self.sector_size, offset, len)
        {
            return Pending::new(async { Err(error) });
        }
        let file = Arc::clone(&self.file);
        self.file.lane.submit(move || file.write(offset, &data))
    }

    fn is_at_its_path(&self) -> Pending<bool> {
        if self.file.kind == Kind::BlockDevice {
            return Pending::new(async { Ok(true) });
        }
        let file = Arc::clone(&self.file);
        self.file.lane.submit(move || file.is_at_its_path())
    }
}

impl OpenFile {
    fn read(&self, offset: u64, len: usize) -> Result<Buffer, IoError> {
        // Shown to nobody unless all of it was read.
        let mut buffer = Buffer::dirty(len);
        let got = self.transfer("read", offset, len, |fd, at| pread(fd, &mut buffer, at))?;
        self.check_complete("read", offset, got, len)?;
        Ok(buffer)
    }

    /// What was written in part is not continued: a sector is written at once or its writing failed.
    fn write(&self, offset: u64, data: &[u8]) -> Result<(), IoError> {
        let done = self.transfer("write", offset, data.len(), |fd, at| pwrite(fd, data, at))?;
        self.check_complete("write", offset, done, data.len())
    }

    fn is_at_its_path(&self) -> Result<bool, IoError> {
        match &self.fd {
            Some(fd) if self.kind == Kind::RegularFile => leads_to(&self.path, fd),
            _ => Ok(true),
        }
    }

    fn transfer(
        &self,
        verb: &str,
        offset: u64,
        len: usize,
        mut call: impl FnMut(&OwnedFd, libc::off_t) -> nix::Result<usize>,
    ) -> Result<usize, IoError> {
        let (Some(fd), Ok(at)) = (&self.fd, libc::off_t::try_from(offset)) else {
            return Err(IoError::Invalid(self.action(verb, offset, len)));
        };
        loop {
            match call(fd, at) {
                Ok(bytes) => return Ok(bytes),
                // Nothing was transferred.
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(self.failed(verb, offset, len, errno)),
            }
        }
    }

    fn check_complete(
        &self,
        verb: &str,
        offset: u64,
        got: usize,
        wanted: usize,
    ) -> Result<(), IoError> {
        if got == wanted {
            return Ok(());
        }
        Err(IoError::Short {
            action: self.action(verb, offset, wanted),
            got,
            wanted,
        })
    }

    fn failed(&self, verb: &str, offset: u64, len: usize, errno: Errno) -> IoError {
        let action = self.action(verb, offset, len);
        let in_4096 = offset % 4096 == 0 && len % 4096 == 0;
        if errno == Errno::EINVAL && self.kind == Kind::RegularFile && !in_4096 {
            return IoError::SectorTooSmall { action };
        }
        IoError::Os {
            action,
            errno: errno as i32,
        }
    }

    fn action(&self, verb: &str, offset: u64, len: usize) -> String {
        format!("{verb} {len} bytes at {offset} of {}", self.path.display())
    }
}
