//! One ballot: both phases of Disk Paxos for one lease version.
//!
//! In each phase the host writes its own dblock and then reads everybody's. It gives up if another host
//! is in a later ballot. In phase 1 it learns which value it has to propose, in phase 2 it proposes it;
//! a value whose phase 2 was not given up by its host is chosen, and every later ballot finds it.
//!
//! Two things differ from sanlock's C program, neither of which is to be seen without contention. A new
//! ballot keeps what we accepted in an earlier one for the same version, as the paper has it, so that
//! for one version no two values can be chosen, whatever an old write does to the leader. And the leader
//! that comes with each read must be the one the ballot is based on.

use futures_util::future::join_all;
use ondisk::{Dblock, Dblocks, Generation, HostBitmap, HostId, Lver, Timestamp};
use storage::{Buffer, IoError};

use super::block::HostBlock;
use super::leader::LeaderView;
use super::{Member, ResourceLease, is_majority};
use crate::env::planted;
use crate::{Context, Error, Liveness, Step};

/// What a ballot decides on: a host that shall own the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) host: HostId,
    pub(super) generation: Generation,
    pub(super) timestamp: Timestamp,
}

impl Value {
    /// What a dblock has accepted.
    pub(super) fn accepted(dblock: &Dblock) -> Option<Self> {
        let Dblock {
            bal,
            inp: host,
            inp2: generation,
            inp3: timestamp,
            ..
        } = *dblock;
        (bal != 0 && host != HostId(0)).then_some(Self {
            host,
            generation,
            timestamp,
        })
    }
}

/// Why a ballot was given up; another one may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abort {
    /// A host is in a ballot for a later version.
    LargerLver,
    /// A host is in a later ballot for the same version.
    LargerMbal { mbal: u64 },
    /// A host that nobody had looked at before was in a ballot of this number, after which ours would have another.
    Overlooked { mbal: u64 },
    /// The leader is not what it was.
    LeaderChanged,
    /// Our own dblock is not what we have just written, on disk number `disk`.
    OwnDblockLost { disk: usize },
}

/// How a ballot ends without a choice.
#[derive(Debug)]
pub(super) enum Stop {
    Aborted(Abort),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What a ballot is about.
pub(super) struct Ballot<'a> {
    pub(super) ctx: &'a Context,
    pub(super) lease: &'a ResourceLease,
    pub(super) us: Member,
    pub(super) liveness: &'a dyn Liveness,
    /// The leader that says that the lease may be taken.
    pub(super) basis: &'a LeaderView,
    pub(super) num_hosts: u64,
    /// The first so many of them were looked at before the ballot began.
    pub(super) hosts_seen: u64,
    /// We hold the lease shared and keep it so.
    pub(super) keep_shared: bool,
}

/// What remains of a ballot, whatever its end.
#[derive(Debug, Clone)]
pub(super) struct Traces {
    /// The last dblock that was sent to the disks. It may be there or not.
    pub(super) sent: Dblock,
    /// The version and time with which we have proposed ourselves.
    pub(super) proposed: Option<(Lver, Timestamp)>,
    /// The hosts, maybe us among them, that held the lease shared.
    pub(super) shared_by: HostBitmap,
}

/// The dblock with which ballot `mbal` for version `lver` begins, after `last`, our last one.
pub(super) fn opening(ctx: &Context, mbal: u64, lver: Lver, last: &Dblock) -> Dblock {
    let opening = Dblock {
        mbal,
        lver,
        ..Dblock::default()
    };
    if last.lver != lver || planted!(ctx, ForgetOwnProposal) {
        return opening;
    }
    Dblock {
        bal: last.bal,
        inp: last.inp,
        inp2: last.inp2,
        inp3: last.inp3,
        ..opening
    }
}

