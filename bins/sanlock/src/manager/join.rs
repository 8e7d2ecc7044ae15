//! A lockspace's own task: joining it, keeping it, leaving it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ondisk::Leader;
use paxos::delta::{self, DeltaLease, Namesake, RenewalPolicy, Renewer};
use paxos::{Cancel, Context};
use tracing::{debug, error, warn};

use crate::host::{Watchdog, WatchdogError};

use super::space::{Facts, Phase, Renewal, Space};
use super::{Code, Manager, errno, locked};

/// `SANLK_WD_ERROR`.
const WATCHDOG_ERROR: Code = -203;
/// `SANLK_OK`, as status shows it.
const OK: i32 = 1;

/// A lockspace that is held: its host id's lease and the watchdog tied to it.
pub(super) struct Held {
    pub(super) context: Context,
    pub(super) renewer: Renewer,
    pub(super) watchdog: Mutex<Option<Box<dyn Watchdog>>>,
}

/// Why joining failed.
#[derive(Debug, thiserror::Error)]
enum JoinError {
    #[error("{0}")]
    Open(storage::IoError),
    #[error("{0}")]
    Lease(#[from] paxos::Error),
    #[error("{0}; the lockspace cannot be protected by the watchdog")]
    Watchdog(#[from] WatchdogError),
    #[error("it was removed before it was joined")]
    Removed,
}

impl JoinError {
    fn code(&self) -> Code {
        match self {
            // Whatever keeps the path from being opened, clients know as "no such device".
            Self::Open(_) => errno::NODEV,
            Self::Lease(failed) => failed.code(),
            Self::Watchdog(_) => WATCHDOG_ERROR,
            Self::Removed => -1,
        }
    }
}

impl Manager {
    /// A lockspace's whole life, from joining it on.
    pub(super) async fn run_lockspace(self: Arc<Self>, space: Arc<Space>) {
        let began = self.host.monotime();
        let joined = self.join(&space).await;
        let status = &space.lease;
        status.acquire_attempt.store(began.0, Ordering::Relaxed);
        status.renewal_attempt.store(began.0, Ordering::Relaxed);
        let (mut held, leader) = match joined {
            Ok(joined) => joined,
            Err(failed) => {
                error!(
                    space = space.id,
                    "cannot join lockspace {}: {failed}", space.spec
                );
                status
                    .renewal_result
                    .store(failed.code(), Ordering::Relaxed);
                status
                    .acquire_result
                    .store(failed.code(), Ordering::Release);
                self.lockspace_ended(&space, Phase::Failed(failed.code()));
                return;
            }
        };
        status
            .acquire_success
            .store(leader.timestamp.0, Ordering::Relaxed);
        status.renewal_result.store(OK, Ordering::Relaxed);
        status.acquire_result.store(OK, Ordering::Release);
        // The first entry of the history is the acquisition, without latencies.
        locked(&space.history).good(Renewal {
            timestamp: leader.timestamp.0,
            ..Renewal::default()
        });

        // Before anybody can take a lease in it.
        self.note_membership(&space, true).await;
        if self.list_joined(&space) {
            debug!(space = space.id, "joined lockspace {}", space.spec.name);
            let watchdog = Arc::new(std::mem::take(&mut held.watchdog));
            let guard = async {
                self.guard_lockspace(&space, &watchdog).await;
                // As soon as it is safe: the watchdog may be about to fire.
                release_watchdog(&space, &watchdog);
                space.stop.store(true, Ordering::Release);
                space.wake.notify_waiters();
                space.wake.notify_one();
            };
            let renewals = self.keep_renewing(&space, &mut held.renewer, &held.context, &watchdog);
            let ((), state_known) = tokio::join!(biased; guard, renewals);
            let at_rest =
                planted!(&self, GivenBackBeforeLeases) || self.until_leases_rest(&space).await;
            if !at_rest {
                error!(
                    space = space.id,
                    "host id {} is not given back, as leases are still worked on; others see it die",
                    space.spec.host_id
                );
            } else if state_known {
                give_back(&space, held).await;
            }
            self.note_membership(&space, false).await;
            self.lockspace_ended(&space, Phase::Gone);
        } else {
            debug!(
                space = space.id,
                "lockspace {} was removed while joining", space.spec.name
            );
            release_watchdog(&space, &held.watchdog);
            give_back(&space, held).await;
            self.note_membership(&space, false).await;
            self.lockspace_ended(&space, Phase::Failed(-1));
        }
    }

    async fn note_membership(&self, space: &Space, joined: bool) {
        let (name, host) = (space.spec.name, space.spec.host_id);
        self.host.note_membership(name, host, joined).await;
    }

    /// Lists a lockspace as joined, unless somebody wants it gone already.
    fn list_joined(&self, space: &Space) -> bool {
        let mut state = self.state();
        if space.removal_requested() || self.is_shutting_down() {
            return false;
        }
        state.spaces.set_list(space.id, super::List::Spaces);
        drop(state);
        space.phase.set(Phase::Joined);
        true
    }

    async fn join(&self, space: &Space) -> Result<(Held, Leader), JoinError> {
        let context = self.context(space.io_timeout);
        let storage = self.host.renewal_storage();
        let area = self
            .open_area(&storage, &space.spec.area, space.io_timeout)
            .await
            .map_err(JoinError::Open)?;
        let delta = delta::probe(&context, &area, &space.spec.name, space.spec.host_id).await?;
        let _ = space.geometry.set(delta.geometry);
        let set_kib = self
            .host
            .set_max_sectors(
                space.spec.area.path.clone(),
                self.settings.max_sectors_kb,
                delta.geometry.align.bytes(),
            )
            .await;
        space.set_max_sectors_kb.store(set_kib, Ordering::Relaxed);

        // First, so that a missing wdmd is known at once and not after the long wait for the host id.
        let mut watchdog = self.connect_watchdog(space).await?;

        let lease = DeltaLease::new(delta, space.spec.name, space.spec.host_id);
        let suspended = self.suspended();
        let leader = self.acquire_host_id(space, &context, &lease).await?;
        let counts_from = Duration::from_secs(leader.timestamp.0).saturating_add(suspended);
        space
            .lease
            .renewed(counts_from, leader.timestamp, self.valid_for(space));
        let _ = space.facts.set(Facts {
            geometry: lease.area.geometry,
            generation: leader.owner_generation,
        });

        let policy = RenewalPolicy {
            read_extend: space.read_extend,
        };
        // Tied to the watchdog before anybody can take a lease in it.
        if let Some(connection) = watchdog.as_mut() {
            let expires = self.watchdog_expiry(space);
            space.lease.told_watchdog.store(expires, Ordering::Release);
            if let Err(failed) = connection
                .hold(true)
                .and_then(|()| connection.test_live(leader.timestamp, expires))
            {
                let _ = connection.hold(false);
                if let Err(left) = lease.release(&context, &leader).await {
                    error!(
                        space = space.id,
                        "the host id could not be given back: {left}"
                    );
                }
                return Err(failed.into());
            }
        }
        let renewer = Renewer::new(lease, leader.clone(), policy);
        Ok((
            Held {
                context,
                renewer,
                watchdog: Mutex::new(watchdog),
            },
            leader,
        ))
    }

    /// Whether processes that an earlier daemon of this host watched may still use leases.
    ///
    /// If that daemon died, they run on until the watchdog resets the host. A new generation of our host
    /// id would tell the other hosts at once that they are dead. Where no watchdog is used nothing ends
    /// them, and waiting would not help.
    async fn what_was_left_behind(&self, space: &Space) -> Namesake {
        let spec = &space.spec;
        let may_live =
            self.settings.use_watchdog && self.host.died_joined(spec.name, spec.host_id).await;
        if !may_live || planted!(self, RejoinedAtOnce) {
            return Namesake::Gone;
        }
        warn!(
            space = space.id,
            "an earlier daemon ended without leaving lockspace {}, and processes may still use its leases: \
             host id {} is taken again when the watchdog must have reset this host, not before",
            spec.name,
            spec.host_id
        );
        Namesake::MayLive
    }

    async fn connect_watchdog(
        &self,
        space: &Space,
    ) -> Result<Option<Box<dyn Watchdog>>, WatchdogError> {
        if !self.settings.use_watchdog {
            return Ok(None);
        }
        let name = format!("sanlock_{}:{}", space.spec.name, space.spec.host_id);
        let connection = self
            .host
            .connect_watchdog(name, self.settings.watchdog_fire_timeout)
            .await?;
        Ok(Some(connection))
    }

    /// Acquires the host id; a removal or shutdown ends the waiting at once.
    async fn acquire_host_id(
        &self,
        space: &Space,
        context: &Context,
        lease: &DeltaLease,
    ) -> Result<Leader, JoinError> {
        let cancel = Cancel::new();
        let unwanted = async {
            loop {
                let (woken, ending) = (space.wake.notified(), self.shutdown.changed());
                if space.removal_requested() || self.is_shutting_down() {
                    cancel.cancel();
                    return;
                }
                tokio::select! {
                    biased;
                    () = woken => {}
                    () = ending => {}
                }
            }
        };
        let namesake = self.what_was_left_behind(space).await;
        let acquired = lease.acquire(context, &self.settings.our_host_name, namesake, &cancel);
        tokio::pin!(unwanted, acquired);
        tokio::select! {
            biased;
            acquired = &mut acquired => return Ok(acquired?),
            () = &mut unwanted => {}
        }
        // It ends between two requests, and says what it leaves behind.
        match acquired.await {
            Ok(leader) => Ok(leader),
            Err(paxos::Error::Cancelled { .. }) => Err(JoinError::Removed),
            Err(failed) => Err(failed.into()),
        }
    }
}

/// Ends the watchdog's part in a lockspace.
pub(super) fn release_watchdog(space: &Space, watchdog: &Mutex<Option<Box<dyn Watchdog>>>) {
    let Some(mut connection) = locked(watchdog).take() else {
        return;
    };
    let released = connection
        .test_live(ondisk::Timestamp::FREE, 0)
        .and_then(|()| connection.hold(false));
    if let Err(failed) = released {
        error!(
            space = space.id,
            "wdmd could not be told that the lockspace needs it no more: {failed}; it may reset this host"
        );
    }
}

/// Gives the host id back on disk.
async fn give_back(space: &Space, held: Held) {
    let Held {
        context, renewer, ..
    } = held;
    let (lease, last) = (renewer.lease().clone(), renewer.last().clone());
    // A read that still hangs is nobody's business any more.
    drop(renewer);
    match lease.release(&context, &last).await {
        Ok(_) => debug!(
            space = space.id,
            "host id {} given back", space.spec.host_id
        ),
        Err(failed) => error!(
            space = space.id,
            "host id {} could not be given back: {failed}; others see it die", space.spec.host_id
        ),
    }
}
