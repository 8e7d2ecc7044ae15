//! Waiting for the owner of a lease to prove that it lives, or to be dead.

use std::time::Duration;

use ondisk::Leader;

use super::acquire::Attempt;
use super::leader::{self, LeaderView};
use super::{Member, block};
use crate::env::planted;
use crate::liveness::{self, NoDeltaArea, OwnerState, Silence, host_dead, io_timeout_of};
use crate::wait::{Raced, race};
use crate::{DeltaLease, Error, Owner};

/// How often a silent owner is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What came of the wait.
pub(super) enum OwnerGone {
    /// The lease may be taken.
    Yes,
    /// The leader has changed meanwhile: everything has to be looked at anew.
    LeaderChanged,
}

impl Attempt<'_> {
    /// Finds out whether all these owners, each told by a leader, have lost the lease: by their death, or because they
    /// have given it up in their dblocks. `view` is what the disks have.
    ///
    /// # Errors
    /// If one of them is alive, or if it is silent and `no_wait` was asked for.
    pub(super) async fn await_owners(
        &self,
        view: &LeaderView,
        owners: Vec<Leader>,
    ) -> Result<OwnerGone, Error> {
        for owned in &owners {
            if let OwnerGone::LeaderChanged = self.await_owner(view, owned).await? {
                return Ok(OwnerGone::LeaderChanged);
            }
        }
        Ok(OwnerGone::Yes)
    }

    async fn await_owner(&self, view: &LeaderView, owned: &Leader) -> Result<OwnerGone, Error> {
        let (ctx, lease) = (self.ctx, || self.lease.boxed_name());
        let area = self
            .liveness
            .delta_area(&self.lease.space)
            .map_err(|why| match why {
                NoDeltaArea::NotJoined => Error::NoLockspace { lease: lease() },
                NoDeltaArea::Disk(source) => Error::LockspaceDisk {
                    lease: lease(),
                    source,
                },
            })?;
        let delta = DeltaLease::new(area, self.lease.space, owned.owner_id);
        let seen = self.liveness.host_status(owned.owner_id);
        let mut silence = seen.as_ref().and_then(|seen| Silence::scanned(seen, owned));
        loop {
            let asked = ctx.now();
            let found = delta.read(ctx).await?;
            let now = ctx.now();
            let scanned = seen.as_ref().and_then(|seen| seen.io_timeout);
            let dead_after = host_dead(ctx, io_timeout_of(&found), scanned);
            let state =
                liveness::judge_owner(owned, &found, seen.as_ref(), silence, now, dead_after);
            let known = silence.is_some();
            // The timestamp was written before it was read: silence counts from after that.
            let since = if planted!(ctx, SilenceFromBeforeRead) {
                asked
            } else {
                now
            };
            silence = silence.or(Some(Silence {
                timestamp: found.timestamp,
                since,
            }));
            match state {
                OwnerState::Gone | OwnerState::Dead => {
                    tracing::info!(
                        lease = %self.lease.lease_name(), host = %owned.owner_id, ?state,
                        "the owner has lost the lease"
                    );
                    return Ok(OwnerGone::Yes);
                }
                OwnerState::Alive if self.has_released(owned).await? => return Ok(OwnerGone::Yes),
                OwnerState::Alive => {
                    let dead_in = Some(dead_after.as_secs().saturating_add(1));
                    return Err(Error::OwnerAlive {
                        lease: lease(),
                        owner: Owner::of(owned, dead_in),
                    });
                }
                OwnerState::Silent { dead_in } if known && self.options.no_wait => {
                    let owner = Owner::of(owned, Some(dead_in));
                    return Err(Error::OwnerSilent {
                        lease: lease(),
                        owner,
                    });
                }
                OwnerState::Silent { .. } => {}
            }
            self.pause(EVERY).await?;
            let now = leader::read(ctx, &self.lease, self.us.host).await?;
            if now.differs_from(view) {
                return Ok(OwnerGone::LeaderChanged);
            }
        }
    }

    /// Whether a live owner has given the lease up although the leader does not say so.
    ///
    /// Its release may have been overwritten by a host that was in the ballot with it and wrote it down
    /// as the owner; then the writer is not the owner.
    async fn has_released(&self, leader: &Leader) -> Result<bool, Error> {
        if leader.write_id == leader.owner_id {
            return Ok(false);
        }
        let owner = Member {
            host: leader.owner_id,
            generation: leader.owner_generation,
        };
        block::owner_has_released(self.ctx, &self.lease, owner, leader.lver).await
    }

    /// Waits, unless the acquire is cancelled.
    pub(super) async fn pause(&self, time: Duration) -> Result<(), Error> {
        match race(self.cancel.cancelled(), self.ctx.env.sleep(time)).await {
            Raced::First(()) => Err(Error::Cancelled {
                lease: self.lease.boxed_name(),
            }),
            Raced::Second(()) => Ok(()),
        }
    }
}
