//! Programs of others on it: libwdmd's client, and the lease daemons.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::daemon::{Daemon, dump, until};
use super::harness::{Case, Outcome, skipped};
use super::host::{Host, holds_its_device, is_original};

pub const CASES: &[Case] = &[
    ("libwdmds_client", library),
    ("the_lease_daemon_joins_leaves_and_dies", lease_daemon),
];

fn library() -> Outcome {
    let host = match Host::new() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    let program = Path::new("/run/probe");
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/wdmd-proto/tests/c/probe.c");
    let compiled = Command::new("gcc")
        .args(["-w", "-o"])
        .arg(program)
        .arg(source)
        .arg("-lwdmd")
        .output();
    if !compiled.is_ok_and(|output| output.status.success()) {
        return skipped("libwdmd cannot be used (libsanlock-dev)");
    }
    let _daemon = Daemon::start(&host, &[]);
    let output = Command::new(program)
        .env("WDMD_SOCKET", wdmd_proto::SOCKET)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.starts_with(
            "connect fd\nregister -36\nregister 0\nregister 0\nrefcount_set 0\nstatus 0 10 60 "
        ),
        "{said}"
    );
    assert!(
        said.ends_with("test_live 0\ntest_live 0\nrefcount_clear 0\n"),
        "{said}"
    );
    // The original may miss what a client says just before it leaves.
    if !is_original() {
        until("it is forgotten", || dump().lines().count() == 4);
    }
    Outcome::Passed
}

/// Kills a child in the end.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lease daemon to try: the original, or what `SANLOCK_PROGRAM` names.
fn sanlock() -> PathBuf {
    std::env::var_os("SANLOCK_PROGRAM").map_or_else(|| "/usr/sbin/sanlock".into(), PathBuf::from)
}

fn lease_daemon() -> Outcome {
    let host = match Host::new() {
        Ok(host) => host,
        Err(outcome) => return outcome,
    };
    if !sanlock().exists() {
        return skipped(format!("no {}", sanlock().display()));
    }
    let version = Command::new(sanlock()).arg("version").output().unwrap();
    let old = String::from_utf8_lossy(&version.stdout).contains("3.8.");
    if old && is_original() && !holds_its_device() {
        return skipped("3.9 and later leave a lease daemon of before 3.9 without protection");
    }
    let daemon = Daemon::start(&host, &[]);
    let lease = "/run/lease";
    fs::File::create(lease).unwrap().set_len(1 << 20).unwrap();
    let lockspace = format!("LS:1:{lease}:0");
    // With the rights of any user, so that it needs no limits raised.
    let command = |arguments: &[&str]| {
        let mut command = Command::new(sanlock());
        command.args(arguments);
        command
            .env("SANLOCK_RUN_DIR", "/run/sanlock")
            .env("SANLOCK_PRIVILEGED", "0");
        command
    };
    fs::create_dir("/run/sanlock").unwrap();
    let run = |arguments: &[&str]| {
        let output = command(arguments).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    // Who joins waits for as long as the last owner's I/O timeout says, which must be less than it has itself.
    let formatted = run(&["direct", "init", "-s", &lockspace, "-o", "2"]);
    if !formatted.0 {
        return skipped(format!("no direct I/O on a tmpfs: {}", formatted.1));
    }
    let start = || {
        let child = command(&[
            "daemon", "-D", "-w", "1", "-o", "2", "-U", "root", "-G", "root", "-h", "0", "-l", "0",
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create("/run/sanlock.log").unwrap())
        .spawn()
        .unwrap();
        let child = Killed(child);
        until("the lease daemon answers", || run(&["client", "status"]).0);
        child
    };
    let mut sanlock = start();
    let joined = run(&["client", "add_lockspace", "-s", &lockspace, "-o", "2"]);
    assert!(joined.0, "{joined:?}: {:?}", daemon.said());
    let text = dump();
    assert!(
        text.contains("name sanlock_LS:1 pid ") && text.contains(" ref 1 "),
        "{text}"
    );
    assert!(host.fires(60).is_some());
    let left = run(&["client", "rem_lockspace", "-s", &lockspace]);
    let log = fs::read_to_string("/run/sanlock.log").unwrap();
    assert!(left.0, "{left:?}: {log}");
    until("it is let go", || !dump().contains("sanlock_LS:1"));
    assert_eq!(daemon.times_said("client dead"), 0);

    let joined = run(&["client", "add_lockspace", "-s", &lockspace, "-o", "2"]);
    assert!(joined.0, "{joined:?}");
    sanlock.0.kill().unwrap();
    daemon.until_said("client dead ci ");
    daemon.until_said("closed unclean");
    let line = daemon
        .said()
        .into_iter()
        .find(|line| line.contains("client dead"))
        .unwrap();
    let expire: u64 = line
        .split(" expire ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(host.fires(60).unwrap() <= (expire + 60) * 1000);
    Outcome::Passed
}
