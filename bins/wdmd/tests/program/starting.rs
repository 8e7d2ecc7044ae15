//! Starting and ending: pid file, marker, socket, device, signals.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::daemon::{Daemon, connect, let_go, until, watched, well_for};
use super::harness::{Case, Outcome, skipped};
use super::host::{Host, holds_its_device, is_original};

pub const CASES: &[Case] = &[
    ("a_life_without_clients_leaves_nothing_behind", life),
    ("into_the_background", background),
    ("after_an_unclean_end_it_does_not_start", unclean),
    ("a_second_daemon_does_not_start", second),
    ("without_a_device_it_does_not_start", no_device),
    ("the_device_that_is_asked_for_comes_first", device_choice),
    ("it_does_not_end_while_it_is_needed", needed),
    ("a_device_that_is_held_from_the_start", held),
    ("memory", memory),
];

const MARKER: &str = "/dev/shm/wdmd";
const PID_FILE: &str = "/run/wdmd/wdmd.pid";

fn host() -> Result<Host, Outcome> {
    Host::new()
}

fn life() -> Outcome {
    let host = match host() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let mut daemon = Daemon::start(&host, &["-G", "daemon"]);
    let socket = fs::metadata(wdmd_proto::SOCKET).unwrap();
    assert_eq!(
        (socket.permissions().mode() & 0o777, socket.gid()),
        (0o660, 1)
    );
    assert_eq!(
        fs::read_to_string(PID_FILE).unwrap(),
        format!("{}\n", daemon.pid())
    );
    let marker = fs::metadata(MARKER).unwrap();
    assert_eq!(marker.permissions().mode() & 0o777, 0o644);
    if !holds_its_device() {
        assert_eq!(host.order(), ["open", "magic", "close"]);
    }
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().code(), Some(0));
    assert_eq!(host.fires(60), None);
    assert!(!fs::exists(PID_FILE).unwrap() && !fs::exists(MARKER).unwrap());
    // So that it can start again.
    let mut daemon = Daemon::start(&host, &[]);
    daemon.signal(Signal::SIGINT);
    assert_eq!(daemon.ended().code(), Some(0));
    Outcome::Passed
}

fn background() -> Outcome {
    let host = match host() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let status = host.command(&[]).status().unwrap();
    assert_eq!(status.code(), Some(0));
    if !is_original() {
        // Started means that clients can connect.
        drop(connect());
    }
    until("the pid file", || {
        fs::read_to_string(PID_FILE).is_ok_and(|pid| pid.ends_with('\n'))
    });
    let pid: i32 = fs::read_to_string(PID_FILE)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    until("it listens", || fs::exists(wdmd_proto::SOCKET).unwrap());
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    until("it ends", || !fs::exists(MARKER).unwrap());
    until("it is gone", || {
        !fs::exists(format!("/proc/{pid}/exe")).unwrap()
    });
    until("it is in the log", || {
        host.syslog().join("\n").contains("wdmd started S0 H0 G")
    });
    Outcome::Passed
}

fn unclean() -> Outcome {
    let host = match host() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let mut daemon = Daemon::start(&host, &[]);
    let _client = watched("one", 60);
    daemon.signal(Signal::SIGKILL);
    daemon.ended();
    host.forget();
    let mut again = Daemon::launch(&host, &[]);
    assert_eq!(again.ended().code(), Some(255));
    again.until_said("other wdmd not cleanly stopped, shm_open error 17");
    assert_eq!(
        host.order(),
        Vec::<String>::new(),
        "the device is left alone"
    );
    assert!(!fs::exists(PID_FILE).unwrap());
    if !is_original() {
        again.until_said("remove /dev/shm/wdmd");
        let output = host.command(&[]).output().unwrap();
        assert_eq!(output.status.code(), Some(255));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("remove /dev/shm/wdmd"), "{said}");
    }
    // As it is done by hand.
    fs::remove_file(MARKER).unwrap();
    drop(Daemon::start(&host, &[]));
    Outcome::Passed
}

fn second() -> Outcome {
    let host = match host() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let mut first = Daemon::start(&host, &[]);
    let mut second = Daemon::launch(&host, &[]);
    assert_eq!(second.ended().code(), Some(255));
    assert!(first.is_running());
    assert_eq!(connect().status().unwrap().fire_timeout, 60);
    Outcome::Passed
}

fn no_device() -> Outcome {
    let host = match host() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    for rules in ["open 16\n", "ioctl 25\n"] {
        host.rules(rules);
        let mut daemon = Daemon::launch(&host, &[]);
        assert_eq!(daemon.ended().code(), Some(255));
        daemon.until_said("no watchdog device, load a watchdog driver");
        assert!(!fs::exists(PID_FILE).unwrap() && !fs::exists(MARKER).unwrap());
        assert_eq!(host.fires(60), None);
    }
    host.rules("");
    drop(Daemon::start(&host, &[]));
    Outcome::Passed
}

fn device_choice() -> Outcome {
    let host = match host() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    fs::write("/dev/watchdog7", "").unwrap();
    let _daemon = Daemon::start(&host, &["-w", "/dev/watchdog7"]);
    let _client = watched("one", 60);
    let log = fs::read_to_string("/run/watchdog.log").unwrap();
    assert!(
        log.contains("open /dev/watchdog7") && !log.contains("watchdog0"),
        "{log}"
    );
    Outcome::Passed
}

fn needed() -> Outcome {
    let host = match host() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let mut daemon = Daemon::start(&host, &[]);
    let mut client = watched("one", 60);
    let refused = |daemon: &Daemon, times| {
        until("it says that it does not end", || {
            daemon.times_said("not ending: 1 clients") == times
        });
    };
    daemon.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(500));
    assert!(daemon.is_running());
    if !is_original() {
        refused(&daemon, 1);
    }
    well_for(&mut client, 80);
    // What was not followed does not come true later.
    let_go(&mut client);
    std::thread::sleep(Duration::from_millis(500));
    assert!(daemon.is_running());
    if !is_original() {
        // The original disarms the watchdog of a client that has only an expiry.
        well_for(&mut client, 80);
        daemon.signal(Signal::SIGTERM);
        refused(&daemon, 2);
        assert!(daemon.is_running());
        let_go(&mut client);
    }
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().code(), Some(0));
    assert_eq!(host.fires(60), None);
    Outcome::Passed
}

fn held() -> Outcome {
    let host = match host() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    if is_original() && !holds_its_device() {
        return skipped("3.9 and later do not hold it");
    }
    let arguments: &[&str] = if is_original() { &[] } else { &["--hold"] };
    let mut daemon = Daemon::start(&host, arguments);
    let device = host.order();
    assert_eq!(
        device.last().map(String::as_str),
        Some("keepalive"),
        "{device:?}"
    );
    drop(connect());
    assert!(host.fires(60).is_some());
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.ended().code(), Some(0));
    assert_eq!(host.fires(60), None);
    Outcome::Passed
}

fn memory() -> Outcome {
    let host = match host() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let daemon = Daemon::start(&host, &["-H", "1"]);
    let _client = watched("one", 60);
    let (locked, resident) = (daemon.number("VmLck:"), daemon.number("VmRSS:"));
    let threads = daemon.number("Threads:");
    println!("measured: {locked} KiB locked, {resident} KiB resident, {threads} threads");
    assert_eq!(threads, 1);
    assert!(locked > 0 || !nix::unistd::geteuid().is_root());
    Outcome::Passed
}
