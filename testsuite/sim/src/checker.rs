//! What must never happen: the properties that every run is held against.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::trace::Mode;

/// A property that was violated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// `S1` to `S8`, `L1` to `L3`.
    pub property: &'static str,
    /// What happened.
    pub what: String,
}

/// A live process that was told that it may use a resource, and uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Its host.
    pub host: u32,
    /// By which its lease is its own; a daemon that was killed may be followed by one that has another.
    pub host_id: u64,
    /// The process.
    pub pid: i32,
    /// The resource.
    pub resource: usize,
    /// Alone or together with others.
    pub mode: Mode,
}

/// A host that is in the lockspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The host.
    pub host: u32,
    /// Its host id.
    pub host_id: u64,
    /// The generation with which it joined.
    pub generation: u64,
}

/// The last new timestamp in a host id's lease.
#[derive(Debug, Clone, Copy)]
struct Renewed {
    by: u32,
    generation: u64,
    timestamp: u64,
    at: Instant,
    dead_after: Duration,
}

/// A resource's leader as it is on one disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeaderOnDisk {
    /// Its version.
    pub lver: u64,
    /// Its owner's host id and generation.
    pub owner: (u64, u64),
    /// Nobody owns it.
    pub free: bool,
    /// The host id of who wrote it.
    pub writer: u64,
}

/// What is known of a resource.
#[derive(Debug, Default)]
struct Resource {
    /// The leader on each of its disks.
    on_disks: BTreeMap<usize, LeaderOnDisk>,
    /// The leader that most of them had last.
    leader: LeaderOnDisk,
    /// Who owned which version.
    owners: BTreeMap<u64, (u64, u64)>,
    /// The last value that was written.
    value: u64,
    /// It is yet to be made.
    unmade: bool,
}

/// Watches a run.
#[derive(Debug)]
pub struct Checker {
    claims: Vec<Claim>,
    members: Vec<Membership>,
    generations: BTreeMap<(u64, u64), u32>,
    renewed: BTreeMap<u64, Renewed>,
    resources: Vec<Resource>,
    next_value: u64,
    violation: Option<Violation>,
    /// How often each interesting thing was seen.
    pub seen: BTreeMap<&'static str, u64>,
    mbals: BTreeMap<(usize, u64), (u64, u64)>,
    /// Hosts' dblocks that say that a version is released, with that version, by resource and host id.
    released: BTreeMap<(usize, u64), u64>,
    lost: BTreeSet<u32>,
    /// Hosts that have given their host id back, and not stopped or joined since.
    given_back: BTreeSet<u32>,
    /// Memberships whose host id's lease was written over by a stranger.
    taken: Vec<Membership>,
    /// From when a lease has run out until others take its host to be dead.
    fire: Duration,
}

impl Checker {
    /// Nobody has joined; `unmade` tells of each resource whether it is yet to be made, `fire` when watchdogs fire.
    #[must_use]
    pub fn new(unmade: impl IntoIterator<Item = bool>, fire: Duration) -> Self {
        let resources = unmade
            .into_iter()
            .map(|unmade| Resource {
                unmade,
                ..Resource::default()
            })
            .collect();
        Self {
            claims: Vec::new(),
            members: Vec::new(),
            generations: BTreeMap::new(),
            renewed: BTreeMap::new(),
            resources,
            next_value: 0,
            violation: None,
            seen: BTreeMap::new(),
            mbals: BTreeMap::new(),
            released: BTreeMap::new(),
            lost: BTreeSet::new(),
            given_back: BTreeSet::new(),
            taken: Vec::new(),
            fire,
        }
    }

