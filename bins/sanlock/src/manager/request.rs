//! Asking another host's process for its lease, and being asked.

use std::sync::Arc;

use ondisk::{HostId, IoTimeout, Lver, Name};
use paxos::resource::{self, Request, ResourceLease};
use tracing::{debug, error};

use crate::host::{KillPath, Pid, StopSignal};

use super::resources::Stage;
use super::spec::{Area, ResourceKey, ResourceSpec};
use super::{Code, Manager, errno, locked};

/// `SANLK_REQ_FORCE`: the holder is killed.
const FORCE: u32 = 1;
/// `SANLK_REQ_GRACEFUL`: the holder's kill path is run, or it gets `SIGTERM`.
const GRACEFUL: u32 = 2;

/// A held resource whose request record is to be looked at.
struct Examined {
    key: ResourceKey,
    space_id: u32,
    id: u32,
    areas: Vec<Area>,
    geometry: ondisk::Geometry,
    io_timeout: IoTimeout,
    lver: Lver,
}

impl Manager {
    /// Writes a request into a lease, and has its owner look at it.
    ///
    /// # Errors
    /// -28 lockspace not joined; -2 and others when it cannot be opened; -272 and -273 when the version
    /// asked for is old; what the lease itself says.
    pub async fn request(
        self: &Arc<Self>,
        spec: &ResourceSpec,
        force_mode: u32,
        next_lver: bool,
    ) -> Result<(), Code> {
        let space = {
            let state = self.state();
            let joined = state.spaces.joined(&spec.key.space);
            Arc::clone(
                &joined
                    .filter(|listed| listed.killing_pids == 0)
                    .ok_or(errno::NOSPC)?
                    .space,
            )
        };
        let geometry = *space.geometry.get().ok_or(errno::NOSPC)?;
        let areas = self
            .areas_of_lease(&spec.areas, space.io_timeout)
            .await
            .map_err(|failed| failed.code())?;
        let lease = ResourceLease {
            space: spec.key.space,
            name: spec.key.name,
            areas,
            geometry,
        };
        let wanted = Request {
            lver: (spec.lver != Lver(0)).then_some(spec.lver),
            next_lver,
            force_mode,
        };
        let context = self.context(space.io_timeout);
        let requested = resource::request(&context, &lease, wanted)
            .await
            .map_err(|failed| {
                debug!(
                    space = space.id,
                    "request for {} failed: {failed}", spec.key
                );
                failed.code()
            })?;
        if let Some(owner) = requested.owner.filter(|owner| *owner != HostId(0)) {
            locked(&space.hosts).set_bit(owner, self.now());
        }
        Ok(())
    }

    /// Looks at the request records of the resources held in a lockspace, in the background. Returns how
    /// many there are.
    pub fn examine(self: &Arc<Self>, space: &Name, name: Option<&Name>) -> usize {
        let examined: Vec<_> = {
            let mut state = self.state();
            let keys = state.resources.in_stage(space, Stage::Held);
            keys.into_iter()
                .filter(|key| name.is_none_or(|name| key.name == *name))
                .filter_map(|key| {
                    let resource = state.resources.get_mut(&key)?;
                    // One that is being looked at already is not looked at twice.
                    if std::mem::replace(&mut resource.examine, true) {
                        return None;
                    }
                    Some(Examined {
                        key,
                        space_id: resource.space_id,
                        id: resource.id,
                        areas: resource.areas.clone(),
                        geometry: resource.geometry?,
                        io_timeout: resource.io_timeout,
                        lver: resource.lver,
                    })
                })
                .collect()
        };
        let count = examined.len();
        for one in examined {
            let manager = Arc::clone(self);
            self.host
                .spawn(Box::pin(async move { manager.examine_one(one).await }));
        }
        count
    }

    async fn examine_one(self: &Arc<Self>, one: Examined) {
        let context = self.context(one.io_timeout);
        let found = match self.areas_of_lease(&one.areas, one.io_timeout).await {
            Ok(areas) => {
                let Examined { key, geometry, .. } = one;
                let lease = ResourceLease {
                    space: key.space,
                    name: key.name,
                    areas,
                    geometry,
                };
                resource::read_request(&context, &lease)
                    .await
                    .map_err(|failed| failed.to_string())
            }
            Err(failed) => Err(failed.to_string()),
        };
        if let Some(resource) = self.state().resources.get_mut(&one.key) {
            resource.examine = false;
        }
        match found {
            Err(failed) => error!(
                space = one.space_id,
                resource = one.id,
                "whether another host asks for {} cannot be seen: {failed}",
                one.key
            ),
            Ok(record) if record.force_mode == 0 || record.lver == Lver(0) => {}
            Ok(record) if record.lver <= one.lver => debug!(
                space = one.space_id,
                resource = one.id,
                "a request for version {} is old, ours is {}",
                record.lver,
                one.lver
            ),
            Ok(record) => self.yield_to_request(&one, record.force_mode),
        }
    }

    /// Has the holder of a resource give way to another host.
    fn yield_to_request(self: &Arc<Self>, one: &Examined, force_mode: u32) {
        let holder = {
            let state = self.state();
            state
                .resources
                .get(&one.key)
                .filter(|found| found.stage == Stage::Held)
                .and_then(|found| {
                    let pid = found.pid?;
                    Some((
                        pid,
                        found.restrict_sigkill,
                        found.restrict_sigterm,
                        found.kill_path.clone(),
                        found.kill_path_pid,
                    ))
                })
        };
        let Some((pid, no_kill, no_term, program, with_pid)) = holder else {
            debug!(
                space = one.space_id,
                resource = one.id,
                "{} has no one holder",
                one.key
            );
            return;
        };
        let told = match force_mode {
            FORCE => self.tell(
                pid,
                if no_kill {
                    StopSignal::Term
                } else {
                    StopSignal::Kill
                },
                None,
            ),
            // The C program never passes the process id here, though the client asked for it.
            GRACEFUL if program.is_set() => {
                self.tell(pid, StopSignal::Term, Some((&program, with_pid)))
            }
            GRACEFUL => self.tell(
                pid,
                if no_term {
                    StopSignal::Kill
                } else {
                    StopSignal::Term
                },
                None,
            ),
            unknown => {
                error!(
                    space = one.space_id,
                    resource = one.id,
                    "unknown request mode {unknown}"
                );
                return;
            }
        };
        if planted!(self, ReleasedBeforeDeath) {
            self.release_before_death(pid, &one.key);
        }
        match told {
            Ok(()) => error!(
                space = one.space_id,
                resource = one.id,
                "another host asks for {}: process {pid} was told to stop",
                one.key
            ),
            Err(failed) => error!(
                space = one.space_id,
                resource = one.id,
                "another host asks for {}, but process {pid} could not be told: {failed}",
                one.key
            ),
        }
    }

    /// As if a process that is told to stop were dead at once: a planted mistake.
    fn release_before_death(self: &Arc<Self>, pid: Pid, key: &ResourceKey) {
        let tokens: Vec<_> = {
            let mut state = self.state();
            let clients = state.clients.iter_mut();
            let theirs = clients.filter(|(_, client)| client.pid == Some(pid));
            theirs.filter_map(|(_, client)| client.take(key)).collect()
        };
        self.release_in_background(&tokens);
    }

    fn tell(
        &self,
        pid: Pid,
        signal: StopSignal,
        program: Option<(&KillPath, bool)>,
    ) -> Result<(), crate::host::HelperError> {
        match program {
            Some((program, with_pid)) => self.host.run_kill_path(program, with_pid.then_some(pid)),
            None => self.host.kill(pid, signal),
        }
    }
}
