//! The resource index: names of a lockspace's resources, and where their leases are.

use std::sync::Arc;

use ondisk::{Geometry, IoTimeout, Name, SectorSize};
use paxos::resource::{self, Member};
use paxos::rindex::{self, Index, IndexMember, IndexOp, IndexQuery, IndexUpdate};
use tracing::{debug, error};

use super::lease::SpaceLiveness;
use super::space::{Phase, Space};
use super::spec::Area;
use super::storage_commands::geometry_of;
use super::{Code, Manager, errno, locked};

/// `SANLK_RX_NO_LOCKSPACE`: this host need not be in the lockspace.
const NO_LOCKSPACE: u32 = 0x1;
/// `SANLK_RXUP_ADD`.
const UPDATE_ADD: u32 = 0x1_0000;
/// `SANLK_RXUP_REM`.
const UPDATE_REMOVE: u32 = 0x2_0000;

/// An index as a client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RindexSpec {
    /// The lockspace.
    pub space: Name,
    /// Where it is.
    pub area: Area,
    /// The client's `SANLK_RIF_*` flags.
    pub flags: u32,
    /// Entries to make room for; zero for the default.
    pub max_resources: u32,
}

/// An entry as a client names it, and as it is told to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RindexEntrySpec {
    /// The resource; empty for none.
    pub name: Name,
    /// Where its lease is, in bytes from the start of the storage; zero for unknown.
    pub offset: u64,
}

/// An operation on a lockspace's index is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operation;

/// The hold of an operation on its lockspace; one at a time. The lockspace's host id is not given back before
/// it is over.
struct Hold {
    manager: Arc<Manager>,
    space: Option<Arc<Space>>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(space) = &self.space {
            self.manager.state().rindex_ops.remove(&space.spec.name);
            space.wake.notify_waiters();
            self.manager.clients_changed.notify_waiters();
        }
    }
}

/// The entries that an index has room for when nobody says how many.
const DEFAULT_MAX_RESOURCES: u32 = 4096;

impl Manager {
    fn hold_lockspace(self: &Arc<Self>, name: &Name) -> Result<Hold, Code> {
        let mut state = self.state();
        let listed = state.spaces.joined(name).ok_or(errno::NOENT)?;
        if listed.space_dead {
            return Err(errno::NOSPC);
        }
        let space = Arc::clone(&listed.space);
        if state.rindex_ops.contains_key(name) {
            debug!(space = space.id, "its resource index is busy");
            return Err(errno::BUSY);
        }
        state.rindex_ops.insert(*name, Operation);
        drop(state);
        Ok(Hold {
            manager: Arc::clone(self),
            space: Some(space),
        })
    }

    async fn open_index(
        &self,
        spec: &RindexSpec,
        io_timeout: IoTimeout,
        sector_hint: Option<SectorSize>,
    ) -> Result<Index, Code> {
        let storage = self.host.storage();
        let area = self
            .open_area(&storage, &spec.area, io_timeout)
            .await
            .map_err(|failed| failed.code())?;
        Ok(Index {
            space: spec.space,
            area,
            sector_hint,
        })
    }

    /// Makes an empty index and its internal lease.
    ///
    /// # Errors
    /// -1 flags that do not go together, and what the storage says.
    pub async fn format_rindex(&self, spec: &RindexSpec) -> Result<(), Code> {
        let context = self.default_context();
        let index = self.open_index(spec, context.timeouts.io, None).await?;
        let geometry = geometry_of(
            sanlock_proto::flags::RindexFlags::from_bits(spec.flags).sizes(),
            &index.area,
        )?;
        let wanted = match spec.max_resources {
            0 => DEFAULT_MAX_RESOURCES,
            wanted => wanted,
        };
        let max_resources = wanted.min(geometry.max_resources());
        rindex::format(
            &context,
            &index,
            geometry,
            max_resources,
            self.init_timeout(),
        )
        .await
        .map_err(|failed| failed_with(&failed))
    }

