//! `direct dump`.

use ondisk::{Geometry, Leader};
use serde::Serialize;

use super::text;
use crate::cli::direct::area::{Area, DeltaLease, HostRecords, Index, ResourceLease};

/// `direct dump --json`.
#[derive(Debug, Serialize)]
pub struct Dump {
    /// The file or device.
    pub path: String,
    /// Bytes.
    pub sector_size: u32,
    /// Bytes.
    pub align_size: u64,
    /// The areas with something in them.
    pub areas: Vec<DumpedArea>,
}

impl Dump {
    /// The areas that were found on a disk.
    #[must_use]
    pub fn of(path: &[u8], geometry: Geometry, areas: Vec<DumpedArea>) -> Dump {
        Dump {
            path: text(path),
            sector_size: geometry.sector.as_u32(),
            align_size: geometry.align.bytes() as u64,
            areas,
        }
    }
}

/// What stands in an area.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DumpedArea {
    /// A lockspace: its delta leases that were ever acquired.
    Lockspace {
        /// The leases.
        leases: Vec<DumpedDelta>,
    },
    /// A resource lease.
    Resource(DumpedResource),
    /// A resource index.
    Index(DumpedIndex),
}

/// A delta lease.
#[derive(Debug, Serialize)]
pub struct DumpedDelta {
    /// Bytes from the start of the disk.
    pub offset: u64,
    /// The lockspace's name.
    pub lockspace: String,
    /// The host's name.
    pub host_name: String,
    /// The host id.
    pub host_id: u64,
    /// Its generation.
    pub generation: u64,
    /// When it renewed, in seconds of its own monotonic clock; 0 if it has left.
    pub timestamp: u64,
    /// Seconds.
    pub io_timeout: u16,
    /// Host ids whose notice it wants.
    pub notifies: Vec<u64>,
}

/// A resource lease.
#[derive(Debug, Serialize)]
pub struct DumpedResource {
    /// Bytes from the start of the disk.
    pub offset: u64,
    /// The lockspace's name.
    pub lockspace: String,
    /// The resource's name.
    pub name: String,
    /// Version of the lease.
    pub lver: u64,
    /// The owner, or the last one if `timestamp` is 0.
    pub owner_id: u64,
    /// The owner's generation.
    pub owner_generation: u64,
    /// When it was acquired, in seconds of the owner's monotonic clock; 0 if nobody owns it alone.
    pub timestamp: u64,
    /// Hosts that may use it.
    pub num_hosts: u64,
    /// The version that somebody has asked for, and with which force.
    pub request: DumpedRequest,
    /// Hosts that share it.
    pub shared_by: Vec<DumpedSharer>,
    /// Hosts that have ever voted on it.
    pub ballots: Vec<DumpedBallot>,
}

/// A request for a lease.
#[derive(Debug, Serialize)]
pub struct DumpedRequest {
    /// The version asked for; 0 for none.
    pub lver: u64,
    /// What shall happen to the owner.
    pub force_mode: u32,
}

/// A host that shares a lease.
#[derive(Debug, Serialize)]
pub struct DumpedSharer {
    /// Its host id.
    pub host_id: u64,
    /// Its generation.
    pub generation: u64,
}

/// A host's ballot.
#[derive(Debug, Serialize)]
#[allow(
    missing_docs,
    reason = "the names of Disk Paxos, as read_leader's manual has them"
)]
pub struct DumpedBallot {
    pub host_id: u64,
    pub mbal: u64,
    pub bal: u64,
    pub inp: u64,
    pub inp2: u64,
    pub inp3: u64,
    pub lver: u64,
}

/// A resource index.
#[derive(Debug, Serialize)]
pub struct DumpedIndex {
    /// Bytes from the start of the disk.
    pub offset: u64,
    /// The lockspace's name.
    pub lockspace: String,
    /// Entries that it may have; 0 for as many as fit.
    pub max_resources: u32,
    /// Entries in use.
    pub entries: Vec<DumpedEntry>,
}

/// An entry of a resource index.
#[derive(Debug, Serialize)]
pub struct DumpedEntry {
    /// The resource's name.
    pub name: String,
    /// Where its lease is, in bytes from the start of the disk.
    pub resource_offset: u64,
}

impl DumpedArea {
    /// An area as it was read.
    #[must_use]
    pub fn of(area: &Area) -> DumpedArea {
        match area {
            Area::Lockspace(leases) => DumpedArea::Lockspace {
                leases: leases.iter().map(DumpedDelta::of).collect(),
            },
            Area::Resource(lease) => DumpedArea::Resource(DumpedResource::of(lease)),
            Area::Index(index) => DumpedArea::Index(DumpedIndex::of(index)),
        }
    }
}

impl DumpedDelta {
    fn of(lease: &DeltaLease) -> DumpedDelta {
        let Leader {
            space_name,
            resource_name,
            owner_id,
            owner_generation,
            ..
        } = &lease.leader;
        DumpedDelta {
            offset: lease.offset,
            lockspace: text(space_name.as_bytes()),
            host_name: text(resource_name.as_bytes()),
            host_id: owner_id.0,
            generation: owner_generation.0,
            timestamp: lease.leader.timestamp.0,
            io_timeout: lease.leader.io_timeout,
            notifies: lease.notified.iter().map(|host| host.0).collect(),
        }
    }
}

impl DumpedResource {
    fn of(lease: &ResourceLease) -> DumpedResource {
        let leader = &lease.leader;
        let shared = lease
            .hosts
            .iter()
            .filter(|records| records.mode.is_shared());
        let voted = lease
            .hosts
            .iter()
            .filter(|records| !records.dblock.is_untouched());
        DumpedResource {
            offset: lease.offset,
            lockspace: text(leader.space_name.as_bytes()),
            name: text(leader.resource_name.as_bytes()),
            lver: leader.lver.0,
            owner_id: leader.owner_id.0,
            owner_generation: leader.owner_generation.0,
            timestamp: leader.timestamp.0,
            num_hosts: leader.num_hosts,
            request: DumpedRequest {
                lver: lease.request.lver.0,
                force_mode: lease.request.force_mode,
            },
            shared_by: shared.map(DumpedSharer::of).collect(),
            ballots: voted.map(DumpedBallot::of).collect(),
        }
    }
}

impl DumpedSharer {
    fn of(records: &HostRecords) -> DumpedSharer {
        DumpedSharer {
            host_id: records.host.0,
            generation: records.mode.generation.0,
        }
    }
}

impl DumpedBallot {
    fn of(records: &HostRecords) -> DumpedBallot {
        let block = &records.dblock;
        DumpedBallot {
            host_id: records.host.0,
            mbal: block.mbal,
            bal: block.bal,
            inp: block.inp.0,
            inp2: block.inp2.0,
            inp3: block.inp3.0,
            lver: block.lver.0,
        }
    }
}

impl DumpedIndex {
    fn of(index: &Index) -> DumpedIndex {
        let entries = index.entries.iter().map(|entry| DumpedEntry {
            name: text(entry.entry.name.as_bytes()),
            resource_offset: entry.entry.res_offset,
        });
        DumpedIndex {
            offset: index.offset,
            lockspace: text(index.header.lockspace_name.as_bytes()),
            max_resources: index.header.max_resources,
            entries: entries.collect(),
        }
    }
}
