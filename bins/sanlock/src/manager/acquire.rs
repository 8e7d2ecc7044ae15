//! Taking leases for a client.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use ondisk::{Geometry, Lver};
use paxos::resource::{self, AcquireOptions, Held, Member, ResourceLease, SharedOptions};
use paxos::{AcquireError, Cancel, Context};
use storage::IoError;
use tracing::{debug, error};

use super::clients::Token;
use super::command::Target;
use super::lease::{SpaceLiveness, close, still_there};
use super::resources::{LeaseValue, Stage};
use super::space::Space;
use super::spec::{ResourceKey, ResourceSpec};
use super::{Code, Manager, errno};

/// `SANLK_RES_LVER`: only if the lease has just this version.
const RES_LVER: u32 = 0x1;
/// `SANLK_RES_NUM_HOSTS`: set the number of hosts.
const RES_NUM_HOSTS: u32 = 0x2;
/// `SANLK_RES_SHARED`: together with other hosts.
pub(super) const RES_SHARED: u32 = 0x4;
/// `SANLK_RES_PERSISTENT`: keep the lease when the process dies.
const RES_PERSISTENT: u32 = 0x8;

/// `SANLK_ACQUIRE_LVB`: read the lease value block.
const ACQUIRE_LVB: u32 = 0x1;
/// `SANLK_ACQUIRE_OWNER_NOWAIT`: do not wait for the death of a silent owner.
const ACQUIRE_OWNER_NOWAIT: u32 = 0x8;

/// What a client wants.
#[derive(Debug, Clone)]
pub struct AcquireRequest {
    /// `SANLK_ACQUIRE_*`.
    pub flags: u32,
    /// Which leases, all or none of them.
    pub resources: Vec<ResourceSpec>,
    /// The name that status shows for the client.
    pub owner_name: Vec<u8>,
}

/// A lease that was taken, with the client's token for it.
struct Won {
    token: Token,
}

impl Manager {
    /// Takes all leases of a request for a client, or none of them.
    ///
    /// # Errors
    /// The number that says why the first one that failed could not be taken.
    pub async fn acquire(
        self: &Arc<Self>,
        target: &Target,
        request: AcquireRequest,
    ) -> Result<(), Code> {
        self.update_client(target.client, |client| {
            client.owner_name = request.owner_name.clone()
        });
        match self.acquire_all(target, &request).await {
            Ok(won) => self.hand_over(target, won).await,
            Err(code) => {
                self.end_command(target, Vec::new());
                Err(code)
            }
        }
    }

    /// Gives the leases to the client, if they are still good for anything.
    async fn hand_over(self: &Arc<Self>, target: &Target, won: Vec<Won>) -> Result<(), Code> {
        let tokens: Vec<_> = won.into_iter().map(|won| won.token).collect();
        // The lockspace may have failed meanwhile: whoever stops its processes did not see this one. The
        // look and the handing over are one step under the lock.
        let good = {
            let mut state = self.state();
            let state = &mut *state;
            let handed_over_anyway = planted!(self, HandedOverAfterLoss);
            let good = handed_over_anyway
                || tokens.iter().all(|token| {
                    state.spaces.joined(&token.key.space).is_some_and(|listed| {
                        listed.space.id == token.space_id && listed.killing_pids == 0
                    })
                });
            if good {
                if let Some(client) = state.clients.get_mut(target.client) {
                    if !client.pid_dead || planted!(self, DeadClientForgotten) {
                        client.cmd_active = 0;
                        tokens.iter().cloned().for_each(|token| client.add(token));
                        return Ok(());
                    }
                }
            }
            good
        };
        for token in &tokens {
            self.release_token(token, None).await;
        }
        self.end_command(target, Vec::new());
        if good {
            return Err(errno::NOTTY);
        }
        error!(
            "process {}: its lockspace failed while leases were taken",
            target.pid
        );
        Err(errno::NOSPC)
    }

    async fn acquire_all(
        self: &Arc<Self>,
        target: &Target,
        request: &AcquireRequest,
    ) -> Result<Vec<Won>, Code> {
        let mut spaces = Vec::with_capacity(request.resources.len());
        for spec in &request.resources {
            spaces.push(self.usable_lockspace(spec)?);
        }
        // Leases of one resource are taken one after the other, as the second depends on the first.
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut group_of: BTreeMap<ResourceKey, usize> = BTreeMap::new();
        for (index, spec) in request.resources.iter().enumerate() {
            let group = *group_of.entry(spec.key).or_insert(groups.len());
            match groups.get_mut(group) {
                Some(group) => group.push(index),
                None => groups.push(vec![index]),
            }
        }
        let tasks = groups
            .into_iter()
            .map(|group| self.acquire_group(target, request, &spaces, group));
        let mut done: Vec<_> = join_all(tasks).await.into_iter().flatten().collect();
        done.sort_by_key(|(index, _)| *index);
        let mut won = Vec::with_capacity(done.len());
        let mut failure = None;
        for (_, one) in done {
            match one {
                Ok(one) => won.push(one),
                Err(code) => failure = failure.or(Some(code)),
            }
        }
        let Some(code) = failure else { return Ok(won) };
        for one in &won {
            self.release_token(&one.token, None).await;
        }
        Err(code)
    }

