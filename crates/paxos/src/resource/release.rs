//! Giving a lease up, and making sure that we do not own one.

use ondisk::{Dblock, Leader, Name, Timestamp};

use super::block::{self, HostBlock};
use super::leader::{self, Here, LeaderView};
use super::{Held, Member, Mode, ResourceLease};
use crate::env::planted;
use crate::{Area, Context, Error, Owner};

/// What has to be taken back after a failed acquire, see [`undo`].
#[derive(Debug, Clone)]
pub struct Undo {
    pub(super) lease: ResourceLease,
    pub(super) us: Member,
    pub(super) dblock: Dblock,
    pub(super) keep_shared: bool,
    /// What the lease guards stands on its disks too, so that all writes to them have to come back first.
    pub(super) guards_disk: bool,
    /// The leader was freed, or was not ours to free; written a second time it could replace the next owner's.
    pub(super) disowned: bool,
}

impl Undo {
    /// Takes back a lease that was acquired but could not be put to use.
    pub(crate) fn of(held: &Held) -> Box<Self> {
        let (lease, us, dblock) = (held.lease.clone(), held.us, held.dblock);
        Box::new(Self {
            lease,
            us,
            dblock,
            keep_shared: false,
            guards_disk: false,
            disowned: false,
        })
    }

    /// The same for the internal lease of a resource index, which guards more than the lease itself.
    pub(crate) fn guarding_disk(mut self: Box<Self>) -> Box<Self> {
        self.guards_disk = true;
        self
    }

    /// The lease that it is about.
    #[must_use]
    pub fn lease(&self) -> &ResourceLease {
        &self.lease
    }

    /// Goes on with its disks opened anew: one that could not be opened then may work now.
    pub fn reopen(&mut self, areas: Vec<Area>) {
        self.lease.areas = areas;
    }
}

/// Releases a lease; with `rename`, the resource has that name from then on (exclusive leases only).
///
/// Exclusive: our dblock says that it is released, and the leader is freed if we wrote it; the new leader
/// is returned. If another host wrote it, our dblock says enough, and the leader is left to the others.
/// Shared: our mode block is cleared.
///
/// After a failed request it is not known how much of that has been done: call it again until it
/// succeeds. Unlike in the C program, a dblock that cannot be written is a failure: without it a host
/// that was in the ballot with us may write us down as the owner after all. Only a disk that is gone, not
/// just failing, can be done without; and not where a mode block must go, as any disk is believed there.
///
/// # Errors
/// If the lease cannot be read or written, if earlier writes to it have not come back, or if it is not
/// on disk as we left it; in the last case nothing more can or need be done.
pub async fn release(
    ctx: &Context,
    held: &mut Held,
    rename: Option<&Name>,
) -> Result<Option<Leader>, Error> {
    let (lease, us) = (&held.lease, held.us);
    lease.settle(ctx).await?;
    let ours = HostBlock::released(&held.dblock, None);
    if held.mode == Mode::Shared {
        let leader = match held.may_own {
            true => disown(ctx, lease, us).await,
            false => Ok(()),
        };
        held.may_own &= leader.is_err();
        release_dblock(ctx, lease, us, ours, leader, Reach::All).await?;
        return Ok(None);
    }
    let begun = std::mem::replace(&mut held.release_begun, true);
    // Once most disks say that it is free another host may be writing the next leader: written a second time, on a disk
    // that the first attempt did not reach, ours could replace that one.
    let earlier = held.freed.clone();
    let is_repeated = earlier.is_some();
    let leader = match earlier {
        Some(freed) => Ok(Some(freed)),
        None => match free_leader(ctx, lease, us, Some(&held.leader), rename).await {
            Err(Error::AlreadyFree { .. }) if begun => Ok(None),
            result => result,
        },
    };
    if let Ok(Some(freed)) = &leader {
        held.freed = Some(freed.clone());
    }
    if planted!(ctx, ReleaseWithoutDblock) {
        return leader;
    }
    let is_doubtful = match &leader {
        Ok(freed) => is_repeated || freed.is_none(),
        Err(error) => !error.may_pass(),
    };
    if is_doubtful && !has_our_dblock(ctx, lease, us).await? {
        return leader;
    }
    release_dblock(ctx, lease, us, ours, leader, Reach::WherePossible).await
}

