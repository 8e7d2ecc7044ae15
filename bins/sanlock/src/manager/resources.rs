//! The resources whose leases this host holds, is taking or is giving back.

use std::collections::{BTreeMap, BTreeSet};

use ondisk::{Geometry, IoTimeout, Lver, Name};
use paxos::resource::{Held, Member, Undo};

use crate::host::{KillPath, Pid};

use super::clients::ClientId;
use super::spec::{Area, ResourceKey};

/// What is being done with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its lease is being taken.
    Add,
    /// Its lease is held by at least one client.
    Held,
    /// Its lease is being given back; nobody can take it until that is done.
    Rem,
    /// Its client died, and wanted the lease kept.
    Orphan,
}

impl Stage {
    /// The word that status shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Held => "held",
            Self::Rem => "rem",
            Self::Orphan => "orphan",
        }
    }
}

/// A lease value block of a held lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseValue {
    /// One sector of data.
    pub data: Vec<u8>,
    /// Changed, and to be written when the lease is given back.
    pub dirty: bool,
}

/// A resource known to the daemon.
#[derive(Debug, Clone)]
pub struct Resource {
    /// The number that log lines know it by.
    pub id: u32,
    /// How often the same resource was taken again under this number.
    pub reused: u32,
    /// What is being done with it.
    pub stage: Stage,
    /// Orders resources of a stage: the newest first, as status shows them.
    pub sequence: u64,
    /// Where its lease is.
    pub areas: Vec<Area>,
    /// Held shared.
    pub shared: bool,
    /// The lockspace's number.
    pub space_id: u32,
    /// Who we are in it.
    pub us: Member,
    /// Its I/O timeout.
    pub io_timeout: IoTimeout,
    /// The lease's geometry, once its leader was read.
    pub geometry: Option<Geometry>,
    /// The process that holds it exclusively, or held it.
    pub pid: Option<Pid>,
    /// That process must not be told to stop by `SIGKILL`.
    pub restrict_sigkill: bool,
    /// That process must not be told to stop by `SIGTERM`.
    pub restrict_sigterm: bool,
    /// What to run instead of killing the holder on a graceful request.
    pub kill_path: KillPath,
    /// Whether that program wants the process id.
    pub kill_path_pid: bool,
    /// The lease as we hold it on disk; a task that works on it has it meanwhile.
    pub lease: Option<Held>,
    /// Its version, zero before it was taken.
    pub lver: Lver,
    /// What a failed step may have left on disk, and must be taken back with the lease.
    pub undo: Option<Box<Undo>>,
    /// The lease value block, if the client asked for it.
    pub lvb: Option<LeaseValue>,
    /// Its request record is to be looked at.
    pub examine: bool,
    /// A task is giving it back in the background.
    pub releasing: bool,
    /// The clients that hold it, the newest last.
    pub holders: Vec<Holder>,
}

/// A client's hold on a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The token's number.
    pub token: u32,
    /// The process.
    pub pid: Pid,
    /// The connection.
    pub client: ClientId,
}

impl Resource {
    /// The flag word that status shows.
    pub fn flags(&self) -> u32 {
        let bit = |on: bool, bit: u32| if on { bit } else { 0 };
        bit(self.shared, 0x1)
            | bit(self.examine, 0x2)
            | bit(self.releasing, 0x4)
            | bit(self.restrict_sigkill, 0x8)
            | bit(self.restrict_sigterm, 0x10)
            | bit(self.lvb.as_ref().is_some_and(|lvb| lvb.dirty), 0x20)
            | bit(self.undo.is_some(), 0x80)
    }
}

/// A number that was given to a resource before.
#[derive(Debug, Clone)]
struct Remembered {
    id: u32,
    reused: u32,
    area: Area,
    areas: usize,
    sequence: u64,
}

/// How many numbers of resources no longer held are remembered, so that the log knows a resource
/// that comes and goes by one number.
const REMEMBERED: usize = 128;

/// All resources of this host.
#[derive(Debug)]
pub struct Resources {
    all: BTreeMap<ResourceKey, Resource>,
    remembered: BTreeMap<ResourceKey, Remembered>,
    /// Those whose conversion to shared a background task is ending. It works on a copy of the lease, which
    /// nobody else touches meanwhile.
    completing: BTreeSet<ResourceKey>,
    next_id: u32,
    next_sequence: u64,
}

impl Default for Resources {
    fn default() -> Self {
        // Number 1 stands for the lease that guards a resource index.
        Self {
            all: BTreeMap::new(),
            remembered: BTreeMap::new(),
            completing: BTreeSet::new(),
            next_id: 2,
            next_sequence: 0,
        }
    }
}

