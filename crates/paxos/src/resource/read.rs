//! Looking at a lease without taking part in it.

use ondisk::{Geometry, HostId, Leader, LeaderFault, LeaseKind, Lver, Name};

use super::{ResourceLease, leader};
use crate::{Area, Context, Error, LeaseName};

/// How much is read if the sector size is not known: a sector of either size.
const LARGEST_SECTOR: usize = 4096;

/// What a leader tells of its resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceInfo {
    /// The lockspace.
    pub space: Name,
    /// The resource.
    pub name: Name,
    /// The lease's version.
    pub lver: Lver,
    /// Its sizes, if the leader tells valid ones.
    pub geometry: Option<Geometry>,
}

/// Reads the leader that most disks have and checks that it is the resource's.
///
/// # Errors
/// If it cannot be read, is not the resource's, or the disks disagree.
pub async fn read_leader(ctx: &Context, lease: &ResourceLease) -> Result<Leader, Error> {
    Ok(leader::read(ctx, lease, HostId(0)).await?.leader)
}

/// Learns which resource stands at `area`; `space` and `name` are what they must be, if the caller knows.
///
/// `geometry` decides only how much is read.
///
/// # Errors
/// If it cannot be read or is no valid lease with these names.
pub async fn read_resource(
    ctx: &Context,
    area: &Area,
    geometry: Option<Geometry>,
    space: Option<&Name>,
    name: Option<&Name>,
) -> Result<ResourceInfo, Error> {
    read(ctx, area, geometry, |decoded| {
        let space = space.copied().unwrap_or(decoded.record.space_name);
        let name = name.copied().unwrap_or(decoded.record.resource_name);
        decoded.verify_paxos(&space, &name, HostId(0))
    })
    .await
}

/// Learns which resource stands at `area`, whatever it is, if there is one at all.
pub(crate) async fn read_any_resource(
    ctx: &Context,
    area: &Area,
    geometry: Geometry,
) -> Result<ResourceInfo, Error> {
    read(ctx, area, Some(geometry), |decoded| {
        let (kind, found) = (LeaseKind::Paxos, decoded.record.magic);
        if found == kind.magic() {
            Ok(())
        } else {
            Err(LeaderFault::Magic { kind, found })
        }
    })
    .await
}

async fn read(
    ctx: &Context,
    area: &Area,
    geometry: Option<Geometry>,
    verify: impl FnOnce(&ondisk::Decoded<Leader>) -> Result<(), LeaderFault>,
) -> Result<ResourceInfo, Error> {
    let unnamed = LeaseName::Resource {
        space: Name::EMPTY,
        name: Name::EMPTY,
    };
    let len = geometry.map_or(LARGEST_SECTOR, |geometry| geometry.sector.bytes());
    let sector = area
        .read(ctx, 0, len)
        .await
        .map_err(unnamed.io(area, "read the leader"))?;
    let decoded = Leader::decode(&sector).map_err(unnamed.leader(area))?;
    let leader = &decoded.record;
    let found = LeaseName::Resource {
        space: leader.space_name,
        name: leader.resource_name,
    };
    verify(&decoded).map_err(found.leader(area))?;
    Ok(ResourceInfo {
        space: leader.space_name,
        name: leader.resource_name,
        lver: leader.lver,
        geometry: leader.geometry(),
    })
}
