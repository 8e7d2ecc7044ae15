//! Of what is written to a resource: its leader, the hosts' sectors, its value.

use super::{Checker, LeaderOnDisk};
use crate::trace::Mode;

impl Checker {
    /// A resource's leader was written, on one of its `disks`.
    pub fn leader_written(
        &mut self,
        by: u32,
        resource: usize,
        (disk, disks): (usize, usize),
        leader: LeaderOnDisk,
    ) {
        if leader.lver != 0 {
            self.lease_written(by, resource);
        }
        let known = &mut self.resources[resource];
        known.on_disks.insert(disk, leader);
        if leader.lver != 0 {
            let first = *known.owners.entry(leader.lver).or_insert(leader.owner);
            if first != leader.owner {
                let what = format!(
                    "version {} of resource {resource} is given to {:?}, after it was {first:?}'s",
                    leader.lver, leader.owner
                );
                return self.violate("S3", what);
            }
        }
        // A late write to one of several disks changes nothing.
        let equal = |one: &&LeaderOnDisk| **one == leader;
        if known.leader != leader && known.on_disks.values().filter(equal).count() * 2 > disks {
            self.leader_changed(by, resource, leader);
        }
    }

    /// A host may write leases only as long as others must not take what it has.
    fn lease_written(&mut self, by: u32, resource: usize) {
        if self.given_back.contains(&by) {
            let what =
                format!("host {by} writes resource {resource} after it has given its host id back");
            self.violate("S6", what);
        }
    }

    /// Whether an owner's dblock says that it has just this version.
    fn holds(&self, resource: usize, leader: LeaderOnDisk) -> bool {
        let released = self.released.get(&(resource, leader.owner.0));
        let next = released.and_then(|version| version.checked_add(1));
        !leader.free && next == Some(leader.lver)
    }

    /// Most disks of a resource have a leader now.
    fn leader_changed(&mut self, by: u32, resource: usize, leader: LeaderOnDisk) {
        let LeaderOnDisk {
            lver, owner, free, ..
        } = leader;
        let before = std::mem::replace(&mut self.resources[resource].leader, leader);
        let latest = &mut self.resources[resource].latest;
        if lver >= latest.lver {
            *latest = leader;
        }
        self.check_takeover(resource, before, leader);
        if before.lver > lver {
            // Whoever won a ballot in another host's name writes that down without knowing what has happened
            // since. And whoever frees a leader on several disks may reach the last of them when the next owner has
            // taken it by the others, and is still writing that down. The dblocks know better.
            let for_another = leader.writer != owner.0 && !free;
            let late = free && self.resources[resource].on_disks.len() > 1;
            if for_another || (late && self.holds(resource, before)) {
                return self.saw("leader put back by a slow host");
            }
            let what = format!(
                "the version of resource {resource} on disk goes back from {} to {lver}, by host {by}",
                before.lver
            );
            return self.violate("S3", what);
        }
        if lver > before.lver {
            self.saw("version of a lease");
            if before.lver != 0 && !before.free && before.owner.0 != owner.0 {
                self.saw("takeover of a dead host's lease");
            }
        }
        let user = self.claims.iter().find(|claim| {
            let owns = self
                .member(claim.host)
                .is_none_or(|us| (us.host_id, us.generation) == owner);
            claim.resource == resource && claim.mode == Mode::Exclusive && (free || !owns)
        });
        if let Some(user) = user.copied() {
            let (property, what) = if free {
                ("S8", "is freed")
            } else {
                ("S1", "gets another owner")
            };
            let what = format!(
                "resource {resource} {what} on disk by host {by}, while process {} of host {} uses it",
                user.pid, user.host
            );
            self.violate(property, what);
        }
    }

