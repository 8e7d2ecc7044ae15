//! Chapters that begin at a moment of what a host is about, which chance alone would seldom meet.

use std::time::Duration;

use super::Story;
use crate::faults::{FaultKind, Limits};
use crate::moments::Moment;

impl Story<'_> {
    /// A fault on one host, from these moments on.
    fn add_when(
        &mut self,
        (at, moments): (Duration, &[(usize, Moment)]),
        lasts: Duration,
        kind: FaultKind,
        host: usize,
    ) {
        self.add(at, lasts, kind, vec![host]);
        if let Some(planned) = self.plan.last_mut() {
            planned.moments = moments.to_vec();
        }
    }

    /// The worst that the last fault can be at.
    fn no_worse_than(&mut self, most: f64) {
        if let Some(planned) = self.plan.last_mut() {
            planned.severity = planned.severity.min(most);
        }
    }

    pub(super) fn moment(&mut self, at: Duration) -> Duration {
        match self.random.below(20) {
            0..3 => self.silent_when_looked_at(at),
            3..8 => self.renewed_for_the_last_time(at),
            8..10 => self.asleep_after_renewing(at),
            10..12 => self.stopped_in_a_ballot(at),
            12 => self.written_over(at),
            13..15 => self.freed_in_part(at),
            _ => self.held_up_in_ballots(at),
        }
    }

    /// Two hosts; where timeouts differ the first one's are longer.
    fn slow_and_fast(&mut self) -> (usize, usize) {
        let hosts = self.limits.hosts;
        let slow = self.random.index(hosts.div_ceil(2)) * 2;
        let fast = self.random.index(hosts / 2) * 2 + 1;
        (slow, fast)
    }

    /// A host that is just joining may find a lease before it has seen whose it is.
    fn may_miss_its_first_look(&mut self, at: Duration, newcomer: usize) {
        let io = self.limits.io_timeout;
        let writes = [(newcomer, Moment::Renews)];
        let hangs = self.time(io / 2..io * 2);
        self.add_when((at, &writes), hangs, FaultKind::Hang, newcomer);
    }

    /// A host falls silent at the moment at which another that has just joined, and has not seen it yet, looks whether
    /// it lives.
    fn silent_when_looked_at(&mut self, at: Duration) -> Duration {
        let dead = self.limits.host_dead;
        let (silent, newcomer) = self.slow_and_fast();
        self.add(at, Duration::ZERO, FaultKind::Leave, vec![newcomer]);
        self.may_miss_its_first_look(at, newcomer);
        let looks = Moment::LooksAt(host_id(silent));
        let moments = [(newcomer, Moment::Joins), (newcomer, looks)];
        let kind = self.random.one_of(&[FaultKind::Outage, FaultKind::Dead]);
        self.add_when((at, &moments), dead.mul_f64(1.4), kind, silent);
        dead.mul_f64(1.6)
    }

    /// A host that has just joined is slow to look at another, which renews for the last time meanwhile.
    fn renewed_for_the_last_time(&mut self, at: Duration) -> Duration {
        let Limits {
            io_timeout: io,
            host_dead: dead,
            ..
        } = *self.limits;
        let (newcomer, silent) = self.slow_and_fast();
        self.add(at, Duration::ZERO, FaultKind::Leave, vec![newcomer]);
        let mut moments = vec![(newcomer, Moment::Joins)];
        let slow = self.time(io..io * 3);
        self.add_when((at, &moments), slow, FaultKind::Slow, newcomer);
        self.no_worse_than(0.6);
        let renewals = match self.random.below(3) {
            0 => 1 + self.random.index(3),
            _ => {
                moments.push((newcomer, Moment::LooksAt(host_id(silent))));
                self.may_miss_its_first_look(at, newcomer);
                1
            }
        };
        moments.extend(std::iter::repeat_n((silent, Moment::Renews), renewals));
        self.add_when((at, &moments), dead.mul_f64(1.4), FaultKind::Outage, silent);
        dead.mul_f64(1.6)
    }

    /// A host is suspended at the moment of a renewal of which it may not know yet that it is on disk.
    fn asleep_after_renewing(&mut self, at: Duration) -> Duration {
        let Limits {
            io_timeout: io,
            unwatched,
            ..
        } = *self.limits;
        let (host, _) = self.two_hosts();
        let kind = self.random.one_of(&[
            FaultKind::LostReplies,
            FaultKind::LostReplies,
            FaultKind::Late,
        ]);
        self.add(at, io * 6, kind, vec![host]);
        let asleep = self.time(unwatched / 4..unwatched);
        let from = at + self.time(Duration::ZERO..io * 2);
        let renews = [(host, Moment::Renews)];
        self.add_when((from, &renews), asleep, FaultKind::Suspended, host);
        io * 6 + asleep
    }

    /// A daemon is stopped in a ballot until its host id has run out, and goes on before the watchdog fires.
    fn stopped_in_a_ballot(&mut self, at: Duration) -> Duration {
        let Limits {
            host_dead: dead,
            fire,
            ..
        } = *self.limits;
        let (host, _) = self.two_hosts();
        let moment = self.random.one_of(&[Moment::Begins, Moment::Proposes]);
        let valid = dead
            .saturating_sub(fire)
            .mul_f64(self.random.one_of(&[0.15, 0.5, 0.9]));
        let lasts = valid + self.time(Duration::ZERO..fire.mul_f64(0.9));
        self.add_when(
            (at, &[(host, moment)]),
            lasts,
            FaultKind::DaemonStopped,
            host,
        );
        lasts * 2
    }

    /// A stranger takes a host's id just after it was renewed.
    fn written_over(&mut self, at: Duration) -> Duration {
        let (host, _) = self.two_hosts();
        let renews = [(host, Moment::Renews)];
        self.add_when((at, &renews), Duration::ZERO, FaultKind::Overwritten, host);
        self.limits.host_dead
    }

    /// A host that has just become an owner gives its lease back over storage that fails and hangs again and again, so
    /// that some disks learn of it long before others.
    fn freed_in_part(&mut self, at: Duration) -> Duration {
        let Limits {
            io_timeout: io,
            late,
            ..
        } = *self.limits;
        let (host, _) = self.two_hosts();
        let decides = [(host, Moment::Decides)];
        let longest = (io * 3).min(late);
        self.add_when((at, &decides), longest * 3, FaultKind::Errors, host);
        for time in 0..3 {
            let lasts = self.time(io / 2..longest);
            let after = longest * time + self.time(Duration::ZERO..io);
            self.add(at + after, lasts, FaultKind::Hang, vec![host]);
        }
        longest * 3
    }

    /// Hosts stand still between two steps of their ballots, while others go on.
    fn held_up_in_ballots(&mut self, at: Duration) -> Duration {
        let (host, other) = self.two_hosts();
        let times = 1 + self.random.index(4);
        for host in [host, other].into_iter().cycle().take(times) {
            let moment = self
                .random
                .one_of(&[Moment::Begins, Moment::Proposes, Moment::Decides]);
            let longest = self.random.one_of(&[10, 100, 1000, 5000]);
            let held_up = self.random.millis(1..longest);
            let stop = FaultKind::DaemonStopped;
            self.add_when((at, &[(host, moment)]), held_up, stop, host);
        }
        self.random.millis(50..5000)
    }
}

/// The host id that the host of this index has as long as it wants no other's.
fn host_id(index: usize) -> u64 {
    index as u64 + 1
}
