//! Changing how a lease is held.

use std::time::Duration;

use ondisk::Dblock;

use super::acquire::{AcquireOptions, attempt};
use super::block::{self, HostBlock};
use super::release::{disown, free_leader};
use super::shared::{clear_dead_holders, mark, release_marked};
use super::{Held, Mode, Undo, undo};
use crate::{AcquireError, Cancel, Context, Error, Liveness};

/// How many times more a failed conversion tries at once to take back what it has begun.
const UNDO_RETRIES: u32 = 3;

/// Makes a shared lease exclusive.
///
/// Our shared hold stays until we own the lease, and if we do not get it.
///
/// # Errors
/// As [`acquire_exclusive`](super::acquire_exclusive); the lease is held shared as before. What could not
/// be taken back at once is taken back with its release, so there is never anything to undo.
pub async fn convert_to_exclusive(
    ctx: &Context,
    held: &mut Held,
    liveness: &dyn Liveness,
    no_wait: bool,
    cancel: &Cancel,
) -> Result<(), AcquireError> {
    if held.mode == Mode::Exclusive {
        return Err(Error::AlreadyHeldSo {
            lease: held.lease.boxed_name(),
        }
        .into());
    }
    if held.half_shared {
        // The leader may be all that keeps others off: a way back must not free it before our mark is there.
        complete_sharing(ctx, held).await?;
    }
    let options = AcquireOptions {
        no_wait,
        keep_shared: true,
        ..AcquireOptions::default()
    };
    let (lease, us) = (held.lease.clone(), held.us);
    let (result, sent) = attempt(ctx, &lease, us, liveness, &options, cancel).await;
    // From now on this is what stands in our dblock, and what a release must leave there.
    if !sent.is_untouched() {
        held.dblock = Dblock { flags: 0, ..sent };
    }
    let acquired = match result {
        Ok(acquired) => acquired,
        Err(failed) => return Err(take_back(ctx, held, failed).await),
    };
    held.lease = acquired.held.lease;
    held.leader = acquired.held.leader;

    let cleared = clear_dead_holders(ctx, &held.lease, liveness, &acquired.shared_by).await;
    let why = match cleared {
        Ok(alive) if alive.is_empty() => {
            finish_exclusive(ctx, held).await;
            return Ok(());
        }
        Ok(alive) => match free_leader(ctx, &held.lease, us, Some(&held.leader), None).await {
            Ok(_) => {
                let (lease, hosts) = (held.lease.boxed_name(), Box::new(alive));
                return Err(Error::HeldShared { lease, hosts }.into());
            }
            Err(error) => error,
        },
        Err(error) => error,
    };
    let undo = Undo {
        keep_shared: true,
        ..*Undo::of(held)
    };
    let failed = AcquireError {
        error: why,
        undo: Some(Box::new(undo)),
    };
    Err(take_back(ctx, held, failed).await)
}

/// We own the lease: our shared hold has done its service.
async fn finish_exclusive(ctx: &Context, held: &mut Held) {
    held.mode = Mode::Exclusive;
    held.release_begun = false;
    held.freed = None;
    held.may_own = false;
    held.half_shared = false;
    let ours = HostBlock {
        dblock: Some(held.dblock),
        shared: None,
    };
    let action = "clear our own shared hold";
    if let Err(error) = block::write(ctx, &held.lease, held.us.host, ours, action).await {
        // The mark hinders nobody whom we do not hinder anyway; the release clears it.
        tracing::warn!(%error, "now held exclusively, but still marked as shared");
    }
}

/// Tries at once to take back what a failed conversion has left; the release does it otherwise.
async fn take_back(ctx: &Context, held: &mut Held, mut failed: AcquireError) -> AcquireError {
    let Some(mut begun) = failed.undo.take() else {
        return failed;
    };
    for retry in 0..=UNDO_RETRIES {
        match undo(ctx, &mut begun).await {
            Ok(()) => return failed,
            Err(error) if error.is_timeout() && retry < UNDO_RETRIES => {
                ctx.env.sleep(ctx.io()).await;
            }
            Err(error) => {
                tracing::error!(%error, "a failed conversion could not be taken back");
                break;
            }
        }
    }
    held.may_own = true;
    failed
}

/// Makes an exclusive lease shared.
///
/// [`Held::mode`] is shared from the moment at which our shared hold is about to be marked, whatever becomes
/// of that: a mark whose write failed may reach the disk at any later time, and gives the lease away then.
/// Nothing is written over it either, as whoever has seen it may count on it.
///
/// # Errors
/// If it cannot be written. The lease is still exclusive if nothing of it was sent. If it is shared, others
/// may not see that before [`complete_sharing`] or the release, which free the leader as well.
pub async fn convert_to_shared(ctx: &Context, held: &mut Held) -> Result<(), Error> {
    if held.mode == Mode::Shared {
        return Err(Error::AlreadyHeldSo {
            lease: held.lease.boxed_name(),
        });
    }
    held.lease.settle(ctx).await?;
    held.mode = Mode::Shared;
    held.may_own = true;
    held.half_shared = true;
    mark(ctx, held).await?;
    let tries = u64::from(ctx.timeouts.io.0);
    for tried in 1.. {
        let begun = std::mem::replace(&mut held.release_begun, true);
        let leader = free_leader(ctx, &held.lease, held.us, Some(&held.leader), None).await;
        match leader {
            Ok(_) => break,
            Err(Error::AlreadyFree { .. }) if begun => break,
            Err(error) if error.is_timeout() && tried <= tries => {
                ctx.env.sleep(Duration::from_secs(tried)).await;
            }
            Err(error) => return Err(error),
        }
        held.lease.settle(ctx).await?;
    }
    held.may_own = false;
    release_marked(ctx, held).await?;
    fully_shared(held);
    Ok(())
}

/// Ends a conversion to shared that failed halfway, so that others can share the lease as well. Does nothing
/// for any other lease.
///
/// The mark is written again, as it was: whoever has seen the first one may count on it. Only then is the leader
/// freed, if it still names us by our own hand, and our dblock released.
///
/// # Errors
/// If the lease cannot be read or written, or earlier writes to it have not come back: call it again.
pub async fn complete_sharing(ctx: &Context, held: &mut Held) -> Result<(), Error> {
    if !held.is_half_shared() {
        return Ok(());
    }
    held.lease.settle(ctx).await?;
    if held.may_own {
        mark(ctx, held).await?;
        disown(ctx, &held.lease, held.us).await?;
        held.may_own = false;
    }
    release_marked(ctx, held).await?;
    fully_shared(held);
    Ok(())
}

fn fully_shared(held: &mut Held) {
    held.may_own = false;
    held.release_begun = false;
    held.half_shared = false;
}
