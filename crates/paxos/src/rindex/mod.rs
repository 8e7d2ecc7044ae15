//! The resource index: which resource stands where behind it on the disk.
//!
//! The index takes one area, a resource lease of its own the next, the resources those behind. Entries
//! are added and deleted under that lease; looking something up takes none.

mod change;
mod lookup;
mod rebuild;
#[cfg(test)]
mod tests;

pub use change::{IndexMember, IndexOp, IndexUpdate, create, delete, update};
pub use lookup::{IndexQuery, lookup};
pub use rebuild::rebuild;

use std::time::Duration;

use ondisk::{
    Geometry, Name, RINDEX_LEASE_NAME, Rindex, RindexHeader, RindexSlot, SectorSize,
    init_rindex_area,
};
use storage::Buffer;

use crate::resource::{InitKind, ResourceLease, init as init_resource, write_first_sector_last};
use crate::{Area, Context, Error, LeaseName};

/// A resource index: where it stands, and of which lockspace it is.
#[derive(Debug, Clone)]
pub struct Index {
    /// The lockspace.
    pub space: Name,
    /// Where it stands.
    pub area: Area,
    /// The sector size with which its header is read: that of the lockspace, if that is known. The
    /// header tells the right one.
    pub sector_hint: Option<SectorSize>,
}

/// A resource of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedResource {
    /// Its name; empty for a free place.
    pub name: Name,
    /// Where on the disk it stands, in bytes.
    pub offset: u64,
}

/// An index that was read as a whole.
struct Loaded {
    header: RindexHeader,
    bytes: Buffer,
}

impl Index {
    /// The index at `area` of a lockspace.
    #[must_use]
    pub fn new(area: Area, space: Name) -> Self {
        Self {
            space,
            area,
            sector_hint: None,
        }
    }

    fn name(&self) -> LeaseName {
        LeaseName::Index { space: self.space }
    }

    fn boxed_name(&self) -> Box<LeaseName> {
        Box::new(self.name())
    }

    /// The internal lease that protects the index: the area behind it.
    fn lease(&self, geometry: Geometry) -> Result<ResourceLease, Error> {
        let offset = self.area.offset.checked_add(geometry.align.bytes() as u64);
        let name = Name::from_bytes(RINDEX_LEASE_NAME.as_bytes()).unwrap_or_default();
        Ok(self.resource(
            name,
            offset.ok_or_else(|| self.no_such_offset(u64::MAX))?,
            geometry,
        ))
    }

    fn resource(&self, name: Name, offset: u64, geometry: Geometry) -> ResourceLease {
        ResourceLease {
            space: self.space,
            name,
            areas: vec![self.area.at(offset)],
            geometry,
        }
    }

    fn no_such_offset(&self, offset: u64) -> Error {
        Error::IndexOffset {
            lease: self.boxed_name(),
            offset,
        }
    }

    async fn read_header(&self, ctx: &Context) -> Result<RindexHeader, Error> {
        let name = self.name();
        let len = self.sector_hint.unwrap_or(SectorSize::B4096).bytes();
        let sector = self
            .area
            .read(ctx, 0, len)
            .await
            .map_err(name.io(&self.area, "read its header"))?;
        let verified = RindexHeader::decode(&sector).and_then(|header| {
            header
                .verify(&self.space, self.area.offset)
                .map(|()| header)
        });
        verified.map_err(self.fault())
    }

    async fn read(&self, ctx: &Context, header: RindexHeader) -> Result<Loaded, Error> {
        let geometry = header.geometry().map_err(self.fault())?;
        let read = self.area.read(ctx, 0, geometry.align.bytes()).await;
        let bytes = read.map_err(self.name().io(&self.area, "read it"))?;
        Ok(Loaded { header, bytes })
    }

    fn fault(&self) -> impl FnOnce(ondisk::RindexFault) -> Error {
        let at = self.name().at(&self.area);
        move |fault| Error::Index {
            at,
            fault: Box::new(fault),
        }
    }

    fn view<'a>(&self, loaded: &'a Loaded) -> Result<Rindex<'a>, Error> {
        Rindex::new(&loaded.bytes, &loaded.header).map_err(self.fault())
    }

    /// The place of the entry for a resource at `offset`.
    fn slot_at(&self, view: &Rindex<'_>, offset: u64) -> Result<RindexSlot, Error> {
        view.slot_of_resource(offset)
            .ok_or_else(|| self.no_such_offset(offset))
    }
}

/// Makes an index without resources, and its internal lease; `timeout` is for each write.
///
/// `max_resources` 0 stands for 4096; more than there is room for become as many as there is.
///
/// # Errors
/// If it cannot be written.
pub async fn format(
    ctx: &Context,
    index: &Index,
    geometry: Geometry,
    max_resources: u32,
    timeout: Duration,
) -> Result<(), Error> {
    let mut whole = Buffer::zeroed(geometry.align.bytes());
    init_rindex_area(
        geometry,
        &index.space,
        max_resources,
        index.area.offset,
        &mut whole,
    )
    .map_err(|source| Error::Area {
        lease: index.boxed_name(),
        source,
    })?;
    let sector_len = geometry.sector.bytes();
    let (area, name) = (&index.area, index.name());
    write_first_sector_last(ctx, area, &name, &whole, sector_len, timeout).await?;
    let lease = index.lease(geometry)?;
    init_resource(ctx, &lease, InitKind::Free, 0, timeout).await
}
