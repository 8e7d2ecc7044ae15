//! Who holds a lease.

use ondisk::{Dblocks, Generation, Geometry, HostId, Lver, SectorSize, Timestamp};

use super::{ResourceLease, leader};
use crate::{Context, Error};

/// Who holds a lease, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owners {
    /// The lease's version.
    pub lver: Lver,
    /// Whether any host holds it shared.
    pub shared: bool,
    /// The hosts, the exclusive owner first.
    pub hosts: Vec<OwnersEntry>,
    /// The lease's sizes.
    pub geometry: Geometry,
}

/// One host that holds a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnersEntry {
    /// The host.
    pub host: HostId,
    /// Its generation when it acquired the lease.
    pub generation: Generation,
    /// When it acquired the lease, on its clock; 0 for a shared hold.
    pub timestamp: Timestamp,
}

/// Reads who holds the lease; `geometry` is what it must be, or `None` to find it out (the lease's own
/// is not looked at).
///
/// # Errors
/// If the lease cannot be read, is not this resource's, or has other sizes.
pub async fn read_owners(
    ctx: &Context,
    lease: &ResourceLease,
    geometry: Option<Geometry>,
) -> Result<Owners, Error> {
    let name = lease.lease_name();
    let Some(area) = lease.areas.first() else {
        return Err(Error::LeadersDiffer {
            lease: lease.boxed_name(),
        });
    };
    let guess = geometry.unwrap_or(Geometry::for_sector_size_alone(SectorSize::B512));
    let mut lease = ResourceLease {
        geometry: guess,
        ..lease.clone()
    };
    let (bytes, leader) = loop {
        let bytes = area
            .read(ctx, 0, lease.geometry.align.bytes())
            .await
            .map_err(name.io(area, "read the lease"))?;
        let decoded = ondisk::Leader::decode(&bytes).map_err(name.leader(area))?;
        let sizes = decoded.record.geometry();
        if sizes == Some(lease.geometry) {
            break (bytes, decoded.record);
        }
        // The sizes come first, even if this is no lease at all: so says the C program's result.
        match sizes.filter(|_| geometry.is_none() && lease.geometry == guess) {
            Some(sizes) => lease.geometry = sizes,
            None => {
                let at = name.at(area);
                let (sector_size, flags) = (decoded.record.sector_size, decoded.record.flags);
                return Err(Error::Sizes {
                    at,
                    sector_size,
                    flags,
                    wanted: geometry,
                });
            }
        }
    };
    leader::verified(&lease, HostId(0), area, &bytes)?;

    let owner = (leader.is_owned() && leader.owner_id != HostId(0)).then_some(OwnersEntry {
        host: leader.owner_id,
        generation: leader.owner_generation,
        timestamp: leader.timestamp,
    });
    let num_hosts = leader.num_hosts.min(lease.geometry.max_hosts());
    let dblocks =
        Dblocks::new(&bytes, lease.geometry.sector, num_hosts).map_err(|fault| Error::Dblock {
            at: name.at(area),
            host: HostId(num_hosts),
            fault,
        })?;
    let mut owners = Owners {
        lver: leader.lver,
        shared: false,
        hosts: Vec::from_iter(owner),
        geometry: lease.geometry,
    };
    for (host, sector) in dblocks.iter() {
        let mode = sector.mode_block();
        if !mode.is_shared() {
            continue;
        }
        owners.shared = true;
        if owner.is_some_and(|owner| owner.host == host) {
            continue;
        }
        let (generation, timestamp) = (mode.generation, Timestamp::FREE);
        owners.hosts.push(OwnersEntry {
            host,
            generation,
            timestamp,
        });
    }
    Ok(owners)
}
