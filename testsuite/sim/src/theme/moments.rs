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
        match self.random.below(18) {
            0..2 => self.silent_when_found(at),
            2..6 => self.renewed_for_the_last_time(at),
            6..8 => self.asleep_after_renewing(at),
            8..10 => self.stopped_in_a_ballot(at),
            10 => self.written_over(at),
            11..13 => self.freed_in_part(at),
            _ => self.held_up_in_ballots(at),
        }
    }

    /// A host falls silent at the moment at which another joins, which has not seen it yet.
    fn silent_when_found(&mut self, at: Duration) -> Duration {
        let Limits {
            io_timeout: io,
            host_dead: dead,
            ..
        } = *self.limits;
        let (silent, newcomer) = self.two_hosts();
        let joins = [(newcomer, Moment::Joins)];
        self.add(at, Duration::ZERO, FaultKind::Leave, vec![newcomer]);
        let kind = self.random.one_of(&[FaultKind::Outage, FaultKind::Dead]);
        self.add_when((at, &joins), dead.mul_f64(1.4), kind, silent);
        // So that it finds a lease before it has seen whose it is.
        let slow = self.time(io / 8..io / 2);
        self.add_when((at, &joins), slow, FaultKind::Slow, newcomer);
        dead.mul_f64(1.6)
    }

    /// A host that has just joined is slow to look at another, which renews for the last time meanwhile.
    fn renewed_for_the_last_time(&mut self, at: Duration) -> Duration {
        let Limits {
            io_timeout: io,
            host_dead: dead,
            hosts,
            ..
        } = *self.limits;
        // Where timeouts differ the slow ones are those of every other host.
        let newcomer = self.random.index(hosts.div_ceil(2)) * 2;
        let silent = self.random.index(hosts / 2) * 2 + 1;
        self.add(at, Duration::ZERO, FaultKind::Leave, vec![newcomer]);
        let mut moments = vec![(newcomer, Moment::Joins)];
        let slow = self.time(io / 2..io);
        self.add_when((at, &moments), slow, FaultKind::Slow, newcomer);
        self.no_worse_than(0.6);
        let renewals = 1 + self.random.index(3);
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