impl Resources {
    /// The number for a resource, and how often it was used before; `None` in the second place for
    /// a number that is new.
    pub fn number_for(&mut self, key: &ResourceKey, areas: &[Area]) -> (u32, Option<u32>) {
        let known = self
            .remembered
            .get(key)
            .is_some_and(|old| old.areas == areas.len() && areas.first() == Some(&old.area));
        if known {
            if let Some(old) = self.remembered.remove(key) {
                return (old.id, Some(old.reused.saturating_add(1)));
            }
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1).max(2);
        (id, None)
    }

    fn sequence(&mut self) -> u64 {
        self.next_sequence += 1;
        self.next_sequence
    }

    /// Takes in a resource.
    pub fn insert(&mut self, key: ResourceKey, mut resource: Resource) {
        resource.sequence = self.sequence();
        self.all.insert(key, resource);
    }

    /// Moves a resource to another stage, as the newest there. One that was being taken keeps its place:
    /// leases of one request are listed in the order in which they were asked for.
    pub fn set_stage(&mut self, key: &ResourceKey, stage: Stage) {
        let sequence = self.sequence();
        if let Some(resource) = self.all.get_mut(key) {
            if resource.stage != Stage::Add {
                resource.sequence = sequence;
            }
            resource.stage = stage;
        }
    }

    /// Forgets a resource, but for its number.
    pub fn remove(&mut self, key: &ResourceKey) -> Option<Resource> {
        let resource = self.all.remove(key)?;
        let sequence = self.sequence();
        if self.remembered.len() >= REMEMBERED {
            let oldest = self
                .remembered
                .iter()
                .min_by_key(|(_, old)| (old.reused != 0, old.sequence))
                .map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                self.remembered.remove(&oldest);
            }
        }
        if let Some(area) = resource.areas.first() {
            let number = Remembered {
                id: resource.id,
                reused: resource.reused,
                area: area.clone(),
                areas: resource.areas.len(),
                sequence,
            };
            self.remembered.insert(*key, number);
        }
        Some(resource)
    }

    /// A resource.
    pub fn get(&self, key: &ResourceKey) -> Option<&Resource> {
        self.all.get(key)
    }

    /// A resource, to change it.
    pub fn get_mut(&mut self, key: &ResourceKey) -> Option<&mut Resource> {
        self.all.get_mut(key)
    }

    /// The resources of a lockspace in one stage.
    pub fn in_stage(&self, space: &Name, stage: Stage) -> Vec<ResourceKey> {
        self.all
            .iter()
            .filter(|(key, resource)| key.space == *space && resource.stage == stage)
            .map(|(key, _)| *key)
            .collect()
    }

    /// Whether any resource of a lockspace is known.
    pub fn uses(&self, space: &Name) -> bool {
        self.all.keys().any(|key| key.space == *space)
    }

    /// Whether a lease of a lockspace is being taken, converted or given back: a task works on it.
    pub fn are_worked_on(&self, space: &Name) -> bool {
        let completing = self.completing.iter().any(|key| key.space == *space);
        completing
            || self.all.iter().any(|(key, resource)| {
                let idle = match resource.stage {
                    Stage::Add | Stage::Rem => false,
                    Stage::Held | Stage::Orphan => resource.lease.is_some(),
                };
                key.space == *space && !idle
            })
    }

    /// A background task begins to work on a lease; false if one does so already.
    pub fn begin_completing(&mut self, key: ResourceKey) -> bool {
        self.completing.insert(key)
    }

    /// It has ended.
    pub fn end_completing(&mut self, key: &ResourceKey) {
        self.completing.remove(key);
    }

    /// Whether a background task works on a lease.
    pub fn is_completing(&self, key: &ResourceKey) -> bool {
        self.completing.contains(key)
    }

    /// Forgets a lockspace's orphans and remembered numbers.
    pub fn purge(&mut self, space: &Name) {
        self.all
            .retain(|key, resource| key.space != *space || resource.stage != Stage::Orphan);
        self.remembered.retain(|key, _| key.space != *space);
    }

    /// All resources of a stage, the newest first.
    pub fn listed(&self, stage: Stage) -> Vec<(&ResourceKey, &Resource)> {
        let mut listed: Vec<_> = self
            .all
            .iter()
            .filter(|(_, resource)| resource.stage == stage)
            .collect();
        listed.sort_by_key(|(_, resource)| std::cmp::Reverse(resource.sequence));
        listed
    }
}
