//! What is done to a host, and what must come of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::host::{Daemon, Holder, WatchdogDaemon};
use super::pair::{Ended, Pair};
use super::report::{Report, TAKEOVER_LIMIT};
use super::times::Times;

/// Small ones, as the newer programs allow.
const SMALL: Times = Times { io: 2, fire: 10 };

/// What is set where nothing is.
const DEFAULTS: Times = Times { io: 10, fire: 60 };

/// How long after it a reset without cause would show itself: the watchdog's time and some tests.
const QUIET: Duration = Duration::from_secs(8);

/// Two hosts use one disk: what must never be.
const NOT_RESET: &str = "the victim was not reset by its expiry: its holder still runs, and the other host has the lease";

/// A scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) times: Times,
    /// The victim's.
    pub(crate) watchdog: WatchdogDaemon,
    /// Whether it takes minutes, and is played only when asked for.
    pub(crate) slow: bool,
    pub(crate) play: fn(&Pair) -> Result<Report>,
}

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "sanlock-stopped",
        what: "the lease daemon gets SIGSTOP: its host is reset, then the other takes the lease",
        times: SMALL,
        watchdog: WatchdogDaemon::Good,
        slow: false,
        play: sanlock_stopped,
    },
    Scenario {
        name: "sanlock-killed",
        what: "the lease daemon gets SIGKILL: the same",
        times: SMALL,
        watchdog: WatchdogDaemon::Good,
        slow: false,
        play: sanlock_killed,
    },
    Scenario {
        name: "disk-fails",
        what: "the lease disk fails: the holder is killed, its host is not reset, the other takes the lease",
        times: SMALL,
        watchdog: WatchdogDaemon::Good,
        slow: false,
        play: disk_fails,
    },
    Scenario {
        name: "disk-hangs",
        what: "the lease disk hangs, and the holder waits for it and cannot be killed: reset, then takeover",
        times: SMALL,
        watchdog: WatchdogDaemon::Good,
        slow: false,
        play: disk_hangs,
    },
    Scenario {
        name: "wdmd-killed",
        what: "the watchdog daemon gets SIGKILL: its host is reset, then the other takes the lease",
        times: SMALL,
        watchdog: WatchdogDaemon::Good,
        slow: false,
        play: wdmd_killed,
    },
    Scenario {
        name: "wdmd-stopped",
        what: "the watchdog daemon gets SIGSTOP: the same",
        times: SMALL,
        watchdog: WatchdogDaemon::Good,
        slow: false,
        play: wdmd_stopped,
    },
    Scenario {
        name: "wdmd-stopped-killed",
        what: "the lease daemon gets SIGKILL, the watchdog daemon SIGSTOP, and SIGKILL when their time is up: reset, then \
               takeover; the C program's is late",
        times: SMALL,
        watchdog: WatchdogDaemon::Good,
        slow: false,
        play: wdmd_stopped_killed,
    },
    Scenario {
        name: "client-killed",
        what: "the holder gets SIGKILL: the other gets the lease at once, nobody is reset",
        times: SMALL,
        watchdog: WatchdogDaemon::Good,
        slow: false,
        play: client_killed,
    },
    Scenario {
        name: "orderly-stop",
        what: "everything is stopped in order: nobody is reset",
        times: SMALL,
        watchdog: WatchdogDaemon::Good,
        slow: false,
        play: orderly_stop,
    },
    Scenario {
        name: "broken-watchdog",
        what: "a watchdog daemon that always keeps its device alive lets two hosts have the lease, and is found by \
               sanlock-killed",
        times: SMALL,
        watchdog: WatchdogDaemon::AlwaysPets,
        slow: false,
        play: broken_watchdog,
    },
    Scenario {
        name: "defaults",
        what: "the lease daemon gets SIGKILL, with the times that are set where nothing is",
        times: DEFAULTS,
        watchdog: WatchdogDaemon::Good,
        slow: true,
        play: sanlock_killed,
    },
];

fn sanlock_stopped(pair: &Pair) -> Result<Report> {
    lease_daemon_gone(pair, "STOP")
}

fn sanlock_killed(pair: &Pair) -> Result<Report> {
    lease_daemon_gone(pair, "KILL")
}

/// Nobody stops the holder, so the watchdog must.
fn lease_daemon_gone(pair: &Pair, signal: &str) -> Result<Report> {
    let holder = pair.victim.hold()?;
    pair.settle()?;
    pair.rescuer.contend()?;
    pair.check_clocks()?;
    let (_, done) = pair.victim.signal(Daemon::Sanlock, signal)?;
    let mut report = Report::since(pair.last_renewal()?);
    report.note(signal_note(signal), done);
    if reset_by_expiry(pair, holder, &mut report)? {
        pair.wait_for_takeover(&mut report, done)?;
    }
    pair.check_clocks()?;
    Ok(report)
}

