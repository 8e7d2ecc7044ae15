//! What has to be known of a lease before the first ballot.

use futures_util::future::join_all;
use ondisk::{Dblock, Dblocks, HostId, Leader, Lver};

use super::Member;
use super::acquire::{AcquireOptions, Attempt};
use super::ballot::Value;
use super::leader::{self, LeaderView};
use crate::env::planted;
use crate::{Area, Error, Step};

/// How much of a lease is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// The leader and the sectors of the first hosts, `first_look` of the context of them.
    Beginning,
    Whole,
}

/// What the first read of a lease tells.
pub(super) struct Start {
    pub(super) view: LeaderView,
    /// The first so many hosts were looked at.
    pub(super) hosts_seen: u64,
    pub(super) largest_mbal: u64,
    /// The latest version for which any host has begun a ballot.
    pub(super) latest: Lver,
    /// What hosts have proposed for later versions than the leader's, and may have been chosen.
    proposed: Vec<(Lver, Value)>,
    /// The dblock of the owner that the leader names is of this very version, and does not say that it was released.
    owner_holds: bool,
}

impl Start {
    /// Whether the leader is older than what has come of it: each host begins ballots for a version only
    /// when the one before has no owner any more, so that two versions later nobody can own this one.
    ///
    /// A host that won a ballot in another's name writes that down some time after it has looked, and may
    /// replace a newer leader then. An owner whose own dblock says that it holds the lease is asked after all the same:
    /// a host that gave its lease back in a file that has taken the place of its own (the C program does) leaves a
    /// later version there, too.
    pub(super) fn is_put_back(&self) -> bool {
        self.leaves_versions_out() && !self.owner_holds
    }

    /// Whether somebody is further than the version after the leader's.
    fn leaves_versions_out(&self) -> bool {
        self.latest.0 > self.view.leader.lver.0.saturating_add(1)
    }

    /// Who may own a version that ballots for the latest one would leave out: won, but not written down yet.
    ///
    /// After a leader that was put back nobody does. But the latest version may be that of another file, in whose place
    /// this one is, left by a host that gave its lease back there (the C program does); and a host that had looked before
    /// may be the owner by now.
    pub(super) fn left_out(&self, us: Member) -> Vec<Leader> {
        let mut owners: Vec<Leader> = Vec::new();
        for (lver, value) in self.proposed.iter().filter(|(lver, _)| *lver < self.latest) {
            let ours = value.host == us.host && value.generation <= us.generation;
            let known = |owner: &Leader| {
                (owner.owner_id, owner.owner_generation) == (value.host, value.generation)
            };
            if !ours && !owners.iter().any(known) {
                owners.push(Leader {
                    lver: *lver,
                    owner_id: value.host,
                    owner_generation: value.generation,
                    timestamp: value.timestamp,
                    // Its own dblock has the last word on whether it has released that version.
                    write_id: HostId(0),
                    ..self.view.leader.clone()
                });
            }
        }
        owners
    }

    /// Whether ballots may begin for all that was seen: the lease is free, on all disks alike, and nobody is
    /// further than that.
    fn is_plainly_free(&self) -> bool {
        let leader = &self.view.leader;
        let alike = self.view.on_disks.iter().flatten().all(|on| on == leader);
        !leader.is_owned() && alike && !self.leaves_versions_out()
    }
}

/// The same of one disk.
struct OneDisk {
    leader: Leader,
    largest_mbal: u64,
    latest: Lver,
    proposed: Vec<(Lver, Value)>,
    own: Dblock,
    owner_holds: bool,
}

