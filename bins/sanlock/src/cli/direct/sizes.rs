//! Which sector and area sizes a place on disk has: told by options, or by the lease that is there.

use std::sync::Arc;

use ondisk::{AlignSize, Geometry, Leader, LeaseKind, SectorSize};
use storage::Disk;

use super::Run;
use super::fault::Fault;

/// Bytes read to learn the sizes: a sector of either size.
const LARGEST_SECTOR: usize = 4096;

/// -1: the original's answer where there is no lease that could tell its sizes.
const NO_LEASE: i32 = -1;

/// -225, SANLK_LEADER_SECTORSIZE.
const BAD_SIZES: i32 = -225;

impl Run<'_, '_> {
    /// The sizes of `-Z` and `-A`, if both are given.
    pub(super) fn given_sizes(&self) -> Option<Geometry> {
        let sector = SectorSize::from_bytes(u32::try_from(self.options.sector_size).ok()?)?;
        Geometry::new(sector, AlignSize::from_bytes(self.options.align_size)?)
    }

    /// The sizes given, or else those of the lease at `offset`.
    pub(super) fn sizes(&self, disk: &Arc<dyn Disk>, offset: u64) -> Result<Geometry, Fault> {
        match self.given_sizes() {
            Some(geometry) => Ok(geometry),
            None => self.found_sizes(disk, offset),
        }
    }

    /// The sizes of the lease at `offset`.
    fn found_sizes(&self, disk: &Arc<dyn Disk>, offset: u64) -> Result<Geometry, Fault> {
        let sector = self.read(disk, offset, LARGEST_SECTOR)?;
        let leader = Leader::decode(&sector)?.record;
        let place = || format!("{}:{offset}", disk.path().display());
        if ![LeaseKind::Delta.magic(), LeaseKind::Paxos.magic()].contains(&leader.magic) {
            let message = format!("no lease at {}, and not both -Z and -A were given", place());
            return Err(Fault::new(NO_LEASE, message));
        }
        leader.geometry().ok_or_else(|| {
            let Leader {
                sector_size, flags, ..
            } = leader;
            let message = format!(
                "the lease at {} claims sectors of {sector_size} bytes with flags {flags:#x}",
                place()
            );
            Fault::new(BAD_SIZES, message)
        })
    }
}
