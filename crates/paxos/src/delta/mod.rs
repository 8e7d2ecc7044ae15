//! Delta leases: a host's claim to its id in a lockspace.
//!
//! A lockspace has one sector for each host id. The host that has the id renews its sector's timestamp
//! all the time; whoever sees it change knows that the host lives. After Chockler and Malkhi,
//! "Light-Weight Leases for Storage-Centric Coordination", with sanlock's longer first wait: a host id
//! cannot change hands faster than a dead host's watchdog fires, so that its changing hands proves the
//! death of its former owner to those who wait for that host's resources.

mod acquire;
mod renew;
mod scan;
#[cfg(test)]
mod tests;

pub use acquire::Namesake;
pub use renew::{HostEvent, Renewal, RenewalPolicy, Renewed, Renewer};
pub use scan::{SeenLease, scan};

use std::time::Duration;

use ondisk::{
    AlignSize, Geometry, HostId, IoTimeout, Leader, LeaseKind, Name, SectorSize,
    init_lockspace_area, lockspace_commit_sector,
};
use storage::Buffer;

use crate::env::planted;
use crate::{Area, Context, Error, LeaseName};

/// How much is read to learn the sizes of a lockspace: a sector of either size.
const LARGEST_SECTOR: usize = 4096;

/// The area with the delta leases of a lockspace.
#[derive(Debug, Clone)]
pub struct DeltaArea {
    /// Where it is.
    pub area: Area,
    /// Its sizes.
    pub geometry: Geometry,
}

/// One host's delta lease.
#[derive(Debug, Clone)]
pub struct DeltaLease {
    /// The lockspace.
    pub space: Name,
    /// The host id.
    pub host: HostId,
    /// The lockspace's area.
    pub area: DeltaArea,
}

impl DeltaLease {
    /// The lease of a host id.
    #[must_use]
    pub fn new(area: DeltaArea, space: Name, host: HostId) -> Self {
        Self { space, host, area }
    }

    pub(crate) fn name(&self) -> LeaseName {
        LeaseName::HostId {
            space: self.space,
            host: self.host,
        }
    }

    /// Reads the lease's leader and checks that it is one of this lockspace.
    ///
    /// # Errors
    /// If it cannot be read or is no delta lease of the lockspace.
    pub async fn read(&self, ctx: &Context) -> Result<Leader, Error> {
        let (name, area) = (self.name(), &self.area.area);
        let sector = area
            .read(ctx, self.offset()?, self.area.geometry.sector.bytes())
            .await
            .map_err(name.io(area, "read it"))?;
        let decoded = Leader::decode(&sector).map_err(name.leader(area))?;
        decoded
            .verify_delta(&self.space)
            .map_err(name.leader(area))?;
        Ok(decoded.record)
    }

    /// Gives the host id up: `last` is the leader of the last successful renewal.
    ///
    /// # Errors
    /// If it cannot be written. After a timeout it may be free or not.
    pub async fn release(&self, ctx: &Context, last: &Leader) -> Result<Leader, Error> {
        let mut leader = Leader {
            timestamp: ondisk::Timestamp::FREE,
            ..last.clone()
        };
        self.write(ctx, &mut leader, "release it", ctx.io()).await?;
        tracing::debug!(lease = %self.name(), generation = %leader.owner_generation, "released");
        Ok(leader)
    }

    /// Puts a leader there whatever stands there, with the checksum it has: to damage a lease for a test,
    /// or to repair it by hand.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn overwrite(&self, ctx: &Context, leader: &Leader) -> Result<(), Error> {
        let mut sector = self.sector();
        leader.encode_verbatim(&mut sector);
        self.write_sector(ctx, sector, "overwrite it", ctx.io())
            .await
    }

    async fn write(
        &self,
        ctx: &Context,
        leader: &mut Leader,
        action: &'static str,
        timeout: Duration,
    ) -> Result<(), Error> {
        let mut sector = self.sector();
        leader.encode(&mut sector);
        self.write_sector(ctx, sector, action, timeout).await
    }

    async fn write_sector(
        &self,
        ctx: &Context,
        sector: Buffer,
        action: &'static str,
        timeout: Duration,
    ) -> Result<(), Error> {
        let area = &self.area.area;
        area.write_within(ctx, self.offset()?, sector, timeout)
            .await
            .map_err(self.name().io(area, action))
    }

    fn sector(&self) -> Buffer {
        Buffer::zeroed(self.area.geometry.sector.bytes())
    }

    /// Where in the area the lease stands, in bytes.
    fn offset(&self) -> Result<u64, Error> {
        let geometry = self.area.geometry;
        geometry
            .delta_offset(self.host)
            .ok_or_else(|| Error::NoSuchHost {
                lease: Box::new(self.name()),
                host: self.host,
                max: geometry.max_hosts(),
            })
    }
}

