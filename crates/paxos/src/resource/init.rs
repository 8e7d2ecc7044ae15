//! Making a resource lease, or marking it as removed.

use std::time::Duration;

use storage::Buffer;

use super::ResourceLease;
use crate::env::planted;
use crate::{Area, Context, Error, LeaseName};

/// What to make of an area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitKind {
    /// A lease that nobody owns.
    Free,
    /// The mark of a resource that was removed.
    Cleared,
}

/// Makes a lease that nobody owns, or the mark of one that was removed, on all its disks.
///
/// `num_hosts` is for how many hosts' dblocks ballots look at: 0, and any above the most there is room
/// for, stands for all. `timeout` is for each write. The leader is written last: before that nobody takes
/// the area for a lease, and no old dblocks stand behind a new leader.
///
/// # Errors
/// If it cannot be written.
pub async fn init(
    ctx: &Context,
    lease: &ResourceLease,
    kind: InitKind,
    num_hosts: u64,
    timeout: Duration,
) -> Result<(), Error> {
    let name = lease.lease_name();
    let cleared = (kind == InitKind::Cleared).then(|| ctx.now());
    let mut whole = Buffer::zeroed(lease.geometry.align.bytes());
    ondisk::init_resource_area(
        lease.geometry,
        &lease.space,
        &lease.name,
        num_hosts,
        cleared,
        &mut whole,
    )
    .map_err(|source| Error::Area {
        lease: lease.boxed_name(),
        source,
    })?;
    for area in &lease.areas {
        write_first_sector_last(ctx, area, &name, &whole, lease.sector_len(), timeout).await?;
    }
    Ok(())
}

/// Writes a whole area in such an order that its first sector, which makes it valid, is written last.
pub(crate) async fn write_first_sector_last(
    ctx: &Context,
    area: &Area,
    name: &LeaseName,
    whole: &[u8],
    sector_len: usize,
    timeout: Duration,
) -> Result<(), Error> {
    // The device may have larger sectors than the lease: only whole ones can be written.
    let device = usize::try_from(area.disk.device_sector_size()).unwrap_or(sector_len);
    let first_len = sector_len.max(device).min(whole.len());
    let mut body = Buffer::copy_of(whole);
    let first = Buffer::copy_of(whole.get(..first_len).unwrap_or_default());
    if planted!(ctx, TornInit) {
        return area
            .write_within(ctx, 0, body, timeout)
            .await
            .map_err(name.io(area, "initialise it"));
    }
    if let Some(start) = body.get_mut(..first_len) {
        start.fill(0);
    }
    area.write_within(ctx, 0, body, timeout)
        .await
        .map_err(name.io(area, "initialise it"))?;
    area.write_within(ctx, 0, first, timeout)
        .await
        .map_err(name.io(area, "make it valid"))
}
