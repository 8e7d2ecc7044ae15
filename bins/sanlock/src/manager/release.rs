//! Giving leases back.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use ondisk::{IoTimeout, Name};
use paxos::resource;
use tracing::{debug, error, info};

use super::clients::Token;
use super::command::Target;
use super::lease::close;
use super::resources::{LeaseValue, Stage};
use super::space::Phase;
use super::spec::{Area, ResourceKey};
use super::{Code, Manager, errno};

/// How soon something is tried again that failed without making anybody wait.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What a client gives back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseRequest {
    /// All that it holds.
    All,
    /// These.
    These(Vec<ResourceKey>),
    /// One, whose lease gets another name.
    Rename(ResourceKey, Name),
    /// Orphans: one, or all of a lockspace where the resource has no name.
    Orphans(ResourceKey),
}

/// What became of one attempt to give a lease back.
enum Attempt {
    Done,
    Failed(Code),
    /// It is not known what is on disk, or known that the lease still is; it will be tried again.
    Again(Code, Pause),
}

/// What is to be given back on disk.
struct Leaving {
    id: u32,
    space_id: u32,
    io_timeout: IoTimeout,
    areas: Vec<Area>,
    lease: Option<resource::Held>,
    undo: Option<Box<resource::Undo>>,
    value: Option<LeaseValue>,
    rename: Option<Name>,
}

/// Why it could not be given back.
struct Failure {
    code: Code,
    again: Option<Pause>,
    why: String,
}

impl Failure {
    fn new(failed: &dyn Display, code: Code, may_pass: bool, timed_out: bool) -> Self {
        Self {
            code,
            again: may_pass.then(|| Pause::after(timed_out)),
            why: failed.to_string(),
        }
    }
}

/// How long to wait before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// The storage took its time already.
    IoTimeout,
    /// It failed at once, and may work again at once.
    Short,
}

impl Pause {
    pub(super) fn after(timed_out: bool) -> Self {
        if timed_out {
            Self::IoTimeout
        } else {
            Self::Short
        }
    }
}

/// The times between attempts: twice as long each, up to two I/O timeouts.
#[derive(Debug)]
pub(super) struct RetryPauses {
    io_timeout: Duration,
    next: Duration,
}

impl RetryPauses {
    pub(super) fn new(io_timeout: Duration) -> Self {
        Self {
            io_timeout,
            next: Duration::ZERO,
        }
    }

    pub(super) fn next(&mut self, pause: Pause) -> Duration {
        let least = match pause {
            Pause::IoTimeout => self.io_timeout,
            Pause::Short => RETRY_PAUSE,
        };
        let now = self.next.max(least).min(self.io_timeout.saturating_mul(2));
        self.next = least.max(self.next).saturating_mul(2);
        now
    }
}

impl Manager {
    /// Gives leases of a client back. Zero, the number of orphans given back, or the number of the last
    /// failure; everything that can be given back is.
    pub async fn release(self: &Arc<Self>, target: &Target, request: ReleaseRequest) -> Code {
        let mut code = 0;
        let mut rename = None;
        let tokens = match request {
            ReleaseRequest::Orphans(key) => {
                code = self.release_orphans(&key);
                Vec::new()
            }
            ReleaseRequest::All => self.take_tokens(target, |client| client.take_all()),
            ReleaseRequest::These(keys) => {
                let tokens = self.take_tokens(target, |client| {
                    keys.iter().filter_map(|key| client.take(key)).collect()
                });
                if tokens.len() < keys.len() {
                    code = not_held(target, &keys, &tokens);
                }
                tokens
            }
            ReleaseRequest::Rename(key, name) => {
                let tokens =
                    self.take_tokens(target, |client| client.take(&key).into_iter().collect());
                if tokens.is_empty() {
                    code = not_held(target, &[key], &tokens);
                }
                rename = Some(name);
                tokens
            }
        };
        let given_back = tokens.iter().map(|token| self.release_token(token, rename));
        for done in join_all(given_back).await {
            if done < 0 {
                code = done;
            }
        }
        self.update_client(target.client, |client| {
            // It holds nothing any more that it would have to be killed for.
            if client.kill_count != 0 && client.held().next().is_none() {
                client.clear_kill_state();
            }
        });
        self.end_command(target, Vec::new());
        code
    }

    fn take_tokens(
        &self,
        target: &Target,
        take: impl FnOnce(&mut super::clients::Client) -> Vec<Token>,
    ) -> Vec<Token> {
        self.state()
            .clients
            .get_mut(target.client)
            .map(take)
            .unwrap_or_default()
    }

