//! Holding a lease together with other hosts.
//!
//! A shared hold is a mark in a host's mode block. A host puts it there while it owns the lease
//! exclusively for a moment, and then gives that up. Whoever owns the lease exclusively later finds the
//! marks of others and may not use the lease while one of these hosts lives.

use std::time::Duration;

use ondisk::{Generation, HostBitmap, HostId};

use super::acquire::{AcquireOptions, acquire_owner};
use super::block::{self, HostBlock};
use super::release::free_leader;
use super::{Held, Member, Mode, ResourceLease, Undo};
use crate::env::planted;
use crate::liveness::{NoDeltaArea, holder_is_dead, holder_may_live};
use crate::wait::{Raced, race};
use crate::{AcquireError, Cancel, Context, DeltaLease, Error, Liveness};

/// How to acquire a lease shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedOptions {
    /// How to become its owner for a moment.
    pub acquire: AcquireOptions,
    /// How many more times to try if other hosts take it shared at the same time: `sh_retries`.
    pub retries: u32,
}

impl Default for SharedOptions {
    /// Eight more tries, sanlock's default.
    fn default() -> Self {
        Self {
            acquire: AcquireOptions::default(),
            retries: 8,
        }
    }
}

/// Acquires the lease together with other hosts that hold it shared.
///
/// # Errors
/// As [`acquire_owner`]; [`Error::SharedRetry`] if other hosts took it shared at the same time, again and
/// again.
pub async fn acquire_shared(
    ctx: &Context,
    lease: &ResourceLease,
    us: Member,
    liveness: &dyn Liveness,
    options: &SharedOptions,
    cancel: &Cancel,
) -> Result<Held, AcquireError> {
    let acquire = AcquireOptions {
        short_hold: true,
        ..options.acquire.clone()
    };
    let mut retries = 0;
    let mut held = loop {
        let error = match acquire_owner(ctx, lease, us, liveness, &acquire, cancel).await {
            Ok(acquired) => break acquired.held,
            Err(error) => error,
        };
        let Some(owner) = held_for_a_moment(&error) else {
            return Err(error);
        };
        if retries >= options.retries {
            let (lease, tries) = (lease.boxed_name(), retries.saturating_add(1));
            return Err(Error::SharedRetry {
                lease,
                owner,
                tries,
            }
            .into());
        }
        retries += 1;
        let pause = Duration::from_micros(ctx.env.random_below(1_000_001));
        if let Raced::First(()) = race(cancel.cancelled(), ctx.env.sleep(pause)).await {
            return Err(Error::Cancelled {
                lease: lease.boxed_name(),
            }
            .into());
        }
    };
    match share(ctx, &mut held).await {
        Ok(()) => Ok(held),
        Err(error) => Err(AcquireError {
            error,
            undo: Some(Undo::of(&held)),
        }),
    }
}

/// The owner that is in the way, if it is worth while to look again soon.
///
/// It may say so itself. One that we have just written down as the owner, as its proposal was chosen in our
/// ballot, cannot have said: it may want to share as well, and whether it does shows at the next look.
///
/// With something to take back, that comes first.
fn held_for_a_moment(error: &AcquireError) -> Option<Box<crate::Owner>> {
    let says_so = match error.error {
        _ if error.undo.is_some() => return None,
        Error::OwnerAlive { .. } | Error::Owned { .. } => true,
        Error::MadeOtherOwner { .. } => false,
        _ => return None,
    };
    let owner = error.error.owner()?;
    (owner.short_hold || !says_so).then(|| Box::new(owner.clone()))
}

/// Turns an exclusive hold into a shared one: first the mark, then the leader, and then our dblock.
///
/// Unlike in the C program the mark does not yet say that we have released the lease: a host that has written us down
/// as the owner could take it then, and a leader that we are about to free would replace a later one.
async fn share(ctx: &Context, held: &mut Held) -> Result<(), Error> {
    mark(ctx, held).await?;
    free_leader(ctx, &held.lease, held.us, Some(&held.leader), None).await?;
    release_marked(ctx, held).await?;
    held.mode = Mode::Shared;
    Ok(())
}

/// Says that we hold the lease shared, while the leader still names us.
pub(super) async fn mark(ctx: &Context, held: &Held) -> Result<(), Error> {
    let marked = HostBlock::marked(&held.dblock, held.us.generation);
    let action = "mark our shared hold";
    block::write(ctx, &held.lease, held.us.host, marked, action).await
}

/// The leader does not name us any more by our own hand: only now does our dblock say so, too.
pub(super) async fn release_marked(ctx: &Context, held: &Held) -> Result<(), Error> {
    let released = HostBlock::released(&held.dblock, Some(held.us.generation));
    let action = "release our dblock";
    block::write(ctx, &held.lease, held.us.host, released, action).await
}

/// Clears the marks of dead hosts among `shared_by`, and returns those of hosts that may live.
///
/// We own the lease, so nobody can put a new mark there meanwhile.
pub(super) async fn clear_dead_holders(
    ctx: &Context,
    lease: &ResourceLease,
    liveness: &dyn Liveness,
    shared_by: &HostBitmap,
) -> Result<HostBitmap, Error> {
    let mut alive = HostBitmap::EMPTY;
    if planted!(ctx, IgnoreShared) {
        return Ok(alive);
    }
    for host in shared_by.iter() {
        let mode = block::read_mode(ctx, lease, host).await?;
        if !mode.is_shared() {
            continue;
        }
        if is_dead(ctx, lease, liveness, host, mode.generation).await? {
            let now = block::read_mode(ctx, lease, host).await?;
            if now == mode || planted!(ctx, StaleClearShared) {
                let action = "clear the shared hold of a dead host";
                block::write(ctx, lease, host, HostBlock::BLANK, action).await?;
                tracing::warn!(
                    lease = %lease.lease_name(), %host, generation = %mode.generation,
                    "cleared the shared hold of a dead host"
                );
                continue;
            }
            if !now.is_shared() {
                continue;
            }
        }
        alive.set(host);
    }
    Ok(alive)
}

/// Whether a host that holds the lease shared is certainly dead: by what our scans know, and by its delta
/// lease as it is right now.
async fn is_dead(
    ctx: &Context,
    lease: &ResourceLease,
    liveness: &dyn Liveness,
    host: HostId,
    generation: Generation,
) -> Result<bool, Error> {
    let seen = liveness.host_status(host);
    if holder_may_live(ctx, seen.as_ref(), generation, ctx.now()) {
        return Ok(false);
    }
    let (Some(seen), false) = (seen, planted!(ctx, StaleClearShared)) else {
        return Ok(true);
    };
    let area = liveness.delta_area(&lease.space).map_err(|why| match why {
        NoDeltaArea::NotJoined => Error::NoLockspace {
            lease: lease.boxed_name(),
        },
        NoDeltaArea::Disk(source) => Error::LockspaceDisk {
            lease: lease.boxed_name(),
            source,
        },
    })?;
    let delta = DeltaLease::new(area, lease.space, host).read(ctx).await?;
    Ok(holder_is_dead(ctx, &delta, &seen, generation, ctx.now()))
}