    /// Takes leases of one resource in order, up to the first that cannot be had. `group` has their places
    /// in the request, which come back with the results.
    async fn acquire_group(
        self: &Arc<Self>,
        target: &Target,
        request: &AcquireRequest,
        spaces: &[Arc<Space>],
        group: Vec<usize>,
    ) -> Vec<(usize, Result<Won, Code>)> {
        let mut done = Vec::with_capacity(group.len());
        for index in group {
            let (Some(spec), Some(space)) = (request.resources.get(index), spaces.get(index))
            else {
                continue;
            };
            let won = self.acquire_one(target, spec, space, request.flags).await;
            let failed = won.is_err();
            done.push((index, won));
            if failed {
                break;
            }
        }
        done
    }

    /// The lockspace of a resource, if leases may be taken in it.
    fn usable_lockspace(&self, spec: &ResourceSpec) -> Result<Arc<Space>, Code> {
        let state = self.state();
        match state.spaces.joined(&spec.key.space) {
            Some(listed) if listed.killing_pids == 0 => Ok(Arc::clone(&listed.space)),
            found => {
                error!(
                    "{} cannot be taken: lockspace {} {}",
                    spec.key,
                    spec.key.space,
                    match found {
                        Some(_) => "is being given up on this host",
                        None => "is not joined on this host",
                    }
                );
                Err(errno::NOSPC)
            }
        }
    }

    async fn acquire_one(
        self: &Arc<Self>,
        target: &Target,
        spec: &ResourceSpec,
        space: &Arc<Space>,
        flags: u32,
    ) -> Result<Won, Code> {
        let facts = *space.facts.get().ok_or(errno::NOSPC)?;
        let us = Member {
            host: space.spec.host_id,
            generation: facts.generation,
        };
        let shared = spec.flags & RES_SHARED != 0;
        let entered = self.enter(target, spec, space, us, flags).await?;
        let id = entered.resource;
        let mut token = Token {
            id: entered.token,
            key: spec.key,
            areas: spec.areas.clone(),
            shared,
            persistent: spec.flags & RES_PERSISTENT != 0,
            lver: Lver(0),
            space_id: space.id,
            space_dead: false,
        };
        if entered.joined {
            let state = self.state();
            if let Some(resource) = state.resources.get(&spec.key).filter(|_| !shared) {
                token.lver = resource.lver;
            }
            return Ok(Won { token });
        }
        let on_disk = {
            let (manager, space, spec) = (Arc::clone(self), Arc::clone(space), spec.clone());
            async move {
                let context = manager.context(space.io_timeout);
                manager
                    .take_on_disk(&context, &spec, &space, us, facts.geometry, flags, id)
                    .await
            }
        };
        match storage::following_answers(on_disk).await {
            Ok((held, lvb)) => {
                token.lver = if shared { Lver(0) } else { held.leader.lver };
                let mut state = self.state();
                if let Some(resource) = state.resources.get_mut(&spec.key) {
                    resource.geometry = Some(held.lease.geometry);
                    resource.lver = held.leader.lver;
                    resource.lvb = lvb;
                    resource.lease = Some(held);
                }
                state.resources.set_stage(&spec.key, Stage::Held);
                drop(state);
                self.clients_changed.notify_waiters();
                Ok(Won { token })
            }
            Err(Refused::Open(failed)) => {
                let code = failed.code();
                error!(
                    space = space.id,
                    resource = id,
                    "{} cannot be taken: {failed}",
                    spec.key
                );
                self.forget(&spec.key);
                Err(code)
            }
            Err(Refused::Gone(held)) => {
                error!(
                    space = space.id,
                    resource = id,
                    "{} cannot be taken: its file was removed or replaced meanwhile; try again, with a new file if there \
                     is none",
                    spec.key
                );
                // The lease stays ours in the file without a name, where nobody else who has it open can take it.
                drop(held);
                self.forget(&spec.key);
                Err(errno::NOENT)
            }
            Err(Refused::Unsure(held, failed)) => {
                let code = failed.code();
                error!(
                    space = space.id,
                    resource = id,
                    "{} cannot be taken, as nobody knows whether it is still where others look for it: {failed}",
                    spec.key
                );
                if let Some(resource) = self.state().resources.get_mut(&spec.key) {
                    resource.lease = Some(*held);
                }
                self.give_back(&spec.key, None).await;
                Err(code)
            }
            Err(Refused::Lease(failed)) => {
                self.say_why_not(space, id, spec, &failed);
                let code = failed.code();
                match failed.undo {
                    None => self.forget(&spec.key),
                    // Others may yet make us the owner: nobody here takes the lease before that is undone.
                    Some(undo) => {
                        if let Some(resource) = self.state().resources.get_mut(&spec.key) {
                            resource.undo = Some(undo);
                        }
                        self.give_back(&spec.key, None).await;
                    }
                }
                Err(code)
            }
        }
    }

