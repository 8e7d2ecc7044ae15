//! Test scripts.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::daemon::{Daemon, connect, dump, let_go, monotime, until, watched, well_for};
use super::harness::{Case, Outcome, skipped};
use super::host::{Host, holds_its_device, is_original};

pub const CASES: &[Case] = &[
    ("scripts_are_not_run_unless_that_is_asked_for", off),
    ("a_script_that_fails_stops_the_keepalives", failing),
    ("a_script_that_hangs_is_killed", hanging),
    ("a_hanging_script_holds_no_client_up", answers),
    ("scripts_are_looked_for_again", reload),
];

const DIRECTORY: &str = "/run/wdmd.d";

fn script(name: &str, text: &str, mode: u32) {
    fs::create_dir_all(DIRECTORY).unwrap();
    let path = format!("{DIRECTORY}/{name}");
    fs::write(format!("{path}.new"), format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(format!("{path}.new"), fs::Permissions::from_mode(mode)).unwrap();
    fs::rename(format!("{path}.new"), path).unwrap();
}

fn newer() -> Result<Host, Outcome> {
    let host = Host::new()?;
    if holds_its_device() {
        return Err(skipped("3.8.5 has one fire timeout, of a minute"));
    }
    Ok(host)
}

fn off() -> Outcome {
    let host = match newer() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    script("a", "touch /run/has-run", 0o755);
    let _daemon = Daemon::start(&host, &["-s", DIRECTORY]);
    let mut client = watched("one", 9);
    well_for(&mut client, 100);
    let at = monotime();
    until("it is kept alive", || {
        connect().status().unwrap().last_keepalive > at + 1
    });
    assert!(!fs::exists("/run/has-run").unwrap());
    let_go(&mut client);
    Outcome::Passed
}

fn failing() -> Outcome {
    let host = match newer() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    script("a", "exit $(cat /run/result)", 0o755);
    script("b", "exit 1", 0o644);
    script(".c", "exit 1", 0o755);
    fs::write("/run/result", "0\n").unwrap();
    let daemon = Daemon::start(&host, &["-S", "1", "-s", DIRECTORY]);
    let mut client = watched("one", 20);
    well_for(&mut client, 1000);
    let at = monotime();
    until("it is kept alive", || {
        connect().status().unwrap().last_keepalive > at + 1
    });
    assert!(dump().contains("script 0 name a pid 0 "), "{}", dump());
    assert!(!dump().contains("script 1 "), "{}", dump());
    assert_eq!(daemon.times_said("closed unclean"), 0);
    fs::write("/run/result", "3\n").unwrap();
    daemon.until_said("closed unclean");
    assert!(daemon.times_said("exit status 3") > 0);
    assert!(daemon.times_said("script a last_result 3 start ") > 0);
    fs::write("/run/result", "0\n").unwrap();
    daemon.until_said("reopen");
    let_go(&mut client);
    Outcome::Passed
}

fn hanging() -> Outcome {
    let host = match newer() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    script("a", "test -e /run/go || exec sleep 600", 0o755);
    let daemon = Daemon::start(&host, &["-S", "1", "-k", "3", "-s", DIRECTORY]);
    let mut client = watched("one", 20);
    well_for(&mut client, 1000);
    daemon.until_said("taking too long");
    daemon.until_said("closed unclean");
    daemon.until_said("term signal 9");
    fs::write("/run/go", "").unwrap();
    daemon.until_said("reopen");
    let_go(&mut client);
    Outcome::Passed
}

fn answers() -> Outcome {
    if is_original() {
        return skipped("not so in the original: it waits for its scripts");
    }
    let host = match newer() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    script("a", "exec sleep 600", 0o755);
    let daemon = Daemon::start(&host, &["-S", "1", "-k", "60", "-s", DIRECTORY]);
    let mut client = watched("one", 60);
    until("it runs", || daemon.times_said("script a pid ") > 0);
    // A test interval of ten seconds is under way.
    for _ in 0..100 {
        well_for(&mut client, 80);
    }
    assert_eq!(daemon.times_said("taking too long"), 0);
    let pid = dump();
    let pid = pid.split("script 0 name a pid ").nth(1).unwrap();
    let pid: i32 = pid.split(' ').next().unwrap().parse().unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    daemon.until_said("term signal 9");
    let_go(&mut client);
    Outcome::Passed
}

fn reload() -> Outcome {
    let host = match newer() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    script("a", "exit 0", 0o755);
    let daemon = Daemon::start(&host, &["-S", "1", "-s", DIRECTORY]);
    let mut client = watched("one", 9);
    until("it runs", || dump().contains("script 0 name a "));
    script("b", "exit 0", 0o755);
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    until("it is found", || dump().contains("script 1 name b "));
    // One that is gone is no source any more.
    fs::remove_file(format!("{DIRECTORY}/a")).unwrap();
    daemon.until_said("script a removed -2");
    let_go(&mut client);
    Outcome::Passed
}
