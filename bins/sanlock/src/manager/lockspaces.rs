//! Joining, leaving and asking for lockspaces.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use ondisk::{HostId, IoTimeout, Name};
use tokio::sync::Notify;
use tracing::{debug, error, warn};

use crate::watched::Watched;

use super::events::EventListeners;
use super::hosts::HostTable;
use super::resources::Stage;
use super::space::{LeaseStatus, Phase, RenewalHistory, Space};
use super::spec::LockspaceSpec;
use super::{Code, Manager, errno};

/// Where a lockspace is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Joined.
    Spaces,
    /// Being joined.
    Add,
    /// Being left.
    Rem,
}

impl List {
    /// The word that status shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spaces => "spaces",
            Self::Add => "add",
            Self::Rem => "rem",
        }
    }
}

/// A lockspace with what the manager alone keeps about it.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The lockspace.
    pub space: Arc<Space>,
    /// Where it is listed.
    pub list: List,
    /// Orders a list: the newest first, as status shows it.
    sequence: u64,
    /// Its lease could not be renewed in time.
    pub renew_fail: bool,
    /// Nothing new may be taken in it.
    pub space_dead: bool,
    /// 1: its processes are being stopped; 2: they do not go.
    pub killing_pids: u32,
    /// How often leaving it was put off because it is used.
    pub used_retries: u32,
    /// A client says that it is used by processes without leases.
    pub external_used: bool,
    /// Orphans keep it from being left.
    pub used_by_orphans: bool,
}

/// All lockspaces.
#[derive(Debug, Default)]
pub struct Spaces {
    all: Vec<Listed>,
    last_id: u32,
    sequence: u64,
}

impl Spaces {
    /// The joined lockspace of this name.
    pub fn joined(&self, name: &Name) -> Option<&Listed> {
        self.all
            .iter()
            .find(|one| one.list == List::Spaces && one.space.spec.name == *name)
    }

    /// The joined lockspace of this name, to change it.
    pub fn joined_mut(&mut self, name: &Name) -> Option<&mut Listed> {
        self.all
            .iter_mut()
            .find(|one| one.list == List::Spaces && one.space.spec.name == *name)
    }

    /// The lockspace of this name, wherever it is listed: joined, being left, being joined.
    pub fn any(&self, name: &Name) -> Option<&Listed> {
        [List::Spaces, List::Rem, List::Add]
            .into_iter()
            .find_map(|list| {
                self.all
                    .iter()
                    .find(|one| one.list == list && one.space.spec.name == *name)
            })
    }

    /// A lockspace by its number.
    pub fn by_id_mut(&mut self, id: u32) -> Option<&mut Listed> {
        self.all.iter_mut().find(|one| one.space.id == id)
    }

    /// A lockspace that agrees with every part of `wanted` that is not empty.
    fn matching(&self, wanted: &LockspaceSpec, list: List) -> Option<&Listed> {
        self.all.iter().find(|one| {
            let spec = &one.space.spec;
            one.list == list
                && spec.name == wanted.name
                && spec.area == wanted.area
                && (wanted.host_id == HostId(0) || spec.host_id == wanted.host_id)
        })
    }

    /// The lockspaces of a list, the newest first.
    pub fn listed(&self, list: List) -> Vec<Listed> {
        let mut listed: Vec<_> = self
            .all
            .iter()
            .filter(|one| one.list == list)
            .cloned()
            .collect();
        listed.sort_by_key(|one| std::cmp::Reverse(one.sequence));
        listed
    }

    fn insert(&mut self, space: Arc<Space>) {
        self.sequence += 1;
        self.all.push(Listed {
            space,
            list: List::Add,
            sequence: self.sequence,
            renew_fail: false,
            space_dead: false,
            killing_pids: 0,
            used_retries: 0,
            external_used: false,
            used_by_orphans: false,
        });
    }

    /// Moves a lockspace to another list.
    pub fn set_list(&mut self, id: u32, list: List) {
        self.sequence += 1;
        let sequence = self.sequence;
        if let Some(one) = self.by_id_mut(id) {
            one.list = list;
            one.sequence = sequence;
        }
    }

    /// Forgets a lockspace.
    pub fn remove(&mut self, id: u32) {
        self.all.retain(|one| one.space.id != id);
    }

    /// Whether there is none, not even one that is coming or going.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All lockspaces.
    pub fn iter(&self) -> impl Iterator<Item = &Listed> {
        self.all.iter()
    }
}

/// What a client can set about a joined lockspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockspaceConfig {
    /// Used by processes without leases, so not to be left.
    Used(bool),
    /// Not to be left while it has orphans.
    UsedByOrphans(bool),
    /// What this program does not know.
    Unknown(u32),
}

