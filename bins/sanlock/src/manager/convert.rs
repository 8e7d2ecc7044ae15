//! Changing a held lease from exclusive to shared and back.

use std::sync::Arc;

use ondisk::Lver;
use paxos::Cancel;
use paxos::resource::{self, Held};
use tracing::{debug, error, warn};

use super::command::Target;
use super::lease::{SpaceLiveness, close};
use super::resources::Stage;
use super::spec::ResourceKey;
use super::{Code, Manager, errno};

/// `SANLK_CONVERT_OWNER_NOWAIT`: do not wait for the death of a silent owner.
const CONVERT_OWNER_NOWAIT: u32 = 0x8;

impl Manager {
    /// Makes a lease that a client holds shared or exclusive.
    ///
    /// # Errors
    /// -2 not held, -114 held so already, -11 other hosts share it, and what the lease itself says.
    pub async fn convert(
        self: &Arc<Self>,
        target: &Target,
        key: &ResourceKey,
        shared: bool,
        flags: u32,
    ) -> Result<(), Code> {
        let done = self.convert_held(target, key, shared, flags).await;
        self.end_command(target, Vec::new());
        done
    }

    async fn convert_held(
        self: &Arc<Self>,
        target: &Target,
        key: &ResourceKey,
        shared: bool,
        flags: u32,
    ) -> Result<(), Code> {
        self.until_completed(key).await;
        let (space, id, io_timeout, areas, mut held, value) = {
            let mut state = self.state();
            let state = &mut *state;
            let completing = state.resources.is_completing(key);
            let holds = state
                .clients
                .get_mut(target.client)
                .is_some_and(|client| client.find_mut(key).is_some());
            let space = state
                .spaces
                .joined(&key.space)
                .map(|listed| Arc::clone(&listed.space));
            let resource = state
                .resources
                .get_mut(key)
                .filter(|resource| holds && resource.stage == Stage::Held)
                .ok_or(errno::NOENT)?;
            if resource.shared == shared {
                return Err(errno::ALREADY);
            }
            // The ballot asks other hosts only, and so does the C program; here is who else on this host still
            // reads.
            let alone = resource.holders.len() <= 1 || planted!(self, ConvertedUnderReaders);
            if !shared && !alone {
                return Err(errno::AGAIN);
            }
            let space = space.ok_or(errno::NOSPC)?;
            if completing {
                return Err(errno::BUSY);
            }
            // The lease is with the task that works on it; a second one finds none.
            let held = resource.lease.take().ok_or(errno::BUSY)?;
            let value = resource.lvb.clone().filter(|value| value.dirty);
            (
                space,
                resource.id,
                resource.io_timeout,
                resource.areas.clone(),
                held,
                value,
            )
        };
        let done = match self.reopen(&mut held, &areas, io_timeout).await {
            Err(failed) => Err(failed.code()),
            Ok(()) => {
                let context = self.context(io_timeout);
                if shared {
                    self.write_value(&context, &held, value.as_ref(), space.id, id)
                        .await;
                    let converted = resource::convert_to_shared(&context, &mut held).await;
                    match converted {
                        Err(failed) if planted!(self, FailedConversionUndone) => {
                            held.mode = resource::Mode::Exclusive;
                            Err(failed.code())
                        }
                        // The C program says that it failed, and its client goes on as the only holder
                        // while others share the lease.
                        Err(failed) if held.mode == resource::Mode::Shared => {
                            warn!(
                                space = space.id,
                                resource = id,
                                "made shared, but others may not see it yet: {failed}"
                            );
                            Ok(())
                        }
                        Err(failed) => {
                            error!(space = space.id, resource = id, "not made shared: {failed}");
                            Err(failed.code())
                        }
                        Ok(()) => Ok(()),
                    }
                } else {
                    self.make_exclusive(&space, id, &context, &mut held, key, flags)
                        .await
                }
            }
        };
        close(&mut held);
        let half_shared = held.is_half_shared();
        self.put_back(target, key, held, done.is_ok() && shared);
        if half_shared {
            self.complete_sharing_in_background(key);
        }
        done
    }

    async fn make_exclusive(
        self: &Arc<Self>,
        space: &Arc<super::space::Space>,
        id: u32,
        context: &paxos::Context,
        held: &mut Held,
        key: &ResourceKey,
        flags: u32,
    ) -> Result<(), Code> {
        let liveness = SpaceLiveness::new(self, Arc::clone(space));
        let no_wait = flags & CONVERT_OWNER_NOWAIT != 0;
        let cancel = Cancel::new();
        let work = resource::convert_to_exclusive(context, held, &liveness, no_wait, &cancel);
        match self.until_cancelled(space, &cancel, work).await {
            Ok(()) => Ok(()),
            Err(failed) => {
                debug!(
                    space = space.id,
                    resource = id,
                    "{key} not made exclusive: {failed}"
                );
                Err(failed.code())
            }
        }
    }

    /// Puts a lease back that was worked on, as it is held now.
    fn put_back(&self, target: &Target, key: &ResourceKey, held: Held, wrote_value: bool) {
        let shared = held.mode == resource::Mode::Shared;
        let lver = held.leader.lver;
        let mut state = self.state();
        let state = &mut *state;
        if let Some(resource) = state.resources.get_mut(key) {
            resource.shared = shared;
            resource.lver = lver;
            resource.geometry = Some(held.lease.geometry);
            resource.pid = (!shared).then_some(target.pid);
            resource.lease = Some(held);
            if wrote_value {
                if let Some(value) = resource.lvb.as_mut() {
                    value.dirty = false;
                }
            }
        }
        if let Some(token) = state
            .clients
            .get_mut(target.client)
            .and_then(|client| client.find_mut(key))
        {
            token.shared = shared;
            if !shared && lver != Lver(0) {
                token.lver = lver;
            }
        }
    }
}
