mod acquiring;
mod contention;
mod disks;
mod records;
mod releasing;
mod sharing;

use ondisk::{Dblock, Generation, HostId, Leader, Lver, Timestamp};

use super::{AcquireOptions, Acquired, acquire_exclusive, acquire_owner};
use crate::testing::{World, member};
use crate::{AcquireError, Cancel, Context, Held};

/// Acquires as host 1 in generation 1.
async fn acquire(world: &World, ctx: &Context) -> Result<Acquired, AcquireError> {
    acquire_with(world, ctx, &AcquireOptions::default()).await
}

async fn acquire_with(
    world: &World,
    ctx: &Context,
    options: &AcquireOptions,
) -> Result<Acquired, AcquireError> {
    acquire_owner(
        ctx,
        &world.lease(),
        member(1, 1),
        world,
        options,
        &Cancel::new(),
    )
    .await
}

/// Holds the lease exclusively as host 1 in generation 1; what it took is forgotten.
async fn held(world: &World, ctx: &Context) -> Held {
    let options = AcquireOptions::default();
    let us = member(1, 1);
    let held = acquire_exclusive(ctx, &world.lease(), us, world, &options, &Cancel::new()).await;
    world.requests();
    held.unwrap()
}

/// The dblock of a host that proposes itself.
fn proposal(mbal: u64, bal: u64, host: u64, lver: u64) -> Dblock {
    Dblock {
        mbal,
        bal,
        inp: HostId(host),
        inp2: Generation(1),
        inp3: Timestamp(50),
        lver: Lver(lver),
        ..Dblock::default()
    }
}

/// The leader that another host writes when it commits a proposal.
fn committed(leader: &Leader, proposal: &Dblock, by: u64) -> Leader {
    Leader {
        lver: proposal.lver,
        owner_id: proposal.inp,
        owner_generation: proposal.inp2,
        timestamp: proposal.inp3,
        write_id: HostId(by),
        write_generation: Generation(1),
        write_timestamp: Timestamp(60),
        ..leader.clone()
    }
}
