//! A process that has a file open as well, so that the kernel does not close it when the daemon dies.
//!
//! Closing a file can do something: a watchdog device is kept alive once more. The keeper never reads or writes what
//! it is given. No signal but SIGKILL ends it, and no end of the daemon does while it holds something.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, recvmsg, send, sendmsg,
};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, pause};

use crate::{Error, Subprocess, signals};

/// What the keeper is told, and says when it has done so.
mod word {
    /// The descriptor that comes with it is to be held.
    pub(super) const HOLD: [u8; 1] = [b'H'];
    pub(super) const LET_GO: [u8; 1] = [b'L'];
}

/// How often it is looked whether a keeper that was killed is gone.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The daemon's end of a keeper. Dropping it ends a keeper that holds nothing.
#[derive(Debug)]
pub struct Keeper {
    process: Subprocess,
    gone: bool,
}

/// What became of a keeper that was told to let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetGo {
    /// It holds nothing.
    Done,
    /// It did not answer and was killed: it holds nothing, and there is no keeper any more.
    Killed,
    /// It did not answer and could not be ended in time: it may let go at any time from now on.
    Unknown,
}

impl Keeper {
    /// Forks it. It has none of this process's standard streams.
    ///
    /// # Errors
    /// [`Error::Threads`] if the process has more than one thread, or what the kernel says.
    pub fn start(name: &'static str) -> Result<Self, Error> {
        let process = Subprocess::start(name, |socket| work(&socket))?;
        Ok(Self {
            process,
            gone: false,
        })
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Has it hold this file too. From now on the file is open even if this process dies before the keeper has
    /// heard of it. Never waits.
    ///
    /// # Errors
    /// `BrokenPipe` if the keeper is gone, or what the kernel says.
    pub fn hold(&self, file: BorrowedFd<'_>) -> io::Result<()> {
        let descriptors = [file.as_raw_fd()];
        sendmsg::<UnixAddr>(
            self.process.as_fd().as_raw_fd(),
            &[IoSlice::new(&word::HOLD)],
            &[ControlMessage::ScmRights(&descriptors)],
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        Ok(())
    }

    /// Has it close what it holds, and waits for that, but not longer than twice `patience`: one that does not answer
    /// in time is killed.
    pub fn let_go(&mut self, patience: Duration) -> LetGo {
        if !self.gone {
            if self.answers(patience) {
                return LetGo::Done;
            }
            // It is our child, and nobody else waits for it: the number is still its own.
            let _ = kill(Pid::from_raw(self.pid()), Signal::SIGKILL);
        }
        let begin = Instant::now();
        loop {
            self.gone = self.gone || self.has_ended();
            if self.gone {
                return LetGo::Killed;
            }
            if begin.elapsed() >= patience {
                return LetGo::Unknown;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// A process that can be waited for has closed all its files.
    fn has_ended(&self) -> bool {
        let ended = waitpid(Pid::from_raw(self.pid()), Some(WaitPidFlag::WNOHANG));
        !matches!(ended, Ok(WaitStatus::StillAlive) | Err(Errno::EINTR))
    }

    fn answers(&self, patience: Duration) -> bool {
        if self.process.send(&word::LET_GO).is_err() {
            return false;
        }
        let begin = Instant::now();
        loop {
            let left = patience.saturating_sub(begin.elapsed());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            let mut ready = [PollFd::new(self.process.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, left) {
                Err(Errno::EINTR) => {}
                Ok(1..) => {
                    let mut answer = word::LET_GO;
                    return matches!(self.process.receive(&mut answer, false), Ok(1..));
                }
                Ok(_) | Err(_) => return false,
            }
        }
    }
}

/// Becomes readable when the keeper has ended.
impl AsFd for Keeper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }
}

fn work(socket: &OwnedFd) {
    let _ = signals::block_all_in_this_thread();
    leave_standard_streams();
    let mut held = None;
    loop {
        match receive(socket) {
            Ok(Some((word::HOLD, file))) => held = file.or(held),
            Ok(Some((said, _))) => {
                drop(held.take());
                let _ = send(socket.as_raw_fd(), &said, MsgFlags::MSG_NOSIGNAL);
            }
            Err(Errno::EINTR) => {}
            Ok(None) | Err(_) => break,
        }
    }
    while held.is_some() {
        pause();
    }
}

/// Whoever reads what the daemon says sees its end with the daemon's.
fn leave_standard_streams() {
    if let Ok(null) = open(
        c"/dev/null",
        OFlag::O_RDWR | OFlag::O_CLOEXEC,
        Mode::empty(),
    ) {
        let _ = dup2_stdin(&null);
        let _ = dup2_stdout(&null);
        let _ = dup2_stderr(&null);
    }
}

/// A message, with a file or without; `None` for the end of the daemon.
fn receive(socket: &OwnedFd) -> nix::Result<Option<([u8; 1], Option<OwnedFd>)>> {
    let mut said = [0];
    let mut bytes = [IoSliceMut::new(&mut said)];
    let mut room = nix::cmsg_space!(std::os::fd::RawFd);
    let message = recvmsg::<UnixAddr>(
        socket.as_raw_fd(),
        &mut bytes,
        Some(&mut room),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    if message.bytes == 0 {
        return Ok(None);
    }
    let mut file = None;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = part {
            for descriptor in descriptors {
                // SAFETY: the kernel has just made this descriptor for us, and nobody else knows of it.
                file = Some(unsafe { OwnedFd::from_raw_fd(descriptor) });
            }
        }
    }
    Ok(Some((said, file)))
}
