//! What goes wrong in a run, and when: a plan that follows from the seed alone.

use std::fmt;
use std::time::Duration;

use storage::sim::{Faults, RequestFaults};

use crate::moments::Moment;
use crate::random::Random;

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// Storage is slow.
    Slow,
    /// Some requests take so long that their callers give up on them, and are done later.
    Late,
    /// Some requests hang until the fault ends; then they are done, or fail if that was long.
    Hang,
    /// All requests hang until the fault ends.
    Outage,
    /// Some requests fail.
    Errors,
    /// All requests fail.
    Dead,
    /// Some writes are done but answered with an error.
    LostReplies,
    /// Several sectors are read and written at different moments.
    Torn,
    /// Some writes are done in part and fail.
    Partial,
    /// The daemon is stopped (`SIGSTOP`) while its processes, wdmd and the watchdog go on.
    DaemonStopped,
    /// The whole host is frozen, but for its watchdog.
    HostFrozen,
    /// The whole virtual machine stands still, its watchdog too, but not its clock.
    MachinePaused,
    /// The host is suspended: its clock stands still.
    Suspended,
    /// The host loses its power.
    Crash,
    /// All hosts lose their power.
    PowerCycle,
    /// The daemon is killed; the watchdog has to deal with what it leaves.
    DaemonKilled,
    /// The daemon is told to end, and started again.
    DaemonRestart,
    /// The host is told to leave the lockspace, stopping all processes.
    Leave,
    /// The host is told to leave the lockspace if it is not in use.
    LeaveUnused,
    /// The host wants another host's id.
    Impostor,
    /// The helper that sends signals does not take any.
    HelperStuck,
    /// wdmd cannot be reached by who wants to join.
    NoWatchdog,
    /// wdmd is stopped (`SIGSTOP`), and tests late if at all.
    WdmdStopped,
    /// wdmd is killed: the kernel closes its device, which fires if it was armed. Nobody starts it again before the
    /// host was reset.
    WdmdKilled,
    /// wdmd's test script fails.
    ScriptFails,
    /// wdmd's test script does not end.
    ScriptHangs,
    /// The lease of the host's id is written over with another host's name, as by a copy of the host.
    Overwritten,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::Slow,
        Self::Late,
        Self::Hang,
        Self::Outage,
        Self::Errors,
        Self::Dead,
        Self::LostReplies,
        Self::Torn,
        Self::Partial,
        Self::DaemonStopped,
        Self::HostFrozen,
        Self::MachinePaused,
        Self::Suspended,
        Self::Crash,
        Self::PowerCycle,
        Self::DaemonKilled,
        Self::DaemonRestart,
        Self::Leave,
        Self::LeaveUnused,
        Self::Impostor,
        Self::HelperStuck,
        Self::NoWatchdog,
        Self::WdmdStopped,
        Self::WdmdKilled,
        Self::ScriptFails,
        Self::ScriptHangs,
        Self::Overwritten,
    ];

    /// Those that [`plan`] draws from. The others are of [`plan_for_wdmd`], so that they do not crowd out what shows
    /// more, and of [`Theme::Moments`](crate::theme::Theme::Moments), as they need the right moment.
    const DRAWN: usize = 23;

    /// Its name, for statistics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Slow => "fault: slow storage",
            Self::Late => "fault: late requests",
            Self::Hang => "fault: hanging requests",
            Self::Outage => "fault: storage outage",
            Self::Errors => "fault: storage errors",
            Self::Dead => "fault: storage fails altogether",
            Self::LostReplies => "fault: lost replies",
            Self::Torn => "fault: torn requests",
            Self::Partial => "fault: partial writes",
            Self::DaemonStopped => "fault: daemon stopped (SIGSTOP)",
            Self::HostFrozen => "fault: host frozen",
            Self::MachinePaused => "fault: machine paused",
            Self::Suspended => "fault: host suspended",
            Self::Crash => "fault: host crash",
            Self::PowerCycle => "fault: power cycle of all hosts",
            Self::DaemonKilled => "fault: daemon killed",
            Self::DaemonRestart => "fault: daemon restarted",
            Self::Leave => "fault: lockspace removed",
            Self::LeaveUnused => "fault: lockspace removed if unused",
            Self::Impostor => "fault: host id wanted by two",
            Self::HelperStuck => "fault: helper does not take signals",
            Self::NoWatchdog => "fault: wdmd unreachable",
            Self::WdmdStopped => "fault: wdmd stopped (SIGSTOP)",
            Self::WdmdKilled => "fault: wdmd killed",
            Self::ScriptFails => "fault: test script fails",
            Self::ScriptHangs => "fault: test script hangs",
            Self::Overwritten => "fault: host id's lease written over",
        }
    }

    /// Whether it is about the storage.
    #[must_use]
    pub fn is_of_storage(self) -> bool {
        self <= Self::Partial
    }

    /// Whether it leaves requests unanswered until it ends.
    #[must_use]
    pub fn hangs(self) -> bool {
        matches!(self, Self::Hang | Self::Outage)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        f.write_str(name.strip_prefix("fault: ").unwrap_or(name))
    }
}