    /// Takes a token off its resource. True when it was the last one, and there is something to give
    /// back on disk.
    fn leave(&self, token: &Token) -> bool {
        let mut state = self.state();
        let Some(resource) = state.resources.get_mut(&token.key) else {
            return false;
        };
        resource.holders.retain(|holder| holder.token != token.id);
        if !resource.holders.is_empty() {
            return false;
        }
        // A lockspace that is lost or left takes its leases with it.
        let nothing = resource.lease.is_none() && resource.undo.is_none();
        if (token.space_dead || nothing) && !state.resources.is_completing(&token.key) {
            state.resources.remove(&token.key);
            return false;
        }
        state.resources.set_stage(&token.key, Stage::Rem);
        true
    }

    /// Gives one client's hold back, and the lease on disk with the last one.
    pub(super) async fn release_token(
        self: &Arc<Self>,
        token: &Token,
        rename: Option<Name>,
    ) -> Code {
        if !self.leave(token) {
            return 0;
        }
        self.give_back(&token.key, rename).await
    }

    /// Gives the leases of a dead client back, without anybody waiting for it.
    pub(super) fn release_in_background(self: &Arc<Self>, tokens: &[Token]) {
        for token in tokens {
            if token.persistent && !token.space_dead && self.orphan(token) {
                continue;
            }
            if self.leave(token) {
                self.give_back_in_background(token.key, None);
            }
        }
    }

    /// Keeps a dead client's lease, if nobody else holds it too.
    fn orphan(&self, token: &Token) -> bool {
        let mut state = self.state();
        let Some(resource) = state.resources.get_mut(&token.key) else {
            return false;
        };
        if resource.lease.is_none() {
            return false;
        }
        resource.holders.retain(|holder| holder.token != token.id);
        if resource.holders.is_empty() {
            info!(
                space = resource.space_id,
                resource = resource.id,
                "{} is an orphan now: its process is gone and wanted it kept",
                token.key
            );
            state.resources.set_stage(&token.key, Stage::Orphan);
        }
        true
    }

    /// Gives orphans back, without waiting. Returns how many.
    fn release_orphans(self: &Arc<Self>, key: &ResourceKey) -> Code {
        let orphans: Vec<_> = {
            let mut state = self.state();
            let orphans: Vec<_> = state
                .resources
                .in_stage(&key.space, Stage::Orphan)
                .into_iter()
                .filter(|orphan| key.name.is_empty() || orphan.name == key.name)
                .collect();
            for orphan in &orphans {
                state.resources.set_stage(orphan, Stage::Rem);
            }
            orphans
        };
        for orphan in &orphans {
            self.give_back_in_background(*orphan, None);
        }
        Code::try_from(orphans.len()).unwrap_or(Code::MAX)
    }

    fn give_back_in_background(self: &Arc<Self>, key: ResourceKey, after: Option<Pause>) {
        let manager = Arc::clone(self);
        if let Some(resource) = self.state().resources.get_mut(&key) {
            resource.releasing = true;
        }
        self.host.spawn(Box::pin(async move {
            manager.give_back_until_done(&key, after).await;
        }));
    }

    /// Gives a lease back on disk; where it is not known whether that worked, it goes on in the
    /// background.
    pub(super) async fn give_back(
        self: &Arc<Self>,
        key: &ResourceKey,
        rename: Option<Name>,
    ) -> Code {
        match self.try_to_give_back(key, rename).await {
            Attempt::Done => 0,
            Attempt::Failed(code) => code,
            Attempt::Again(code, pause) => {
                self.give_back_in_background(*key, Some(pause));
                code
            }
        }
    }

    async fn give_back_until_done(self: &Arc<Self>, key: &ResourceKey, mut after: Option<Pause>) {
        let mut pauses = RetryPauses::new(self.resource_io_timeout(key));
        loop {
            if let Some(pause) = after {
                self.pause_in_lockspace(&key.space, pauses.next(pause))
                    .await;
            }
            match self.try_to_give_back(key, None).await {
                Attempt::Again(_, pause) => after = Some(pause),
                Attempt::Done | Attempt::Failed(_) => return,
            }
        }
    }

    /// Waits for so long, or until the lockspace is given up: then there is nothing left to give back.
    pub(super) async fn pause_in_lockspace(&self, space: &Name, pause: Duration) {
        let Some(space) = self.joined_lockspace(space) else {
            return;
        };
        tokio::select! {
            biased;
            () = self.host.sleep(pause) => {}
            _ = space.phase.until(|phase| phase != Phase::Joined) => {}
        }
    }

    pub(super) fn resource_io_timeout(&self, key: &ResourceKey) -> Duration {
        self.state()
            .resources
            .get(key)
            .map_or(Duration::from_secs(10), |resource| {
                resource.io_timeout.duration()
            })
    }

