//! What another client of this host means for a lease that is to be taken.

use std::sync::Arc;
use std::time::Duration;

use ondisk::Lver;
use paxos::resource::Member;
use tracing::{error, info};

use super::acquire::RES_SHARED;
use super::command::Target;
use super::recovery::{RESTRICT_SIGKILL, RESTRICT_SIGTERM};
use super::resources::{Holder, Resource, Stage};
use super::space::Space;
use super::spec::ResourceSpec;
use super::{Code, Manager, State, errno};

/// `SANLK_ACQUIRE_ORPHAN`: adopt an orphan if there is one.
const ACQUIRE_ORPHAN: u32 = 0x2;
/// `SANLK_ACQUIRE_ORPHAN_ONLY`: adopt an orphan or fail.
const ACQUIRE_ORPHAN_ONLY: u32 = 0x4;

/// How long a lease is waited for that is just being given back on this host: who starts a program again
/// as soon as it has ended must not be refused because of the one before.
const LEAVING: Duration = Duration::from_secs(1);

/// A place among the holders of a resource.
pub(super) struct Entered {
    /// The token's number.
    pub(super) token: u32,
    /// The resource's number.
    pub(super) resource: u32,
    /// It was held shared already, or is an orphan that was adopted: nothing is to be done on disk.
    pub(super) joined: bool,
}

/// Why there is no place.
struct Taken {
    code: Code,
    /// Whoever has it is about to give it back.
    leaving: bool,
}

impl Manager {
    /// Enters a resource among those being taken, or joins one that is held already.
    pub(super) async fn enter(
        &self,
        target: &Target,
        spec: &ResourceSpec,
        space: &Arc<Space>,
        us: Member,
        flags: u32,
    ) -> Result<Entered, Code> {
        let mut patience = None;
        loop {
            let changed = self.clients_changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let taken = match self.try_to_enter(target, spec, space, us, flags) {
                Ok(entered) => return Ok(entered),
                Err(taken) => taken,
            };
            let patience = patience.get_or_insert_with(|| self.host.sleep(LEAVING));
            let again = taken.leaving
                && tokio::select! {
                    biased;
                    () = changed => true,
                    () = patience => false,
                };
            if !again {
                self.say_who_has_it(spec, space, taken.code);
                return Err(taken.code);
            }
        }
    }

    fn say_who_has_it(&self, spec: &ResourceSpec, space: &Space, code: Code) {
        if self.settings.quiet_fail && code != errno::UCLEAN {
            return;
        }
        let state = self.state();
        if let Some(found) = state.resources.get(&spec.key) {
            error!(
                space = space.id,
                resource = found.id,
                "{} is taken already ({})",
                spec.key,
                found.stage.as_str()
            );
        }
    }

    fn try_to_enter(
        &self,
        target: &Target,
        spec: &ResourceSpec,
        space: &Arc<Space>,
        us: Member,
        flags: u32,
    ) -> Result<Entered, Taken> {
        let shared = spec.flags & RES_SHARED != 0;
        let mut state = self.state();
        let state = &mut *state;
        state.last_token_id = state.last_token_id.wrapping_add(1);
        let token_id = state.last_token_id;
        let holder = Holder {
            token: token_id,
            pid: target.pid,
            client: target.client,
        };
        let may_adopt = flags & (ACQUIRE_ORPHAN | ACQUIRE_ORPHAN_ONLY) != 0;
        let leaving = is_leaving(state, spec);
        let forgets_releases = planted!(self, TakenDuringRelease);
        let found = state
            .resources
            .get_mut(&spec.key)
            .filter(|found| !(forgets_releases && found.stage == Stage::Rem));
        if let Some(found) = found {
            let may_join = found.shared || planted!(self, SharesExclusive);
            let joined = Entered {
                token: token_id,
                resource: found.id,
                joined: true,
            };
            let code = match found.stage {
                Stage::Rem => errno::AGAIN,
                Stage::Add => errno::BUSY,
                // It is being made exclusive.
                Stage::Held if shared && found.shared && found.lease.is_none() => errno::AGAIN,
                Stage::Held if shared && may_join => {
                    found.holders.push(holder);
                    return Ok(joined);
                }
                Stage::Held => errno::EXIST,
                Stage::Orphan if may_adopt && shared == found.shared => {
                    found.holders.push(holder);
                    if !shared {
                        found.pid = Some(target.pid);
                    }
                    info!(
                        space = space.id,
                        resource = found.id,
                        "orphan adopted by {}",
                        target.pid
                    );
                    state.resources.set_stage(&spec.key, Stage::Held);
                    return Ok(joined);
                }
                Stage::Orphan => errno::UCLEAN,
            };
            return Err(Taken { code, leaving });
        }
        if flags & ACQUIRE_ORPHAN_ONLY != 0 {
            let code = errno::NOENT;
            return Err(Taken {
                code,
                leaving: false,
            });
        }
        let (id, reused) = state.resources.number_for(&spec.key, &spec.areas);
        if reused.is_none() {
            if let Some(area) = spec.areas.first() {
                info!(
                    space = space.id,
                    resource = id,
                    "resource {}:{area}",
                    spec.key
                );
            }
        }
        state.resources.insert(
            spec.key,
            Resource {
                id,
                reused: reused.unwrap_or(0),
                stage: Stage::Add,
                sequence: 0,
                areas: spec.areas.clone(),
                shared,
                space_id: space.id,
                us,
                io_timeout: space.io_timeout,
                geometry: space.geometry.get().copied(),
                pid: (!shared).then_some(target.pid),
                restrict_sigkill: !shared && target.restricted & RESTRICT_SIGKILL != 0,
                restrict_sigterm: !shared && target.restricted & RESTRICT_SIGTERM != 0,
                kill_path: target.kill_path.clone(),
                kill_path_pid: target.kill_path_pid,
                lease: None,
                lver: Lver(0),
                undo: None,
                lvb: None,
                examine: false,
                releasing: false,
                holders: vec![holder],
            },
        );
        Ok(Entered {
            token: token_id,
            resource: id,
            joined: false,
        })
    }
}

/// Whether a resource is being given back, or all that hold it are gone, though their connections' ends
/// have not been worked on yet.
fn is_leaving(state: &State, spec: &ResourceSpec) -> bool {
    let Some(found) = state.resources.get(&spec.key) else {
        return false;
    };
    let gone = |holder: &Holder| {
        let client = state.clients.get(holder.client);
        client.is_none_or(|client| client.pid_dead || client.has_hung_up())
    };
    match found.stage {
        Stage::Rem => true,
        Stage::Held => found.holders.iter().all(gone),
        Stage::Add | Stage::Orphan => false,
    }
}
