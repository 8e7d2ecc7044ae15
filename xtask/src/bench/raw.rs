//! The bare input and output of the lease algorithm, without a lease: the floor below every daemon.
//!
//! An acquire reads the beginning of the lease, then twice writes its own block and reads all hosts' blocks, then
//! writes the leader; a shared one adds its mark and frees the leader. All with O_DIRECT and O_DSYNC, one after the
//! other, as the daemons do it; but the C program's first read is of the whole lease, too.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::fcntl::OFlag;
use storage::Buffer;

use super::lane::Lane;
use super::space::AREA;

const SECTOR: usize = 512;
/// What an acquire of a free lease reads at first.
const BEGINNING: usize = 128 * SECTOR;

#[derive(Clone, Copy, Debug)]
enum Step {
    ReadBeginning,
    ReadLease,
    ReadSector,
    WriteSector,
}

use Step::{ReadBeginning, ReadLease, ReadSector, WriteSector};

const ACQUIRE: &[Step] = &[
    ReadBeginning,
    WriteSector,
    ReadLease,
    WriteSector,
    ReadLease,
    WriteSector,
];
const RELEASE: &[Step] = &[WriteSector, ReadSector, WriteSector];
const ACQUIRE_SHARED: &[Step] = &[
    ReadBeginning,
    WriteSector,
    ReadLease,
    WriteSector,
    ReadLease,
    WriteSector,
    WriteSector,
    ReadSector,
    WriteSector,
];
const RELEASE_SHARED: &[Step] = &[WriteSector];

/// One lease-sized part of a file, as one client would use it.
pub(super) struct RawLane {
    file: File,
    offset: u64,
    lease: Buffer,
    sector: Buffer,
    shared: bool,
    /// What each request takes longer.
    delay: Duration,
}

impl RawLane {
    /// Creates or extends the file as needed.
    pub(super) fn new(path: &Path, index: usize, shared: bool) -> Result<RawLane> {
        let file = open(path)?;
        let offset = u64::try_from(index).unwrap_or(0) * AREA;
        // The daemon's own memory: a large page makes a large read one request, which is much faster.
        let lease = Buffer::zeroed(usize::try_from(AREA).context("a lease is too large")?);
        let sector = Buffer::zeroed(SECTOR);
        let size = file
            .metadata()
            .context("cannot tell the file's size")?
            .len();
        if size < offset + AREA {
            file.write_all_at(&lease, offset)
                .context("cannot extend the file")?;
        }
        Ok(RawLane {
            file,
            offset,
            lease,
            sector,
            shared,
            delay: Duration::ZERO,
        })
    }

    /// The same with so much more for each request.
    pub(super) fn slower_by(self, delay: Duration) -> RawLane {
        RawLane { delay, ..self }
    }

    /// Goes on with another file, which has a lease at the same place.
    pub(super) fn move_to(&mut self, path: &Path) -> Result<()> {
        self.file = open(path)?;
        Ok(())
    }

    fn run(&mut self, steps: &[Step]) -> Result<()> {
        for step in steps {
            thread::sleep(self.delay);
            let done = match step {
                ReadBeginning => self
                    .file
                    .read_exact_at(&mut self.lease[..BEGINNING], self.offset),
                ReadLease => self.file.read_exact_at(&mut self.lease, self.offset),
                ReadSector => self.file.read_exact_at(&mut self.sector, self.offset),
                WriteSector => self.file.write_all_at(&self.sector, self.offset),
            };
            done.context("bare input and output failed")?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags((OFlag::O_DIRECT | OFlag::O_DSYNC).bits())
        .open(path)
        .with_context(|| format!("cannot open {} with O_DIRECT", path.display()))
}

/// Whether files in `dir` can be opened as leases are.
pub(super) fn takes_direct_io(dir: &Path) -> bool {
    let path = dir.join("direct");
    let opened = open(&path).is_ok();
    opened && std::fs::remove_file(path).is_ok()
}

impl Lane for RawLane {
    fn acquire(&mut self) -> Result<()> {
        self.run(if self.shared { ACQUIRE_SHARED } else { ACQUIRE })
    }

    fn release(&mut self) -> Result<()> {
        self.run(if self.shared { RELEASE_SHARED } else { RELEASE })
    }
}

/// Several at the same time, as one request for several leases could be served.
pub(super) struct RawLanes(pub(super) Vec<RawLane>);

impl RawLanes {
    fn all(&mut self, work: fn(&mut RawLane) -> Result<()>) -> Result<()> {
        thread::scope(|scope| {
            let running: Vec<_> = self
                .0
                .iter_mut()
                .map(|lane| scope.spawn(move || work(lane)))
                .collect();
            running.into_iter().try_for_each(|thread| {
                thread.join().map_err(|_| anyhow!("a thread ended early"))?
            })
        })
    }
}

impl Lane for RawLanes {
    fn acquire(&mut self) -> Result<()> {
        self.all(RawLane::acquire)
    }

    fn release(&mut self) -> Result<()> {
        self.all(RawLane::release)
    }
}
