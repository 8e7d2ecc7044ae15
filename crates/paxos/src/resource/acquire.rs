//! Becoming the owner of a lease.

use std::time::Duration;

use ondisk::{Dblock, HostBitmap, Leader, Lver};

use super::ballot::{Abort, Ballot, Stop, Traces, next_mbal, opening};
use super::leader::{self, LeaderView};
use super::owner::OwnerGone;
use super::start::{Extent, Start};
use super::{Held, Member, Mode, ResourceLease, Undo};
use crate::env::planted;
use crate::{AcquireError, Cancel, Context, Error, Liveness, Owner, Step};

/// How to acquire a lease; by default whatever its version, waiting for a silent owner's death.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AcquireOptions {
    /// Only if the lease has this version now.
    pub lver: Option<Lver>,
    /// Change how many hosts take part in ballots from now on.
    pub num_hosts: Option<u64>,
    /// Fail instead of waiting for a silent owner's death.
    pub no_wait: bool,
    /// Take the lease from its owner whether it lives or not. Safe only if the caller knows that it is
    /// dead.
    pub force: bool,
    /// Tell others that the lease will be held for a moment only.
    pub(crate) short_hold: bool,
    /// We hold the lease shared: stay so whatever happens.
    pub(crate) keep_shared: bool,
}

/// An acquired lease.
#[derive(Debug, Clone)]
pub struct Acquired {
    /// The lease.
    pub held: Held,
    /// The other hosts whose mode blocks said that they hold it shared. While one of them lives the lease
    /// must not be used exclusively.
    pub shared_by: HostBitmap,
}

/// Becomes the owner of the lease, whoever holds it shared.
///
/// Most callers want [`acquire_exclusive`](super::acquire_exclusive) or
/// [`acquire_shared`](super::acquire_shared).
///
/// A free lease takes three reads and three writes: the beginning of the lease, our dblock, everybody's dblocks,
/// our dblock, everybody's dblocks, the leader. One that is not free is read whole before anything is written.
/// The future must not be dropped halfway; cancel it instead.
///
/// # Errors
/// If the lease is owned by a host that may live, or by one that was faster; if it cannot be read or
/// written. The error says whether something has to be taken back.
pub async fn acquire_owner(
    ctx: &Context,
    lease: &ResourceLease,
    us: Member,
    liveness: &dyn Liveness,
    options: &AcquireOptions,
    cancel: &Cancel,
) -> Result<Acquired, AcquireError> {
    attempt(ctx, lease, us, liveness, options, cancel).await.0
}

/// Like [`acquire_owner`]; also tells the last dblock that was sent, which is untouched if none was.
pub(super) async fn attempt(
    ctx: &Context,
    lease: &ResourceLease,
    us: Member,
    liveness: &dyn Liveness,
    options: &AcquireOptions,
    cancel: &Cancel,
) -> (Result<Acquired, AcquireError>, Dblock) {
    let mut attempt = Attempt {
        ctx,
        lease: lease.clone(),
        us,
        liveness,
        options,
        cancel,
        traces: Traces {
            sent: Dblock::default(),
            proposed: None,
            shared_by: HostBitmap::EMPTY,
        },
        exposed: false,
        unreleases: false,
    };
    let result = attempt.run().await;
    let result = result.map_err(|error| AcquireError {
        error,
        undo: attempt.undo(),
    });
    (result, attempt.traces.sent)
}

/// One call of [`acquire_owner`].
pub(super) struct Attempt<'a> {
    pub(super) ctx: &'a Context,
    pub(super) lease: ResourceLease,
    pub(super) us: Member,
    pub(super) liveness: &'a dyn Liveness,
    pub(super) options: &'a AcquireOptions,
    pub(super) cancel: &'a Cancel,
    pub(super) traces: Traces,
    /// The leader names us, or others may find our proposal and make it do so.
    pub(super) exposed: bool,
    /// Our dblock said that we had released the lease as the last owner that is known.
    pub(super) unreleases: bool,
}