/// A fault of the plan.
#[derive(Debug, Clone)]
pub struct Planned {
    /// When, from the start of the run, at the earliest.
    pub at: Duration,
    /// Which moments of which hosts, by index, it waits for from then on, one after the other.
    pub moments: Vec<(usize, Moment)>,
    /// For how long, where it lasts.
    pub lasts: Duration,
    /// What.
    pub kind: FaultKind,
    /// Which hosts, by index.
    pub hosts: Vec<usize>,
    /// Storage faults: which disk, or all.
    pub disk: Option<usize>,
    /// How bad it is: a probability for storage faults.
    pub severity: f64,
}

/// What a plan depends on.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How many hosts there are.
    pub hosts: usize,
    /// How many disks there are.
    pub disks: usize,
    /// How long faults may happen.
    pub length: Duration,
    /// The time of one request that the hosts allow at most.
    pub io_timeout: Duration,
    /// From a host's last renewal until it is dead.
    pub host_dead: Duration,
    /// How long after it was sent a request may be done.
    pub late: Duration,
    /// How long a host may stand still together with its watchdog.
    pub unwatched: Duration,
    /// From the last keepalive to the reset.
    pub fire: Duration,
}

/// Draws a plan: of a random subset of all kinds, so many faults as the length of the run allows.
#[must_use]
pub fn plan(random: &mut Random, limits: &Limits) -> Vec<Planned> {
    let all = FaultKind::ALL.into_iter().take(FaultKind::DRAWN);
    let share = random.one_of(&[80, 200, 350, 600]);
    let enabled: Vec<_> = all.filter(|_| random.permille(share)).collect();
    if enabled.is_empty() {
        return Vec::new();
    }
    let between = limits.host_dead.mul_f64(random.one_of(&[0.15, 0.4, 1.0]));
    let mut planned = Vec::new();
    let mut at = random.time(Duration::ZERO..between);
    while at < limits.length {
        let kind = random.one_of(&enabled);
        planned.push(one(random, limits, kind, at));
        at += random.time(Duration::from_millis(50)..between * 2);
    }
    planned
}

/// Draws what befalls wdmd on top of that, in some runs: it is killed, or its script, if there is one, fails.
#[must_use]
pub fn plan_for_wdmd(random: &mut Random, limits: &Limits, scripts: bool) -> Vec<Planned> {
    let mut kinds = Vec::new();
    if random.permille(100) {
        kinds.push(FaultKind::WdmdKilled);
    }
    if scripts {
        let some = random.index(3);
        let of_scripts = [FaultKind::ScriptFails, FaultKind::ScriptHangs];
        kinds.extend((0..some).map(|_| random.one_of(&of_scripts)));
    }
    let draw = |kind| {
        let at = random.time(Duration::ZERO..limits.length);
        one(random, limits, kind, at)
    };
    kinds.into_iter().map(draw).collect()
}

