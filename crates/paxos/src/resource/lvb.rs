//! The lease value block: a sector of the lease that belongs to its owner.

use storage::Buffer;

use super::ResourceLease;
use crate::{Area, Context, Error};

fn place(lease: &ResourceLease) -> Result<(&Area, u64), Error> {
    let outside = || Error::LvbOutside {
        lease: lease.boxed_name(),
        geometry: lease.geometry,
        offset: lease.geometry.lvb_offset(),
    };
    // Like the C program: on the first disk only.
    let area = lease
        .areas
        .first()
        .filter(|_| lease.geometry.lvb_fits())
        .ok_or_else(outside)?;
    Ok((area, lease.geometry.lvb_offset()))
}

/// Reads the lease value block: one sector.
///
/// # Errors
/// If it cannot be read, or [`Error::LvbOutside`] with sizes for which it would lie in another lease.
pub async fn read_lvb(ctx: &Context, lease: &ResourceLease) -> Result<Buffer, Error> {
    let (area, offset) = place(lease)?;
    let read = area.read(ctx, offset, lease.sector_len()).await;
    read.map_err(lease.lease_name().io(area, "read the lease value block"))
}

/// Writes the lease value block: exactly one sector.
///
/// # Errors
/// If it cannot be written or has another length, or [`Error::LvbOutside`] with sizes for which it would
/// damage another lease.
pub async fn write_lvb(ctx: &Context, lease: &ResourceLease, value: &[u8]) -> Result<(), Error> {
    let (area, offset) = place(lease)?;
    if value.len() != lease.sector_len() {
        let (lease, expected) = (lease.boxed_name(), lease.sector_len());
        return Err(Error::LvbLength {
            lease,
            len: value.len(),
            expected,
        });
    }
    let written = area.write(ctx, offset, Buffer::copy_of(value)).await;
    written.map_err(lease.lease_name().io(area, "write the lease value block"))
}
