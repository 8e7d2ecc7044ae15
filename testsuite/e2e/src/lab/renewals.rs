//! Renewals of host ids, read from the shared lockspace: what it shows is what happened, whatever daemons say.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use ondisk::{AlignSize, Geometry, HostId, Leader, SectorSize};

/// How often it is looked at: times are known this well.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A host's last renewal: its own timestamp, and when it was seen.
type Last = Arc<Mutex<Option<(u64, Instant)>>>;

/// A thread that looks at a host id until this is dropped.
pub(crate) struct Renewals {
    last: Last,
}

impl Renewals {
    pub(super) fn of(shared: &Path, host: HostId) -> Renewals {
        let file = shared.join("leases/__LIBVIRT__DISKS__");
        let last = Last::default();
        let weak = Arc::downgrade(&last);
        std::thread::spawn(move || {
            while let Some(last) = weak.upgrade() {
                if let Some(timestamp) = timestamp(&file, host) {
                    let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                    if last.is_none_or(|(known, _)| known != timestamp) {
                        *last = Some((timestamp, Instant::now()));
                    }
                }
                drop(last);
                std::thread::sleep(LOOK_EVERY);
            }
        });
        Renewals { last }
    }

    /// When the last one was seen.
    pub(crate) fn last(&self) -> Result<Instant> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, seen) = last.context("no renewal was seen")?;
        Ok(seen)
    }
}

/// Nothing, if the id is free.
fn timestamp(path: &PathBuf, host: HostId) -> Option<u64> {
    let geometry = Geometry::new(SectorSize::B512, AlignSize::M1)?;
    let file = File::open(path).ok()?;
    let mut sector = [0; 512];
    file.read_exact_at(&mut sector, geometry.delta_offset(host)?)
        .ok()?;
    let decoded = Leader::decode(&sector).ok()?;
    decoded.verify_checksum().ok()?;
    Some(decoded.record.timestamp.0).filter(|timestamp| *timestamp != 0)
}
