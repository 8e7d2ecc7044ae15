//! The leaders on a resource's disks.

use futures_util::future::join_all;
use ondisk::{HostId, Leader};
use storage::{Buffer, IoError};

use super::{ResourceLease, is_majority};
use crate::{Area, Context, Error};

/// The leader as most disks have it, and as each of them has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeaderView {
    pub(super) leader: Leader,
    /// In the order of the disks; `None` where it could not be read or is not valid.
    pub(super) on_disks: Vec<Option<Leader>>,
}

impl LeaderView {
    /// Whether any disk now has another leader than before, be it only in its timestamps.
    pub(super) fn differs_from(&self, before: &Self) -> bool {
        let changed = |(now, before): (&Option<Leader>, &Option<Leader>)| {
            now.as_ref()
                .zip(before.as_ref())
                .is_some_and(|(now, before)| now != before)
        };
        self.on_disks.iter().zip(&before.on_disks).any(changed)
            || !self.leader.same_but_times(&before.leader)
    }

    /// Fills in what a later view knows of disks that this one could not read.
    pub(super) fn complete_from(&mut self, later: Self) {
        for (known, later) in self.on_disks.iter_mut().zip(later.on_disks) {
            if known.is_none() {
                *known = later;
            }
        }
    }

    /// Whether the leader sector that a ballot has read on disk number `disk` tells of a change since
    /// this view.
    pub(super) fn is_outdated_by(&self, disk: usize, sector: &[u8]) -> bool {
        let Ok(decoded) = Leader::decode(sector) else {
            return true;
        };
        let usable = decoded.verify_checksum().is_ok() && decoded.record.magic == self.leader.magic;
        match self.on_disks.get(disk) {
            Some(Some(before)) => decoded.record != *before,
            // That disk's leader was of no use before; only news count.
            _ => usable && decoded.record.lver > self.leader.lver,
        }
    }
}

/// Reads the leader sector of one area and checks that it is the resource's.
async fn read_one(
    ctx: &Context,
    lease: &ResourceLease,
    host: HostId,
    area: &Area,
) -> Result<Leader, Error> {
    let sector = area
        .read(ctx, 0, lease.sector_len())
        .await
        .map_err(lease.lease_name().io(area, "read the leader"))?;
    verified(lease, host, area, &sector)
}

/// The leader at the start of `bytes`, if it is the resource's and has room for `host`.
pub(super) fn verified(
    lease: &ResourceLease,
    host: HostId,
    area: &Area,
    bytes: &[u8],
) -> Result<Leader, Error> {
    let name = lease.lease_name();
    let decoded = Leader::decode(bytes).map_err(name.leader(area))?;
    decoded
        .verify_paxos(&lease.space, &lease.name, host)
        .map_err(name.leader(area))?;
    Ok(decoded.record)
}

/// Reads the leader on all disks; `host` is whom it must have room for.
pub(super) async fn read(
    ctx: &Context,
    lease: &ResourceLease,
    host: HostId,
) -> Result<LeaderView, Error> {
    let reads = lease
        .areas
        .iter()
        .map(|area| read_one(ctx, lease, host, area));
    agree(lease, join_all(reads).await, crate::Step::ReadLeader)
}

/// The leader that most disks have, or the latest of those on most disks.
pub(super) fn agree(
    lease: &ResourceLease,
    answers: Vec<Result<Leader, Error>>,
    step: crate::Step,
) -> Result<LeaderView, Error> {
    let of = answers.len();
    // With one disk its own error says more than that there are too few.
    if let [Err(error)] = answers.as_slice() {
        return Err(error.clone());
    }
    let mut last_error = None;
    let on_disks: Vec<_> = answers
        .into_iter()
        .map(|answer| answer.map_err(|error| last_error = Some(error)).ok())
        .collect();
    let done = on_disks.iter().flatten().count();
    if let Some(last) = last_error.filter(|_| !is_majority(done, of)) {
        let (lease, last) = (lease.boxed_name(), Box::new(last));
        return Err(Error::TooFewDisks {
            lease,
            step,
            done,
            of,
            last,
        });
    }
    let same_as = |leader: &Leader| {
        on_disks
            .iter()
            .flatten()
            .filter(|other| leader.same_but_times(other))
            .count()
    };
    // The times are not compared, and one of them says that the lease is free: a host that is about to
    // free it has done so when most disks say it.
    let free = on_disks
        .iter()
        .flatten()
        .filter(|leader| !leader.is_owned());
    let is_free = is_majority(free.count(), of);
    let alike = on_disks.iter().flatten();
    let mut alike = alike.filter(|leader| is_majority(same_as(leader), of));
    let most = alike
        .clone()
        .find(|leader| leader.is_owned() != is_free)
        .or_else(|| alike.next());
    // A version that stands on any disk was decided by a ballot on most. So where writes that reached too
    // few disks have left no two alike, the latest one counts; the C program gives such a lease up.
    let latest = on_disks
        .iter()
        .flatten()
        .max_by_key(|leader| (leader.lver, leader.is_owned()));
    match most.or(latest).cloned() {
        Some(leader) => Ok(LeaderView { leader, on_disks }),
        None => Err(Error::LeadersDiffer {
            lease: lease.boxed_name(),
        }),
    }
}

/// Writes a leader to all disks, filling in its checksum; done if most have it.
pub(super) async fn write(
    ctx: &Context,
    lease: &ResourceLease,
    leader: &mut Leader,
    action: &'static str,
) -> Result<(), Error> {
    let everywhere = vec![Here::Write; lease.areas.len()];
    write_where(ctx, lease, leader, &everywhere, action).await
}

/// What to do about the leader on one disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Here {
    Write,
    /// It counts as written.
    Leave,
    /// It is not known what stands there, so that it is left alone and does not count as written.
    Unknown,
}

/// The same on some of the disks only, in their order.
pub(super) async fn write_where(
    ctx: &Context,
    lease: &ResourceLease,
    leader: &mut Leader,
    disks: &[Here],
    action: &'static str,
) -> Result<(), Error> {
    const EIO: i32 = 5;
    let mut sector = Buffer::zeroed(lease.sector_len());
    leader.encode(&mut sector);
    let sector = &sector;
    let writes = lease
        .areas
        .iter()
        .zip(disks)
        .map(|(area, here)| async move {
            match here {
                Here::Write => area.write(ctx, 0, Buffer::copy_of(sector)).await,
                Here::Leave => Ok(()),
                Here::Unknown => Err(IoError::Os {
                    action: "it could not be read just before".to_owned(),
                    errno: EIO,
                }),
            }
        });
    most_written(lease, action, join_all(writes).await)
}

/// Whether most disks have been written; if not, the most telling error: a timeout, or the last one.
pub(super) fn most_written(
    lease: &ResourceLease,
    action: &'static str,
    answers: Vec<Result<(), IoError>>,
) -> Result<(), Error> {
    let of = answers.len();
    let done = answers.iter().filter(|answer| answer.is_ok()).count();
    if is_majority(done, of) {
        return Ok(());
    }
    let failed = lease
        .areas
        .iter()
        .zip(answers)
        .filter_map(|(area, answer)| {
            answer
                .err()
                .map(|error| lease.lease_name().io(area, action)(error))
        });
    let worst = failed.reduce(|worst, error| if worst.is_timeout() { worst } else { error });
    Err(worst.unwrap_or_else(|| Error::LeadersDiffer {
        lease: lease.boxed_name(),
    }))
}