/// Whether we have ever written into our sector of what the lease's path leads to now.
///
/// A file that was put in the place of the lease's while we had that has our host's sector as it was made. A
/// dblock of ours in it, of a version that it never had, would tell others that its owner has lost it.
async fn has_our_dblock(ctx: &Context, lease: &ResourceLease, us: Member) -> Result<bool, Error> {
    let ours = block::is_touched(ctx, lease, us.host).await?;
    if !ours {
        tracing::warn!(
            lease = %lease.lease_name(),
            "its path leads to another lease than ours now, where nothing of ours is to be given back"
        );
    }
    Ok(ours)
}

/// Which disks a sector must have reached.
#[derive(Debug, Clone, Copy)]
enum Reach {
    All,
    WherePossible,
}

/// Lets our dblock say that the lease is released, now that the leader does, or does not have to.
///
/// In this order, unlike in the C program: once our dblock gives the lease away, a host that has written us
/// down as the owner may take it, and a leader of ours would replace the one that says so.
async fn release_dblock<T>(
    ctx: &Context,
    lease: &ResourceLease,
    us: Member,
    ours: HostBlock,
    leader: Result<T, Error>,
    reach: Reach,
) -> Result<T, Error> {
    let action = "release our dblock";
    match (leader, reach) {
        (Err(error), _) if error.may_pass() => Err(error),
        (leader, Reach::All) => {
            block::write(ctx, lease, us.host, ours, action).await?;
            leader
        }
        (leader, Reach::WherePossible) => {
            block::write_where_possible(ctx, lease, us.host, ours, action).await?;
            leader
        }
    }
}

/// Frees the leader if `us` owns the lease and wrote the leader; returns the new one.
///
/// With `last`, the leader as we left it, everything else on disk is an error. This does not touch our
/// dblock: it is what `sanlock direct release` does, and not the way to release a lease that is held.
///
/// # Errors
/// As [`release`].
pub async fn release_leader(
    ctx: &Context,
    lease: &ResourceLease,
    us: Member,
    last: Option<&Leader>,
    rename: Option<&Name>,
) -> Result<Option<Leader>, Error> {
    lease.settle(ctx).await?;
    free_leader(ctx, lease, us, last, rename).await
}

pub(super) async fn free_leader(
    ctx: &Context,
    lease: &ResourceLease,
    us: Member,
    last: Option<&Leader>,
    rename: Option<&Name>,
) -> Result<Option<Leader>, Error> {
    let view = leader::read(ctx, lease, us.host).await?;
    let disks = still_owned(ctx, &view, us);
    let found = view.leader;
    if found.write_id != us.host && !planted!(ctx, ReleaseClearsOthersLeader) {
        // That host wrote us down as the owner, and it or another may be writing a new leader by now:
        // our dblock tells them that they may. What we wrote here could replace theirs.
        tracing::info!(
            lease = %lease.lease_name(), lver = %found.lver, writer = %found.write_id,
            "the leader is left to the host that wrote it"
        );
        return Ok(None);
    }
    check_ours(ctx, lease, us, &found, last)?;
    let mut freed = Leader {
        timestamp: Timestamp::FREE,
        write_id: us.host,
        write_generation: us.generation,
        write_timestamp: ctx.now(),
        flags: found.flags & !Leader::SHORT_HOLD,
        resource_name: rename.copied().unwrap_or(found.resource_name),
        ..found
    };
    leader::write_where(ctx, lease, &mut freed, &disks, "free the leader").await?;
    tracing::debug!(lease = %lease.lease_name(), lver = %freed.lver, "released");
    Ok(Some(freed))
}

/// Releases a lease like the C program releases an index's internal one: the leader alone, and our
/// dblock only if another host has written the leader.
pub(crate) async fn release_leader_first(ctx: &Context, held: &Held) -> Result<(), Error> {
    let Held {
        lease,
        us,
        leader,
        dblock,
        ..
    } = held;
    if release_leader(ctx, lease, *us, Some(leader), None)
        .await?
        .is_some()
    {
        return Ok(());
    }
    let ours = HostBlock::released(dblock, None);
    block::write(ctx, lease, us.host, ours, "release our dblock").await
}

