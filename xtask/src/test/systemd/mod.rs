//! The units: systemd's own check of them, and what a real systemd does with them and our programs.

mod host;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::counts::Counts;
use super::runner::run;
use super::{Context, Outcome, need};
use crate::workspace;
use host::Host;

/// Programs that the units start.
const PROGRAMS: [&str; 4] = ["wdmd", "sanlock", "virtlockd", "virt-sanlock-cleanup"];

/// All units of ours.
fn units() -> Result<Vec<PathBuf>> {
    let mut units = Vec::new();
    for entry in fs::read_dir(workspace::root().join("systemd"))? {
        let path = entry?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if matches!(ending, Some("service" | "socket" | "timer")) {
            units.push(path);
        }
    }
    units.sort();
    Ok(units)
}

/// What systemd would only complain of in its log, when a unit is started: names and values that it does not know,
/// programs that are not there, orders that cannot be.
pub(super) fn verify(_: &Context) -> Result<Outcome> {
    // It looks for the programs that the units start: those of the distribution are at the same places.
    for program in ["systemd-analyze"].iter().chain(&PROGRAMS) {
        if let Err(error) = need(program) {
            return Ok(Outcome::Skipped(format!("{error:#}")));
        }
    }
    let mut command = Command::new("systemd-analyze");
    command.args(["--man=no", "--generators=no", "verify"]);
    let ran = run(command.args(units()?), true)?;
    // What it merely warns of is wrong too.
    Ok(Outcome::Ran(if ran.success && ran.output.is_empty() {
        Counts::success()
    } else {
        Counts::failure()
    }))
}

/// One thing that is tried; each goes on with the host that the one before left.
type Check = (&'static str, fn(&mut Host) -> Result<()>);

const CHECKS: [Check; 6] = [
    (
        "the lease daemon brings the watchdog daemon, both ready when started",
        started,
    ),
    (
        "a socket starts virtlockd, reload replaces its program, stop ends it",
        virtlockd,
    ),
    ("the timer waits, and what it starts ends well", timer),
    ("stopped in order, nobody is reset", stopped),
    (
        "a shutdown stops the lease daemon first, and nobody is reset",
        shutdown,
    ),
    (
        "when the watchdog daemon is killed its device stays open, for the reset to come in time",
        killed,
    ),
];

/// A systemd of our own plays all of it.
pub(super) fn play(_: &Context) -> Result<Outcome> {
    if let Some(why) = impossible() {
        return Ok(Outcome::Skipped(why));
    }
    let programs: Vec<PathBuf> = PROGRAMS
        .iter()
        .map(|program| workspace::build_release(program))
        .collect::<Result<_>>()?;
    let mut counts = Counts::default();
    let mut host = Some(Host::start(&programs)?);
    for (name, check) in CHECKS {
        let done = match host.as_mut() {
            Some(host) => check(host),
            None => Ok(()),
        };
        match done {
            Ok(()) => {
                println!("ok      {name}");
                counts.add(Counts::success());
            }
            Err(error) => {
                println!("FAILED  {name}: {error:#}");
                counts.add(Counts::failure());
            }
        }
        // A host that has been shut down, or is in doubt, is followed by a new one.
        let ended = host
            .as_mut()
            .is_some_and(|host| host.has_ended().unwrap_or(true));
        if ended || counts.failed > 0 {
            drop(host.take());
            host = Some(Host::start(&programs)?);
        }
    }
    Ok(Outcome::Ran(counts))
}

fn impossible() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("only root may start a systemd".to_owned());
    }
    if !PathBuf::from("/usr/lib/systemd/systemd").is_file() {
        return Some("systemd is not installed".to_owned());
    }
    for program in ["unshare", "nsenter", "flock", "cc"] {
        if let Err(error) = need(program) {
            return Some(format!("{error:#}"));
        }
    }
    if !fs::read_to_string("/etc/passwd").is_ok_and(|users| users.contains("\nsanlock:")) {
        return Some("there is no user sanlock (package sanlock)".to_owned());
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    if !mounts
        .lines()
        .any(|line| line.split(' ').nth(2) == Some("cgroup2"))
    {
        return Some("no control groups of the second version are mounted".to_owned());
    }
    host::forbidden()
}

fn number(text: &str) -> Result<u64> {
    text.parse().with_context(|| format!("no number: {text:?}"))
}

fn is_active(host: &Host, unit: &str) -> bool {
    host.systemctl(&["is-active", unit]).is_ok()
}

fn started(host: &mut Host) -> Result<()> {
    host.systemctl(&["start", "sanlock"])?;
    // At once: it is ready.
    host.run(&["sanlock", "client", "status"])?;
    host.run(&["wdmd", "-d"])?;
    ensure!(is_active(host, "wdmd"), "wdmd was not started with it");
    let when = |unit| number(&host.property(unit, "ActiveEnterTimestampMonotonic")?);
    let began = number(&host.property("sanlock", "ExecMainStartTimestampMonotonic")?)?;
    ensure!(
        when("wdmd.service")? <= began,
        "sanlock did not wait for wdmd"
    );
    Ok(())
}

