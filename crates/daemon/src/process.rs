//! Another process that may have to be killed.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::{Error, ProcessState};

/// A handle to one process, so that another one that gets its pid later is never killed for it.
///
/// It is a pidfd (Linux 5.3). Where the kernel or a sandbox has none, the pid is compared with the
/// time at which the process started, right before each signal.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    /// As in [`ProcessState::start_time`]; unknown where `/proc` does not show the process.
    start_time: Option<u64>,
    handle: Option<OwnedFd>,
}

impl Process {
    /// Finds the process that has this pid now.
    ///
    /// # Errors
    /// [`Error::Invalid`] for pids that name no single process (0 and negative ones, which to `kill`
    /// are groups), [`Error::NoSuchProcess`], or what the kernel says.
    pub fn open(pid: i32) -> Result<Self, Error> {
        if pid <= 0 {
            return Err(Error::Invalid(format!("{pid} is not the pid of a process")));
        }
        let handle = match pidfd_open(pid) {
            Ok(handle) => Some(handle),
            Err(error) => match error.raw_os_error() {
                Some(libc::ESRCH) => return Err(Error::NoSuchProcess { pid }),
                Some(libc::ENOSYS | libc::EPERM | libc::EMFILE | libc::ENFILE) => None,
                // A thread's id is no process.
                Some(libc::EINVAL | libc::ENOENT) => {
                    return Err(Error::Invalid(format!("{pid} is not the pid of a process")));
                }
                _ => return Err(Error::os(format!("open a handle to process {pid}"), error)),
            },
        };
        let process = Self {
            pid: Pid::from_raw(pid),
            start_time: ProcessState::read(pid).ok().map(|state| state.start_time),
            handle,
        };
        if !process.is_alive() {
            return Err(Error::NoSuchProcess { pid });
        }
        Ok(process)
    }

    /// The process that had this pid and this [`Process::start_time`], if it still is the same.
    ///
    /// # Errors
    /// As [`Process::open`]; [`Error::NoSuchProcess`] if the pid belongs to a later process.
    pub fn open_started_at(pid: i32, start_time: u64) -> Result<Self, Error> {
        let process = Self::open(pid)?;
        match process.start_time {
            Some(found) if found != start_time => Err(Error::NoSuchProcess { pid }),
            _ => Ok(process),
        }
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// When it started, in clock ticks since the start of the host; `None` where `/proc` hides it.
    #[must_use]
    pub fn start_time(&self) -> Option<u64> {
        self.start_time
    }

    /// Becomes readable when the process ends; `None` where the kernel has no pidfd.
    #[must_use]
    pub fn handle(&self) -> Option<BorrowedFd<'_>> {
        self.handle.as_ref().map(AsFd::as_fd)
    }

    /// Whether it still runs. One that has ended but was not waited for does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        match &self.handle {
            Some(handle) => {
                let mut fds = [PollFd::new(handle.as_fd(), PollFlags::POLLIN)];
                // An error says nothing about the process, so it counts as alive.
                !matches!(poll(&mut fds, PollTimeout::ZERO), Ok(ready) if ready > 0)
            }
            None => match ProcessState::read(self.pid()) {
                Ok(now) => {
                    !now.has_ended() && self.start_time.is_none_or(|start| start == now.start_time)
                }
                Err(_) => nix::sys::signal::kill(self.pid, None) != Err(nix::Error::ESRCH),
            },
        }
    }

    /// Sends a signal to it.
    ///
    /// # Errors
    /// [`Error::NoSuchProcess`] if it has ended, or what the kernel says.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        let sent = match &self.handle {
            Some(handle) => pidfd_send_signal(handle.as_raw_fd(), signal),
            None if !self.is_alive() => Err(std::io::Error::from_raw_os_error(libc::ESRCH)),
            None => nix::sys::signal::kill(self.pid, signal).map_err(Into::into),
        };
        sent.map_err(|error| match error.raw_os_error() {
            Some(libc::ESRCH) => Error::NoSuchProcess { pid: self.pid() },
            _ => Error::os(format!("send {signal} to process {}", self.pid), error),
        })
    }
}

fn pidfd_open(pid: i32) -> std::io::Result<OwnedFd> {
    // SAFETY: the call takes two numbers and touches no memory of ours.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_pidfd_open,
            libc::c_long::from(pid),
            0 as libc::c_long,
        )
    };
    match RawFd::try_from(fd) {
        // SAFETY: the kernel has just given us this descriptor, and nothing else owns it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(std::io::Error::last_os_error()),
    }
}

fn pidfd_send_signal(handle: RawFd, signal: Signal) -> std::io::Result<()> {
    // SAFETY: a null siginfo is allowed and means the one that kill(2) would send.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            libc::c_long::from(handle),
            libc::c_long::from(signal as i32),
            std::ptr::null::<libc::siginfo_t>(),
            0 as libc::c_long,
        )
    };
    if sent == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command};

    fn sleeper() -> (Child, i32) {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        (child, pid)
    }

    fn without_handle(mut process: Process) -> Process {
        process.handle = None;
        process
    }

    #[test]
    fn it_is_killed_once_and_then_gone() {
        for wrap in [|process| process, without_handle] {
            let (mut child, pid) = sleeper();
            let process = wrap(Process::open(pid).unwrap());
            assert!(process.is_alive());
            process.signal(Signal::SIGTERM).unwrap();
            let status = child.wait().unwrap();
            assert_eq!(status.signal(), Some(libc::SIGTERM));
            assert!(!process.is_alive());
            assert!(matches!(
                process.signal(Signal::SIGKILL),
                Err(Error::NoSuchProcess { .. })
            ));
        }
    }

    #[test]
    fn one_that_was_not_waited_for_is_not_alive() {
        for wrap in [|process| process, without_handle] {
            let (mut child, pid) = sleeper();
            let process = wrap(Process::open(pid).unwrap());
            child.kill().unwrap();
            while process.is_alive() {
                std::thread::yield_now();
            }
            assert!(matches!(
                Process::open(pid),
                Err(Error::NoSuchProcess { .. })
            ));
            child.wait().unwrap();
        }
    }

    #[test]
    fn a_later_process_with_the_pid_is_another_one() {
        let (mut child, pid) = sleeper();
        let start = Process::open(pid).unwrap().start_time().unwrap();
        assert!(Process::open_started_at(pid, start).is_ok());
        assert!(matches!(
            Process::open_started_at(pid, start - 1),
            Err(Error::NoSuchProcess { .. })
        ));
        let mut other = without_handle(Process::open(pid).unwrap());
        other.start_time = Some(start - 1);
        assert!(!other.is_alive());
        assert!(other.signal(Signal::SIGKILL).is_err());
        assert!(
            child.try_wait().unwrap().is_none(),
            "it was killed for another one"
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn groups_are_never_meant() {
        for pid in [0, -1, -5, i32::MIN] {
            assert!(
                matches!(Process::open(pid), Err(Error::Invalid(_))),
                "{pid}"
            );
        }
        assert!(matches!(
            Process::open(i32::MAX),
            Err(Error::NoSuchProcess { .. })
        ));
    }
}