fn broken_watchdog(pair: &Pair) -> Result<Report> {
    let mut report = sanlock_killed(pair)?;
    report.must_have_found(NOT_RESET);
    Ok(report)
}

fn signal_note(signal: &str) -> &'static str {
    if signal == "STOP" {
        "stopped"
    } else {
        "killed"
    }
}

/// The reset comes before the victim's expiry, and as little before it as the watchdog daemon's test
/// interval makes it. Whether it comes before the other host has the lease; nothing else can be judged if not.
fn reset_by_expiry(pair: &Pair, holder: Holder, report: &mut Report) -> Result<bool> {
    let expiry = |pair: &Pair| Ok::<_, anyhow::Error>(pair.last_renewal()? + pair.times.expiry());
    let reset = match pair.wait_for_reset_or_takeover()? {
        Ended::Reset(reset) => reset,
        Ended::Taken(taken) => {
            let expiry = expiry(pair)?;
            report.note("expiry", expiry);
            report.note("taken", taken);
            report.not_before("taken", taken, ("the victim's expiry", expiry));
            report.fault(if pair.victim.is_alive(holder)? {
                NOT_RESET
            } else {
                "the victim was not reset, but its holder has ended"
            });
            return Ok(false);
        }
    };
    report.note("reset", reset);
    let expiry = expiry(pair)?;
    report.not_after("the reset", reset, ("the expiry", expiry));
    let early = expiry - pair.times.test_interval() - Duration::from_secs(1);
    report.not_before("the reset", reset, ("the earliest time", early));
    Ok(true)
}

fn disk_fails(pair: &Pair) -> Result<Report> {
    let holder = pair.victim.hold()?;
    pair.settle()?;
    pair.rescuer.contend()?;
    pair.check_clocks()?;
    pair.victim.fail_disk()?;
    let failed = Instant::now();
    let mut report = Report::since(pair.last_renewal()?);
    report.note("failed", failed);
    let last = pair.last_renewal()?;
    let usable = last + pair.times.usable();
    // Looking costs the machine some time, so not all the time.
    let limit = last + pair.times.expiry();
    while pair.victim.is_alive(holder)? && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(200));
    }
    let dead = Instant::now();
    report.note("holder dead", dead);
    // The daemon looks once a second, and we are told a little later.
    report.not_after(
        "the holder's death",
        dead,
        ("its time", usable + Duration::from_secs(3)),
    );
    pair.wait_for_takeover(&mut report, failed)?;
    pair.watch_for_resets(&mut report, Instant::now() + QUIET)?;
    pair.check_clocks()?;
    Ok(report)
}

fn disk_hangs(pair: &Pair) -> Result<Report> {
    let holder = pair.victim.hold_and_read()?;
    pair.settle()?;
    pair.rescuer.contend()?;
    pair.check_clocks()?;
    pair.victim.hang_disk()?;
    let hung = Instant::now();
    pair.victim.have_it_read(holder)?;
    let mut report = Report::since(pair.last_renewal()?);
    report.note("hung", hung);
    if reset_by_expiry(pair, holder, &mut report)? {
        pair.wait_for_takeover(&mut report, hung)?;
    }
    pair.check_clocks()?;
    Ok(report)
}

/// The kernel counts the fire timeout from the last keepalive, as ours still has the device open; with the C program
/// from its end, as the kernel closes the device then.
fn wdmd_killed(pair: &Pair) -> Result<Report> {
    let early = if pair.victim.keeps_its_device() {
        pair.times.test_interval()
    } else {
        Duration::ZERO
    };
    watchdog_daemon_gone(pair, "KILL", early)
}

/// The last keepalive was at most a test interval ago.
fn wdmd_stopped(pair: &Pair) -> Result<Report> {
    watchdog_daemon_gone(pair, "STOP", pair.times.test_interval())
}

/// The lease daemon goes on and renews its host id until the reset.
fn watchdog_daemon_gone(pair: &Pair, signal: &str, early: Duration) -> Result<Report> {
    pair.victim.hold()?;
    pair.settle()?;
    pair.rescuer.contend()?;
    pair.check_clocks()?;
    let (before, after) = pair.victim.signal(Daemon::Wdmd, signal)?;
    let reset = pair.wait_for_reset()?;
    let mut report = Report::since(pair.last_renewal()?);
    report.note(signal_note(signal), after);
    report.note("reset", reset);
    let fire = pair.times.fire();
    report.not_after("the reset", reset, ("the fire timeout's end", after + fire));
    let early = before + fire - early - Duration::from_secs(1);
    report.not_before("the reset", reset, ("the earliest time", early));
    pair.wait_for_takeover(&mut report, reset)?;
    pair.check_clocks()?;
    Ok(report)
}

