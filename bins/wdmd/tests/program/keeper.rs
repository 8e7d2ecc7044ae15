//! What happens to the open device when the daemon dies.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};

use super::daemon::{Daemon, end_keepers, keepers, let_go, until, watched, well_for};
use super::harness::{Case, Outcome, skipped};
use super::host::{Host, holds_its_device, is_original};

pub const CASES: &[Case] = &[
    ("a_daemon_that_is_killed_does_not_close_its_device", killed),
    ("what_is_disarmed_is_closed", disarmed),
    ("a_keeper_that_does_not_answer_is_ended", stuck),
];

/// Long enough for a process that could end to have ended.
const A_WHILE: Duration = Duration::from_millis(500);

/// Stopped until its client's time is up, and then killed: closing would keep the device alive once more, too late.
fn killed() -> Outcome {
    let host = match Host::new() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let mut daemon = Daemon::start(&host, &[]);
    let mut client = watched("one", 60);
    well_for(&mut client, 80);
    daemon.signal(Signal::SIGSTOP);
    host.forget();
    daemon.signal(Signal::SIGKILL);
    daemon.ended();
    if is_original() {
        until("the kernel closes it", || !host.is_open());
        return Outcome::Passed;
    }
    std::thread::sleep(A_WHILE);
    assert!(host.is_open());
    let keepers = keepers();
    assert_eq!(keepers.len(), 1);
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGPIPE,
    ] {
        kill(keepers[0], signal).unwrap();
    }
    std::thread::sleep(A_WHILE);
    assert!(host.is_open());
    // It never does anything to it.
    assert_eq!(host.order(), Vec::<String>::new());
    end_keepers();
    until("the kernel closes it", || !host.is_open());
    Outcome::Passed
}

fn disarmed() -> Outcome {
    let host = match Host::new() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    if holds_its_device() {
        return skipped("3.8.5 holds it to its end");
    }
    let mut daemon = Daemon::start(&host, &[]);
    for _ in 0..3 {
        let mut client = watched("one", 60);
        well_for(&mut client, 80);
        let_go(&mut client);
        drop(client);
        until("it is disarmed", || host.fires(60).is_none());
        until("the kernel closes it", || !host.is_open());
    }
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().code(), Some(0));
    until("no process is left", || keepers().is_empty());
    Outcome::Passed
}

fn stuck() -> Outcome {
    let host = match Host::new() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    if is_original() {
        return skipped("it has no keeper");
    }
    let mut daemon = Daemon::start(&host, &[]);
    let mut client = watched("one", 60);
    well_for(&mut client, 80);
    kill(keepers()[0], Signal::SIGSTOP).unwrap();
    let_go(&mut client);
    drop(client);
    until("it is disarmed", || host.fires(60).is_none());
    until("the kernel closes it", || !host.is_open());
    daemon.until_said("wdmd-keeper is gone");
    // It goes on without.
    let mut client = watched("two", 60);
    well_for(&mut client, 80);
    assert!(host.fires(60).is_some());
    daemon.until_said("wdmd-keeper does not hold the watchdog device");
    let_go(&mut client);
    drop(client);
    until("it is disarmed", || host.fires(60).is_none());
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().code(), Some(0));
    Outcome::Passed
}
