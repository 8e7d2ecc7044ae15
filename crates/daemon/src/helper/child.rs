//! The helper itself: one thread, one loop, until the daemon's end of the pipe closes.
//!
//! Whatever may wait (a program on storage that hangs, a setting of a device that hangs) is done by a
//! child of its own, so that the next order, which may be to kill somebody, is not held up.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

use super::order::{self, Kind, Order};
use super::report::{Ended, Report};
use super::{REPORT_INTERVAL, arguments};
use crate::{Error, Process, realtime, signals};

/// How often children are looked for while there are any.
const REAP_INTERVAL: Duration = Duration::from_secs(1);

/// When a report that found the pipe full is tried again.
const REPORT_RETRY: Duration = Duration::from_secs(2);

/// Ends with the process.
pub(super) fn run(orders: OwnedFd, reports: OwnedFd, debug: bool) -> ! {
    realtime::name_this_thread("sanlock-helper");
    close_all_but([orders.as_raw_fd(), reports.as_raw_fd()]);
    // A terminal's interrupt and a service manager's stop are for the daemon, which may refuse to
    // end while leases are held; then it still needs somebody who kills.
    for signal in signals::TERMINATION {
        let _ = signals::ignore(signal);
    }
    let _ = signals::ignore(Signal::SIGPIPE);
    let mut helper = Helper {
        orders: File::from(orders),
        reports: File::from(reports),
        children: BTreeMap::new(),
        debug,
    };
    if let Err(error) = nix::unistd::setgroups(&[]) {
        helper.say(|| format!("keeps its supplementary groups: {error}"));
    }
    helper.work();
    helper.say(|| "ends: the daemon is gone".to_owned());
    exit(0)
}

/// Why there is a child.
#[derive(Debug, Clone, Copy)]
enum Errand {
    Program,
    Setting,
}

struct Helper {
    orders: File,
    reports: File,
    children: BTreeMap<Pid, Errand>,
    debug: bool,
}

impl Helper {
    fn work(&mut self) {
        let mut reported = self.report(Report::Alive).then(Instant::now);
        loop {
            let until_report = reported.map_or(REPORT_RETRY, |last| {
                REPORT_INTERVAL.saturating_sub(last.elapsed())
            });
            let timeout = if self.children.is_empty() {
                until_report
            } else {
                until_report.min(REAP_INTERVAL)
            };
            let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::ZERO);
            let mut fds = [PollFd::new(self.orders.as_fd(), PollFlags::POLLIN)];
            if matches!(poll(&mut fds, timeout), Err(error) if error != nix::Error::EINTR) {
                return;
            }
            if reported.is_none_or(|last| last.elapsed() >= REPORT_INTERVAL) {
                reported = self.report(Report::Alive).then(Instant::now);
            }
            // All that the daemon has sent is done, also if it has died since.
            loop {
                match self.next() {
                    Next::Order(order) => self.carry_out(&order),
                    Next::Nonsense => self.say(|| "got an order that is none".to_owned()),
                    Next::None => break,
                    Next::End => return,
                }
            }
            self.reap();
        }
    }

    fn next(&mut self) -> Next {
        let mut record = [0; order::LEN];
        match self.orders.read(&mut record) {
            Ok(0) => Next::End,
            Ok(order::LEN) => Order::decode(record).map_or(Next::Nonsense, Next::Order),
            Ok(_) => Next::Nonsense,
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => Next::None,
                _ => Next::End,
            },
        }
    }

    fn carry_out(&mut self, order: &Order) {
        self.say(|| format!("{order:?}"));
        match order.kind() {
            Kind::RunProgram {
                path,
                arguments,
                pid,
            } => {
                let vector = arguments::vector(path, arguments, *pid);
                let started = self.in_a_child(Errand::Program, || become_program(&vector));
                if let Err(error) = started {
                    self.report(Report::ProgramNotStarted {
                        errno: error as i32,
                    });
                }
            }
            Kind::Kill {
                pid,
                signal,
                start_time,
            } => {
                let process = match start_time {
                    Some(start_time) => Process::open_started_at(*pid, *start_time),
                    None => Process::open(*pid),
                };
                let killed = process.and_then(|process| process.signal(*signal));
                if let Err(error) = killed {
                    self.say(|| error.to_string());
                    self.report(Report::KillFailed {
                        pid: *pid,
                        errno: -Error::code(&error),
                    });
                }
            }
            Kind::SetSysfs { path, value } => {
                let started = self.in_a_child(Errand::Setting, || write_setting(path, *value));
                if let Err(error) = started {
                    self.report(Report::SettingFailed {
                        errno: error as i32,
                    });
                }
            }
        }
    }

    /// Forks a child that exits with what `work` returns.
    fn in_a_child(&mut self, errand: Errand, work: impl FnOnce() -> i32) -> Result<(), nix::Error> {
        // SAFETY: the helper has one thread, so the child may do whatever the helper might.
        match unsafe { nix::unistd::fork() }? {
            ForkResult::Parent { child } => {
                self.children.insert(child, errand);
                Ok(())
            }
            ForkResult::Child => exit(work()),
        }
    }

    /// Takes note of children that have ended.
    fn reap(&mut self) {
        loop {
            let (pid, how) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, status)) => (pid, Ended::Exited(status)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Ended::Killed(signal as i32)),
                Ok(WaitStatus::StillAlive) => return,
                Ok(_) | Err(nix::Error::EINTR) => continue,
                Err(_) => {
                    self.children.clear();
                    return;
                }
            };
            self.say(|| format!("child {pid}: {how}"));
            match (self.children.remove(&pid), how) {
                (Some(Errand::Setting), Ended::Exited(0)) => {}
                (Some(Errand::Setting), Ended::Exited(errno)) => {
                    self.report(Report::SettingFailed { errno });
                }
                (Some(Errand::Setting), Ended::Killed(_)) => {
                    self.report(Report::SettingFailed { errno: 0 });
                }
                (Some(Errand::Program) | None, how) => {
                    self.report(Report::ProgramEnded {
                        pid: pid.as_raw(),
                        how,
                    });
                }
            }
        }
    }

    /// Whether the report was sent; a daemon that does not read loses it.
    fn report(&self, report: Report) -> bool {
        (&self.reports).write(&report.encode()).is_ok()
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.debug {
            let _ = writeln!(std::io::stderr(), "helper {}", what());
        }
    }
}