fn one(random: &mut Random, limits: &Limits, kind: FaultKind, at: Duration) -> Planned {
    let (io, dead) = (limits.io_timeout, limits.host_dead);
    let lasts = match kind {
        FaultKind::MachinePaused | FaultKind::Suspended => {
            random.time(Duration::from_millis(100)..limits.unwatched)
        }
        FaultKind::Hang | FaultKind::Outage if random.permille(500) => {
            random.time(io / 10..limits.late)
        }
        FaultKind::Slow | FaultKind::Late | FaultKind::Torn | FaultKind::LostReplies => {
            random.time(io..dead * 2)
        }
        FaultKind::HelperStuck | FaultKind::NoWatchdog => random.time(io / 5..io * 5),
        _ if random.permille(300) => random.time(dead / 2..dead.mul_f64(1.3)),
        _ => random.time(io / 5..dead),
    };
    let hosts = if kind == FaultKind::PowerCycle || random.permille(120) {
        (0..limits.hosts).collect()
    } else {
        let mut hosts: Vec<_> = (0..limits.hosts).collect();
        random.shuffle(&mut hosts);
        let several = kind.is_of_storage() && random.permille(300);
        hosts.truncate(if several {
            1 + random.index(limits.hosts)
        } else {
            1
        });
        hosts
    };
    let disk = random.permille(250).then(|| random.index(limits.disks));
    #[allow(clippy::cast_precision_loss)]
    let severity = random.one_of(&[20, 100, 300, 600, 1000]) as f64 / 1000.0;
    Planned {
        at,
        moments: Vec::new(),
        lasts,
        kind,
        hosts,
        disk,
        severity,
    }
}

/// What goes wrong with a host's requests while these faults last, on top of `base`.
#[must_use]
pub fn combined(
    base: &Faults,
    active: &[(FaultKind, f64)],
    io_timeout: Duration,
    late: Duration,
) -> Faults {
    let mut faults = base.clone();
    for (kind, severity) in active {
        let severity = *severity;
        let one = |request: &mut RequestFaults| match kind {
            FaultKind::Slow => {
                let end = io_timeout.mul_f64(0.1 + severity);
                request.latency = Duration::from_millis(1)..end.max(Duration::from_millis(2));
            }
            FaultKind::Late => {
                request.late = request.late.max(severity * 0.5);
                // A slow one may be late as well.
                request.late_by = io_timeout / 4..late.saturating_sub(request.latency.end);
            }
            FaultKind::Hang => request.hang = request.hang.max(severity * 0.5),
            FaultKind::Outage => request.hang = 1.0,
            FaultKind::Errors => request.error = request.error.max(severity * 0.4),
            FaultKind::Dead => request.error = 1.0,
            FaultKind::LostReplies => request.lost_reply = request.lost_reply.max(severity * 0.4),
            FaultKind::Torn => request.torn = request.torn.max(severity),
            FaultKind::Partial => request.partial = request.partial.max(severity * 0.4),
            _ => {}
        };
        [&mut faults.read, &mut faults.write, &mut faults.open]
            .into_iter()
            .for_each(one);
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            hosts: 3,
            disks: 1,
            length: Duration::from_secs(900),
            io_timeout: Duration::from_secs(10),
            host_dead: Duration::from_secs(140),
            late: Duration::from_secs(48),
            unwatched: Duration::from_secs(40),
            fire: Duration::from_secs(60),
        }
    }

    #[test]
    fn plans_follow_from_the_seed_and_keep_the_limits() {
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..300 {
            let first = plan(&mut Random::new(seed, 0), &limits());
            let again = plan(&mut Random::new(seed, 0), &limits());
            assert_eq!(format!("{first:?}"), format!("{again:?}"));
            let more = plan_for_wdmd(&mut Random::new(seed, 6), &limits(), true);
            for fault in first.into_iter().chain(more) {
                kinds.insert(fault.kind);
                assert!(fault.at < limits().length && !fault.hosts.is_empty());
                if matches!(fault.kind, FaultKind::MachinePaused | FaultKind::Suspended) {
                    assert!(fault.lasts <= limits().unwatched);
                }
            }
        }
        assert_eq!(
            kinds.len(),
            FaultKind::ALL.len() - 1,
            "one needs its moment"
        );
    }

    #[test]
    fn no_request_is_later_than_allowed() {
        let Limits {
            io_timeout, late, ..
        } = limits();
        let active = [
            (FaultKind::Slow, 1.0),
            (FaultKind::Late, 1.0),
            (FaultKind::Hang, 0.1),
        ];
        let faults = combined(&Faults::none(), &active, io_timeout, late);
        assert!(faults.write.latency.end + faults.write.late_by.end <= late);
        assert!(faults.write.hang > 0.0 && faults.write.late > 0.0);
    }
}
