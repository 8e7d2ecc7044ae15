//! What a run is about: some mistakes show only when several things go wrong in a certain order, which chance
//! alone seldom has happen.

mod moments;

use std::time::Duration;

use crate::faults::{FaultKind, Limits, Planned};
use crate::random::Random;

/// What a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Whatever chance brings.
    Anything,
    /// A host joins while another falls silent: it has never seen the other when it finds its leases.
    Newcomers,
    /// Hosts are cut off while their processes hold leases for long and do not want to die.
    CutOff,
    /// The same, after they were suspended.
    Suspensions,
    /// Hosts are cut off while nobody but wdmd can see to it, and wdmd has its own troubles.
    Watched,
    /// Few resources change hands as fast as can be, over storage that is slow for some and fails some writes.
    Contention,
    /// Hosts want the same host id at the same time.
    Rivals,
    /// Hosts leave and come back while leases are being taken and given back.
    Comings,
    /// Faults begin just when a host has joined, renewed, or done a step of a ballot.
    Moments,
}

impl Theme {
    /// What a seed is about.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self::draw(&mut Random::new(seed, 4))
    }

    /// Draws one.
    fn draw(random: &mut Random) -> Self {
        match random.below(100) {
            0..32 => Self::Anything,
            32..44 => Self::Moments,
            44..52 => Self::Watched,
            52..67 => Self::Newcomers,
            67..75 => Self::CutOff,
            75..81 => Self::Suspensions,
            81..91 => Self::Contention,
            91..95 => Self::Rivals,
            _ => Self::Comings,
        }
    }

    /// Its plan of faults, if it has one of its own.
    #[must_use]
    pub fn plan(self, random: &mut Random, limits: &Limits) -> Option<Vec<Planned>> {
        if self == Self::Anything || limits.hosts < 2 {
            return None;
        }
        let mut story = Story {
            random,
            limits,
            plan: Vec::new(),
        };
        // All hosts have joined by then.
        let mut at = limits.io_timeout * 2 + Duration::from_secs(20);
        loop {
            at += story.random.time(Duration::ZERO..limits.io_timeout * 2);
            if at >= limits.length {
                break;
            }
            at += match self {
                Self::Anything => return None,
                Self::Newcomers => story.newcomer(at),
                Self::CutOff => story.cut_off(at),
                Self::Suspensions => story.suspension(at),
                Self::Watched => story.watched(at),
                Self::Contention => story.contention(at),
                Self::Rivals => story.rivals(at),
                Self::Comings => story.comings(at),
                Self::Moments => story.moment(at),
            };
        }
        story.plan.retain(|planned| planned.at < limits.length);
        story.plan.sort_by_key(|planned| planned.at);
        Some(story.plan)
    }
}

/// A plan in the making. Each chapter begins at a moment, and tells how long it takes.
struct Story<'a> {
    random: &'a mut Random,
    limits: &'a Limits,
    plan: Vec<Planned>,
}

