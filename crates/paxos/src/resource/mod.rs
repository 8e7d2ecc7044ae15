//! Resource leases: who may use a resource.
//!
//! A resource is an area on one or more disks: a leader that tells the owner, a request record, and a
//! sector for each host with its dblock and mode block. A new owner is chosen by Disk Paxos (Gafni and
//! Lamport) among the dblocks; each change of hands has a new lease version (`lver`), and for each
//! version at most one owner can be chosen. The leader only makes the result easy to find.

mod acquire;
mod ballot;
mod block;
mod convert;
mod exclusive;
mod init;
mod leader;
mod lvb;
mod owner;
mod owners;
mod read;
mod release;
mod request;
mod shared;
mod start;
#[cfg(test)]
mod tests;

pub use acquire::{AcquireOptions, Acquired, acquire_owner};
pub use convert::{complete_sharing, convert_to_exclusive, convert_to_shared};
pub use exclusive::acquire_exclusive;
pub(crate) use init::write_first_sector_last;
pub use init::{InitKind, init};
pub use lvb::{read_lvb, write_lvb};
pub use owners::{Owners, OwnersEntry, read_owners};
pub(crate) use read::read_any_resource;
pub use read::{ResourceInfo, read_leader, read_resource};
pub(crate) use release::release_leader_first;
pub use release::{Undo, overwrite_leader, release, release_leader, undo};
pub use request::{Request, Requested, read_request, request};
pub use shared::{SharedOptions, acquire_shared};

use ondisk::{Dblock, Generation, Geometry, HostId, Leader, Name};

use crate::{Area, Context, Error, LeaseName};

/// A resource lease: its name and where it stands.
#[derive(Debug, Clone)]
pub struct ResourceLease {
    /// The lockspace.
    pub space: Name,
    /// The resource.
    pub name: Name,
    /// Where it stands, on each of its disks. With several, most of them must work.
    pub areas: Vec<Area>,
    /// Its sizes. Those of the lockspace are a good guess; an acquire finds the right ones.
    pub geometry: Geometry,
}

/// Who we are in the resource's lockspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Our host id.
    pub host: HostId,
    /// The generation with which we joined.
    pub generation: Generation,
}

/// How a lease is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By us alone: the leader tells so.
    Exclusive,
    /// Together with other hosts: our mode block tells so.
    Shared,
}

/// A lease that we hold: what a later operation on it needs to know.
#[derive(Debug, Clone)]
pub struct Held {
    /// The lease, with the sizes that it has.
    pub lease: ResourceLease,
    /// Who we were when we acquired it.
    pub us: Member,
    /// The leader with which we own or owned it.
    pub leader: Leader,
    /// Our dblock in the ballot that made us the owner. It stays on disk until our next ballot.
    pub dblock: Dblock,
    /// How it is held.
    pub mode: Mode,
    /// A release has begun: the leader may be free by our own hand.
    pub(crate) release_begun: bool,
    /// The leader that a release has left, on most disks: all that may be left to do is our dblock.
    pub(crate) freed: Option<Leader>,
    /// Held shared, but the leader may still name us.
    pub(crate) may_own: bool,
    /// A conversion to shared has begun, and not ended.
    pub(crate) half_shared: bool,
}

impl Held {
    /// Whether a release of it has begun: from then on it may be another host's, and nothing in it is ours
    /// to write but what [`release`] writes.
    #[must_use]
    pub fn release_has_begun(&self) -> bool {
        self.release_begun
    }

    /// Whether it was made shared, and others may not see that yet: [`complete_sharing`] is to be tried until it
    /// succeeds.
    #[must_use]
    pub fn is_half_shared(&self) -> bool {
        self.mode == Mode::Shared && self.half_shared
    }
}

impl ResourceLease {
    pub(crate) fn lease_name(&self) -> LeaseName {
        LeaseName::Resource {
            space: self.space,
            name: self.name,
        }
    }

    pub(crate) fn boxed_name(&self) -> Box<LeaseName> {
        Box::new(self.lease_name())
    }

    /// The bytes of one sector.
    fn sector_len(&self) -> usize {
        self.geometry.sector.bytes()
    }

    /// Where in each area the sector of a host stands, in bytes.
    fn host_offset(&self, host: HostId) -> Result<u64, Error> {
        self.geometry
            .dblock_offset(host)
            .ok_or_else(|| Error::NoSuchHost {
                lease: self.boxed_name(),
                host,
                max: self.geometry.max_hosts(),
            })
    }

    /// Waits until no earlier write of this host to the lease is under way.
    ///
    /// What is read before that may change by our own hand, and what is written may be overtaken.
    async fn settle(&self, ctx: &Context) -> Result<(), Error> {
        for area in &self.areas {
            let settled = area.settle(ctx, 0, self.geometry.align.bytes()).await;
            let action = "wait for earlier writes that have not come back";
            settled.map_err(self.lease_name().io(area, action))?;
        }
        Ok(())
    }

    /// Waits until no earlier write of this host to the lease's disks is under way, wherever on them.
    pub(crate) async fn settle_disks(&self, ctx: &Context) -> Result<(), Error> {
        for area in &self.areas {
            let settled = area.settle_disk(ctx).await;
            let action = "wait for earlier writes to the disk that have not come back";
            settled.map_err(self.lease_name().io(area, action))?;
        }
        Ok(())
    }
}

/// Whether `count` of `of` disks are most of them.
pub(crate) fn is_majority(count: usize, of: usize) -> bool {
    count > of / 2
}
