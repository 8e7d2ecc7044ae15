//! The disk that the machines share, read from outside: what it shows is what happened, whatever the
//! daemons say.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ondisk::{AlignSize, Geometry, HostId, Leader, SectorSize};

/// Where the resource's lease begins; the lockspace is at the disk's beginning.
pub(crate) const RESOURCE_OFFSET: u64 = 1 << 20;

/// Room for both.
const SIZE: u64 = 4 << 20;

/// In sectors of 512 bytes, as device mapper counts.
pub(crate) const SECTORS: u64 = SIZE / 512;

/// How often the disk is looked at: times are known this well.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A host id's renewal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renewal {
    /// By the clock of the host that made it, in whole seconds; its expiry counts from this.
    pub(crate) timestamp: u64,
    /// When it was seen here.
    pub(crate) seen: Instant,
}

/// An owner of the lease; `None` is nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) host: Option<HostId>,
    pub(crate) seen: Instant,
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    renewals: [Vec<Renewal>; 2],
    owners: Vec<Owner>,
}

/// The disk, and a thread that looks at it until this is dropped.
pub(crate) struct Disk {
    path: PathBuf,
    seen: Arc<Mutex<Seen>>,
}

impl Disk {
    pub(crate) fn new(dir: &Path) -> Result<Disk> {
        let path = dir.join("disk");
        let about = || format!("cannot create {}", path.display());
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .with_context(about)?;
        file.set_len(SIZE).with_context(about)?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let weak = Arc::downgrade(&seen);
        std::thread::spawn(move || {
            while let Some(seen) = weak.upgrade() {
                look(&file, &mut locked(&seen));
                drop(seen);
                std::thread::sleep(LOOK_EVERY);
            }
        });
        Ok(Disk { path, seen })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A host's last renewal.
    pub(crate) fn last_renewal(&self, host: HostId) -> Option<Renewal> {
        locked(&self.seen)
            .renewals
            .get(slot(host)?)?
            .last()
            .copied()
    }

    /// When the lease got this owner after that time.
    pub(crate) fn owned_since(&self, host: Option<HostId>, after: Instant) -> Option<Instant> {
        let seen = locked(&self.seen);
        let mut owners = seen.owners.iter();
        owners
            .find(|owner| owner.host == host && owner.seen > after)
            .map(|owner| owner.seen)
    }
}

fn look(file: &File, seen: &mut Seen) {
    let Some(geometry) = Geometry::new(SectorSize::B512, AlignSize::M1) else {
        return;
    };
    for host in [HostId(1), HostId(2)] {
        let leader = geometry
            .delta_offset(host)
            .and_then(|offset| leader(file, offset));
        let (Some(leader), Some(slot)) = (leader, slot(host)) else {
            continue;
        };
        let Some(renewals) = seen.renewals.get_mut(slot) else {
            continue;
        };
        let timestamp = leader.timestamp.0;
        // Zero: the host id is free.
        if timestamp != 0
            && renewals
                .last()
                .is_none_or(|last| last.timestamp != timestamp)
        {
            renewals.push(Renewal {
                timestamp,
                seen: Instant::now(),
            });
        }
    }
    if let Some(leader) = leader(file, RESOURCE_OFFSET) {
        let host = leader.is_owned().then_some(leader.owner_id);
        if seen.owners.last().is_none_or(|last| last.host != host) {
            let seen_at = Instant::now();
            seen.owners.push(Owner {
                host,
                seen: seen_at,
            });
        }
    }
}

/// The leader in the sector, if there is a whole one.
fn leader(file: &File, offset: u64) -> Option<Leader> {
    let mut sector = [0; 512];
    file.read_exact_at(&mut sector, offset).ok()?;
    let decoded = Leader::decode(&sector).ok()?;
    decoded.verify_checksum().ok()?;
    Some(decoded.record)
}

fn slot(host: HostId) -> Option<usize> {
    usize::try_from(host.0).ok()?.checked_sub(1)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
