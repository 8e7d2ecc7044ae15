//! The leader record: the first record of a delta lease and of a paxos lease.

use crate::fields::{Put, Take, place};
use crate::{
    AlignSize, Generation, Geometry, HostId, IoTimeout, LEADER_CHECKSUM_LEN, LeaderFault, Lver,
    Name, SectorSize, Timestamp, checksum,
};
use std::fmt;

/// The two kinds of lease that have a leader.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LeaseKind {
    /// A host's claim to its id in a lockspace; one sector.
    Delta,
    /// A resource lease, owned through ballots; one area.
    Paxos,
}

impl LeaseKind {
    /// The first number of a leader of this kind.
    pub fn magic(self) -> u32 {
        match self {
            Self::Delta => 0x1221_2010,
            Self::Paxos => 0x0615_2010,
        }
    }

    /// The version that is written; readers accept every one with the same upper 16 bits.
    pub fn version(self) -> u32 {
        match self {
            Self::Delta => 0x0003_0004,
            Self::Paxos => 0x0006_0004,
        }
    }

    /// Whether leaders of this version can be read.
    pub fn reads_version(self, version: u32) -> bool {
        version >> 16 == self.version() >> 16
    }
}

impl fmt::Display for LeaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Delta => "delta lease",
            Self::Paxos => "paxos lease",
        })
    }
}

/// A record as read, with the checksum that its bytes have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decoded<T> {
    /// The record, with the checksum that it claims.
    pub record: T,
    /// The checksum of the bytes read.
    pub computed_checksum: u32,
}

/// The leader record, 200 bytes at the start of a sector.
///
/// In a delta lease the owner is a host id, and `resource_name` tells the host that has it. While that
/// host's daemon renews the lease, `write_id`, `write_generation` and `write_timestamp` carry its host
/// event: generation of the receiver, event, data. They are outside of the checksum.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leader {
    /// [`LeaseKind::magic`], or [`Leader::CLEAR_MAGIC`].
    pub magic: u32,
    /// Major version in the upper, minor version in the lower 16 bits.
    pub version: u32,
    /// The align size ([`AlignSize::leader_flag`]), [`Leader::SHORT_HOLD`], and flags of newer versions.
    pub flags: u32,
    /// Bytes per sector.
    pub sector_size: u32,
    /// Paxos: how many dblocks a ballot looks at. Delta: 0.
    pub num_hosts: u64,
    /// Paxos: how many dblocks there is room for. Delta: 1.
    pub max_hosts: u64,
    /// The owner, or the last one if `timestamp` is free.
    pub owner_id: HostId,
    /// The owner's generation.
    pub owner_generation: Generation,
    /// Paxos: how many times the lease has changed hands. Delta: 0.
    pub lver: Lver,
    /// The lockspace.
    pub space_name: Name,
    /// Paxos: the resource. Delta: the name of the owning host, empty before the first.
    pub resource_name: Name,
    /// Paxos: when the lease was acquired. Delta: when it was last renewed. Free if nobody owns it.
    pub timestamp: Timestamp,
    /// Written as 0.
    pub unused1: u64,
    /// The checksum of the bytes before it.
    pub checksum: u32,
    /// Written as 0.
    pub unused2: u16,
    /// Delta: the owner's [`IoTimeout`] in seconds. Paxos: 0.
    pub io_timeout: u16,
    /// Paxos: the host that wrote the leader, which may do so in the owner's name.
    pub write_id: HostId,
    /// Paxos: that host's generation.
    pub write_generation: Generation,
    /// Paxos: when it wrote.
    pub write_timestamp: Timestamp,
}

impl Leader {
    /// The record's length in bytes.
    pub const LEN: usize = 200;

    /// The magic number of a resource that was removed on purpose ("cleared").
    pub const CLEAR_MAGIC: u32 = 0x1128_2016;

    /// Flag: the owner intends to hold the lease for a short time only.
    pub const SHORT_HOLD: u32 = 0x1;

    /// How many of the first bytes tell whether two disks of a lease hold the same leader: those before
    /// the timestamp.
    const COMPARE_LEN: usize = 152;

