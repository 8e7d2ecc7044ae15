//! Lock daemons with a `/run` of their own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::load::connection;
use crate::program::find;
use crate::style;
use crate::workspace::build_release;

/// How long a daemon may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// A lock daemon that takes part.
pub(super) struct Program(PathBuf);

/// Ours, built now, and the installed one.
pub(super) fn programs() -> Result<Vec<Program>> {
    let mut programs = vec![Program(build_release("virtlockd")?)];
    match find("virtlockd") {
        Some(path) => programs.push(Program(path)),
        None => eprintln!(
            "{} libvirt's virtlockd is not installed (`cargo xtask install-deps`), there is nothing to compare with",
            style::notable("note:")
        ),
    }
    Ok(programs)
}

/// A daemon; killed when it is dropped.
pub(super) struct Running {
    child: Child,
    ready_after: Duration,
}

impl Program {
    /// Starts it in a namespace that is there before the clock runs.
    pub(super) fn start(&self, dir: &Path) -> Result<Running> {
        let conf = dir.join("virtlockd.conf");
        std::fs::write(&conf, "max_clients = 2000\n").context("cannot write virtlockd.conf")?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]);
        if !nix::unistd::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        let script = "mount -t tmpfs tmpfs /run && mkdir /run/libvirt && echo && read go && exec \"$@\" </dev/null";
        command
            .args(["--", "sh", "-c", script, "sh"])
            .arg(&self.0)
            .arg("-f")
            .arg(&conf)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let shown = self.0.display();
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {shown}"))?;
        let mut running = Running {
            child,
            ready_after: Duration::ZERO,
        };
        let mut line = String::new();
        let stdout = running.child.stdout.take();
        let stdout = stdout.context("there is no standard output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(
            !line.is_empty(),
            "cannot make a mount namespace with a /run of its own"
        );
        let begin = Instant::now();
        let stdin = running.child.stdin.as_mut();
        stdin
            .context("there is no standard input")?
            .write_all(b"\n")?;
        while connection(&running.socket()).is_err() {
            ensure!(
                running.child.try_wait()?.is_none() && begin.elapsed() < PATIENCE,
                "{shown} does not answer"
            );
            std::thread::sleep(Duration::from_micros(50));
        }
        running.ready_after = begin.elapsed();
        Ok(running)
    }
}

impl Running {
    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub(super) fn socket(&self) -> PathBuf {
        PathBuf::from(format!(
            "/proc/{}/root/run/libvirt/virtlockd-sock",
            self.pid()
        ))
    }

    /// How long it took to answer its first call.
    pub(super) fn ready_after(&self) -> Duration {
        self.ready_after
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