impl Attempt<'_> {
    /// Reads what has to be known of the lease before our first ballot.
    ///
    /// That a lease is free shows at its beginning. The hosts whose sectors are not there are first looked at in the
    /// first ballot, right after its opening is written, which starts anew if it should have begun otherwise
    /// ([`overlooked`](super::ballot::Ballot::overlooked)): our opening and theirs could have come in this order in any
    /// case. Safety never depends on what was read before an opening, but for our own dblock and the leader: ballots
    /// look at everything again. Where versions would be left out everything is read before.
    pub(super) async fn start(&mut self, restarts: u32) -> Result<Start, Error> {
        let AcquireOptions {
            lver,
            force,
            keep_shared,
            ..
        } = self.options;
        let we_are_there = self.us.host.0 <= self.ctx.first_look;
        if we_are_there && restarts == 0 && lver.is_none() && !force && !keep_shared {
            let (start, own) = self.read_lease(Extent::Beginning).await?;
            if start.is_plainly_free() {
                self.take_in(&start.view.leader, own);
                return Ok(start);
            }
        }
        let (mut start, mut own) = self.read_lease(Extent::Whole).await?;
        if start.leaves_versions_out() {
            // Not all sectors were read at the same moment. Who has won without seeing the later version had written
            // its dblock before that version was there.
            (start, own) = self.read_lease(Extent::Whole).await?;
        }
        self.take_in(&start.view.leader, own);
        Ok(start)
    }

    /// Reads the lease with the sizes that it has, whatever we took them to be; returns our own dblock, too.
    pub(super) async fn read_lease(&mut self, extent: Extent) -> Result<(Start, Dblock), Error> {
        let mut resized = 0;
        loop {
            let areas = self.lease.areas.iter();
            let reads = areas.map(|area| self.read_disk(area, extent));
            let disks = join_all(reads).await;
            let sizes = disks
                .iter()
                .flatten()
                .find_map(|disk| disk.leader.geometry());
            match sizes.filter(|sizes| *sizes != self.lease.geometry) {
                Some(sizes) if resized < 2 => {
                    self.lease.geometry = sizes;
                    resized += 1;
                }
                _ => return self.combine(disks, extent),
            }
        }
    }

    /// Notes what the leader and our dblock say of what we did earlier.
    fn take_in(&mut self, leader: &Leader, own: Dblock) {
        let decided = leader.lver >= self.traces.sent.lver;
        if self.named_by(leader) {
            self.exposed = true;
        } else if decided || self.traces.sent.is_untouched() {
            self.exposed = false;
        }
        // Our dblock tells a host that still writes us down as the owner that we are not. A ballot takes
        // that back.
        self.unreleases = own.is_released() && own.lver >= leader.lver;
        // What we sent is what counts, even if somebody has wiped it since.
        let sent = &self.traces.sent;
        if (own.lver, own.bal) >= (sent.lver, sent.bal) {
            self.traces.sent = own;
        }
    }

    async fn read_disk(&self, area: &Area, extent: Extent) -> Result<OneDisk, Error> {
        let len = match extent {
            Extent::Beginning => self.lease.geometry.ballot_read_len(self.ctx.first_look),
            Extent::Whole => self.lease.geometry.align.bytes(),
        };
        let read = area.read(self.ctx, 0, len).await;
        let bytes = &read.map_err(self.lease.lease_name().io(area, "read the lease"))?;
        let leader = leader::verified(&self.lease, self.us.host, area, bytes)?;
        let mut found = OneDisk {
            leader,
            largest_mbal: 0,
            latest: Lver(0),
            proposed: Vec::new(),
            own: Dblock::default(),
            owner_holds: false,
        };
        let leader = &found.leader;
        match leader.geometry() {
            Some(sizes) if sizes == self.lease.geometry => {}
            // The caller reads again with the right sizes.
            Some(_) => return Ok(found),
            None => {
                let (sector_size, flags) = (leader.sector_size, leader.flags);
                let at = self.lease.lease_name().at(area);
                return Err(Error::Sizes {
                    at,
                    sector_size,
                    flags,
                    wanted: None,
                });
            }
        }
        let damaged = |host| {
            move |fault| Error::Dblock {
                at: self.lease.lease_name().at(area),
                host,
                fault,
            }
        };
        let num_hosts = self.hosts_in(extent, leader);
        let dblocks = Dblocks::new(bytes, self.lease.geometry.sector, num_hosts)
            .map_err(damaged(HostId(num_hosts)))?;
        for (host, sector) in dblocks.iter() {
            let Some(dblock) = sector.verified().map_err(damaged(host))? else {
                continue;
            };
            let is_brief = extent == Extent::Beginning;
            if is_brief && host == self.us.host && planted!(self.ctx, FirstLookForgetsUs) {
                continue;
            }
            found.largest_mbal = found.largest_mbal.max(dblock.mbal);
            found.latest = found.latest.max(dblock.lver);
            if host == self.us.host {
                found.own = dblock;
            }
            let leader = &found.leader;
            if let Some(value) = Value::accepted(&dblock).filter(|_| dblock.lver > leader.lver) {
                if value.host != host || !dblock.is_released() {
                    found.proposed.push((dblock.lver, value));
                }
            }
            if host == leader.owner_id && leader.is_owned() {
                // What it proposes does not matter: another host may have made it the owner when it had just begun
                // its next ballot, without a proposal yet.
                found.owner_holds = dblock.lver == leader.lver && !dblock.is_released();
            }
        }
        Ok(found)
    }

    /// Puts the disks together: the leader of most, and our own dblock of the latest ballot.
    fn combine(
        &self,
        disks: Vec<Result<OneDisk, Error>>,
        extent: Extent,
    ) -> Result<(Start, Dblock), Error> {
        let mut largest_mbal = 0;
        let mut latest = self.traces.sent.lver;
        let mut own = Dblock::default();
        let mut owner_holds = false;
        let mut proposed = Vec::new();
        let mut leaders = Vec::with_capacity(disks.len());
        for mut disk in disks {
            if let Ok(disk) = &mut disk {
                proposed.append(&mut disk.proposed);
                largest_mbal = largest_mbal.max(disk.largest_mbal);
                latest = latest.max(disk.latest);
                owner_holds |= disk.owner_holds;
                if (disk.own.lver, disk.own.bal) > (own.lver, own.bal) || own.is_untouched() {
                    own = disk.own;
                }
            }
            leaders.push(disk.map(|disk| disk.leader));
        }
        let view = leader::agree(&self.lease, leaders, Step::ReadLease)?;
        let start = Start {
            hosts_seen: self.hosts_in(extent, &view.leader),
            view,
            largest_mbal,
            latest,
            proposed,
            owner_holds,
        };
        Ok((start, own))
    }

    /// How many of them, from the first one on, such a read shows.
    fn hosts_in(&self, extent: Extent, leader: &Leader) -> u64 {
        match extent {
            Extent::Beginning => self.num_hosts(leader).min(self.ctx.first_look),
            Extent::Whole => self.num_hosts(leader),
        }
    }
}