    /// The leader of a delta lease that no host has ever had, checksum not filled in.
    pub fn new_delta(geometry: Geometry, space: &Name, io_timeout: IoTimeout) -> Self {
        let kind = LeaseKind::Delta;
        Self {
            max_hosts: 1,
            io_timeout: io_timeout.on_disk(),
            ..Self::blank(kind, geometry, space)
        }
    }

    /// The leader of a resource that no host has ever owned, checksum not filled in.
    ///
    /// `num_hosts` 0, and any above the geometry's, stands for all that the geometry has.
    pub fn new_paxos(geometry: Geometry, space: &Name, resource: &Name, num_hosts: u64) -> Self {
        let max_hosts = geometry.max_hosts();
        let num_hosts = if num_hosts == 0 {
            max_hosts
        } else {
            num_hosts.min(max_hosts)
        };
        let kind = LeaseKind::Paxos;
        Self {
            num_hosts,
            max_hosts,
            resource_name: *resource,
            ..Self::blank(kind, geometry, space)
        }
    }

    fn blank(kind: LeaseKind, geometry: Geometry, space: &Name) -> Self {
        Self {
            magic: kind.magic(),
            version: kind.version(),
            flags: geometry.align.leader_flag(),
            sector_size: geometry.sector.as_u32(),
            num_hosts: 0,
            max_hosts: 0,
            owner_id: HostId::default(),
            owner_generation: Generation::default(),
            lver: Lver::default(),
            space_name: *space,
            resource_name: Name::EMPTY,
            timestamp: Timestamp::FREE,
            unused1: 0,
            checksum: 0,
            unused2: 0,
            io_timeout: 0,
            write_id: HostId::default(),
            write_generation: Generation::default(),
            write_timestamp: Timestamp::default(),
        }
    }

    /// Reads the leader at the start of a sector, without judging it.
    ///
    /// # Errors
    /// [`LeaderFault::Short`] if the slice is shorter than [`Leader::LEN`].
    pub fn decode(sector: &[u8]) -> Result<Decoded<Self>, LeaderFault> {
        let bytes: &[u8; Self::LEN] = sector
            .first_chunk()
            .ok_or(LeaderFault::Short { len: sector.len() })?;
        let (covered, _) = bytes.split_at(LEADER_CHECKSUM_LEN);
        let computed_checksum = checksum(covered);
        let mut take = Take(bytes);
        let record = Self {
            magic: take.u32(),
            version: take.u32(),
            flags: take.u32(),
            sector_size: take.u32(),
            num_hosts: take.u64(),
            max_hosts: take.u64(),
            owner_id: HostId(take.u64()),
            owner_generation: Generation(take.u64()),
            lver: Lver(take.u64()),
            space_name: Name::from_raw(take.bytes()),
            resource_name: Name::from_raw(take.bytes()),
            timestamp: Timestamp(take.u64()),
            unused1: take.u64(),
            checksum: take.u32(),
            unused2: take.u16(),
            io_timeout: take.u16(),
            write_id: HostId(take.u64()),
            write_generation: Generation(take.u64()),
            write_timestamp: Timestamp(take.u64()),
        };
        Ok(Decoded {
            record,
            computed_checksum,
        })
    }

    /// Fills in the checksum and puts the record at the start of a sector of at least [`Leader::LEN`] bytes.
    pub fn encode(&mut self, sector: &mut [u8]) {
        let bytes = self.to_bytes();
        let (covered, _) = bytes.split_at(LEADER_CHECKSUM_LEN);
        self.checksum = checksum(covered);
        self.encode_verbatim(sector);
    }

    /// Like [`Leader::encode`], but with the checksum that the record has, right or wrong.
    pub fn encode_verbatim(&self, sector: &mut [u8]) {
        place(&self.to_bytes(), sector, 0);
    }

