//! A disk shared by simulated hosts, with faults, on tokio's clock.
//!
//! There is one store of sectors; each host reaches it through a [`Storage`] of its own, and what goes
//! wrong is set per host, or per host and path, at any time ([`Faults`]). A single sector is atomic. A
//! larger request may be torn. Reads are never stale: what landed is seen by everybody at once.
//!
//! Everything follows from the seed and the order of calls: there are no threads, and the only clock is
//! tokio's. Run it on a current-thread runtime that was started with its clock paused.

mod faults;
mod file;
mod random;
#[cfg(test)]
mod tests;
mod world;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

pub use faults::{Counts, Faults, RequestFaults};
use file::File;
use world::{Done, Progress, Sent, Work, World};

use crate::request::check_whole_sectors;
use crate::{Buffer, Disk, IoError, Pending, Storage};

/// Which simulated host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostLabel(pub u32);

impl fmt::Display for HostLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host {}", self.0)
    }
}

/// A write, or a part of one, that reached the disk.
#[derive(Debug)]
pub struct Landed<'a> {
    /// When, exactly: it may be noticed later.
    pub at: Instant,
    /// When it was sent.
    pub sent_at: Instant,
    /// Whose it was.
    pub host: HostLabel,
    /// Where.
    pub path: &'a Path,
    /// In bytes from the start of the file.
    pub offset: u64,
    /// Whole sectors.
    pub data: &'a [u8],
}

/// A read that a host has sent.
#[derive(Debug)]
pub struct Reads<'a> {
    /// Whose it is.
    pub host: HostLabel,
    /// Where.
    pub path: &'a Path,
    /// In bytes from the start of the file.
    pub offset: u64,
    /// In bytes.
    pub len: usize,
}

/// The storage that all simulated hosts share.
#[derive(Clone)]
pub struct SimStorage(Arc<Shared>);

struct Shared {
    world: Mutex<World>,
    /// Wakes those who wait for a hung request.
    released: Notify,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimStorage {
    /// Empty storage; the same seed and calls give the same run.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let world = Mutex::new(World::new(seed));
        Self(Arc::new(Shared {
            world,
            released: Notify::new(),
        }))
    }

    /// Makes a regular file of `len` zero bytes, in place of what was there: 512-byte sectors, and it
    /// grows when written beyond its end.
    pub fn create_file(&self, path: &Path, len: usize) {
        self.0.world().put_file(
            path,
            File {
                bytes: vec![0; len],
                sector_size: 512,
                grows: true,
            },
        );
    }

    /// Makes a block device of `len` zero bytes and the given logical sector size (512 or 4096), in
    /// place of what was there.
    pub fn create_device(&self, path: &Path, len: usize, sector_size: u32) {
        self.0.world().put_file(
            path,
            File {
                bytes: vec![0; len],
                sector_size,
                grows: false,
            },
        );
    }

    /// Takes a file or device away: requests under way on it fail with `ESTALE`.
    pub fn remove(&self, path: &Path) {
        self.0.world().remove_file(path);
    }

    /// The storage as this host sees it from now until its next crash.
    #[must_use]
    pub fn host(&self, label: HostLabel) -> Arc<dyn Storage> {
        Arc::new(self.link(label))
    }

    /// As [`SimStorage::host`], with the type's name.
    #[must_use]
    pub fn link(&self, host: HostLabel) -> HostLink {
        let incarnation = self.0.world().incarnation(host);
        HostLink {
            shared: Arc::clone(&self.0),
            host,
            incarnation,
        }
    }

    /// What goes wrong with the host's requests from now on.
    pub fn set_faults(&self, host: HostLabel, faults: Faults) {
        self.0.world().set_faults(host, faults);
    }

    /// The same for one path only, before what [`SimStorage::set_faults`] says; `None` takes it back.
    pub fn set_path_faults(&self, host: HostLabel, path: &Path, faults: Option<Faults>) {
        self.0.world().set_path_faults(host, path, faults);
    }

