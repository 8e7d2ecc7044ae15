//! What takes processes of its own to try: forks, locks between processes, users, limits, kills.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

#[path = "common/harness.rs"]
mod harness;

#[path = "processes/background.rs"]
mod background;
#[path = "processes/helper.rs"]
mod helper;
#[path = "processes/lock.rs"]
mod lock;
#[path = "processes/logs.rs"]
mod logs;
#[path = "processes/rights.rs"]
mod rights;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::{Duration, Instant};

/// Set in a process that a case starts: what it is to do.
const ROLE: &str = "PROCESSES_ROLE";
/// A directory that a case and the processes it starts share.
const DIRECTORY: &str = "PROCESSES_DIRECTORY";

/// Patience on a busy computer.
const SOON: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    if let Ok(role) = std::env::var(ROLE) {
        let directory = PathBuf::from(std::env::var_os(DIRECTORY).unwrap());
        match role.split_once('/').unwrap() {
            ("background", role) => background::play(role, &directory),
            ("lock", role) => lock::play(role, &directory),
            ("logs", role) => logs::play(role, &directory),
            ("rights", role) => rights::play(role),
            _ => panic!("{role}"),
        }
        return ExitCode::SUCCESS;
    }
    let cases: Vec<harness::Case> = [
        background::CASES,
        lock::CASES,
        helper::CASES,
        rights::CASES,
        logs::CASES,
    ]
    .concat();
    harness::run(&cases)
}

/// This program again, in another role.
fn role(role: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(ROLE, role).env(DIRECTORY, directory);
    command
}

/// The same, run by another program (`setpriv ...`).
fn role_within(program: &[&str], role: &str, directory: &Path) -> Command {
    let mut command = Command::new(program[0]);
    command
        .args(&program[1..])
        .arg(std::env::current_exe().unwrap())
        .env(ROLE, role)
        .env(DIRECTORY, directory);
    command
}

/// An empty directory of this process's own that is removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("daemon-processes-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl std::ops::Deref for Scratch {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// Waits until `what` is so.
fn eventually(name: &str, mut what: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !what() {
        assert!(Instant::now() < deadline, "{name}: not in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// A line of `/proc/PID/status`.
fn status_line(pid: i32, key: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_once(':').unwrap().1.trim().to_owned()
}

/// Upstream's daemon in a run directory of its own; ends with this.
struct Upstream {
    child: std::process::Child,
    program: PathBuf,
    run_dir: PathBuf,
}

impl Upstream {
    fn program() -> Option<PathBuf> {
        let program = std::env::var_os("SANLOCK_UPSTREAM")
            .map_or_else(|| PathBuf::from("/usr/sbin/sanlock"), PathBuf::from);
        program.exists().then_some(program)
    }

    fn start(run_dir: &Path) -> Option<Self> {
        let program = Self::program()?;
        let child = Command::new(&program)
            .args(["daemon", "-D", "-w", "0"])
            .env("SANLOCK_PRIVILEGED", "0")
            .env("SANLOCK_RUN_DIR", run_dir)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let upstream = Self {
            child,
            program,
            run_dir: run_dir.to_owned(),
        };
        eventually("upstream's socket", || {
            run_dir.join("sanlock.sock").exists()
        });
        Some(upstream)
    }

    fn client(&self, arguments: &[&str]) -> Output {
        Command::new(&self.program)
            .arg("client")
            .args(arguments)
            .env("SANLOCK_RUN_DIR", &self.run_dir)
            .output()
            .unwrap()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