    /// The first violation.
    #[must_use]
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Takes note of a violation; only the first counts.
    pub fn violate(&mut self, property: &'static str, what: String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { property, what });
        }
    }

    fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// A process uses a resource from now on.
    pub fn claim(&mut self, claim: Claim) {
        let conflict = self.claims.iter().find(|other| {
            other.resource == claim.resource
                && (other.host, other.pid) != (claim.host, claim.pid)
                && (other.mode == Mode::Exclusive || claim.mode == Mode::Exclusive)
        });
        if let Some(other) = conflict.copied() {
            let both = other.mode == Mode::Exclusive && claim.mode == Mode::Exclusive;
            let what = format!(
                "process {} of host {} uses resource {} {:?}, while process {} of host {} uses it {:?}",
                claim.pid,
                claim.host,
                claim.resource,
                claim.mode,
                other.pid,
                other.host,
                other.mode
            );
            self.violate(if both { "S1" } else { "S2" }, what);
        }
        if self.given_back.contains(&claim.host) {
            let what = format!(
                "process {} of host {} uses resource {} after its host has given its host id back",
                claim.pid, claim.host, claim.resource
            );
            self.violate("S4", what);
        }
        if self.resources[claim.resource].unmade {
            let what = format!(
                "process {} of host {} uses resource {}, which was not made yet",
                claim.pid, claim.host, claim.resource
            );
            self.violate("S3", what);
        }
        self.claims.retain(|other| {
            (other.host, other.pid, other.resource) != (claim.host, claim.pid, claim.resource)
        });
        self.claims.push(claim);
    }

    /// A process does not use a resource any more.
    pub fn unclaim(&mut self, host: u32, pid: i32, resource: usize) {
        self.claims
            .retain(|one| (one.host, one.pid, one.resource) != (host, pid, resource));
    }

    /// A process is dead.
    pub fn died(&mut self, host: u32, pid: i32) {
        self.claims.retain(|one| (one.host, one.pid) != (host, pid));
    }

    /// A host has stopped, with all that ran on it.
    pub fn stopped(&mut self, host: u32) {
        self.claims.retain(|one| one.host != host);
        self.members.retain(|one| one.host != host);
        self.lost.remove(&host);
        self.given_back.remove(&host);
    }

    /// Whether anybody uses a resource.
    #[must_use]
    pub fn is_used(&self, resource: usize) -> bool {
        self.claims.iter().any(|claim| claim.resource == resource)
    }

    /// What a process uses.
    #[must_use]
    pub fn claims_of(&self, host: u32, pid: i32) -> Vec<Claim> {
        self.claims
            .iter()
            .filter(|one| (one.host, one.pid) == (host, pid))
            .copied()
            .collect()
    }

    /// A host was told that it is in the lockspace.
    pub fn joined(&mut self, member: Membership) {
        let Membership {
            host,
            host_id,
            generation,
        } = member;
        if let Some(other) = self.members.iter().find(|other| other.host_id == host_id) {
            let what = format!(
                "host {host} has joined as host {host_id}, while host {} is host {host_id}",
                other.host
            );
            self.violate("S5", what);
        }
        if let Some(other) = self.generations.insert((host_id, generation), host) {
            let what = format!(
                "host {host} has joined as host {host_id} with generation {generation}, as host {other} \
                 had before"
            );
            self.violate("S5", what);
        }
        self.members.push(member);
        self.saw("lockspace joined");
    }

    /// A host has left the lockspace.
    pub fn left(&mut self, host: u32) {
        self.members.retain(|one| one.host != host);
    }

    /// The membership of a host.
    #[must_use]
    pub fn member(&self, host: u32) -> Option<Membership> {
        self.members.iter().find(|one| one.host == host).copied()
    }

    /// How long ago the lease of a host, if it is in the lockspace, was renewed on disk.
    #[must_use]
    pub fn renewal_age(&self, host: u32) -> Option<Duration> {
        let member = self.member(host)?;
        self.renewed
            .get(&member.host_id)
            .map(|renewed| renewed.at.elapsed())
    }

    /// A host id's lease was written.
    pub fn host_id_written(
        &mut self,
        by: u32,
        host_id: u64,
        generation: u64,
        timestamp: u64,
        at: Instant,
        dead_after: Duration,
    ) {
        let known = self.renewed.get(&host_id);
        let news = known.is_none_or(|known| {
            (known.by, known.generation, known.timestamp) != (by, generation, timestamp)
        });
        if !news {
            return;
        }
        self.renewed.insert(
            host_id,
            Renewed {
                by,
                generation,
                timestamp,
                at,
                dead_after,
            },
        );
        if timestamp != 0 {
            self.given_back.remove(&by);
            self.saw("renewal");
            let was_taken = |one: &Membership| {
                (one.host, one.host_id, one.generation) == (by, host_id, generation)
            };
            if self.taken.iter().any(was_taken) {
                let what = format!(
                    "host {by} renews host id {host_id}, which a stranger has taken from it"
                );
                self.violate("S5", what);
            }
            return;
        }
        // Whoever waits for this host's leases need not wait any more.
        let holds = |claim: &&Claim| (claim.host, claim.host_id) == (by, host_id);
        let holder = self.claims.iter().find(holds).copied();
        if let Some(claim) =
            holder.filter(|_| self.member(by).is_some_and(|one| one.host_id == host_id))
        {
            let what = format!(
                "host {by} has freed host id {host_id}, while its process {} uses resource {}",
                claim.pid, claim.resource
            );
            self.violate("S4", what);
        }
        let is_it =
            |one: &Membership| (one.host, one.host_id, one.generation) == (by, host_id, generation);
        if self.members.iter().any(is_it) {
            self.members.retain(|one| !is_it(one));
            self.given_back.insert(by);
        }
    }

    /// A stranger has written over the lease of a host's id: the host must see that before it renews it again.
    pub fn host_id_taken(&mut self, member: Membership) {
        self.saw("host id taken by a stranger");
        self.taken.push(member);
    }

    /// A host has made somebody the owner of a resource, by a write that was sent then. It must not do so by a host id
    /// that may have run out.
    pub fn owner_made(&mut self, by: u32, resource: usize, sent_at: Instant) {
        const MOMENT: Duration = Duration::from_secs(1);
        let its_own = self
            .renewed
            .values()
            .filter(|one| one.by == by && one.timestamp != 0);
        let Some(renewed) = its_own.max_by_key(|one| one.at) else {
            return;
        };
        // Its clock may be slow.
        let valid_for = renewed.dead_after.saturating_sub(self.fire).mul_f64(1.002);
        let age = sent_at.saturating_duration_since(renewed.at);
        if age > valid_for + MOMENT {
            let what = format!(
                "host {by} has made an owner of resource {resource} {:.3} s after its last renewal, by a host id that \
                 ran out after {} s",
                age.as_secs_f64(),
                valid_for.as_secs()
            );
            self.violate("S4", what);
        }
    }

    /// A watchdog has reset its host although nothing kept the daemon from ending its processes in time.
    pub fn reset_in_vain(&mut self, host: u32) {
        let what = format!(
            "the watchdog resets host {host}, though nothing kept its daemon from stopping all processes in time"
        );
        self.violate("L3", what);
    }

    /// A watchdog has reset its host although wdmd ran, and knew that all its clients were well.
    pub fn reset_without_cause(&mut self, host: u32) {
        let what = format!("the watchdog resets host {host}, though all that wdmd watches is well");
        self.violate("L3", what);
    }

    /// A host counts the lease of its host id from so long ago, by the renewal with this timestamp. That must
    /// be from before it was written.
    pub fn counts_from(&mut self, host: u32, timestamp: u64, age: Duration) {
        let Some(member) = self.member(host) else {
            return;
        };
        let Some(renewed) = self.renewed.get(&member.host_id) else {
            return;
        };
        let ours = (renewed.by, renewed.generation) == (member.host, member.generation);
        // The host need not know yet of the last one that was written.
        if !ours || timestamp < renewed.timestamp {
            return;
        }
        // Its clock may be slow.
        let written = renewed.at.elapsed().mul_f64(0.998);
        if age + Duration::from_millis(2) < written {
            let what = format!(
                "host {host} counts its host id from {:.3} s ago, but it was written {:.3} s ago",
                age.as_secs_f64(),
                renewed.at.elapsed().as_secs_f64()
            );
            self.violate("S4", what);
        }
    }

    /// Looks whether a host's leases are used longer than others take them to be.
    pub fn tick(&mut self) {
        for claim in self.claims.clone() {
            let Some(member) = self.member(claim.host) else {
                continue;
            };
            let Some(renewed) = self.renewed.get(&member.host_id) else {
                continue;
            };
            let ours = renewed.by == member.host && renewed.generation == member.generation;
            // The fastest clock of another host decides.
            let dead_after = renewed.dead_after.mul_f64(0.999);
            if ours && renewed.at.elapsed() > dead_after {
                let what = format!(
                    "process {} of host {} still uses resource {}, {:.3} s after the last renewal",
                    claim.pid,
                    claim.host,
                    claim.resource,
                    renewed.at.elapsed().as_secs_f64()
                );
                self.violate("S4", what);
            }
        }
    }

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

    /// Most disks of a resource have a leader now.
    fn leader_changed(&mut self, by: u32, resource: usize, leader: LeaderOnDisk) {
        let LeaderOnDisk {
            lver, owner, free, ..
        } = leader;
        let before = std::mem::replace(&mut self.resources[resource].leader, leader);
        self.check_takeover(resource, before, leader);
        if before.lver > lver {
            // Whoever won a ballot in another host's name writes that down without knowing what has happened
            // since. The dblocks know better.
            if leader.writer != owner.0 && !free {
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
        let leader = self.resources[resource].leader;
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

    /// A host has given its lockspace up; true if that is news.
    pub fn lost(&mut self, host: u32, lost: bool) -> bool {
        if !lost {
            self.lost.remove(&host);
            return false;
        }
        let news = self.lost.insert(host);
        if news {
            self.saw("lockspace lost");
        }
        news
    }
}