    /// Forgets a resource that was not taken.
    fn forget(&self, key: &ResourceKey) {
        self.state().resources.remove(key);
        self.clients_changed.notify_waiters();
    }

    #[allow(clippy::too_many_arguments)] // what a lease is taken with
    async fn take_on_disk(
        self: &Arc<Self>,
        context: &Context,
        spec: &ResourceSpec,
        space: &Arc<Space>,
        us: Member,
        geometry: Geometry,
        flags: u32,
        id: u32,
    ) -> Result<(Held, Option<LeaseValue>), Refused> {
        super::locked(&space.lease_disks).extend(spec.areas.iter().map(|area| area.path.clone()));
        let areas = self
            .areas_of_lease(&spec.areas, space.io_timeout)
            .await
            .map_err(Refused::Open)?;
        let lease = ResourceLease {
            space: spec.key.space,
            name: spec.key.name,
            areas,
            geometry,
        };
        let liveness = SpaceLiveness::new(self, Arc::clone(space));
        #[allow(clippy::field_reassign_with_default)] // it has fields of its own
        let mut options = AcquireOptions::default();
        options.lver = (spec.flags & RES_LVER != 0 && spec.lver != Lver(0)).then_some(spec.lver);
        options.num_hosts =
            (spec.flags & RES_NUM_HOSTS != 0 && spec.data32 != 0).then_some(u64::from(spec.data32));
        options.no_wait = flags & ACQUIRE_OWNER_NOWAIT != 0;
        let cancel = Cancel::new();
        let work = async {
            if spec.flags & RES_SHARED != 0 {
                let options = SharedOptions {
                    acquire: options,
                    retries: self.settings.sh_retries,
                };
                resource::acquire_shared(context, &lease, us, &liveness, &options, &cancel).await
            } else {
                resource::acquire_exclusive(context, &lease, us, &liveness, &options, &cancel).await
            }
        };
        let mut held = self
            .until_cancelled(space, &cancel, work)
            .await
            .map_err(Refused::Lease)?;
        match still_there(context, &held.lease).await {
            Ok(true) => {}
            Ok(false) => return Err(Refused::Gone(Box::new(held))),
            Err(failed) => {
                close(&mut held);
                return Err(Refused::Unsure(Box::new(held), failed));
            }
        }
        let lvb = if flags & ACQUIRE_LVB != 0 {
            self.read_value(context, &held, space.id, id).await
        } else {
            None
        };
        close(&mut held);
        Ok((held, lvb))
    }

    /// Runs `work` to its end, but tells it to stop once the lockspace is given up or the daemon ends.
    pub(super) async fn until_cancelled<T>(
        &self,
        space: &Space,
        cancel: &Cancel,
        work: impl Future<Output = T>,
    ) -> T {
        let unwanted = async {
            tokio::select! {
                biased;
                _ = self.shutdown.until(|shutdown| shutdown != super::Shutdown::No) => {}
                _ = space.phase.until(|phase| phase != super::space::Phase::Joined) => {}
            }
        };
        tokio::pin!(work, unwanted);
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = &mut unwanted => cancel.cancel(),
        }
        work.await
    }

    fn say_why_not(&self, space: &Space, id: u32, spec: &ResourceSpec, failed: &AcquireError) {
        let code = failed.code();
        let owner = failed.error.owner().map(|owner| {
            let name = super::locked(&space.hosts).host(owner.host).name;
            format!("; host {} is {name}", owner.host)
        });
        let sentence = format!(
            "{} cannot be taken: {failed}{} ({})",
            spec.key,
            owner.unwrap_or_default(),
            sanlock_proto::describe(code)
        );
        let common = matches!(code, -247..=-243 | errno::AGAIN);
        if common && self.settings.quiet_fail {
            debug!(space = space.id, resource = id, "{sentence}");
        } else {
            error!(space = space.id, resource = id, "{sentence}");
        }
    }
}

/// Why a lease was not taken on disk.
enum Refused {
    Open(IoError),
    Lease(AcquireError),
    /// It was taken in a file that has lost its name, as when virt-sanlock-cleanup removed it meanwhile.
    Gone(Box<Held>),
    /// It was taken, but whether in a file that others find is not known.
    Unsure(Box<Held>, IoError),
}