/// What a second look at the leader tells a host that is in ballots for the next version.
enum SecondLook {
    Unchanged,
    /// Another host has written down that our proposal won.
    OursWon,
    OtherWon,
    Changed,
}

/// Whether a ballot has failed as the lease could not be read, for another reason than that it took too long.
fn unread(error: &Error) -> bool {
    let step = Step::ReadDblocks;
    matches!(error, Error::TooFewDisks { step: failed, .. } if *failed == step)
        && !error.is_timeout()
}

/// How many ballots in a row may end for the same strange reason.
const STRANGE_ABORTS: u32 = 8;

impl Attempt<'_> {
    async fn run(&mut self) -> Result<Acquired, Error> {
        self.lease.host_offset(self.us.host)?;
        self.lease.settle(self.ctx).await?;
        let mut restarts = 0;
        loop {
            let start = self.start(restarts).await?;
            let owners = self.owners(&start)?;
            let must_wait = !owners.is_empty();
            if let OwnerGone::Yes = self.await_owners(&start.view, owners).await? {
                if let Some(leader) = self.ballots(start, must_wait).await? {
                    return Ok(self.acquired(leader));
                }
            }
            restarts += 1;
            tracing::debug!(lease = %self.lease.lease_name(), restarts, "the leader has changed");
            if restarts > 2 {
                self.back_off(restarts).await?;
            }
        }
    }

    /// How many hosts take part in ballots: never more than there is room for.
    pub(super) fn num_hosts(&self, leader: &Leader) -> u64 {
        leader.num_hosts.min(self.lease.geometry.max_hosts())
    }

    pub(super) fn named_by(&self, leader: &Leader) -> bool {
        leader.is_owned()
            && leader.owner_id == self.us.host
            && leader.owner_generation == self.us.generation
    }

    /// The owner whose death must be waited for, as a leader that names it; and others that may be the owner.
    fn owners(&self, start: &Start) -> Result<Vec<Leader>, Error> {
        if self.options.force {
            return Ok(Vec::new());
        }
        let leader = &start.view.leader;
        if let Some(wanted) = self.options.lver.filter(|wanted| *wanted != leader.lver) {
            let found = leader.lver;
            return Err(Error::WrongLver {
                lease: self.lease.boxed_name(),
                found,
                wanted,
            });
        }
        // What an earlier generation of ours has left was lost when that generation ended.
        let ours = leader.owner_id == self.us.host && leader.owner_generation <= self.us.generation;
        let must_wait = leader.is_owned() && !ours && !start.is_put_back();
        let owner = must_wait.then(|| leader.clone());
        Ok(owner.into_iter().chain(start.left_out(self.us)).collect())
    }

    /// Runs ballots for the version after that of `start` until one is won, and writes the new leader.
    ///
    /// `None` if the leader has changed and everything has to be looked at anew.
    async fn ballots(
        &mut self,
        start: Start,
        mut look_first: bool,
    ) -> Result<Option<Leader>, Error> {
        let Start {
            view: mut basis,
            mut hosts_seen,
            largest_mbal,
            latest,
            ..
        } = start;
        let next = basis.leader.lver.0.checked_add(1).map(Lver);
        let next = next.ok_or_else(|| self.exhausted("version"))?;
        // Never a version earlier than one that is decided or being decided on: our own dblock, too, may
        // be all that is known of it.
        let next = next.max(latest);
        let max_hosts = match basis.leader.max_hosts {
            0 => self.lease.geometry.max_hosts(),
            max_hosts => max_hosts,
        };
        let us = self.us.host;
        let number_after = |largest| next_mbal(largest, max_hosts, us);
        let mut mbal = number_after(largest_mbal).ok_or_else(|| self.exhausted("ballot number"))?;
        let mut aborts = 0;
        let mut strange = 0;
        loop {
            if look_first {
                let now = leader::read(self.ctx, &self.lease, self.us.host).await?;
                match self.second_look(&basis, &now, next) {
                    SecondLook::Unchanged => basis.complete_from(now),
                    SecondLook::OursWon => return Ok(Some(now.leader)),
                    SecondLook::OtherWon => {
                        self.exposed = false;
                        let owner = Owner::of(&now.leader, None);
                        return Err(Error::Owned {
                            lease: self.lease.boxed_name(),
                            owner,
                        });
                    }
                    SecondLook::Changed => return Ok(None),
                }
            }
            look_first = true;
            let abort = match self.ballot(&basis, mbal, next, hosts_seen).await {
                Ok(won) => return self.commit(&basis.leader, won).await,
                Err(Stop::Failed(error)) => {
                    // What the first look left out cannot be read: told as by a first read of everything.
                    let opened = self.traces.sent.bal < mbal && unread(&error);
                    if opened && hosts_seen < self.num_hosts(&basis.leader) {
                        self.read_lease(Extent::Whole).await?;
                    }
                    return Err(error);
                }
                Err(Stop::Aborted(abort)) => abort,
            };
            tracing::debug!(lease = %self.lease.lease_name(), %next, mbal, ?abort, "ballot aborted");
            hosts_seen = self.num_hosts(&basis.leader);
            match abort {
                // Going on there would leave versions out, whose owners have to be looked for.
                Abort::LargerLver => return Ok(None),
                // Now everybody was looked at, and the leader is what it was.
                Abort::Overlooked { mbal: theirs } => {
                    mbal = number_after(largest_mbal.max(theirs))
                        .ok_or_else(|| self.exhausted("ballot number"))?;
                    look_first = false;
                    continue;
                }
                _ => {}
            }
            aborts += 1;
            if !matches!(abort, Abort::LargerMbal { .. }) {
                strange += 1;
            }
            if strange > STRANGE_ABORTS {
                if let Some(error) = self.no_more_ballots(abort) {
                    return Err(error);
                }
            }
            // A changed leader ends the ballots at the next look, at once.
            if abort != Abort::LeaderChanged || strange > 1 {
                self.back_off(aborts).await?;
            }
            let largest = match abort {
                Abort::LargerMbal { mbal: theirs } => mbal.max(theirs),
                _ => mbal,
            };
            mbal = number_after(largest).ok_or_else(|| self.exhausted("ballot number"))?;
        }
    }

    async fn ballot(
        &mut self,
        basis: &LeaderView,
        mbal: u64,
        lver: Lver,
        hosts_seen: u64,
    ) -> Result<Dblock, Stop> {
        let opening = opening(self.ctx, mbal, lver, &self.traces.sent);
        let ballot = Ballot {
            ctx: self.ctx,
            lease: &self.lease,
            us: self.us,
            liveness: self.liveness,
            basis,
            num_hosts: self.num_hosts(&basis.leader),
            hosts_seen,
            keep_shared: self.options.keep_shared,
        };
        let result = ballot.run(opening, &mut self.traces).await;
        let sent = &self.traces.sent;
        let proposed = sent.inp == self.us.host && sent.inp2 == self.us.generation;
        self.exposed |= proposed || self.unreleases;
        result
    }

    fn second_look(&self, basis: &LeaderView, now: &LeaderView, next: Lver) -> SecondLook {
        let leader = &now.leader;
        if leader.lver == next && leader.owner_id != self.us.host {
            return SecondLook::OtherWon;
        }
        if leader.lver == next && self.is_our_proposal(leader) {
            return SecondLook::OursWon;
        }
        if leader.lver == next || now.differs_from(basis) {
            SecondLook::Changed
        } else {
            SecondLook::Unchanged
        }
    }

    /// Whether a new leader comes from what this very attempt has proposed.
    ///
    /// An earlier attempt may have given up since, and others may know that it has.
    fn is_our_proposal(&self, leader: &Leader) -> bool {
        if planted!(self.ctx, IgnoreOwnGeneration) {
            return leader.owner_id == self.us.host;
        }
        if planted!(self.ctx, AcceptOldProposal) {
            return self.named_by(leader);
        }
        self.named_by(leader) && self.traces.proposed == Some((leader.lver, leader.timestamp))
    }

    /// Writes the leader that a won ballot decides on, and returns it if we are the owner.
    async fn commit(&mut self, basis: &Leader, won: Dblock) -> Result<Option<Leader>, Error> {
        if !self.liveness.host_id_is_ours() && !planted!(self.ctx, AcquireAfterExpiry) {
            return Err(Error::HostIdExpired {
                lease: self.lease.boxed_name(),
            });
        }
        let mut leader = Leader {
            lver: won.lver,
            owner_id: won.inp,
            owner_generation: won.inp2,
            timestamp: won.inp3,
            write_id: self.us.host,
            write_generation: self.us.generation,
            write_timestamp: self.ctx.now(),
            ..basis.clone()
        };
        if let Some(num_hosts) = self.options.num_hosts.filter(|num_hosts| *num_hosts != 0) {
            leader.num_hosts = num_hosts.min(self.lease.geometry.max_hosts());
        }
        let ours = won.inp == self.us.host;
        if ours {
            leader.flags &= !Leader::SHORT_HOLD;
            if self.options.short_hold {
                leader.flags |= Leader::SHORT_HOLD;
            }
        }
        leader::write(self.ctx, &self.lease, &mut leader, "write the new leader").await?;
        if !ours {
            self.exposed = false;
            let owner = Owner::of(&leader, None);
            return Err(Error::MadeOtherOwner {
                lease: self.lease.boxed_name(),
                owner,
            });
        }
        // What an earlier attempt of ours had proposed is settled now, and is not ours to use.
        Ok(self.is_our_proposal(&leader).then_some(leader))
    }

    fn acquired(&self, leader: Leader) -> Acquired {
        let mut shared_by = self.traces.shared_by.clone();
        shared_by.clear(self.us.host);
        tracing::debug!(lease = %self.lease.lease_name(), lver = %leader.lver, "acquired");
        let held = Held {
            lease: self.lease.clone(),
            us: self.us,
            leader,
            dblock: self.traces.sent,
            mode: Mode::Exclusive,
            release_begun: false,
            freed: None,
            may_own: false,
            half_shared: false,
        };
        Acquired { held, shared_by }
    }

    /// What has to be taken back after an error.
    fn undo(&self) -> Option<Box<Undo>> {
        if !self.exposed || planted!(self.ctx, NoRetract) {
            return None;
        }
        let undo = Undo {
            lease: self.lease.clone(),
            us: self.us,
            dblock: self.traces.sent,
            keep_shared: self.options.keep_shared,
            guards_disk: false,
            disowned: false,
        };
        Some(Box::new(undo))
    }

    /// Waits for a random time that grows with the number of attempts, up to a second.
    async fn back_off(&self, attempts: u32) -> Result<(), Error> {
        let longest = 31_250_u64
            .checked_shl(attempts)
            .unwrap_or(u64::MAX)
            .min(1_000_000);
        let micros = self.ctx.env.random_below(longest.saturating_add(1));
        self.pause(Duration::from_micros(micros)).await
    }

    fn no_more_ballots(&self, abort: Abort) -> Option<Error> {
        let Abort::OwnDblockLost { disk } = abort else {
            return None;
        };
        let at = self.lease.lease_name().at(self.lease.areas.get(disk)?);
        Some(Error::OwnDblockLost {
            at,
            host: self.us.host,
        })
    }

    fn exhausted(&self, what: &'static str) -> Error {
        Error::Exhausted {
            lease: self.lease.boxed_name(),
            what,
        }
    }
}