    fn to_bytes(&self) -> [u8; Self::LEN] {
        Put::new()
            .u32(self.magic)
            .u32(self.version)
            .u32(self.flags)
            .u32(self.sector_size)
            .u64(self.num_hosts)
            .u64(self.max_hosts)
            .u64(self.owner_id.0)
            .u64(self.owner_generation.0)
            .u64(self.lver.0)
            .bytes(self.space_name.raw())
            .bytes(self.resource_name.raw())
            .u64(self.timestamp.0)
            .u64(self.unused1)
            .u32(self.checksum)
            .u16(self.unused2)
            .u16(self.io_timeout)
            .u64(self.write_id.0)
            .u64(self.write_generation.0)
            .u64(self.write_timestamp.0)
            .finish()
    }

    /// Whether two disks of a lease hold the same leader, even if one has a newer timestamp.
    pub fn same_but_times(&self, other: &Self) -> bool {
        self.to_bytes().first_chunk::<{ Self::COMPARE_LEN }>()
            == other.to_bytes().first_chunk::<{ Self::COMPARE_LEN }>()
    }

    /// Whether somebody owns the lease, as far as the leader tells.
    pub fn is_owned(&self) -> bool {
        !self.timestamp.is_free()
    }

    /// The geometry that the leader tells: its sector size with the align size of its flags, or with the
    /// historical one if it has no such flag. `None` if that is no valid geometry.
    pub fn geometry(&self) -> Option<Geometry> {
        let sector = SectorSize::from_bytes(self.sector_size)?;
        match AlignSize::from_leader_flags(self.flags) {
            Some(align) => Geometry::new(sector, align),
            None => Some(Geometry::for_sector_size_alone(sector)),
        }
    }
}

impl Decoded<Leader> {
    /// Whether this is a delta lease of the lockspace: magic, version, lockspace, checksum, in this order.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn verify_delta(&self, space: &Name) -> Result<(), LeaderFault> {
        self.verify_kind(LeaseKind::Delta)?;
        self.verify_space(space)?;
        self.verify_checksum()
    }

    /// Whether this is the resource's lease and has a dblock for the host: magic, version, lockspace,
    /// resource, number of hosts, checksum, in this order.
    ///
    /// Whoever only looks passes host id 0.
    ///
    /// # Errors
    /// The first field that is wrong.
    pub fn verify_paxos(
        &self,
        space: &Name,
        resource: &Name,
        host: HostId,
    ) -> Result<(), LeaderFault> {
        let record = &self.record;
        self.verify_kind(LeaseKind::Paxos)?;
        self.verify_space(space)?;
        if record.resource_name != *resource {
            let (found, expected) = (record.resource_name, *resource);
            return Err(LeaderFault::Resource { found, expected });
        }
        if record.num_hosts < host.0 {
            return Err(LeaderFault::NumHosts {
                found: record.num_hosts,
                host,
            });
        }
        self.verify_checksum()
    }

    /// Whether magic number and version are those of this kind of lease.
    ///
    /// # Errors
    /// The first of the two that is wrong.
    pub fn verify_kind(&self, kind: LeaseKind) -> Result<(), LeaderFault> {
        let Leader {
            magic,
            version,
            flags,
            ..
        } = self.record;
        if kind == LeaseKind::Paxos && magic == Leader::CLEAR_MAGIC {
            return Err(LeaderFault::Cleared {
                at: self.record.write_timestamp,
            });
        }
        if magic != kind.magic() {
            return Err(LeaderFault::Magic { kind, found: magic });
        }
        if !kind.reads_version(version) {
            return Err(LeaderFault::Version {
                kind,
                found: version,
                flags,
            });
        }
        Ok(())
    }

    fn verify_space(&self, space: &Name) -> Result<(), LeaderFault> {
        let found = self.record.space_name;
        if found != *space {
            return Err(LeaderFault::Lockspace {
                found,
                expected: *space,
            });
        }
        Ok(())
    }

    /// Whether the checksum is that of the bytes before it.
    ///
    /// # Errors
    /// [`LeaderFault::Checksum`].
    pub fn verify_checksum(&self) -> Result<(), LeaderFault> {
        let (found, expected) = (self.record.checksum, self.computed_checksum);
        if found != expected {
            return Err(LeaderFault::Checksum { found, expected });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