impl Manager {
    /// Begins to join a lockspace. The result comes from [`Manager::lockspace_joined`].
    ///
    /// # Errors
    /// -17 joined already, -115 being joined, -11 being left, -22 bad arguments or a lockspace that
    /// has the same name or area but not both.
    pub fn join_lockspace(
        self: &Arc<Self>,
        spec: LockspaceSpec,
        io_timeout: u32,
    ) -> Result<Arc<Space>, Code> {
        if spec.name.is_empty()
            || spec.host_id == HostId(0)
            || spec.area.path.as_os_str().is_empty()
        {
            error!(
                "cannot join lockspace {spec}: a name, a host id above zero and a path are needed"
            );
            return Err(errno::INVAL);
        }
        let seconds = if io_timeout == 0 {
            self.settings.io_timeout
        } else {
            io_timeout
        };
        let io_timeout = IoTimeout(seconds);
        let set_bitmap = self
            .settings
            .set_bitmap_seconds
            .filter(|seconds| *seconds != 0)
            .unwrap_or_else(|| seconds.saturating_mul(6));
        let read_extend = self.settings.renewal_read_extend_sec.unwrap_or(seconds);

        let mut state = self.state();
        for (list, code) in [
            (List::Spaces, errno::EXIST),
            (List::Add, errno::INPROGRESS),
            (List::Rem, errno::AGAIN),
        ] {
            if state.spaces.matching(&spec, list).is_some() {
                return Err(code);
            }
        }
        let conflict = state
            .spaces
            .iter()
            .find(|one| one.space.spec.name == spec.name || one.space.spec.area == spec.area);
        if let Some(other) = conflict {
            error!(
                "cannot join lockspace {spec}: it has the name or the area of lockspace s{} {}, \
                 which this host is in",
                other.space.id, other.space.spec
            );
            return Err(errno::INVAL);
        }
        state.spaces.last_id = state.spaces.last_id.wrapping_add(1).max(1);
        let space = Arc::new(Space {
            id: state.spaces.last_id,
            hosts: Mutex::new(HostTable::new(spec.name, spec.host_id)),
            spec,
            io_timeout,
            set_bitmap: Duration::from_secs(u64::from(set_bitmap)),
            read_extend: Duration::from_secs(u64::from(read_extend)),
            facts: OnceLock::new(),
            geometry: OnceLock::new(),
            set_max_sectors_kb: AtomicU32::new(0),
            lease: LeaseStatus::default(),
            history: Mutex::new(RenewalHistory::new(self.settings.renewal_history_size)),
            events: Mutex::new(EventListeners::default()),
            phase: Watched::new(Phase::Joining),
            wake: Notify::new(),
            remove: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            lease_disks: Mutex::default(),
        });
        state.spaces.insert(Arc::clone(&space));
        drop(state);
        warn!(space = space.id, "lockspace {}", space.spec);
        let manager = Arc::clone(self);
        let joining = Arc::clone(&space);
        self.host.spawn_renewal(Box::pin(
            async move { manager.run_lockspace(joining).await },
        ));
        Ok(space)
    }

    /// Waits until a lockspace is joined.
    ///
    /// # Errors
    /// The number that says why it was not.
    pub async fn lockspace_joined(&self, space: &Space) -> Result<(), Code> {
        match space.settled().await {
            Phase::Joined | Phase::Leaving => Ok(()),
            Phase::Failed(code) => Err(code),
            Phase::Joining | Phase::Gone => Err(-1),
        }
    }

    /// Whether a lockspace is joined: zero, -2 for no, -115 for coming or going.
    pub fn inquire_lockspace(&self, spec: &LockspaceSpec) -> Code {
        let state = self.state();
        if state.spaces.matching(spec, List::Spaces).is_some() {
            0
        } else if state.spaces.matching(spec, List::Add).is_some()
            || state.spaces.matching(spec, List::Rem).is_some()
        {
            errno::INPROGRESS
        } else {
            errno::NOENT
        }
    }

    /// As [`Manager::inquire_lockspace`], but waits for a lockspace that is coming or going.
    pub async fn inquire_lockspace_settled(&self, spec: &LockspaceSpec) -> Code {
        loop {
            let pending = {
                let state = self.state();
                state
                    .spaces
                    .matching(spec, List::Add)
                    .or_else(|| state.spaces.matching(spec, List::Rem))
                    .map(|one| (Arc::clone(&one.space), one.list))
            };
            match pending {
                None => return self.inquire_lockspace(spec),
                Some((space, List::Add)) => {
                    space.settled().await;
                }
                Some((space, _)) => space.gone().await,
            }
            // Between a phase and its list there is a moment.
            tokio::task::yield_now().await;
        }
    }