/// Learns the sizes of the lockspace at `area` from its first sector, and checks that it has room for
/// `host`.
///
/// # Errors
/// If it cannot be read, is no lockspace, has sizes that do not go together, or is too small.
pub async fn probe(
    ctx: &Context,
    area: &Area,
    space: &Name,
    host: HostId,
) -> Result<DeltaArea, Error> {
    let name = LeaseName::Lockspace { space: *space };
    let leader = read_first(ctx, area, &name).await?;
    let Leader {
        sector_size, flags, ..
    } = leader;
    let at = name.at(area);
    let Some(sector) = SectorSize::from_bytes(sector_size) else {
        return Err(Error::SectorSize { at, sector_size });
    };
    let geometry = match AlignSize::from_leader_flags(flags) {
        Some(align) => Geometry::new(sector, align),
        None => Some(Geometry::for_sector_size_alone(sector)),
    };
    let Some(geometry) = geometry else {
        return Err(Error::SizePair {
            at,
            sector_size,
            flags,
        });
    };
    if !geometry.has_host(host) {
        return Err(Error::HostIdTooLarge {
            at,
            host,
            max: geometry.max_hosts(),
        });
    }
    Ok(DeltaArea {
        area: area.clone(),
        geometry,
    })
}

async fn read_first(ctx: &Context, area: &Area, name: &LeaseName) -> Result<Leader, Error> {
    let sector = area
        .read(ctx, 0, LARGEST_SECTOR)
        .await
        .map_err(name.io(area, "read its first lease"))?;
    let decoded = Leader::decode(&sector).map_err(name.leader(area))?;
    decoded
        .verify_kind(LeaseKind::Delta)
        .map_err(name.leader(area))?;
    Ok(decoded.record)
}

/// What a delta lease tells of its lockspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockspaceInfo {
    /// The lockspace's name.
    pub space: Name,
    /// Its sizes.
    pub geometry: Geometry,
    /// The io timeout of the lease that was read.
    pub io_timeout: IoTimeout,
}

/// Learns what there is to know of a lockspace from the delta lease of `host`; `space` is the name that
/// it should have, if the caller knows.
///
/// `sector` is where to look for the lease: in sectors of this size.
///
/// # Errors
/// If it cannot be read, or is no delta lease of the lockspace.
pub async fn read_lockspace(
    ctx: &Context,
    area: &Area,
    sector: SectorSize,
    space: Option<&Name>,
    host: HostId,
) -> Result<LockspaceInfo, Error> {
    let geometry = Geometry::for_sector_size_alone(sector);
    let name = LeaseName::HostId {
        space: space.copied().unwrap_or_default(),
        host,
    };
    let Some(offset) = geometry.delta_offset(host) else {
        let max = geometry.max_hosts();
        return Err(Error::NoSuchHost {
            lease: Box::new(name),
            host,
            max,
        });
    };
    let sector = area
        .read(ctx, offset, geometry.sector.bytes())
        .await
        .map_err(name.io(area, "read it"))?;
    let decoded = Leader::decode(&sector).map_err(name.leader(area))?;
    let space = space.copied().unwrap_or(decoded.record.space_name);
    decoded.verify_delta(&space).map_err(name.leader(area))?;
    let leader = decoded.record;
    let Some(geometry) = leader.geometry() else {
        let Leader {
            sector_size, flags, ..
        } = leader;
        return Err(Error::Sizes {
            at: name.at(area),
            sector_size,
            flags,
            wanted: None,
        });
    };
    let io_timeout = IoTimeout::from_disk(leader.io_timeout);
    Ok(LockspaceInfo {
        space,
        geometry,
        io_timeout,
    })
}

/// Makes a lockspace that no host has joined; `timeout` is for each of the two writes.
///
/// The first sector is written last: before that nobody takes the area for a lockspace.
///
/// # Errors
/// If it cannot be written.
pub async fn init(
    ctx: &Context,
    area: &DeltaArea,
    space: &Name,
    io_timeout: IoTimeout,
    timeout: Duration,
) -> Result<(), Error> {
    let name = LeaseName::Lockspace { space: *space };
    let DeltaArea { area, geometry } = area;
    let in_memory = |source| Error::Area {
        lease: Box::new(name.clone()),
        source,
    };

    let mut whole = Buffer::zeroed(geometry.align.bytes());
    init_lockspace_area(*geometry, space, io_timeout, &mut whole).map_err(in_memory)?;
    let mut first = Buffer::zeroed(geometry.sector.bytes());
    lockspace_commit_sector(*geometry, space, io_timeout, &mut first).map_err(in_memory)?;
    if planted!(ctx, TornInit) {
        if let Some(start) = whole.get_mut(..first.len()) {
            start.copy_from_slice(&first);
        }
    }
    area.write_within(ctx, 0, whole, timeout)
        .await
        .map_err(name.io(area, "initialise it"))?;
    area.write_within(ctx, 0, first, timeout)
        .await
        .map_err(name.io(area, "make it valid"))
}