    /// Makes a lease for a new resource in the first free place.
    ///
    /// # Errors
    /// -2 lockspace not joined, -16 busy, and what the index says.
    pub async fn create_resource(
        self: &Arc<Self>,
        spec: &RindexSpec,
        entry: &RindexEntrySpec,
        _max_hosts: u32,
        num_hosts: u32,
    ) -> Result<RindexEntrySpec, Code> {
        let hold = self.hold_lockspace(&spec.space)?;
        let space = &hold.space.clone().ok_or(errno::NOENT)?;
        let (context, index, us, _) = self.index_of(space, spec).await?;
        let liveness = SpaceLiveness::new(self, Arc::clone(space));
        let member = IndexMember {
            us,
            liveness: &liveness,
        };
        let done = rindex::create(
            &context,
            &index,
            member,
            &entry.name,
            u64::from(num_hosts),
            self.init_timeout(),
        )
        .await;
        let offset = self.finish(hold, &context, done)?;
        // The reply tells the place alone, as the C program's does.
        Ok(RindexEntrySpec {
            name: Name::EMPTY,
            offset,
        })
    }

    /// Clears a resource's lease and its entry.
    ///
    /// # Errors
    /// As [`Manager::create_resource`].
    pub async fn delete_resource(
        self: &Arc<Self>,
        spec: &RindexSpec,
        entry: &RindexEntrySpec,
    ) -> Result<RindexEntrySpec, Code> {
        let hold = self.hold_lockspace(&spec.space)?;
        let space = &hold.space.clone().ok_or(errno::NOENT)?;
        let (context, index, us, geometry) = self.index_of(space, spec).await?;
        if entry.offset % geometry.align.bytes() as u64 != 0 {
            return Err(RINDEX_OFFSET);
        }
        let liveness = SpaceLiveness::new(self, Arc::clone(space));
        let member = IndexMember {
            us,
            liveness: &liveness,
        };
        let done = rindex::delete(&context, &index, member, &entry.name, self.init_timeout()).await;
        self.finish(hold, &context, done)?;
        Ok(RindexEntrySpec::default())
    }

    /// Makes the index anew from the leases found behind it.
    ///
    /// # Errors
    /// As [`Manager::create_resource`].
    pub async fn rebuild_rindex(self: &Arc<Self>, spec: &RindexSpec) -> Result<(), Code> {
        let hold = self.hold_lockspace(&spec.space)?;
        let space = &hold.space.clone().ok_or(errno::NOENT)?;
        let (context, index, us, _) = self.index_of(space, spec).await?;
        let liveness = SpaceLiveness::new(self, Arc::clone(space));
        let member = IndexMember {
            us,
            liveness: &liveness,
        };
        let done = rindex::rebuild(&context, &index, Some(member)).await;
        self.finish(hold, &context, done).map(|_| ())
    }

    /// Looks up a place or a name.
    ///
    /// # Errors
    /// As [`Manager::create_resource`]; -2 not in the index, -278 another name is at that place.
    pub async fn lookup_rindex(
        self: &Arc<Self>,
        spec: &RindexSpec,
        entry: &RindexEntrySpec,
        flags: u32,
    ) -> Result<RindexEntrySpec, Code> {
        let (hold, context, index) = self.index_for(spec, flags).await?;
        let query = match (entry.name.is_empty(), entry.offset) {
            (true, 0) => IndexQuery::FreePlace,
            (true, offset) => IndexQuery::Offset(offset),
            (false, 0) => IndexQuery::Name(entry.name),
            (false, offset) => IndexQuery::Both(entry.name, offset),
        };
        let found = rindex::lookup(&context, &index, query).await;
        drop(hold);
        let found = found.map_err(|failed| failed_with(&failed))?;
        Ok(RindexEntrySpec {
            name: found.name,
            offset: found.offset,
        })
    }

