//! What stands in one area of a disk: a lockspace, a resource lease, a resource index, or none of them.
//!
//! Nothing is judged here: whoever dumps a disk wants to see what is there.

use ondisk::{
    Dblock, Geometry, HostBitmap, HostId, Leader, LeaseKind, ModeBlock, RequestRecord, RindexEntry,
    RindexHeader,
};

/// An area that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Area {
    /// The delta leases that were ever acquired.
    Lockspace(Vec<DeltaLease>),
    /// A resource lease.
    Resource(Box<ResourceLease>),
    /// A resource index.
    Index(Box<Index>),
}

/// A delta lease that was ever acquired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeltaLease {
    /// Bytes from the start of the disk.
    pub offset: u64,
    /// Its leader.
    pub leader: Leader,
    /// The hosts that its owner wants to be noticed by.
    pub notified: Vec<HostId>,
}

/// A resource lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceLease {
    /// Bytes from the start of the disk.
    pub offset: u64,
    /// Its leader.
    pub leader: Leader,
    /// The request for it.
    pub request: RequestRecord,
    /// Each host's records, as far as the leader says that there are hosts and the area goes.
    pub hosts: Vec<HostRecords>,
}

/// What a host has written into a resource lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostRecords {
    /// The host.
    pub host: HostId,
    /// Its ballot.
    pub dblock: Dblock,
    /// Its shared hold.
    pub mode: ModeBlock,
}

/// A resource index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Bytes from the start of the disk.
    pub offset: u64,
    /// Its header.
    pub header: RindexHeader,
    /// Its entries that are in use.
    pub entries: Vec<IndexEntry>,
}

/// An entry of a resource index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Bytes from the start of the disk.
    pub offset: u64,
    /// What it says.
    pub entry: RindexEntry,
}

impl Area {
    /// What stands in the area that was read from `offset` of the disk, if anything.
    #[must_use]
    pub fn decode(bytes: &[u8], geometry: Geometry, offset: u64) -> Option<Area> {
        let leader = Leader::decode(bytes).ok()?.record;
        match leader.magic {
            magic if magic == LeaseKind::Delta.magic() => {
                Some(Area::Lockspace(delta_leases(bytes, geometry, offset)))
            }
            magic if magic == LeaseKind::Paxos.magic() => {
                let lease = resource_lease(bytes, geometry, offset, leader)?;
                Some(Area::Resource(Box::new(lease)))
            }
            RindexHeader::MAGIC => Some(Area::Index(Box::new(index(bytes, geometry, offset)?))),
            _ => None,
        }
    }
}

/// Sectors of an area with their offsets on the disk.
fn sectors(bytes: &[u8], geometry: Geometry, offset: u64) -> impl Iterator<Item = (u64, &[u8])> {
    let len = geometry.sector.bytes();
    (offset..).step_by(len).zip(bytes.chunks_exact(len))
}

fn delta_leases(bytes: &[u8], geometry: Geometry, offset: u64) -> Vec<DeltaLease> {
    let lease = |(offset, sector)| {
        let leader = Leader::decode(sector).ok()?.record;
        let was_acquired = leader.owner_id.0 != 0 || leader.owner_generation.0 != 0;
        if leader.magic == 0 || !was_acquired {
            return None;
        }
        let bitmap = HostBitmap::decode(sector).unwrap_or_default();
        let notified = bitmap
            .iter()
            .filter(|host| geometry.has_host(*host))
            .collect();
        Some(DeltaLease {
            offset,
            leader,
            notified,
        })
    };
    sectors(bytes, geometry, offset).filter_map(lease).collect()
}

fn resource_lease(
    bytes: &[u8],
    geometry: Geometry,
    offset: u64,
    leader: Leader,
) -> Option<ResourceLease> {
    let mut sectors = sectors(bytes, geometry, offset)
        .map(|(_, sector)| sector)
        .skip(1);
    let request = RequestRecord::decode(sectors.next()?).ok()?;
    let hosts = usize::try_from(leader.num_hosts).unwrap_or(usize::MAX);
    let hosts = (1..).zip(sectors.take(hosts)).filter_map(|(host, sector)| {
        Some(HostRecords {
            host: HostId(host),
            dblock: Dblock::decode(sector).ok()?.record,
            mode: ModeBlock::decode(sector).ok()?,
        })
    });
    Some(ResourceLease {
        offset,
        leader,
        request,
        hosts: hosts.collect(),
    })
}

fn index(bytes: &[u8], geometry: Geometry, offset: u64) -> Option<Index> {
    let header = RindexHeader::decode(bytes).ok()?;
    let first = geometry.sector.bytes();
    let entries = bytes.get(first..)?.chunks_exact(RindexEntry::LEN);
    let start = offset.saturating_add(u64::try_from(first).ok()?);
    let entries = (start..)
        .step_by(RindexEntry::LEN)
        .zip(entries)
        .filter_map(|(offset, bytes)| {
            let entry = RindexEntry::decode(bytes)
                .ok()
                .filter(|entry| !entry.is_free())?;
            Some(IndexEntry { offset, entry })
        });
    Some(Index {
        offset,
        header,
        entries: entries.collect(),
    })
}

#[cfg(test)]
mod tests {
    use ondisk::{AlignSize, IoTimeout, SectorSize};

    use super::*;

    fn geometry() -> Geometry {
        Geometry::new(SectorSize::B512, AlignSize::M1).unwrap()
    }

    #[test]
    fn a_fresh_lockspace_has_no_lease_that_was_acquired() {
        let mut bytes = vec![0; geometry().align.bytes()];
        let name = "ls".parse().unwrap();
        ondisk::init_lockspace_area(geometry(), &name, IoTimeout(10), &mut bytes).unwrap();
        ondisk::lockspace_commit_sector(geometry(), &name, IoTimeout(10), &mut bytes[..512])
            .unwrap();
        assert_eq!(
            Area::decode(&bytes, geometry(), 0),
            Some(Area::Lockspace(Vec::new()))
        );
    }

    #[test]
    fn hosts_are_read_as_far_as_the_area_goes() {
        let mut bytes = vec![0; geometry().align.bytes()];
        let (space, name) = ("ls".parse().unwrap(), "r".parse().unwrap());
        ondisk::init_resource_area(geometry(), &space, &name, 0, None, &mut bytes).unwrap();
        let mut leader = Leader::decode(&bytes).unwrap().record;
        leader.num_hosts = u64::MAX;
        leader.encode(&mut bytes);
        let Some(Area::Resource(lease)) = Area::decode(&bytes, geometry(), 7) else {
            panic!()
        };
        assert_eq!((lease.offset, lease.hosts.len()), (7, 2046));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut seed = 1u64;
        for magic in [
            LeaseKind::Delta.magic(),
            LeaseKind::Paxos.magic(),
            RindexHeader::MAGIC,
        ] {
            for len in [1, 4, 79, 200, 511, 512, 600, 1024, 5000, 1 << 20] {
                let mut bytes = vec![0u8; len];
                for byte in &mut bytes {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    *byte = seed.to_le_bytes()[7];
                }
                for (to, from) in bytes.iter_mut().zip(magic.to_le_bytes()) {
                    *to = from;
                }
                for geometry in Geometry::ALL {
                    let _ = Area::decode(&bytes, geometry, u64::MAX / 2);
                }
            }
        }
    }

    #[test]
    fn nothing_is_no_area() {
        assert_eq!(Area::decode(&[0; 512], geometry(), 0), None);
        assert_eq!(Area::decode(&[], geometry(), 0), None);
    }
}
