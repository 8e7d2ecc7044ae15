//! A process that keeps its rights and kills, while the daemon gives its own up.
//!
//! The daemon runs as an ordinary user and must neither block nor fork while it has real-time
//! priority and locked memory. So before it starts threads or changes its user it forks a small
//! helper, which takes orders of fixed size from a pipe: run a program (a client's kill path), send
//! a signal to a process, set a block device's `max_sectors_kb`. Orders are not acknowledged; another
//! pipe carries [`Report`]s back, of which one comes at least every [`REPORT_INTERVAL`].
//!
//! The process is named `sanlock-helper`, as security policies expect. The record in the pipe is
//! upstream's, with the time when the process to be killed was started in a place that upstream
//! leaves empty.

mod arguments;
mod child;
mod order;
mod report;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

pub use order::{ARGUMENTS_LEN, Order, PATH_LEN};
pub use report::{Ended, Report};

use crate::Error;
use crate::daemonize::require_single_thread;

/// A helper that has not reported for longer than this (and a little) hangs.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(30);

/// Room for orders in the pipe, in bytes: 2048 of them can wait, where the default has room for 128.
const PIPE_SIZE: i32 = 1024 * 1024;

/// The daemon's end of a helper.
///
/// Dropping it ends the helper, which carries out the orders that it already has.
#[derive(Debug)]
pub struct Helper {
    pid: Pid,
    orders: File,
    reports: File,
}

/// Why an order was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The helper has not yet read what it was sent; try again in a second.
    #[error("the helper is busy: its pipe is full")]
    Full,
    /// The helper has ended. There is no point in trying again.
    #[error("the helper has ended")]
    Gone,
    /// What the kernel says.
    #[error("cannot write to the helper: {0}")]
    Os(io::Error),
}

impl Helper {
    /// Forks the helper, with the rights that this process has now, but without supplementary groups.
    ///
    /// With `debug` it says on the standard error what it does.
    ///
    /// # Errors
    /// [`Error::Threads`] if the process has more than one thread, or what the kernel says.
    pub fn spawn(debug: bool) -> Result<Self, Error> {
        require_single_thread("start the helper")?;
        let pipe = || {
            nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
                .map_err(|error| Error::os("make a pipe", error))
        };
        let (order_reader, order_writer) = pipe()?;
        let (report_reader, report_writer) = pipe()?;
        // A wish: users have a limit on pipe memory, root has none.
        let _ = fcntl(&order_writer, FcntlArg::F_SETPIPE_SZ(PIPE_SIZE));
        // SAFETY: the process has one thread, so the child may do whatever the parent might.
        match unsafe { nix::unistd::fork() }.map_err(|error| Error::os("fork", error))? {
            ForkResult::Parent { child } => Ok(Self {
                pid: child,
                orders: File::from(order_writer),
                reports: File::from(report_reader),
            }),
            ForkResult::Child => child::run(order_reader, report_writer, debug),
        }
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Sends an order. Never waits.
    ///
    /// # Errors
    /// [`SendError`]; the helper then has not got the order.
    pub fn send(&self, order: &Order) -> Result<(), SendError> {
        // Shorter than PIPE_BUF, so it is written as a whole or not at all.
        match (&self.orders).write_all(&order.encode()) {
            Ok(()) => Ok(()),
            Err(error) => Err(match error.kind() {
                io::ErrorKind::WouldBlock => SendError::Full,
                io::ErrorKind::BrokenPipe => SendError::Gone,
                _ => SendError::Os(error),
            }),
        }
    }

    /// Becomes readable when there is a report or the helper has ended.
    #[must_use]
    pub fn reports(&self) -> BorrowedFd<'_> {
        self.reports.as_fd()
    }

    /// The next report, `None` if there is none yet. Never waits.
    ///
    /// # Errors
    /// `UnexpectedEof` if the helper has ended, `InvalidData` if it sends nonsense.
    pub fn read_report(&self) -> io::Result<Option<Report>> {
        let mut record = [0; report::LEN];
        match (&self.reports).read(&mut record) {
            Ok(report::LEN) => Report::decode(&record).map(Some).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "unknown report of the helper")
            }),
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How the helper ended, once it has; takes it off the kernel's table. Never waits.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        match waitpid(self.pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, status)) => Some(Ended::Exited(status)),
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(Ended::Killed(signal as i32)),
            _ => None,
        }
    }
}
