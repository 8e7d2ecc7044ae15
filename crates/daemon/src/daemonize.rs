//! Into the background, with a parent that waits until the daemon is ready.
//!
//! Upstream's parent returns at once, so that its exit status says nothing, and a service manager
//! that waits for it starts clients before there is a socket to connect to.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

use crate::{Error, Notifier};

/// Where the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daemonize {
    /// In the process that was started: for debugging, and under a service manager that is told
    /// when the daemon is ready.
    Foreground,
    /// In a child, in a session of its own, in `/`, without a terminal.
    Background,
}

impl Daemonize {
    /// [`Daemonize::Foreground`] for debugging, or if this process is what a service manager has
    /// started as a `Type=notify` service; else [`Daemonize::Background`].
    ///
    /// A program within such a service inherits its `NOTIFY_SOCKET`, so that alone does not count.
    #[must_use]
    pub fn choose(debug: bool) -> Self {
        if debug || is_notify_service() {
            Self::Foreground
        } else {
            Self::Background
        }
    }

    /// Goes there. In the background this returns in the child only; the parent stays until
    /// [`Ready::notify`] or [`Ready::fail`], or until the child ends, and exits then.
    ///
    /// # Errors
    /// [`Error::Threads`] if the process has more than one thread, or what the kernel says.
    pub fn start(self) -> Result<Ready, Error> {
        let parent = match self {
            Self::Foreground => None,
            Self::Background => Some(fork_to_background()?),
        };
        Ok(Ready {
            parent,
            notifier: Notifier::from_environment(),
        })
    }
}

/// A daemon that has not yet said that it is ready.
///
/// Dropping it without a word counts as a failure to start.
#[derive(Debug)]
pub struct Ready {
    /// The parent that waits, until it is told.
    parent: Option<File>,
    notifier: Notifier,
}

/// First byte of what the parent reads.
const READY: u8 = b'R';
/// The next byte is an exit status, the rest a sentence.
const FAILED: u8 = b'F';

impl Ready {
    /// The daemon answers its clients: the parent returns with status 0, the service manager is told.
    /// Only the first call has an effect on the parent.
    pub fn notify(&mut self) {
        if let Some(mut parent) = self.parent.take() {
            // A parent that was killed is told nothing.
            let _ = parent.write_all(&[READY]);
        }
        self.notifier.ready();
    }

    /// Says why the daemon cannot run, on the standard error of whoever started it, and ends with
    /// `status` (1 to 255).
    pub fn fail(mut self, reason: &dyn Display, status: u8) -> ! {
        match self.parent.take() {
            Some(mut parent) => {
                let mut message = vec![FAILED, status];
                message.extend_from_slice(reason.to_string().as_bytes());
                let _ = parent.write_all(&message);
            }
            None => {
                let _ = writeln!(std::io::stderr(), "{reason}");
            }
        }
        std::process::exit(i32::from(status))
    }

    /// One line for people, shown by `systemctl status`.
    pub fn status(&self, line: &str) {
        self.notifier.status(line);
    }

    /// Starting or stopping may take this much longer from now on.
    pub fn extend_timeout(&self, time: Duration) {
        self.notifier.extend_timeout(time);
    }

    /// The daemon is about to end.
    pub fn stopping(&self) {
        self.notifier.stopping();
    }

    /// Whether a service manager listens to [`Ready::status`].
    #[must_use]
    pub fn is_listened_to(&self) -> bool {
        self.notifier.is_listened_to()
    }
}

/// Whether a service manager started this very process and wants to be told when it is ready.
fn is_notify_service() -> bool {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return false;
    }
    match std::env::var("SYSTEMD_EXEC_PID") {
        Ok(pid) => pid == std::process::id().to_string(),
        // systemd before 248 does not say.
        Err(_) => nix::unistd::getppid() == Pid::from_raw(1),
    }
}

/// Forking copies the calling thread alone: a lock that another one holds would stay locked.
pub(crate) fn require_single_thread(action: &'static str) -> Result<(), Error> {
    // Without /proc there is no way to tell.
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(Error::Threads { action, threads });
    }
    Ok(())
}

fn fork_to_background() -> Result<File, Error> {
    require_single_thread("go into the background")?;
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|error| Error::os("open /dev/null", error))?;
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
        .map_err(|error| Error::os("make a pipe", error))?;
    // SAFETY: the process has one thread, so the child may do whatever the parent might.
    match unsafe { nix::unistd::fork() }.map_err(|error| Error::os("fork", error))? {
        ForkResult::Parent { child } => {
            drop(writer);
            std::process::exit(wait_until_ready(child, reader))
        }
        ForkResult::Child => {
            drop(reader);
            let writer = File::from(writer);
            match detach(null.as_fd()) {
                Ok(()) => Ok(writer),
                // The parent still listens; the caller would write to a closed standard error.
                Err(error) => Ready {
                    parent: Some(writer),
                    notifier: Notifier::default(),
                }
                .fail(&error, 1),
            }
        }
    }
}

/// What daemon(3) does after its fork.
fn detach(null: std::os::fd::BorrowedFd<'_>) -> Result<(), Error> {
    nix::unistd::setsid().map_err(|error| Error::os("start a session", error))?;
    nix::unistd::chdir("/").map_err(|error| Error::os("change to /", error))?;
    nix::unistd::dup2_stdin(null)
        .and_then(|()| nix::unistd::dup2_stdout(null))
        .and_then(|()| nix::unistd::dup2_stderr(null))
        .map_err(|error| Error::os("redirect to /dev/null", error))
}

/// The parent's part: its exit status.
fn wait_until_ready(child: Pid, pipe: OwnedFd) -> i32 {
    let mut first = [0];
    let mut pipe = File::from(pipe);
    match pipe.read_exact(&mut first) {
        Ok(()) if first == [READY] => return 0,
        Ok(()) => {
            let mut rest = Vec::new();
            let _ = pipe.read_to_end(&mut rest);
            let (status, sentence) = rest.split_first().unwrap_or((&1, b""));
            complain(&String::from_utf8_lossy(sentence));
            return i32::from((*status).max(1));
        }
        Err(_) => {}
    }
    // Nobody holds the other end any more. The child is mostly gone by now, or about to be.
    for _ in 0..100 {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(10)),
            Ok(WaitStatus::Exited(_, status)) => {
                complain(&format!(
                    "the daemon ended with status {status} before it was ready"
                ));
                return status.max(1);
            }
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                complain(&format!("{signal} ended the daemon before it was ready"));
                return 1;
            }
            _ => break,
        }
    }
    complain("the daemon did not say that it is ready");
    1
}

fn complain(sentence: &str) {
    let _ = writeln!(std::io::stderr(), "{sentence}");
}