    /// Begins to leave a lockspace, stopping the processes that hold leases in it; `unused` refuses
    /// where there are any. Wait for the end with [`Space::gone`].
    ///
    /// # Errors
    /// -2 not joined, -115 being left already, -16 in use.
    pub fn leave_lockspace(&self, spec: &LockspaceSpec, unused: bool) -> Result<Arc<Space>, Code> {
        let state = self.state();
        if unused && state.resources.uses(&spec.name) {
            return Err(errno::BUSY);
        }
        if state.spaces.matching(spec, List::Rem).is_some() {
            return Err(errno::INPROGRESS);
        }
        let space = if let Some(adding) = state.spaces.matching(spec, List::Add) {
            Arc::clone(&adding.space)
        } else {
            let joined = state
                .spaces
                .matching(spec, List::Spaces)
                .ok_or(errno::NOENT)?;
            let orphans = state.resources.in_stage(&spec.name, Stage::Orphan).len();
            if joined.used_by_orphans && orphans != 0 {
                debug!(
                    space = joined.space.id,
                    "not left: it has {orphans} orphans"
                );
                return Err(errno::BUSY);
            }
            if state.rindex_ops.contains_key(&joined.space.spec.name) {
                debug!(
                    space = joined.space.id,
                    "not left now: its resource index is being changed"
                );
                return Err(errno::BUSY);
            }
            Arc::clone(&joined.space)
        };
        drop(state);
        space.request_removal();
        Ok(space)
    }

    /// All lockspaces: joined, then being left, then being joined.
    pub fn lockspaces(&self) -> Vec<Listed> {
        let state = self.state();
        [List::Spaces, List::Rem, List::Add]
            .into_iter()
            .flat_map(|list| state.spaces.listed(list))
            .collect()
    }

    /// The lockspaces of one list, the newest first.
    pub fn lockspaces_in(&self, list: List) -> Vec<Listed> {
        self.state().spaces.listed(list)
    }

    /// A lockspace by name, wherever it is listed.
    pub fn lockspace(&self, name: &Name) -> Option<Arc<Space>> {
        self.state()
            .spaces
            .any(name)
            .map(|one| Arc::clone(&one.space))
    }

    /// A joined lockspace by name.
    pub fn joined_lockspace(&self, name: &Name) -> Option<Arc<Space>> {
        self.state()
            .spaces
            .joined(name)
            .map(|one| Arc::clone(&one.space))
    }

    /// Sets something about a joined lockspace.
    ///
    /// # Errors
    /// -2 not joined, -22 not known, -28 already failed or being left.
    pub fn configure_lockspace(&self, name: &Name, config: LockspaceConfig) -> Result<(), Code> {
        let mut state = self.state();
        let listed = state.spaces.joined_mut(name).ok_or(errno::NOENT)?;
        let (flag, on) = match config {
            LockspaceConfig::Used(on) => (&mut listed.external_used, on),
            LockspaceConfig::UsedByOrphans(on) => (&mut listed.used_by_orphans, on),
            LockspaceConfig::Unknown(number) => {
                error!("set_config {number} is not known; a newer sanlock's?");
                return Err(errno::INVAL);
            }
        };
        if on && listed.space_dead {
            return Err(errno::NOSPC);
        }
        *flag = on;
        listed.space.wake.notify_waiters();
        Ok(())
    }

    /// Whether a lockspace that is to be left is still in use, though no process with leases is.
    pub(super) fn held_back(&self, space: &Space) -> bool {
        let mut state = self.state();
        let orphans = state
            .resources
            .in_stage(&space.spec.name, Stage::Orphan)
            .len();
        let Some(listed) = state.spaces.by_id_mut(space.id) else {
            return false;
        };
        let reason = if listed.external_used {
            "a client says that it is used".to_owned()
        } else if listed.used_by_orphans && orphans != 0 {
            format!("it has {orphans} orphans")
        } else {
            return false;
        };
        if listed.used_retries % 1000 == 0 {
            error!(space = space.id, "the lockspace is not left yet: {reason}");
        }
        listed.used_retries = listed.used_retries.saturating_add(1);
        true
    }

    /// Takes note that a lockspace's task is at an end.
    pub(super) fn lockspace_ended(&self, space: &Space, phase: Phase) {
        let mut state = self.state();
        state.spaces.remove(space.id);
        state.resources.purge(&space.spec.name);
        drop(state);
        super::locked(&space.events).close();
        space.lease.acquire_result.load(Ordering::Acquire);
        space.phase.set(phase);
        self.clients_changed.notify_waiters();
    }
}
