//! Adding, deleting and correcting entries of an index.

use std::time::Duration;

use ondisk::{Name, RindexEntry, RindexSlot};
use storage::Buffer;

use super::{Index, IndexedResource, Loaded};
use crate::resource::{
    AcquireOptions, Held, InitKind, Member, Undo, acquire_owner, init as init_resource,
    release_leader_first,
};
use crate::{AcquireError, Cancel, Context, Error, Liveness};

/// Who changes an index: a member of its lockspace.
#[derive(Clone, Copy)]
pub struct IndexMember<'a> {
    /// Who we are.
    pub us: Member,
    /// What we know of the other hosts.
    pub liveness: &'a dyn Liveness,
}

/// What came of a change, and what has to be taken back in the index's internal lease.
#[derive(Debug)]
pub struct IndexOp<T> {
    /// The result.
    pub result: Result<T, Error>,
    /// To be given to [`undo`](crate::undo): the internal lease could not be released.
    pub undo: Option<Box<Undo>>,
}

impl<T> From<Error> for IndexOp<T> {
    fn from(error: Error) -> Self {
        Self {
            result: Err(error),
            undo: None,
        }
    }
}

/// Takes the internal lease, without waiting for a silent owner's death.
pub(super) async fn lock(
    ctx: &Context,
    index: &Index,
    geometry: ondisk::Geometry,
    member: IndexMember<'_>,
) -> Result<Held, AcquireError> {
    let lease = index.lease(geometry)?;
    let options = AcquireOptions {
        no_wait: true,
        ..AcquireOptions::default()
    };
    let IndexMember { us, liveness } = member;
    let acquired = acquire_owner(ctx, &lease, us, liveness, &options, &Cancel::new()).await;
    match acquired {
        Ok(acquired) => Ok(acquired.held),
        Err(AcquireError {
            error,
            undo: Some(mut undo),
        }) => {
            let undone = crate::undo(ctx, &mut undo).await;
            Err(AcquireError {
                error,
                undo: undone.is_err().then_some(undo),
            })
        }
        Err(error) => Err(error),
    }
}

/// Gives the internal lease up again and adds what could not be done to the result.
///
/// Not before all that was written to the index and the resources behind it has come back: what lands later
/// would replace what the next holder of the lease writes there, or make anew a lease that is held by then.
pub(super) async fn unlock<T>(ctx: &Context, held: &Held, result: Result<T, Error>) -> IndexOp<T> {
    let released = match held.lease.settle_disks(ctx).await {
        Ok(()) => release_leader_first(ctx, held).await,
        Err(error) => Err(error),
    };
    match released {
        Ok(()) => IndexOp { result, undo: None },
        Err(error) => {
            tracing::error!(%error, "the index's internal lease could not be released");
            IndexOp {
                result,
                undo: Some(Undo::of(held).guarding_disk()),
            }
        }
    }
}

impl<T> From<AcquireError> for IndexOp<T> {
    fn from(AcquireError { error, undo }: AcquireError) -> Self {
        Self {
            result: Err(error),
            undo,
        }
    }
}

/// Makes a resource in the first free place of the index, and returns where that is.
///
/// `num_hosts` and `timeout` as for [`init`](crate::resource::init). That the name is not in the index
/// already is not checked.
pub async fn create(
    ctx: &Context,
    index: &Index,
    member: IndexMember<'_>,
    name: &Name,
    num_hosts: u64,
    timeout: Duration,
) -> IndexOp<u64> {
    let held = match begin(ctx, index, member).await {
        Ok(held) => held,
        Err(error) => return error.into(),
    };
    let result = create_locked(ctx, index, &held, name, num_hosts, timeout).await;
    unlock(ctx, &held, result).await
}

/// Reads the header and takes the internal lease.
async fn begin(
    ctx: &Context,
    index: &Index,
    member: IndexMember<'_>,
) -> Result<Held, AcquireError> {
    let header = index.read_header(ctx).await?;
    let geometry = header.geometry().map_err(index.fault())?;
    lock(ctx, index, geometry, member).await
}