/// The kernel keeps a device alive once more that is closed without having been disarmed. The watchdog daemon gets
/// SIGSTOP just before it would stop keeping it alive, and is killed after the time until which the leases may be used:
/// whether the reset still comes in time is what is tried.
fn wdmd_stopped_killed(pair: &Pair) -> Result<Report> {
    pair.victim.hold()?;
    pair.settle()?;
    pair.rescuer.contend()?;
    pair.check_clocks()?;
    let (_, silent) = pair.victim.signal(Daemon::Sanlock, "KILL")?;
    let last = pair.last_renewal()?;
    let mut report = Report::since(last);
    report.note("sanlock killed", silent);
    let usable = last + pair.times.usable();
    sleep_until(usable - pair.times.test_interval() - Duration::from_secs(1));
    let (_, stopped) = pair.victim.signal(Daemon::Wdmd, "STOP")?;
    report.note("stopped", stopped);
    // The last keepalive was at most a test interval before the stop.
    sleep_until(usable + Duration::from_secs(4));
    let (killing, killed) = pair.victim.signal(Daemon::Wdmd, "KILL")?;
    report.note("killed", killed);
    ensure!(
        pair.victim.machine.reset_at().is_none(),
        "the reset came before the watchdog daemon was killed"
    );
    if pair.victim.keeps_its_device() {
        let reset = pair.wait_for_reset()?;
        report.note("reset", reset);
        let in_time = (
            "the fire timeout after the stop",
            stopped + pair.times.fire(),
        );
        report.not_after("the reset", reset, in_time);
        pair.wait_for_takeover(&mut report, silent)?;
    } else {
        // Both hosts have the lease for a while.
        let taken = pair.lease_taken(pair.times.expiry() + pair.times.usable())?;
        report.note(
            "taken",
            taken.context("the other host never took the lease")?,
        );
        let reset = pair.wait_for_reset()?;
        report.note("reset", reset);
        let late = (
            "the fire timeout after the end",
            killing + pair.times.fire(),
        );
        report.not_before("the reset", reset, late);
        report.not_before(
            "the reset",
            reset,
            ("the expiry", last + pair.times.expiry()),
        );
    }
    pair.check_clocks()?;
    Ok(report)
}

fn sleep_until(time: Instant) {
    std::thread::sleep(time.saturating_duration_since(Instant::now()));
}

fn client_killed(pair: &Pair) -> Result<Report> {
    let holder = pair.victim.hold()?;
    pair.settle()?;
    pair.rescuer.contend()?;
    pair.check_clocks()?;
    let mut report = Report::since(pair.last_renewal()?);
    let before = Instant::now();
    pair.victim.kill(holder)?;
    let killed = Instant::now();
    report.note("killed", killed);
    match pair.lease_taken(TAKEOVER_LIMIT + pair.times.usable())? {
        Some(taken) => {
            report.note("taken", taken);
            report.not_before("taken", taken, ("the holder's death", before));
            report.not_after("taken", taken, ("its last moment", killed + TAKEOVER_LIMIT));
        }
        None => report.fault("the other host never took the lease"),
    }
    let end = killed + pair.times.expiry() + QUIET;
    pair.watch_for_resets(&mut report, end)?;
    pair.check_clocks()?;
    Ok(report)
}

fn orderly_stop(pair: &Pair) -> Result<Report> {
    let holder = pair.victim.hold()?;
    pair.settle()?;
    ensure!(
        pair.victim.watchdog_state()? == "active",
        "the watchdog is not active while a lockspace is joined"
    );
    pair.rescuer.contend()?;
    let mut report = Report::since(pair.last_renewal()?);
    pair.victim.kill(holder)?;
    let killed = Instant::now();
    report.note("holder ended", killed);
    match pair.lease_taken(TAKEOVER_LIMIT + pair.times.usable())? {
        Some(taken) => report.note("taken", taken),
        None => report.fault("the other host never took the lease"),
    }
    pair.victim.leave()?;
    report.note("left", Instant::now());
    pair.victim.stop_in_order()?;
    let stopped = Instant::now();
    report.note("stopped", stopped);
    let state = pair.victim.watchdog_state()?;
    if state != "inactive" {
        report.fault(format!(
            "the watchdog is {state} after everything was stopped"
        ));
    }
    let end = stopped + pair.times.fire() + QUIET;
    pair.watch_for_resets(&mut report, end)?;
    report.note("still up", Instant::now());
    pair.check_clocks()?;
    Ok(report)
}
