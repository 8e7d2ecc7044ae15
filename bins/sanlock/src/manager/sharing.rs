//! Ending conversions to shared that could not be written.
//!
//! The client has been told that its lease is shared, and goes by it; other hosts still take it for owned until
//! this is done, as soon as the storage is back.

use std::sync::Arc;

use ondisk::IoTimeout;
use paxos::resource::{self, Held};
use tracing::{error, info};

use super::Manager;
use super::lease::close;
use super::release::{Pause, RetryPauses};
use super::resources::Stage;
use super::spec::{Area, ResourceKey};

/// A lease to be worked on while it stays where it is.
struct Half {
    held: Held,
    areas: Vec<Area>,
    io_timeout: IoTimeout,
    space_id: u32,
    id: u32,
}

/// What came of one attempt.
enum Attempt {
    /// It is shared, given back, or not ours to write any more.
    Over,
    Again(Pause),
}

impl Manager {
    /// Tries to end a conversion until it has worked, or somebody else takes care of the lease.
    pub(super) fn complete_sharing_in_background(self: &Arc<Self>, key: &ResourceKey) {
        let (manager, key) = (Arc::clone(self), *key);
        self.host.spawn(Box::pin(async move {
            let mut pauses = RetryPauses::new(manager.resource_io_timeout(&key));
            let mut pause = Pause::Short;
            loop {
                manager
                    .pause_in_lockspace(&key.space, pauses.next(pause))
                    .await;
                match manager.try_to_complete_sharing(&key).await {
                    Attempt::Again(next) => pause = next,
                    Attempt::Over => return,
                }
            }
        }));
    }

    async fn try_to_complete_sharing(&self, key: &ResourceKey) -> Attempt {
        let Some(mut half) = self.half_shared(key) else {
            return Attempt::Over;
        };
        let result = self.complete_sharing(&mut half).await;
        let done = result.is_ok();
        {
            let mut state = self.state();
            state.resources.end_completing(key);
            let lease = state
                .resources
                .get_mut(key)
                .and_then(|resource| resource.lease.as_mut());
            if let Some(lease) = lease.filter(|_| done) {
                *lease = half.held;
            }
        }
        self.clients_changed.notify_waiters();
        let (space, id) = (half.space_id, half.id);
        match result {
            Ok(()) => {
                info!(space = space, resource = id, "{key} is shared on disk, too");
                Attempt::Over
            }
            Err((failed, Some(pause))) => {
                error!(
                    space = space,
                    resource = id,
                    "{key} is shared, and others may not see it yet: {failed}; trying again"
                );
                Attempt::Again(pause)
            }
            Err((failed, None)) => {
                error!(
                    space = space,
                    resource = id,
                    "{key} is shared, and others may not see it before it is given back: {failed}"
                );
                Attempt::Over
            }
        }
    }

    /// The lease, if there is still something to do, which nobody else does or can do meanwhile.
    fn half_shared(&self, key: &ResourceKey) -> Option<Half> {
        let mut state = self.state();
        let state = &mut *state;
        let resource = state
            .resources
            .get(key)
            .filter(|resource| matches!(resource.stage, Stage::Held | Stage::Orphan))?;
        let held = resource.lease.clone().filter(Held::is_half_shared)?;
        // As for a release: in a lockspace that failed, the lease on disk is none of our business.
        state
            .spaces
            .joined(&key.space)
            .filter(|listed| listed.space.id == resource.space_id && listed.killing_pids == 0)?;
        let half = Half {
            held,
            areas: resource.areas.clone(),
            io_timeout: resource.io_timeout,
            space_id: resource.space_id,
            id: resource.id,
        };
        state.resources.begin_completing(*key).then_some(half)
    }

    async fn complete_sharing(&self, half: &mut Half) -> Result<(), (String, Option<Pause>)> {
        let reopened = self
            .reopen(&mut half.held, &half.areas, half.io_timeout)
            .await;
        if let Err(failed) = reopened {
            let again = failed.may_pass().then(|| Pause::after(failed.is_timeout()));
            return Err((failed.to_string(), again));
        }
        let context = self.context(half.io_timeout);
        let completed = resource::complete_sharing(&context, &mut half.held).await;
        close(&mut half.held);
        completed.map_err(|failed| {
            let again = failed.may_pass().then(|| Pause::after(failed.is_timeout()));
            (failed.to_string(), again)
        })
    }

    /// Waits until no background task works on the lease.
    pub(super) async fn until_completed(&self, key: &ResourceKey) {
        loop {
            let changed = self.clients_changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if !self.state().resources.is_completing(key) {
                return;
            }
            changed.await;
        }
    }
}