async fn create_locked(
    ctx: &Context,
    index: &Index,
    held: &Held,
    name: &Name,
    num_hosts: u64,
    timeout: Duration,
) -> Result<u64, Error> {
    let header = index.read_header(ctx).await?;
    let loaded = index.read(ctx, header).await?;
    let free = index.view(&loaded)?.first_free();
    let slot = free.ok_or_else(|| Error::NotInIndex {
        lease: index.boxed_name(),
        name: None,
    })?;
    // The lease comes first: an entry never points to nothing.
    let lease = index.resource(*name, slot.res_offset, held.lease.geometry);
    init_resource(ctx, &lease, InitKind::Free, num_hosts, timeout).await?;
    let entry = RindexEntry {
        res_offset: slot.res_offset,
        name: *name,
        ..RindexEntry::default()
    };
    write_entry(ctx, index, &loaded, slot, entry).await?;
    Ok(slot.res_offset)
}

/// Takes the resource with this name out of the index and marks its lease as removed.
///
/// `timeout` as for [`init`](crate::resource::init).
pub async fn delete(
    ctx: &Context,
    index: &Index,
    member: IndexMember<'_>,
    name: &Name,
    timeout: Duration,
) -> IndexOp<()> {
    let held = match begin(ctx, index, member).await {
        Ok(held) => held,
        Err(error) => return error.into(),
    };
    let result = delete_locked(ctx, index, &held, name, timeout).await;
    unlock(ctx, &held, result).await
}

async fn delete_locked(
    ctx: &Context,
    index: &Index,
    held: &Held,
    name: &Name,
    timeout: Duration,
) -> Result<(), Error> {
    let header = index.read_header(ctx).await?;
    let loaded = index.read(ctx, header).await?;
    let found = index.view(&loaded)?.find(name);
    let slot = found.ok_or_else(|| {
        let name = Some(Box::new(*name));
        Error::NotInIndex {
            lease: index.boxed_name(),
            name,
        }
    })?;
    write_entry(ctx, index, &loaded, slot, RindexEntry::default()).await?;
    let lease = index.resource(*name, slot.res_offset, held.lease.geometry);
    init_resource(ctx, &lease, InitKind::Cleared, 0, timeout).await
}

/// How to correct an entry by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexUpdate {
    /// A resource with this name stands at this byte of the disk.
    Add(Name, u64),
    /// No resource stands at this byte of the disk.
    Remove(u64),
}

/// Corrects an entry; the resources themselves are not looked at, nor is the internal lease taken.
///
/// # Errors
/// If the index cannot be read or written, or no resource can be at the place.
pub async fn update(
    ctx: &Context,
    index: &Index,
    update: IndexUpdate,
) -> Result<IndexedResource, Error> {
    let header = index.read_header(ctx).await?;
    let loaded = index.read(ctx, header).await?;
    let (offset, name) = match update {
        IndexUpdate::Add(name, offset) => (offset, name),
        IndexUpdate::Remove(offset) => (offset, Name::EMPTY),
    };
    let slot = index.slot_at(&index.view(&loaded)?, offset)?;
    let (entry, result) = if name.is_empty() {
        (RindexEntry::default(), IndexedResource { name, offset: 0 })
    } else {
        let entry = RindexEntry {
            res_offset: offset,
            name,
            ..RindexEntry::default()
        };
        (entry, IndexedResource { name, offset })
    };
    write_entry(ctx, index, &loaded, slot, entry).await?;
    Ok(result)
}

/// Writes the sector with one entry, the others as they were read.
async fn write_entry(
    ctx: &Context,
    index: &Index,
    loaded: &Loaded,
    slot: RindexSlot,
    entry: RindexEntry,
) -> Result<(), Error> {
    let sector_len = loaded
        .header
        .geometry()
        .map_err(index.fault())?
        .sector
        .bytes();
    let start = slot.entry_offset - slot.entry_offset % sector_len;
    let sector = loaded
        .bytes
        .get(start..start.saturating_add(sector_len))
        .unwrap_or_default();
    let mut sector = Buffer::copy_of(sector);
    if let Some(place) = sector.get_mut(slot.entry_offset - start..) {
        entry.encode(place);
    }
    let written = index.area.write(ctx, start as u64, sector).await;
    written.map_err(index.name().io(&index.area, "write an entry"))
}