/// On which disks the leader is to be freed: all of them, unless an earlier attempt has freed some.
///
/// Then it may have freed most, so that another host may be writing a new leader by now: it is not to be
/// replaced but on the few disks that still say that we own the lease.
///
/// A disk that cannot be read is left alone. It may be free already, and a second write that hangs there, with one
/// on another disk, would put this version back on most disks after others have taken the next one: when most are
/// free, no more than the rest may have writes under way.
fn still_owned(ctx: &Context, view: &LeaderView, us: Member) -> Vec<Here> {
    let ours = |leader: &Leader| {
        leader.lver == view.leader.lver
            && (leader.owner_id, leader.owner_generation) == (us.host, us.generation)
    };
    let known = || view.on_disks.iter().flatten();
    let freed = known().any(|leader| ours(leader) && !leader.is_owned());
    let here = |leader: &Option<Leader>| match leader {
        None if planted!(ctx, FreedUnread) => Here::Write,
        None => Here::Unknown,
        Some(leader) if freed && !(ours(leader) && leader.is_owned()) => Here::Leave,
        Some(_) => Here::Write,
    };
    view.on_disks.iter().map(here).collect()
}

/// Whether the leader on disk is the one with which we own the lease.
fn check_ours(
    ctx: &Context,
    lease: &ResourceLease,
    us: Member,
    found: &Leader,
    last: Option<&Leader>,
) -> Result<(), Error> {
    if let Some(last) = last.filter(|last| last.lver != found.lver) {
        let (found, ours) = (found.lver, last.lver);
        return Err(Error::ReleaseLver {
            lease: lease.boxed_name(),
            found,
            ours,
        });
    }
    if !found.is_owned() {
        return Err(Error::AlreadyFree {
            lease: lease.boxed_name(),
        });
    }
    let owned = found.owner_id == us.host && found.owner_generation == us.generation;
    let as_left = last.is_none_or(|last| last == found) || planted!(ctx, ReleaseClearsOthersLeader);
    if owned && as_left {
        return Ok(());
    }
    Err(Error::ReleaseOwner {
        lease: lease.boxed_name(),
        owner: Owner::of(found, None),
    })
}

/// Makes sure that we do not own the lease, whatever came of a failed acquire: our dblock says that
/// what we proposed is released, and the leader is freed if it names us by our own hand.
///
/// What we proposed stays in the dblock: others may have taken it over, and must find it chosen or not
/// chosen all alike. Call it again until it succeeds.
///
/// # Errors
/// If the lease cannot be read or written, or earlier writes to it have not come back.
pub async fn undo(ctx: &Context, undo: &mut Undo) -> Result<(), Error> {
    let Undo {
        lease,
        us,
        dblock,
        keep_shared,
        guards_disk,
        disowned,
    } = undo;
    if *guards_disk {
        lease.settle_disks(ctx).await?;
    }
    lease.settle(ctx).await?;
    let dblock = if planted!(ctx, WipeOnRetract) {
        Dblock::default()
    } else {
        *dblock
    };
    let ours = HostBlock::released(&dblock, keep_shared.then_some(us.generation));
    let leader = match *disowned {
        true => Ok(()),
        false => disown(ctx, lease, *us).await,
    };
    *disowned = leader.is_ok();
    if leader.is_ok() && !has_our_dblock(ctx, lease, *us).await? {
        return Ok(());
    }
    release_dblock(ctx, lease, *us, ours, leader, Reach::All).await
}

/// Frees the leader if it names us and was written by us; everything else is fine too.
pub(super) async fn disown(ctx: &Context, lease: &ResourceLease, us: Member) -> Result<(), Error> {
    match free_leader(ctx, lease, us, None, None).await {
        Ok(_) | Err(Error::AlreadyFree { .. } | Error::ReleaseOwner { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Puts a leader there whatever stands there: to damage a lease for a test, or to repair it by hand.
///
/// The checksum is filled in, as the C program does.
///
/// # Errors
/// If it cannot be written.
pub async fn overwrite_leader(
    ctx: &Context,
    lease: &ResourceLease,
    leader: &Leader,
) -> Result<(), Error> {
    leader::write(ctx, lease, &mut leader.clone(), "overwrite the leader").await
}
