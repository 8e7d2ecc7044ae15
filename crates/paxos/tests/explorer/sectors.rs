//! What is on the disk.

use std::collections::BTreeMap;

use ondisk::{Dblock, Generation, Geometry, HostId, IoTimeout, Leader, Name, Timestamp};

/// The smallest unit that is read or written at once.
pub(crate) const SECTOR: usize = 512;
pub(crate) const GEOMETRY: Geometry = Geometry::ALL[0];
/// Where the lease is; the lockspace is at 0.
pub(crate) const AREA: u64 = 1 << 20;

pub(crate) fn space() -> Name {
    "space".parse().unwrap()
}

pub(crate) fn resource() -> Name {
    "resource".parse().unwrap()
}

pub(crate) fn host_id(host: usize) -> HostId {
    HostId(host as u64 + 1)
}

/// A sector's number and content.
pub(crate) type Sector = (u64, [u8; SECTOR]);

/// The sectors that are not zero.
#[derive(Hash)]
pub(crate) struct Sectors(BTreeMap<u64, [u8; SECTOR]>);

impl Sectors {
    /// With a free lease for so many hosts.
    pub(crate) fn with_a_lease(hosts: usize) -> Self {
        let mut sectors = Self(BTreeMap::new());
        let mut leader = Leader::new_paxos(GEOMETRY, &space(), &resource(), hosts as u64);
        let mut sector = [0; SECTOR];
        leader.encode(&mut sector);
        sectors.write(AREA, &sector);
        sectors
    }

    pub(crate) fn read(&self, offset: u64, len: usize) -> Vec<Sector> {
        let first = offset / SECTOR as u64;
        let range = first..first + (len / SECTOR) as u64;
        self.0
            .range(range)
            .map(|(at, sector)| (*at, *sector))
            .collect()
    }

    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) {
        let first = offset / SECTOR as u64;
        for (at, sector) in (first..).zip(data.chunks(SECTOR)) {
            let sector: [u8; SECTOR] = sector.try_into().unwrap();
            if sector == [0; SECTOR] {
                self.0.remove(&at);
            } else {
                self.0.insert(at, sector);
            }
        }
    }

    pub(crate) fn write_delta_lease(
        &mut self,
        host: usize,
        generation: Generation,
        timestamp: Timestamp,
    ) {
        let id = host_id(host);
        let mut leader = Leader::new_delta(GEOMETRY, &space(), IoTimeout(10));
        leader.owner_id = id;
        leader.owner_generation = generation;
        leader.timestamp = timestamp;
        let mut sector = [0; SECTOR];
        leader.encode(&mut sector);
        self.write(GEOMETRY.delta_offset(id).unwrap(), &sector);
    }

    pub(crate) fn leader(&self) -> Leader {
        let sector = self.0.get(&(AREA / SECTOR as u64)).unwrap();
        Leader::decode(sector).unwrap().record
    }

    pub(crate) fn dblock(&self, host: usize) -> Dblock {
        let at = AREA / SECTOR as u64 + 2 + host as u64;
        self.0.get(&at).map_or(Dblock::default(), |sector| {
            Dblock::decode(sector).unwrap().record
        })
    }
}