impl Story<'_> {
    fn add(&mut self, at: Duration, lasts: Duration, kind: FaultKind, hosts: Vec<usize>) {
        let severity = self.random.one_of(&[0.3, 0.6, 1.0]);
        self.plan.push(Planned {
            at,
            moments: Vec::new(),
            lasts,
            kind,
            hosts,
            disk: None,
            severity,
        });
    }

    fn time(&mut self, range: std::ops::Range<Duration>) -> Duration {
        self.random.time(range)
    }

    fn two_hosts(&mut self) -> (usize, usize) {
        let first = self.random.index(self.limits.hosts);
        let step = 1 + self.random.index(self.limits.hosts - 1);
        (first, (first + step) % self.limits.hosts)
    }

    fn newcomer(&mut self, at: Duration) -> Duration {
        let Limits {
            io_timeout: io,
            host_dead: dead,
            ..
        } = *self.limits;
        let (silent, newcomer) = self.two_hosts();
        let kind = self.random.one_of(&[
            FaultKind::Outage,
            FaultKind::Outage,
            FaultKind::Dead,
            FaultKind::Crash,
        ]);
        let from = self.time(Duration::ZERO..io * 4);
        self.add(at + from, dead.mul_f64(1.4), kind, vec![silent]);
        self.add(at, Duration::ZERO, FaultKind::Leave, vec![newcomer]);
        // So that it finds the lease before it has seen whose it is, and while its owner renews for the last time.
        let lasts = self.time(io * 2..io * 5);
        self.add(at, lasts, FaultKind::Slow, vec![newcomer]);
        dead.mul_f64(1.6)
    }

    fn cut_off(&mut self, at: Duration) -> Duration {
        let dead = self.limits.host_dead;
        let (host, _) = self.two_hosts();
        // Renewals that are answered late, or not at all, and then none.
        let kind = self.random.one_of(&[
            FaultKind::Late,
            FaultKind::Slow,
            FaultKind::LostReplies,
            FaultKind::HelperStuck,
            FaultKind::Leave,
        ]);
        let before = self.time(Duration::ZERO..dead / 2);
        self.add(at, before, kind, vec![host]);
        let end = self
            .random
            .one_of(&[FaultKind::Outage, FaultKind::Outage, FaultKind::Dead]);
        let lasts = self.time(dead..dead.mul_f64(1.5));
        self.add(at + before, lasts, end, vec![host]);
        if self.random.permille(300) {
            let stop = self.random.one_of(&[
                FaultKind::DaemonStopped,
                FaultKind::DaemonKilled,
                FaultKind::Leave,
            ]);
            let after = self.time(Duration::ZERO..dead);
            self.add(at + before + after, dead / 2, stop, vec![host]);
        }
        before + lasts
    }

    fn suspension(&mut self, at: Duration) -> Duration {
        let dead = self.limits.host_dead;
        let (host, _) = self.two_hosts();
        let asleep = self.time(self.limits.unwatched / 2..self.limits.unwatched);
        self.add(at, asleep, FaultKind::Suspended, vec![host]);
        // No renewal gets through from shortly before on.
        let before = self.time(Duration::ZERO..Duration::from_secs(2));
        let lasts = dead.mul_f64(1.5) + asleep;
        self.add(at - before, lasts, FaultKind::Outage, vec![host]);
        lasts
    }

    fn watched(&mut self, at: Duration) -> Duration {
        let Limits {
            io_timeout: io,
            host_dead: dead,
            fire,
            unwatched,
            ..
        } = *self.limits;
        let (host, _) = self.two_hosts();
        let moment = Duration::from_secs(1);
        let asleep = self.time(unwatched / 2..unwatched);
        let lasts = dead.mul_f64(1.5) + asleep;
        self.add(at, lasts, FaultKind::Outage, vec![host]);
        let stop = self
            .random
            .one_of(&[FaultKind::DaemonStopped, FaultKind::DaemonKilled]);
        let after = self.time(Duration::ZERO..moment * 2);
        self.add(at + after, lasts, stop, vec![host]);
        match self.random.below(4) {
            // It is stopped when the daemon's time is up, and goes on before the device fires.
            0 => {
                let expiry = at + dead.saturating_sub(fire).saturating_sub(io);
                let before = self.time(moment..fire / 2);
                let stopped = self.time(before..fire);
                let from = expiry.saturating_sub(before);
                self.add(from, stopped, FaultKind::WdmdStopped, vec![host]);
            }
            1 => self.add(at + after, asleep, FaultKind::Suspended, vec![host]),
            // It is stopped then, and killed.
            2 => {
                let expiry = at + dead.saturating_sub(fire).saturating_sub(io);
                let before = self.time(moment..fire / 2);
                let from = expiry.saturating_sub(before);
                self.add(from, lasts, FaultKind::WdmdStopped, vec![host]);
                let killed = from + self.time(before..fire);
                self.add(killed, lasts, FaultKind::WdmdKilled, vec![host]);
            }
            // The daemon's last words wait in the socket while the host is suspended.
            _ => {
                let before = self.time(moment..fire.mul_f64(0.7));
                let from = at.saturating_sub(before);
                let stopped = before + after + asleep + moment * 2;
                self.add(from, stopped, FaultKind::WdmdStopped, vec![host]);
                self.add(
                    at + after + moment,
                    asleep,
                    FaultKind::Suspended,
                    vec![host],
                );
            }
        }
        lasts
    }

    fn contention(&mut self, at: Duration) -> Duration {
        let io = self.limits.io_timeout;
        let (host, other) = self.two_hosts();
        let kinds = [
            FaultKind::Slow,
            FaultKind::Slow,
            FaultKind::Late,
            FaultKind::LostReplies,
            FaultKind::Errors,
            FaultKind::Torn,
            FaultKind::Hang,
        ];
        let (first, second) = (self.random.one_of(&kinds), self.random.one_of(&kinds));
        let lasts = self.time(io..io * 6);
        self.add(at, lasts, first, vec![host]);
        self.add(at, lasts, second, vec![other]);
        if self.random.permille(150) {
            self.add(at + lasts / 2, Duration::ZERO, FaultKind::Leave, vec![host]);
        }
        lasts
    }

    fn rivals(&mut self, at: Duration) -> Duration {
        let (io, dead) = (self.limits.io_timeout, self.limits.host_dead);
        let (host, other) = self.two_hosts();
        // Their storage is slow, so that each may look before the other has written.
        self.add(at, io * 4, FaultKind::Slow, vec![host, other]);
        self.add(at, dead / 3, FaultKind::Impostor, vec![host, other]);
        dead * 2
    }

    fn comings(&mut self, at: Duration) -> Duration {
        let io = self.limits.io_timeout;
        let (host, other) = self.two_hosts();
        let kind = self.random.one_of(&[
            FaultKind::Late,
            FaultKind::Slow,
            FaultKind::Hang,
            FaultKind::LostReplies,
        ]);
        let lasts = self.time(io..io * 4);
        self.add(at, lasts, kind, vec![host]);
        let leave = self
            .random
            .one_of(&[FaultKind::Leave, FaultKind::DaemonRestart]);
        self.add(at + lasts / 2, Duration::ZERO, leave, vec![host]);
        self.add(at + lasts, Duration::ZERO, FaultKind::Leave, vec![other]);
        lasts * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tells_a_story_within_its_limits() {
        let limits = Limits {
            hosts: 3,
            disks: 1,
            length: Duration::from_secs(900),
            io_timeout: Duration::from_secs(10),
            host_dead: Duration::from_secs(140),
            late: Duration::from_secs(48),
            unwatched: Duration::from_secs(40),
            fire: Duration::from_secs(60),
        };
        for theme in [
            Theme::Newcomers,
            Theme::CutOff,
            Theme::Suspensions,
            Theme::Watched,
            Theme::Contention,
            Theme::Rivals,
            Theme::Comings,
            Theme::Moments,
        ] {
            for seed in 0..20 {
                let plan = theme.plan(&mut Random::new(seed, 2), &limits).unwrap();
                assert!(!plan.is_empty() && plan.is_sorted_by_key(|planned| planned.at));
                assert!(plan.iter().all(|planned| planned.at < limits.length));
                assert!(
                    plan.iter()
                        .all(|planned| planned.hosts.iter().all(|host| *host < 3))
                );
            }
            let alone = Limits {
                hosts: 1,
                ..limits.clone()
            };
            assert!(theme.plan(&mut Random::new(1, 2), &alone).is_none());
        }
    }
}