    async fn try_to_give_back(
        self: &Arc<Self>,
        key: &ResourceKey,
        rename: Option<Name>,
    ) -> Attempt {
        let mut leaving = loop {
            self.until_completed(key).await;
            let mut state = self.state();
            let state = &mut *state;
            if state.resources.is_completing(key) {
                continue;
            }
            let Some(resource) = state.resources.get_mut(key) else {
                return Attempt::Done;
            };
            // The lockspace may have failed since: then the lease on disk is none of our business.
            let usable = state.spaces.joined(&key.space).is_some_and(|listed| {
                listed.space.id == resource.space_id && listed.killing_pids == 0
            });
            if !usable || (resource.lease.is_none() && resource.undo.is_none()) {
                state.resources.remove(key);
                self.clients_changed.notify_waiters();
                return Attempt::Done;
            }
            resource.stage = Stage::Rem;
            // What was set under a shared lease is nobody's to write.
            let value = resource
                .lvb
                .clone()
                .filter(|value| value.dirty && !resource.shared);
            break Leaving {
                id: resource.id,
                space_id: resource.space_id,
                io_timeout: resource.io_timeout,
                areas: resource.areas.clone(),
                lease: resource.lease.take(),
                undo: resource.undo.take(),
                value,
                rename,
            };
        };
        let manager = Arc::clone(self);
        let on_disk = async move {
            let done = manager.give_back_on_disk(&mut leaving).await;
            (leaving, done)
        };
        let (leaving, done) = storage::following_answers(on_disk).await;
        if let Err(failed) = done {
            return self.not_given_back(key, leaving, failed);
        }
        self.state().resources.remove(key);
        self.clients_changed.notify_waiters();
        debug!(
            space = leaving.space_id,
            resource = leaving.id,
            "{key} given back"
        );
        Attempt::Done
    }

    async fn give_back_on_disk(&self, leaving: &mut Leaving) -> Result<(), Failure> {
        let io_timeout = leaving.io_timeout;
        let context = self.context(io_timeout);
        let mut done = Ok(());
        if let Some(held) = leaving.lease.as_mut() {
            self.reopen(held, &leaving.areas, io_timeout)
                .await
                .map_err(|failed| {
                    Failure::new(
                        &failed,
                        failed.code(),
                        failed.may_pass(),
                        failed.is_timeout(),
                    )
                })?;
            let value = leaving
                .value
                .as_ref()
                .filter(|_| !held.release_has_begun() || planted!(self, ValueAfterRelease));
            self.write_value(&context, held, value, leaving.space_id, leaving.id)
                .await;
            let released = resource::release(&context, held, leaving.rename.as_ref()).await;
            done = released.map(drop);
            close(held);
        }
        if let Some(undo) = leaving.undo.as_mut() {
            if let Ok(areas) = self.areas_of_lease(&leaving.areas, io_timeout).await {
                undo.reopen(areas);
            }
            done = resource::undo(&context, undo).await.and(done);
        }
        done.map_err(|failed| {
            Failure::new(
                &failed,
                failed.code(),
                failed.may_pass(),
                failed.is_timeout(),
            )
        })
    }

    /// Keeps what could not be given back, if it is worth another attempt.
    fn not_given_back(&self, key: &ResourceKey, leaving: Leaving, failed: Failure) -> Attempt {
        let Failure { code, again, why } = failed;
        let mut state = self.state();
        let Some(resource) = state.resources.get_mut(key) else {
            return Attempt::Failed(code);
        };
        let (space, id) = (resource.space_id, resource.id);
        if let Some(pause) = again.filter(|_| !planted!(self, ReleaseForgotten)) {
            error!(
                space = space,
                resource = id,
                "{key} may still be held on disk: {why}; trying again"
            );
            resource.lease = leaving.lease;
            resource.undo = leaving.undo;
            resource.releasing = true;
            return Attempt::Again(code, pause);
        }
        error!(
            space = space,
            resource = id,
            "{key} could not be given back: {why} ({})",
            sanlock_proto::describe(code)
        );
        state.resources.remove(key);
        drop(state);
        self.clients_changed.notify_waiters();
        Attempt::Failed(code)
    }

    /// Writes a changed lease value block, as the lease is about to go.
    pub(super) async fn write_value(
        &self,
        context: &paxos::Context,
        held: &resource::Held,
        value: Option<&LeaseValue>,
        space_id: u32,
        id: u32,
    ) {
        let Some(value) = value else { return };
        if let Err(failed) = resource::write_lvb(context, &held.lease, &value.data).await {
            error!(
                space = space_id,
                resource = id,
                "the lease value block could not be written, the next holder sees an old one: {failed}"
            );
        }
    }

    /// What a client holds, in the order in which inquire tells it.
    pub fn inquire(self: &Arc<Self>, target: &Target) -> Vec<Token> {
        let held = self
            .state()
            .clients
            .get(target.client)
            .map(|client| client.held().cloned().collect())
            .unwrap_or_default();
        self.end_command(target, Vec::new());
        held
    }
}

fn not_held(target: &Target, wanted: &[ResourceKey], held: &[Token]) -> Code {
    for key in wanted
        .iter()
        .filter(|key| !held.iter().any(|token| token.key == **key))
    {
        error!(
            "process {} gives back {key}, which it does not hold",
            target.pid
        );
    }
    errno::PERM
}