    /// Lets the host's hung requests go on: they are done and answered like newly sent ones.
    pub fn release_hung(&self, host: HostLabel) {
        self.0.world().release_hung(host);
        self.0.released.notify_waiters();
    }

    /// Has the host's hung requests answered with `EIO` without being done.
    pub fn fail_hung(&self, host: HostLabel) {
        self.0.world().fail_hung(host);
        self.0.released.notify_waiters();
    }

    /// The host stops at this moment. Its requests are never answered, and its writes under way land
    /// within [`Faults::lands_after_crash`], in part or never. Its old [`Storage`] is dead; a restarted
    /// host takes a new one.
    pub fn crash(&self, host: HostLabel) {
        self.0.world().crash(host);
        self.0.released.notify_waiters();
    }

    /// How many requests of the host have not been answered.
    #[must_use]
    pub fn under_way(&self, host: HostLabel) -> usize {
        self.0.world().under_way(host)
    }

    /// What was done to the host's requests so far.
    #[must_use]
    pub fn counts(&self, host: HostLabel) -> Counts {
        self.0.world().counts(host)
    }

    /// What is on the disk now; nothing for a path that does not exist.
    #[must_use]
    pub fn snapshot(&self, path: &Path) -> Vec<u8> {
        self.0
            .world()
            .file(path)
            .map(|file| file.bytes.clone())
            .unwrap_or_default()
    }

    /// `len` bytes of what is on the disk now, fewer at its end.
    #[must_use]
    pub fn read_raw(&self, path: &Path, offset: usize, len: usize) -> Vec<u8> {
        let mut world = self.0.world();
        let bytes = world
            .file(path)
            .map(|file| file.bytes.iter().skip(offset).take(len));
        bytes.into_iter().flatten().copied().collect()
    }

    /// Puts bytes on the disk at once, as no host could. What is beyond the end is left out.
    pub fn write_raw(&self, path: &Path, offset: usize, data: &[u8]) {
        if let Some(file) = self.0.world().file(path) {
            for (to, from) in file.bytes.iter_mut().skip(offset).zip(data) {
                *to = *from;
            }
        }
    }

    /// Has `observer` told of every write that lands, in the order of landing. It must not call back.
    ///
    /// Landing is noticed when somebody next looks at the storage ([`SimStorage::settle`] does).
    pub fn observe(&self, observer: impl FnMut(&Landed<'_>) + Send + 'static) {
        self.0.world().observer = Some(Box::new(observer));
    }

    /// Has `observer` told of every read that is sent. It must not call back.
    pub fn observe_reads(&self, observer: impl FnMut(&Reads<'_>) + Send + 'static) {
        self.0.world().read_observer = Some(Box::new(observer));
    }

    /// Lets everything be seen that has happened until now.
    pub fn settle(&self) {
        self.0.world().settle();
    }
}

impl fmt::Debug for SimStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimStorage")
    }
}

/// One host's way to the shared storage.
#[derive(Clone)]
pub struct HostLink {
    shared: Arc<Shared>,
    host: HostLabel,
    incarnation: u64,
}

impl HostLink {
    /// Sends a request now and returns what waits for its answer.
    fn send(
        &self,
        path: &Path,
        work: Work,
    ) -> impl Future<Output = Result<Done, IoError>> + Send + 'static {
        let sent = self
            .shared
            .world()
            .send(self.host, self.incarnation, path, work);
        let waiting = match sent {
            Sent::Request(number) => Ok(Some(Waiting {
                shared: Arc::clone(&self.shared),
                number,
            })),
            Sent::HostCrashed => Ok(None),
            Sent::Refused(error) => Err(error),
        };
        async move {
            match waiting? {
                Some(waiting) => waiting.answer().await,
                None => std::future::pending().await,
            }
        }
    }
}

