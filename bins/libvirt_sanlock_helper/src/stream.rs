//! libvirt's socket, with a deadline.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use libvirt_rpc::{ErrorDomain, RemoteError};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::Failure;

/// When all has to be over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// So long from now on.
    pub(crate) fn after(limit: Duration) -> Self {
        Self {
            at: Instant::now() + limit,
            limit,
        }
    }

    fn left(self) -> io::Result<Duration> {
        let left = self.at.saturating_duration_since(Instant::now());
        // A limit of zero would be none.
        if left < Duration::from_millis(1) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(left)
    }
}

/// A stream that fails with [`io::ErrorKind::TimedOut`] at its deadline.
#[derive(Debug)]
pub(crate) struct DeadlineStream {
    stream: UnixStream,
    shown: String,
    deadline: Deadline,
}

impl DeadlineStream {
    /// Connects to the socket at a path, which messages call `shown`.
    pub(crate) fn connect(path: &Path, shown: &str, deadline: Deadline) -> Result<Self, Failure> {
        match connect_within(path, deadline) {
            Ok(stream) => Ok(Self {
                stream,
                shown: shown.to_owned(),
                deadline,
            }),
            Err(error) if is_timeout(&error) => Err(late(shown, deadline)),
            Err(error) => {
                let tried = format!("Failed to connect socket to '{shown}'");
                Err(Box::new(RemoteError::system(
                    ErrorDomain::RPC,
                    tried,
                    &error,
                )))
            }
        }
    }

    /// What to say of an error of this stream.
    pub(crate) fn failure(&self, error: &io::Error) -> Failure {
        if is_timeout(error) {
            return late(&self.shown, self.deadline);
        }
        let tried = "Cannot exchange data with libvirt";
        Box::new(RemoteError::system(ErrorDomain::RPC, tried, error))
    }
}

/// A server with a full queue of connections that it does not take lets connect(2) wait; only a limit that is set
/// before ends that.
fn connect_within(path: &Path, deadline: Deadline) -> io::Result<UnixStream> {
    let kind = (AddressFamily::Unix, SockType::Stream);
    let fd: OwnedFd = socket(kind.0, kind.1, SockFlag::SOCK_CLOEXEC, None)?;
    let left = i64::try_from(deadline.left()?.as_micros()).unwrap_or(i64::MAX);
    setsockopt(&fd, sockopt::SendTimeout, &TimeVal::microseconds(left))?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(fd.into())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

fn late(shown: &str, deadline: Deadline) -> Failure {
    let seconds = deadline.limit.as_secs();
    let tried = format!("No answer from libvirt at '{shown}' within {seconds} seconds");
    let error = io::Error::from_raw_os_error(nix::libc::ETIMEDOUT);
    Box::new(RemoteError::system(ErrorDomain::RPC, tried, &error))
}

impl Read for DeadlineStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.deadline.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for DeadlineStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.deadline.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
