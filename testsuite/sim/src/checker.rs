//! What must never happen: the properties that every run is held against.

mod host_ids;
mod leases;

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
    /// The same without those of an older version that slow hosts have put back: the dblocks know better.
    latest: LeaderOnDisk,
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
}
