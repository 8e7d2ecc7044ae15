//! A virtlockd, the C one or ours, with a `/run` of its own, whose sockets are reached from outside.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

/// Where the C daemon is, or what `$VIRTLOCKD_UPSTREAM` names; why it cannot be used.
pub fn original() -> Result<PathBuf, String> {
    let path = std::env::var_os("VIRTLOCKD_UPSTREAM")
        .map_or_else(|| PathBuf::from("/usr/sbin/virtlockd"), PathBuf::from);
    if !path.is_file() {
        return Err(format!("no C virtlockd at {}", path.display()));
    }
    Ok(path)
}

/// Why no daemon can be given a `/run` of its own here.
pub fn cannot_be_isolated() -> Option<String> {
    let tried = isolated(Path::new("true")).output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(failed) => Some(format!("unshare: {failed}")),
    }
}

/// A program, to be run with an empty `/run`.
pub fn isolated(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]);
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let script = "mount -t tmpfs tmpfs /run && exec \"$@\"";
    command.args(["--", "sh", "-c", script, "sh"]).arg(program);
    command
}

/// A running daemon; killed when this is dropped.
pub struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts it and waits until it answers.
    pub fn start(program: &Path, arguments: &[&str]) -> Self {
        let mut command = isolated(program);
        command.args(arguments).stdin(Stdio::null());
        Self::run(command)
    }

    /// As [`Daemon::start`], with its messages in a file.
    pub fn start_logged(program: &Path, arguments: &[&str], log: &Path) -> Self {
        let mut command = isolated(program);
        let log = std::fs::File::create(log).unwrap();
        command.args(arguments).stdin(Stdio::null()).stderr(log);
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        let mut daemon = Self {
            child: command.spawn().unwrap(),
        };
        let socket = daemon.socket();
        wait_until("the daemon listens", || {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                panic!("the daemon ended: {status}");
            }
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        });
        daemon
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A file as the daemon sees it.
    pub fn inside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid()))
    }

    /// Where clients of the lock program connect.
    pub fn socket(&self) -> PathBuf {
        self.inside("/run/libvirt/virtlockd-sock")
    }

    /// Where clients of the admin program connect.
    pub fn admin_socket(&self) -> PathBuf {
        self.inside("/run/libvirt/virtlockd-admin-sock")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        let child = &mut self.child;
        let mut status = None;
        wait_until("the daemon ends", || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for something, but not for ever.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < LONG, "{what}: not within {LONG:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