    /// A lease whose owner has not given it up may be taken only once that one is dead, whether it has
    /// processes that use it or not.
    fn check_takeover(&mut self, resource: usize, before: LeaderOnDisk, now: LeaderOnDisk) {
        let taken = now.lver == before.lver + 1
            && before.lver != 0
            && !before.free
            && before.writer == before.owner.0
            && before.owner.0 != now.owner.0
            && self.resources[resource].on_disks.len() == 1;
        let released = self.released.get(&(resource, before.owner.0));
        if !taken || released.is_some_and(|lver| *lver >= before.lver) {
            return;
        }
        let Some(renewed) = self.renewed.get(&before.owner.0) else {
            return;
        };
        let alive = renewed.generation == before.owner.1
            && renewed.timestamp != 0
            && renewed.at.elapsed() < renewed.dead_after.mul_f64(0.998);
        if alive {
            let what = format!(
                "host {} takes resource {resource} from host {}, which renewed its host id {:.3} s ago and is dead \
                 after {} s",
                now.owner.0,
                before.owner.0,
                renewed.at.elapsed().as_secs_f64(),
                renewed.dead_after.as_secs()
            );
            self.violate("S4", what);
        }
    }

    /// A host's sector of a resource was written.
    #[allow(clippy::too_many_arguments)] // what the sector says
    pub fn sector_written(
        &mut self,
        by: u32,
        resource: usize,
        host_id: u64,
        mbal: u64,
        lver: u64,
        released: bool,
        shared: bool,
    ) {
        if lver != 0 {
            self.lease_written(by, resource);
        }
        if released || lver == 0 {
            let wiped = if lver == 0 { u64::MAX } else { lver };
            self.released.insert((resource, host_id), wiped);
        } else {
            // In a ballot for this version, so that it does not own the one before.
            self.released.insert((resource, host_id), lver - 1);
        }
        let before = self
            .mbals
            .insert((resource, host_id), (lver, mbal))
            .unwrap_or_default();
        if before.0 == lver && mbal > before.1 && mbal != 0 {
            self.saw("ballot tried again");
        }
        let leader = self.resources[resource].latest;
        let owns = |host_id: u64| leader.owner.0 == host_id && !leader.free;
        if released && !shared && !owns(host_id) {
            self.saw("release of a lease that was not owned");
        }
        let holder = self
            .members
            .iter()
            .find(|member| member.host_id == host_id)
            .and_then(|member| {
                self.claims
                    .iter()
                    .find(|claim| claim.host == member.host && claim.resource == resource)
                    .filter(|claim| claim.mode == Mode::Shared)
                    .copied()
            });
        if let (Some(holder), false) = (holder, shared || owns(host_id)) {
            let what = format!(
                "the shared hold of resource {resource} by process {} of host {} is cleared on disk by host {by}",
                holder.pid, holder.host
            );
            self.violate("S2", what);
        }
    }

    /// A value for a resource that no process has used before.
    pub fn new_value(&mut self) -> u64 {
        self.next_value += 1;
        self.next_value
    }

    /// A resource's value was written.
    pub fn value_written(&mut self, by: u32, resource: usize, value: u64) {
        let known = &mut self.resources[resource].value;
        let before = std::mem::replace(known, value);
        if value < before {
            let what = format!(
                "the value of resource {resource} goes back from {before} to {value}, by host {by}"
            );
            self.violate("S6", what);
        }
    }

    /// A process has read a resource's value.
    pub fn value_read(&mut self, host: u32, pid: i32, resource: usize, value: u64) {
        self.saw("value read");
        // It may have been set on this host, and not be on disk yet.
        if value > self.next_value {
            let what = format!(
                "process {pid} of host {host} reads value {value} of resource {resource}, which nobody wrote"
            );
            self.violate("S6", what);
        }
    }

    /// A resource has been made: its leader was written, for the first time and alone.
    pub fn made(&mut self, resource: usize) {
        if std::mem::take(&mut self.resources[resource].unmade) {
            self.saw("resource made");
        }
    }

    /// Many sectors of a resource were written at once, as is done only to make it.
    pub fn area_written(&mut self, by: u32, resource: usize) {
        if !self.resources[resource].unmade {
            let what = format!("resource {resource} is made by host {by} after it was made");
            self.violate("S6", what);
        }
    }

    /// Whether a resource is yet to be made.
    #[must_use]
    pub fn is_unmade(&self, resource: usize) -> bool {
        self.resources[resource].unmade
    }
}
