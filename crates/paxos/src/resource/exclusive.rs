//! Holding a lease alone.

use super::acquire::{AcquireOptions, acquire_owner};
use super::release::release;
use super::shared::clear_dead_holders;
use super::{Held, Member, ResourceLease, Undo};
use crate::{AcquireError, Cancel, Context, Error, Liveness};

/// Acquires the lease for us alone.
///
/// Shared holds of dead hosts are cleared. As [`acquire_owner`] otherwise.
///
/// # Errors
/// As [`acquire_owner`]; [`Error::HeldShared`] if live hosts hold it shared.
pub async fn acquire_exclusive(
    ctx: &Context,
    lease: &ResourceLease,
    us: Member,
    liveness: &dyn Liveness,
    options: &AcquireOptions,
    cancel: &Cancel,
) -> Result<Held, AcquireError> {
    let acquired = acquire_owner(ctx, lease, us, liveness, options, cancel).await?;
    let mut held = acquired.held;
    let cleared = clear_dead_holders(ctx, &held.lease, liveness, &acquired.shared_by).await;
    let why = match cleared {
        Ok(alive) if alive.is_empty() => return Ok(held),
        Ok(alive) => Error::HeldShared {
            lease: held.lease.boxed_name(),
            hosts: Box::new(alive),
        },
        Err(error) => error,
    };
    // A failed release says more about the disk than that others hold the lease.
    match release(ctx, &mut held, None).await {
        Ok(_) => Err(why.into()),
        Err(error) if matches!(why, Error::HeldShared { .. }) => Err(AcquireError {
            error,
            undo: Some(Undo::of(&held)),
        }),
        Err(_) => Err(AcquireError {
            error: why,
            undo: Some(Undo::of(&held)),
        }),
    }
}