    /// Adds or removes an entry, without touching any lease.
    ///
    /// # Errors
    /// As [`Manager::lookup_rindex`]; -22 neither adding nor removing, or a part missing for it.
    pub async fn update_rindex(
        self: &Arc<Self>,
        spec: &RindexSpec,
        entry: &RindexEntrySpec,
        flags: u32,
    ) -> Result<RindexEntrySpec, Code> {
        let (hold, context, index) = self.index_for(spec, flags).await?;
        let update = if flags & UPDATE_REMOVE != 0 && entry.offset != 0 {
            IndexUpdate::Remove(entry.offset)
        } else if flags & UPDATE_ADD != 0 && entry.offset != 0 && !entry.name.is_empty() {
            IndexUpdate::Add(entry.name, entry.offset)
        } else {
            return Err(errno::INVAL);
        };
        let updated = rindex::update(&context, &index, update).await;
        drop(hold);
        let updated = updated.map_err(|failed| failed_with(&failed))?;
        Ok(RindexEntrySpec {
            name: updated.name,
            offset: updated.offset,
        })
    }

    /// The index for an operation that does not take its internal lease.
    async fn index_for(
        self: &Arc<Self>,
        spec: &RindexSpec,
        flags: u32,
    ) -> Result<(Hold, paxos::Context, Index), Code> {
        if flags & NO_LOCKSPACE != 0 {
            let context = self.default_context();
            let index = self.open_index(spec, context.timeouts.io, None).await?;
            return Ok((
                Hold {
                    manager: Arc::clone(self),
                    space: None,
                },
                context,
                index,
            ));
        }
        let hold = self.hold_lockspace(&spec.space)?;
        let space = hold.space.as_ref().ok_or(errno::NOENT)?;
        let (context, index, _, _) = self.index_of(space, spec).await?;
        Ok((hold, context, index))
    }

    async fn index_of(
        &self,
        space: &Space,
        spec: &RindexSpec,
    ) -> Result<(paxos::Context, Index, Member, Geometry), Code> {
        let facts = *space.facts.get().ok_or(errno::NOENT)?;
        let hint = Some(facts.geometry.sector);
        let index = self.open_index(spec, space.io_timeout, hint).await?;
        locked(&space.lease_disks).insert(spec.area.path.clone());
        let us = Member {
            host: space.spec.host_id,
            generation: facts.generation,
        };
        Ok((self.context(space.io_timeout), index, us, facts.geometry))
    }

    /// Ends an operation that took the internal lease. The lockspace is held until that is given back: a
    /// next operation of this host would find the lease its own, and lose it when the first gives it back.
    fn finish<T>(
        self: &Arc<Self>,
        hold: Hold,
        context: &paxos::Context,
        done: IndexOp<T>,
    ) -> Result<T, Code> {
        if let Some(mut undo) = done.undo {
            let manager = Arc::clone(self);
            let context = context.clone();
            self.host.spawn(Box::pin(async move {
                manager.give_index_back(&hold, &context, &mut undo).await;
                drop(hold);
            }));
        }
        done.result.map_err(|failed| failed_with(&failed))
    }

    async fn give_index_back(
        &self,
        hold: &Hold,
        context: &paxos::Context,
        undo: &mut resource::Undo,
    ) {
        let given_up = async {
            match &hold.space {
                Some(space) => drop(space.phase.until(|phase| phase != Phase::Joined).await),
                None => std::future::pending().await,
            }
        };
        tokio::pin!(given_up);
        while let Err(failed) = resource::undo(context, undo).await {
            error!("the resource index's internal lease may still be held: {failed}");
            if !failed.is_timeout() {
                return;
            }
            tokio::select! {
                biased;
                () = &mut given_up => return,
                () = self.host.sleep(context.timeouts.io.renewal_interval()) => {}
            }
        }
    }
}

/// `SANLK_RINDEX_OFFSET`.
const RINDEX_OFFSET: Code = -277;

fn failed_with(failed: &paxos::Error) -> Code {
    error!("{failed}");
    failed.code()
}