fn virtlockd(host: &mut Host) -> Result<()> {
    host.systemctl(&["start", "virtlockd.socket", "virtlockd-admin.socket"])?;
    ensure!(
        !is_active(host, "virtlockd.service"),
        "nobody has connected yet"
    );
    host.run(&["virtlockd", "--list"])?;
    ensure!(
        is_active(host, "virtlockd.service"),
        "a client does not start it"
    );
    let pid = host.property("virtlockd.service", "MainPID")?;
    let program = format!("/proc/{pid}/exe");
    // As an upgrade does.
    host.run(&["cp", "/usr/sbin/virtlockd", "/usr/sbin/virtlockd.new"])?;
    host.run(&["mv", "/usr/sbin/virtlockd.new", "/usr/sbin/virtlockd"])?;
    let is_old = || {
        host.run(&["readlink", &program])
            .is_ok_and(|path| path.ends_with("(deleted)"))
    };
    ensure!(is_old(), "it does not run the program that was there");
    host.systemctl(&["reload", "virtlockd"])?;
    host.until("the new program runs", || !is_old())?;
    host.run(&["virtlockd", "--list"])?;
    ensure!(is_active(host, "virtlockd.service"), "it did not survive");
    ensure!(
        host.property("virtlockd.service", "MainPID")? == pid,
        "it is another process"
    );
    let all = [
        "virtlockd.service",
        "virtlockd.socket",
        "virtlockd-admin.socket",
    ];
    host.systemctl(&[["stop"].as_slice(), all.as_slice()].concat())?;
    for unit in all {
        let result = host.property(unit, "Result")?;
        ensure!(result == "success", "{unit} ended with {result}");
    }
    Ok(())
}

fn timer(host: &mut Host) -> Result<()> {
    host.systemctl(&["start", "virt-sanlock-cleanup.timer"])?;
    let next = host.property("virt-sanlock-cleanup.timer", "NextElapseUSecRealtime")?;
    ensure!(!next.is_empty(), "the timer does not know when");
    host.systemctl(&["start", "virt-sanlock-cleanup.service"])?;
    let result = host.property("virt-sanlock-cleanup.service", "Result")?;
    ensure!(result == "success", "it ended with {result}");
    host.systemctl(&["stop", "virt-sanlock-cleanup.timer"])
        .map(drop)
}

const SPACE: &str = "LS:1:/shared/lease:0";

fn join(host: &Host) -> Result<()> {
    let lease = host.shared().join("lease");
    fs::File::create(&lease)?.set_len(1 << 20)?;
    host.run(&["chown", "sanlock", "/shared/lease"])?;
    host.run(&["sanlock", "direct", "init", "-s", SPACE, "-o", "2"])?;
    host.run(&["sanlock", "client", "add_lockspace", "-s", SPACE, "-o", "2"])?;
    ensure!(
        host.device_is_open()?,
        "nothing has the watchdog's device open"
    );
    Ok(())
}

fn stopped(host: &mut Host) -> Result<()> {
    join(host)?;
    host.run(&["sanlock", "client", "rem_lockspace", "-s", SPACE])?;
    host.systemctl(&["stop", "sanlock"])?;
    host.systemctl(&["stop", "wdmd"])?;
    for unit in ["sanlock.service", "wdmd.service"] {
        let result = host.property(unit, "Result")?;
        ensure!(result == "success", "{unit} ended with {result}");
    }
    disarmed(host)
}

fn disarmed(host: &Host) -> Result<()> {
    host.until("the device is closed", || {
        host.device_is_open().is_ok_and(|open| !open)
    })?;
    let device = host.device();
    ensure!(
        device.ends_with(&["magic".to_owned(), "close".to_owned()]),
        "it was not disarmed: {device:?}"
    );
    Ok(())
}

fn shutdown(host: &mut Host) -> Result<()> {
    host.systemctl(&["start", "sanlock"])?;
    let _ = fs::remove_file(host.shared().join("stopped"));
    // It may end before it has answered.
    let _ = host.systemctl(&["poweroff"]);
    for _ in 0..600 {
        if host.has_ended()? {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    ensure!(host.has_ended()?, "it does not end");
    let stopped = fs::read_to_string(host.shared().join("stopped"))?;
    let order: Vec<&str> = stopped.lines().collect();
    ensure!(order == ["sanlock", "wdmd"], "the order was {order:?}");
    disarmed(host)
}

fn killed(host: &mut Host) -> Result<()> {
    host.systemctl(&["start", "sanlock"])?;
    join(host)?;
    let before = host.device().len();
    host.systemctl(&["kill", "--signal=KILL", "--kill-whom=main", "wdmd"])?;
    host.until("systemd knows that it has failed", || {
        host.property("wdmd.service", "ActiveState")
            .is_ok_and(|state| state == "failed")
    })?;
    ensure!(
        host.device_is_open()?,
        "the device was closed, which keeps it alive"
    );
    let device = host.device();
    let after = device.get(before..).unwrap_or_default();
    ensure!(
        !after.iter().any(|done| done == "magic" || done == "close"),
        "it was disarmed or closed: {device:?}"
    );
    // Nobody keeps the host from being reset now.
    ensure!(
        host.systemctl(&["start", "wdmd"]).is_err(),
        "it was started again"
    );
    ensure!(
        host.device_is_open()?,
        "the device was closed by the attempt"
    );
    Ok(())
}