enum Next {
    Order(Order),
    Nonsense,
    None,
    End,
}

/// Ends a forked process without what the daemon has left to do at its own end, such as writing what
/// it had printed before the fork.
fn exit(status: i32) -> ! {
    // SAFETY: it runs no code of ours.
    unsafe { libc::_exit(status) }
}

/// Runs the program in this process; returns the exit status that says that it could not.
fn become_program(vector: &[Vec<u8>]) -> i32 {
    const NOT_RUN: i32 = 127;
    for signal in signals::TERMINATION {
        let _ = signals::reset(signal);
    }
    let _ = signals::reset(Signal::SIGPIPE);
    let _ = signals::unblock_all_in_this_thread();
    // SAFETY: this process has one thread, so nobody reads the environment meanwhile.
    unsafe { std::env::remove_var("NOTIFY_SOCKET") };
    let words: Result<Vec<CString>, _> = vector
        .iter()
        .map(|word| CString::new(word.as_slice()))
        .collect();
    if let Ok(words) = words {
        if let Some(path) = words.first() {
            let _ = nix::unistd::execvp(path, &words);
        }
    }
    NOT_RUN
}

/// Writes a number to a file of sysfs; returns 0 or the error's number.
fn write_setting(path: &[u8], value: u32) -> i32 {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::OsStr::from_bytes(path);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.to_string().as_bytes()));
    match written {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(libc::EIO),
    }
}

/// Closes what the daemon has open by now, but for the standard streams: in the helper it would keep
/// pipes and sockets open that others wait for to close.
fn close_all_but(kept: [RawFd; 2]) {
    let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd").map_or_else(
        |_| (0..1024).collect(),
        |entries| {
            entries
                .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
                .collect()
        },
    );
    for fd in open {
        if fd > 2 && !kept.contains(&fd) {
            // SAFETY: objects of the daemon that own this descriptor are never used or dropped in the
            // helper, which ends by exiting.
            unsafe { libc::close(fd) };
        }
    }
}
