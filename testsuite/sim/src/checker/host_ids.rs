//! Of host ids and those who have them: one host for each, used no longer than others take it to live.

use std::time::Duration;

use tokio::time::Instant;

use super::{Checker, Claim, Membership, Renewed};

impl Checker {
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
        let member = Membership {
            host: by,
            host_id,
            generation,
        };
        if timestamp != 0 {
            self.given_back.remove(&by);
            self.saw("renewal");
            if self.was_taken(member) {
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
        if self.members.contains(&member) {
            self.members.retain(|one| *one != member);
            self.given_back.insert(by);
        }
    }

    /// Whether a stranger has written over the lease of this host's id.
    #[must_use]
    pub fn was_taken(&self, member: Membership) -> bool {
        self.taken.contains(&member)
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