impl Storage for HostLink {
    fn open(&self, path: &Path) -> Pending<Arc<dyn Disk>> {
        let opened = self.send(path, Work::Open);
        let (link, path) = (self.clone(), path.to_owned());
        Pending::new(async move {
            match opened.await? {
                Done::Opened { sector_size } => Ok(Arc::new(SimDisk {
                    link,
                    path,
                    sector_size,
                }) as Arc<dyn Disk>),
                _ => Err(wrong_answer()),
            }
        })
    }

    fn open_on_use(&self, path: &Path) -> Arc<dyn Disk> {
        Arc::new(OpenedOnUse {
            link: self.clone(),
            path: path.to_owned(),
            disk: Arc::default(),
        })
    }
}

/// A disk that its first request opens.
#[derive(Debug)]
struct OpenedOnUse {
    link: HostLink,
    path: PathBuf,
    disk: Arc<OnceLock<Arc<dyn Disk>>>,
}

impl OpenedOnUse {
    fn with_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Disk) -> Pending<T> + Send + 'static,
    ) -> Pending<T> {
        if let Some(disk) = self.disk.get() {
            return work(disk.as_ref());
        }
        let (opening, disk) = (self.link.open(&self.path), Arc::clone(&self.disk));
        Pending::new(async move {
            let opened = opening.await?;
            let pending = work(disk.get_or_init(|| opened).as_ref());
            pending.await
        })
    }
}

impl Disk for OpenedOnUse {
    fn path(&self) -> &Path {
        &self.path
    }

    fn device_sector_size(&self) -> u32 {
        self.disk
            .get()
            .map_or(512, |disk| disk.device_sector_size())
    }

    fn read(&self, offset: u64, len: usize) -> Pending<Buffer> {
        self.with_disk(move |disk| disk.read(offset, len))
    }

    fn write(&self, offset: u64, data: Buffer) -> Pending<()> {
        self.with_disk(move |disk| disk.write(offset, data))
    }
}

impl fmt::Debug for HostLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostLink({})", self.host)
    }
}

/// A file or device of the shared storage, opened by one host.
#[derive(Debug)]
pub struct SimDisk {
    link: HostLink,
    path: PathBuf,
    sector_size: u32,
}

impl Disk for SimDisk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn device_sector_size(&self) -> u32 {
        self.sector_size
    }

    fn read(&self, offset: u64, len: usize) -> Pending<Buffer> {
        if let Err(error) = check_whole_sectors(&self.path, "read", self.sector_size, offset, len) {
            return Pending::new(async { Err(error) });
        }
        let read = self.link.send(
            &self.path,
            Work::Read {
                offset,
                into: Buffer::dirty(len),
            },
        );
        Pending::new(async move {
            match read.await? {
                Done::Read(buffer) => Ok(buffer),
                _ => Err(wrong_answer()),
            }
        })
    }

    fn write(&self, offset: u64, data: Buffer) -> Pending<()> {
        let len = data.len();
        if let Err(error) = check_whole_sectors(&self.path, "write", self.sector_size, offset, len)
        {
            return Pending::new(async { Err(error) });
        }
        let write = self.link.send(&self.path, Work::Write { offset, data });
        Pending::new(async move {
            match write.await? {
                Done::Written => Ok(()),
                _ => Err(wrong_answer()),
            }
        })
    }
}

fn wrong_answer() -> IoError {
    IoError::Invalid("the simulation answered another request".to_owned())
}

/// Waits for one request; dropping it abandons the request.
struct Waiting {
    shared: Arc<Shared>,
    number: u64,
}

impl Waiting {
    async fn answer(self) -> Result<Done, IoError> {
        loop {
            // Made before looking, so that a release in between is not missed.
            let released = self.shared.released.notified();
            let progress = self.shared.world().progress(self.number);
            match progress {
                Progress::Answered(result) => return result,
                Progress::DueAt(due) => tokio::time::sleep_until(due).await,
                Progress::Hangs => released.await,
                Progress::Never => std::future::pending().await,
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shared.world().abandon(self.number);
    }
}
