//! A host's sector of a resource: its dblock and mode block.

use futures_util::future::join_all;
use ondisk::{Dblock, DblockFault, DblockSector, Generation, HostId, ModeBlock};
use storage::{Buffer, IoError};

use super::{Member, ResourceLease, is_majority, leader};
use crate::{Context, Error};

/// What is written into a host's sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HostBlock {
    pub(super) dblock: Option<Dblock>,
    /// The generation that holds the lease shared.
    pub(super) shared: Option<Generation>,
}

impl HostBlock {
    /// Nothing at all: neither a ballot nor a shared hold.
    pub(super) const BLANK: Self = Self {
        dblock: None,
        shared: None,
    };

    /// What says that we hold the lease shared, while the leader still says that we own it.
    pub(super) fn marked(dblock: &Dblock, generation: Generation) -> Self {
        Self {
            dblock: Some(*dblock),
            shared: Some(generation),
        }
    }

    /// What says that we have given the lease up, or hold it shared from now on.
    ///
    /// Others may be in the same ballot still: what we proposed and accepted in it stays.
    pub(super) fn released(dblock: &Dblock, shared: Option<Generation>) -> Self {
        let dblock = Dblock {
            flags: Dblock::RELEASED,
            ..*dblock
        };
        Self {
            dblock: Some(dblock),
            shared,
        }
    }

    pub(super) fn encode(self, len: usize) -> Buffer {
        let mut sector = Buffer::zeroed(len);
        if let Some(mut dblock) = self.dblock {
            dblock.encode(&mut sector);
        }
        if let Some(generation) = self.shared {
            ModeBlock::shared(generation).encode(&mut sector);
        }
        sector
    }
}

/// Writes a host's sector on all disks; unlike in a ballot, every one must have it.
///
/// All disks are tried even if one fails.
pub(super) async fn write(
    ctx: &Context,
    lease: &ResourceLease,
    host: HostId,
    block: HostBlock,
    action: &'static str,
) -> Result<(), Error> {
    let answers = try_to_write(ctx, lease, host, block).await?;
    for (area, answer) in lease.areas.iter().zip(answers) {
        answer.map_err(lease.lease_name().io(area, action))?;
    }
    Ok(())
}

/// Writes a host's sector on all disks that are there: most of them, and each that may come back.
pub(super) async fn write_where_possible(
    ctx: &Context,
    lease: &ResourceLease,
    host: HostId,
    block: HostBlock,
    action: &'static str,
) -> Result<(), Error> {
    let answers = try_to_write(ctx, lease, host, block).await?;
    for (area, answer) in lease.areas.iter().zip(&answers) {
        if let Err(error) = answer {
            if error.may_pass() {
                return Err(lease.lease_name().io(area, action)(error.clone()));
            }
        }
    }
    leader::most_written(lease, action, answers)
}

async fn try_to_write(
    ctx: &Context,
    lease: &ResourceLease,
    host: HostId,
    block: HostBlock,
) -> Result<Vec<Result<(), IoError>>, Error> {
    let offset = lease.host_offset(host)?;
    let writes = lease
        .areas
        .iter()
        .map(|area| area.write(ctx, offset, block.encode(lease.sector_len())));
    Ok(join_all(writes).await)
}

async fn read_sectors(
    ctx: &Context,
    lease: &ResourceLease,
    host: HostId,
) -> Result<Vec<Result<Buffer, IoError>>, Error> {
    let offset = lease.host_offset(host)?;
    let reads = lease
        .areas
        .iter()
        .map(|area| area.read(ctx, offset, lease.sector_len()));
    Ok(join_all(reads).await)
}

/// Whether a host's sector is other than empty on any disk.
pub(super) async fn is_touched(
    ctx: &Context,
    lease: &ResourceLease,
    host: HostId,
) -> Result<bool, Error> {
    let mut last_error = None;
    let sectors = read_sectors(ctx, lease, host).await?;
    for (area, answer) in lease.areas.iter().zip(sectors) {
        match answer {
            Ok(sector) if sector.iter().any(|byte| *byte != 0) => return Ok(true),
            Ok(_) => {}
            Err(error) => {
                let action = format!("read the sector of host {host}");
                last_error = Some(lease.lease_name().io(area, action)(error));
            }
        }
    }
    last_error.map_or(Ok(false), Err)
}

/// Reads a host's mode block; if disks differ, one that is shared.
pub(super) async fn read_mode(
    ctx: &Context,
    lease: &ResourceLease,
    host: HostId,
) -> Result<ModeBlock, Error> {
    let mut found = ModeBlock::default();
    let mut done = 0;
    let mut last_error = None;
    for (area, answer) in lease
        .areas
        .iter()
        .zip(read_sectors(ctx, lease, host).await?)
    {
        let action = || format!("read the mode block of host {host}");
        match answer {
            Ok(sector) => {
                let mode = mode_of(&sector).map_err(|fault| Error::Dblock {
                    at: lease.lease_name().at(area),
                    host,
                    fault,
                })?;
                done += 1;
                if mode.is_shared() {
                    found = mode;
                }
            }
            Err(error) => last_error = Some(lease.lease_name().io(area, action())(error)),
        }
    }
    match last_error.filter(|_| !is_majority(done, lease.areas.len())) {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

fn mode_of(sector: &[u8]) -> Result<ModeBlock, DblockFault> {
    DblockSector::new(sector).map(|records| records.mode_block())
}

/// Whether an owner's dblock says, on most disks, that it has released version `lver` of the lease.
///
/// A dblock of an older version says nothing about this one. One of a later version counts: the owner would
/// not be in a ballot for it if it still had this one. One that was wiped counts: the C program leaves it
/// so when it gives a lease up after an error.
pub(super) async fn owner_has_released(
    ctx: &Context,
    lease: &ResourceLease,
    owner: Member,
    lver: ondisk::Lver,
) -> Result<bool, Error> {
    let released = read_sectors(ctx, lease, owner.host)
        .await?
        .into_iter()
        .flatten();
    let released = released.filter(|sector| {
        let Ok(decoded) = Dblock::decode(sector) else {
            return false;
        };
        let dblock = decoded.record;
        let wiped = dblock.lver == ondisk::Lver(0);
        let released = dblock.is_released() && (wiped || dblock.lver == lver);
        decoded.verify().is_ok() && (released || dblock.lver > lver)
    });
    Ok(is_majority(released.count(), lease.areas.len()))
}