impl Ballot<'_> {
    /// Runs the ballot that `opening` begins, and returns the dblock with the chosen value.
    pub(super) async fn run(&self, opening: Dblock, traces: &mut Traces) -> Result<Dblock, Stop> {
        let mut ours = opening;
        traces.sent = ours;
        let mut best: Option<Dblock> = None;
        let disks = self.write_and_read(&ours, true).await?;
        if let Some(abort) = self.overlooked(&disks, &ours) {
            return Err(Stop::Aborted(abort));
        }
        for (disk, view) in disks {
            let seen = |host, dblock: &Dblock| {
                let taken_over = host == self.us.host || !planted!(self.ctx, IgnoreOthersProposal);
                let better = best.is_none_or(|best| dblock.bal > best.bal);
                if taken_over && better && Value::accepted(dblock).is_some() {
                    best = Some(*dblock);
                }
            };
            self.look(disk, &view, &ours, Some(&mut traces.shared_by), seen)?;
        }

        let value = best.as_ref().and_then(Value::accepted).unwrap_or_else(|| {
            let timestamp = self.ctx.now();
            traces.proposed = Some((ours.lver, timestamp));
            Value {
                host: self.us.host,
                generation: self.us.generation,
                timestamp,
            }
        });
        (ours.inp, ours.inp2, ours.inp3) = (value.host, value.generation, value.timestamp);
        ours.bal = ours.mbal;
        traces.sent = ours;
        let read_back = !planted!(self.ctx, SkipPhase2Read);
        for (disk, view) in self.write_and_read(&ours, read_back).await? {
            self.look(disk, &view, &ours, None, |_, _| ())?;
        }
        tracing::debug!(
            lease = %self.lease.lease_name(), lver = %ours.lver, bal = ours.bal,
            owner = %ours.inp, generation = %ours.inp2, "ballot won"
        );
        Ok(ours)
    }

    /// Writes our dblock and reads the lease, on all disks at the same time; returns what was read on
    /// those where both worked, which are most of them.
    async fn write_and_read(
        &self,
        ours: &Dblock,
        read_back: bool,
    ) -> Result<Vec<(usize, Buffer)>, Error> {
        let (ctx, lease) = (self.ctx, self.lease);
        if !self.liveness.host_id_is_ours() && !planted!(ctx, AcquireAfterExpiry) {
            return Err(Error::HostIdExpired {
                lease: lease.boxed_name(),
            });
        }
        let offset = lease.host_offset(self.us.host)?;
        let keep_shared = self.keep_shared && !planted!(ctx, ConvertDropsShared);
        let shared = keep_shared.then_some(self.us.generation);
        let block = HostBlock {
            dblock: Some(*ours),
            shared,
        };
        let len = lease.geometry.ballot_read_len(self.num_hosts);
        let disks = join_all(lease.areas.iter().map(|area| async move {
            let sector = block.encode(lease.sector_len());
            area.write(ctx, offset, sector).await.map_err(Half::Write)?;
            if !read_back {
                return Ok(None);
            }
            area.read(ctx, 0, len).await.map(Some).map_err(Half::Read)
        }))
        .await;

        let of = disks.len();
        let mut views = Vec::with_capacity(of);
        let (mut written, mut read) = (0, 0);
        let (mut write_error, mut read_error) = (None, None);
        for ((disk, area), answer) in lease.areas.iter().enumerate().zip(disks) {
            match answer {
                Ok(view) => {
                    written += 1;
                    read += 1;
                    views.extend(view.map(|view| (disk, view)));
                }
                Err(Half::Read(error)) => {
                    written += 1;
                    let action = "read the dblocks for a ballot";
                    read_error = Some(lease.lease_name().io(area, action)(error));
                }
                Err(Half::Write(error)) => {
                    let action = "write our dblock for a ballot";
                    write_error = Some(lease.lease_name().io(area, action)(error));
                }
            }
        }
        if is_majority(read, of) {
            return Ok(views);
        }
        let (step, done, last) = if is_majority(written, of) {
            (Step::ReadDblocks, read, read_error.or(write_error))
        } else {
            (Step::WriteDblock, written, write_error.or(read_error))
        };
        let lease = lease.boxed_name();
        Err(match last {
            Some(last) => Error::TooFewDisks {
                lease,
                step,
                done,
                of,
                last: Box::new(last),
            },
            None => Error::LeadersDiffer { lease },
        })
    }

    /// What the hosts tell that were not looked at before, if with that we would have begun otherwise: with a later
    /// version or, as the C program counts the dblocks of all versions, with a larger number.
    ///
    /// A changed leader and damaged dblocks are left to [`Ballot::look`].
    fn overlooked(&self, disks: &[(usize, Buffer)], ours: &Dblock) -> Option<Abort> {
        let (mut mbal, mut lver) = (0, Lver(0));
        for (disk, view) in disks {
            let dblocks = Dblocks::new(view, self.lease.geometry.sector, self.num_hosts).ok()?;
            if self.basis.is_outdated_by(*disk, view) {
                return None;
            }
            for (_, sector) in dblocks.iter().filter(|(host, _)| !self.was_seen(*host)) {
                if let Some(dblock) = sector.verified().ok()? {
                    mbal = mbal.max(dblock.mbal);
                    lver = lver.max(dblock.lver);
                }
            }
        }
        // Ours is the first number of its round, but for our own place in it.
        let round = ours.mbal.saturating_sub(self.us.host.0);
        if planted!(self.ctx, UnseenLeftOut) {
            return None;
        }
        if lver > ours.lver {
            return Some(Abort::LargerLver);
        }
        (mbal != 0 && mbal >= round).then_some(Abort::Overlooked { mbal })
    }

    fn was_seen(&self, host: HostId) -> bool {
        host.0 <= self.hosts_seen
    }

    /// Looks at all hosts' sectors as read on one disk after `ours` was written there.
    ///
    /// Ends the ballot if it must not go on; shows the dblocks of the same version to `seen`, ours too.
    fn look(
        &self,
        disk: usize,
        view: &[u8],
        ours: &Dblock,
        mut shared_by: Option<&mut HostBitmap>,
        mut seen: impl FnMut(HostId, &Dblock),
    ) -> Result<(), Stop> {
        if self.basis.is_outdated_by(disk, view) && !planted!(self.ctx, IgnoreLeaderInBallot) {
            return Err(Stop::Aborted(Abort::LeaderChanged));
        }
        let damaged = |host| {
            move |fault| match self.lease.areas.get(disk) {
                Some(area) => Error::Dblock {
                    at: self.lease.lease_name().at(area),
                    host,
                    fault,
                },
                None => Error::LeadersDiffer {
                    lease: self.lease.boxed_name(),
                },
            }
        };
        let dblocks = Dblocks::new(view, self.lease.geometry.sector, self.num_hosts)
            .map_err(damaged(HostId(self.num_hosts)))?;
        let mut ours_found = false;
        for (host, sector) in dblocks.iter() {
            if let Some(shared_by) = shared_by.as_deref_mut() {
                if sector.mode_block().is_shared() {
                    shared_by.set(host);
                }
            }
            // A damaged dblock may hide a later ballot.
            let Some(dblock) = sector.verified().map_err(damaged(host))? else {
                continue;
            };
            if host == self.us.host {
                ours_found = Dblock {
                    checksum: 0,
                    ..dblock
                } == Dblock {
                    checksum: 0,
                    ..*ours
                };
                seen(host, &dblock);
                continue;
            }
            if !self.was_seen(host) && planted!(self.ctx, UnseenLeftOut) {
                continue;
            }
            self.check_other(&dblock, ours)?;
            if dblock.lver == ours.lver {
                seen(host, &dblock);
            }
        }
        if ours_found {
            Ok(())
        } else {
            Err(Stop::Aborted(Abort::OwnDblockLost { disk }))
        }
    }

    /// Whether another host's dblock ends our ballot.
    fn check_other(&self, theirs: &Dblock, ours: &Dblock) -> Result<(), Stop> {
        if theirs.lver > ours.lver && !planted!(self.ctx, IgnoreLargerLver) {
            return Err(Stop::Aborted(Abort::LargerLver));
        }
        // Ballot numbers are unique to a host, so an equal one is somebody's mistake, not ours to repeat.
        let later = theirs.lver == ours.lver && theirs.mbal >= ours.mbal;
        if later && !planted!(self.ctx, IgnoreLargerMbal) {
            return Err(Stop::Aborted(Abort::LargerMbal { mbal: theirs.mbal }));
        }
        Ok(())
    }
}

/// Which half of a step on one disk failed.
enum Half {
    Write(IoError),
    Read(IoError),
}

/// The number of our first ballot after `largest`, the largest of all: larger, and no other host's.
pub(super) fn next_mbal(largest: u64, max_hosts: u64, us: HostId) -> Option<u64> {
    if largest == 0 {
        return Some(us.0);
    }
    let step = max_hosts.max(1);
    (largest - largest % step)
        .checked_add(step)?
        .checked_add(us.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ballot_numbers_grow_and_are_a_hosts_own() {
        assert_eq!(next_mbal(0, 2000, HostId(1)), Some(1));
        assert_eq!(next_mbal(1, 2000, HostId(1)), Some(2001));
        assert_eq!(next_mbal(2001, 2000, HostId(7)), Some(4007));
        assert_eq!(next_mbal(1, 250, HostId(250)), Some(500));
        assert_eq!(next_mbal(u64::MAX, 2000, HostId(1)), None);
        assert_eq!(next_mbal(5, 0, HostId(1)), Some(7));
        for largest in 0..9000 {
            let next = next_mbal(largest, 2000, HostId(2000)).unwrap();
            assert!(next > largest && next % 2000 == 0);
        }
    }
}
