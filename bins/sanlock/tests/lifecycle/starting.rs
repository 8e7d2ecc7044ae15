//! Starting: once per run directory, and into the background only when there is somebody to talk to.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Output;

use nix::sys::signal::Signal;

use super::common::daemon::{Setup, is_original};
use super::common::harness::{Case, Outcome};
use super::common::process;
use super::common::scratch::Scratch;
use super::common::unlike_the_original;
use super::common::wait::{PATIENCE, until};

pub const CASES: &[Case] = &[
    (
        "there_is_one_daemon_per_run_directory",
        one_per_run_directory,
    ),
    (
        "the_parent_returns_when_the_daemon_answers",
        the_parent_returns,
    ),
    (
        "the_parent_says_why_the_daemon_cannot_run",
        the_parent_says_why,
    ),
    ("pid_file_and_socket_stay_and_are_taken_over", files_stay),
];

/// A daemon in the background; killed when dropped.
struct Background<'a>(&'a Setup);

impl Background<'_> {
    fn pid(&self) -> u32 {
        pid_in(self.0.run_dir()).unwrap()
    }
}

impl Drop for Background<'_> {
    fn drop(&mut self) {
        if let Some(pid) = pid_in(self.0.run_dir()) {
            if process::lives(pid) {
                process::signal(pid, Signal::SIGKILL);
            }
        }
    }
}

fn pid_in(run_dir: &Path) -> Option<u32> {
    let text = fs::read_to_string(run_dir.join("sanlock.pid")).ok()?;
    assert!(text.ends_with('\n'), "{text:?}");
    text.trim().parse().ok()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn one_per_run_directory() -> Outcome {
    let scratch = Scratch::new();
    let setup = Setup::new(scratch.path(), "one");
    let mut daemon = setup.start();
    assert_eq!(pid_in(setup.run_dir()), Some(daemon.pid()));
    let second = setup.command(true).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    if !is_original() {
        for output in [second, setup.command(false).output().unwrap()] {
            assert_eq!(output.status.code(), Some(1));
            let said = said(&output);
            let pid = daemon.pid().to_string();
            let names_both = |line: &str| line.contains(&pid) && line.contains("sanlock.pid");
            assert!(said.lines().any(names_both), "{said}");
        }
    }
    assert!(daemon.runs());
    assert!(
        daemon.client.version().is_ok(),
        "the first one is as it was"
    );
    assert_eq!(pid_in(setup.run_dir()), Some(daemon.pid()));
    Outcome::Passed
}

fn the_parent_returns() -> Outcome {
    if let Some(skipped) = unlike_the_original("its parent returns at once") {
        return skipped;
    }
    let scratch = Scratch::new();
    for round in 0..5 {
        let setup = Setup::new(scratch.path(), &format!("host{round}"));
        let background = Background(&setup);
        let started = setup.command(false).output().unwrap();
        assert_eq!(
            (started.status.code(), said(&started).as_str()),
            (Some(0), "")
        );
        let version = setup.client().version();
        assert!(version.is_ok(), "round {round}: {version:?}");
        let pid = background.pid();
        process::signal(pid, Signal::SIGTERM);
        until("it ends", PATIENCE, || !process::lives(pid));
    }
    Outcome::Passed
}

fn the_parent_says_why() -> Outcome {
    if let Some(skipped) = unlike_the_original("its parent is gone by then") {
        return skipped;
    }
    let scratch = Scratch::new();
    let setup = Setup::new(scratch.path(), "one");
    // Something that is no socket and does not go away is where the socket should be.
    let socket = setup.run_dir().join("sanlock.sock");
    fs::create_dir_all(socket.join("in the way")).unwrap();
    for foreground in [false, true] {
        let output = setup.command(foreground).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "foreground {foreground}");
        let said = said(&output);
        assert!(
            said.lines().any(|line| line.contains("sanlock.sock")),
            "{said}"
        );
    }
    let missing = scratch.path().join("missing").join("run");
    let output = setup
        .command(false)
        .env("SANLOCK_RUN_DIR", &missing)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains(missing.to_str().unwrap()),
        "{}",
        said(&output)
    );
    Outcome::Passed
}

fn files_stay() -> Outcome {
    let scratch = Scratch::new();
    let setup = Setup::new(scratch.path(), "one");
    let socket = setup.run_dir().join("sanlock.sock");
    let mut before = 0;
    for _ in 0..2 {
        let mut daemon = setup.start();
        assert_ne!(daemon.pid(), before);
        before = daemon.pid();
        daemon.signal(Signal::SIGTERM);
        assert!(daemon.ended(PATIENCE).success());
        assert_eq!(pid_in(setup.run_dir()), Some(before));
        assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
    }
    // As after a crash.
    setup.start().crash();
    assert!(setup.start().client.version().is_ok());
    Outcome::Passed
}
