//! A process for work that may block, and a socket to it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::signal::SigSet;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use nix::unistd::{ForkResult, Pid};

use crate::daemonize::require_single_thread;
use crate::{Error, realtime, signals};

/// The near end of a forked process. Messages are kept apart; each is read as it was sent.
///
/// The process ends when its work returns, which it should when it reads the end of its socket: this was dropped,
/// or the daemon is gone.
#[derive(Debug)]
pub struct Subprocess {
    pid: Pid,
    socket: OwnedFd,
}

impl Subprocess {
    /// Forks a process of this name that does `work` on its (blocking) end of the socket. It does not heed the
    /// signals that ask a daemon to end.
    ///
    /// # Errors
    /// [`Error::Threads`] if the process has more than one thread, or what the kernel says.
    pub fn start(name: &'static str, work: impl FnOnce(OwnedFd)) -> Result<Self, Error> {
        require_single_thread("start a process of its own")?;
        let pair = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        );
        let (near, far) = pair.map_err(|error| Error::os("make a pair of sockets", error))?;
        // SAFETY: the process has one thread, so the child may do whatever the parent might.
        match unsafe { nix::unistd::fork() }.map_err(|error| Error::os("fork", error))? {
            ForkResult::Parent { child } => Ok(Self {
                pid: child,
                socket: near,
            }),
            ForkResult::Child => {
                drop(near);
                realtime::name_this_thread(name);
                // Not ignored: what it runs would inherit that.
                let _ = SigSet::from_iter(signals::TERMINATION).thread_block();
                work(far);
                // Without the parent's destructors and buffers.
                // SAFETY: ends the process.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// Its pid.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Sends a message. Never waits.
    ///
    /// # Errors
    /// `WouldBlock` if the process has not yet read what it was sent, `BrokenPipe` if it is gone.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        send(self.socket.as_raw_fd(), message, flags)?;
        Ok(())
    }

    /// Reads a message, 0 bytes for the end of the process. With `wait` it waits for one.
    ///
    /// # Errors
    /// `WouldBlock` if there is none.
    pub fn receive(&self, buffer: &mut [u8], wait: bool) -> io::Result<usize> {
        let flags = if wait {
            MsgFlags::empty()
        } else {
            MsgFlags::MSG_DONTWAIT
        };
        Ok(recv(self.socket.as_raw_fd(), buffer, flags)?)
    }
}

impl AsFd for Subprocess {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
