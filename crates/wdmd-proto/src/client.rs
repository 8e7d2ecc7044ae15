//! A client whose calls never take longer than they are given.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::error::ClientError;
use crate::message::{Message, Name, Request, Status};

/// How long nothing may come after a whole line before a dump counts as complete.
const DUMP_PAUSE: Duration = Duration::from_millis(300);

/// What became of [`Client::open_watchdog`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// The device is open with the fire timeout asked for.
    Yes,
    /// This wdmd does not know the command (3.8.5 and before): it opened its device when it started, with the
    /// fire timeout in this status, which is the one asked for.
    AtItsStart(Status),
}

/// A connection to wdmd. It is what wdmd watches: keep it for as long as the watching is to last.
///
/// Each call returns within the time given to [`Client::connect`], so a thread that has to renew leases can
/// make them itself. A call that times out or fails half-way leaves the connection unusable; every later one
/// fails at once. If a test_live has been sent on it, wdmd goes on watching it all the same.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    timeout: Duration,
    broken: bool,
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl From<Client> for OwnedFd {
    fn from(client: Client) -> OwnedFd {
        client.stream.into()
    }
}

impl Client {
    /// Connects to the daemon at [`SOCKET`](crate::SOCKET) or another path (`wdmd_connect`). `timeout` limits
    /// this and every later call; at least a millisecond.
    ///
    /// # Errors
    /// [`ClientError::Connect`]: -2 or -111 if wdmd does not run, -11 if it does not accept in time, -13
    /// without permission.
    pub fn connect(socket: impl AsRef<Path>, timeout: Duration) -> Result<Client, ClientError> {
        let timeout = at_least_a_millisecond(timeout);
        let socket = socket.as_ref();
        match connect_within(socket, timeout) {
            Ok(stream) => Ok(Client {
                stream,
                timeout,
                broken: false,
            }),
            Err(source) => Err(ClientError::Connect {
                path: socket.display().to_string(),
                source,
            }),
        }
    }

    /// A client on a connection that was made earlier, for example before a change of executable.
    ///
    /// # Errors
    /// When the stream cannot be made a blocking one.
    pub fn from_stream(stream: UnixStream, timeout: Duration) -> io::Result<Client> {
        stream.set_nonblocking(false)?;
        Ok(Client {
            stream,
            timeout: at_least_a_millisecond(timeout),
            broken: false,
        })
    }

    /// Whether an earlier call failed half-way, so that no further one is possible.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Says who this client is (`wdmd_register`).
    ///
    /// # Errors
    /// [`ClientError::NameTooLong`] beyond 128 bytes, and those of sending.
    pub fn register(&mut self, name: &str) -> Result<(), ClientError> {
        let name = Name::from_bytes(name.as_bytes())
            .ok_or(ClientError::NameTooLong { len: name.len() })?;
        self.tell(&Request::Register(name))
    }

    /// Keeps wdmd from ending (`wdmd_refcount_set`).
    ///
    /// # Errors
    /// Those of sending.
    pub fn refcount_set(&mut self) -> Result<(), ClientError> {
        self.tell(&Request::RefcountSet)
    }

    /// Lets wdmd end (`wdmd_refcount_clear`).
    ///
    /// # Errors
    /// Those of sending.
    pub fn refcount_clear(&mut self) -> Result<(), ClientError> {
        self.tell(&Request::RefcountClear)
    }

    /// Says that this client was well at `renewal` and will be until `expire`, both in seconds of the monotonic
    /// clock (`wdmd_test_live`); an `expire` of 0 ends the watching.
    ///
    /// wdmd does not answer this: `Ok` means that the message is on its way, not that it has been read.
    ///
    /// # Errors
    /// Those of sending.
    pub fn test_live(&mut self, renewal: u64, expire: u64) -> Result<(), ClientError> {
        self.tell(&Request::TestLive { renewal, expire })
    }

    /// How wdmd is doing (`wdmd_status`).
    ///
    /// # Errors
    /// Those of sending and receiving.
    pub fn status(&mut self) -> Result<Status, ClientError> {
        let deadline = self.deadline();
        self.send(&Request::Status, deadline)?;
        let answer = self.receive(&Request::Status, deadline)?;
        self.expect(&Request::Status, &answer, Request::Status.number())?;
        Ok(answer.status())
    }

    /// Makes wdmd open its device with this fire timeout in seconds, or makes sure that it has
    /// (`wdmd_open_watchdog`).
    ///
    /// A wdmd of 3.8.5 or before does not answer this. To find out at once, a status is asked for in the same
    /// breath: if its answer comes first, the wdmd is an old one, and its status tells the fire timeout.
    ///
    /// # Errors
    /// [`ClientError::FireTimeout`] if wdmd cannot give it; those of sending and receiving.
    pub fn open_watchdog(&mut self, fire_timeout: u32) -> Result<Opened, ClientError> {
        let deadline = self.deadline();
        let open = Request::OpenWatchdog { fire_timeout };
        self.send(&open, deadline)?;
        self.send(&Request::Status, deadline)?;
        let answer = self.receive(&open, deadline)?;
        let opened = if answer.command == Request::Status.number() {
            Opened::AtItsStart(answer.status())
        } else {
            self.expect(&open, &answer, open.number())?;
            let status = self.receive(&Request::Status, deadline)?;
            self.expect(&Request::Status, &status, Request::Status.number())?;
            Opened::Yes
        };
        if answer.fire_timeout != fire_timeout || fire_timeout == 0 {
            let found = answer.fire_timeout;
            return Err(ClientError::FireTimeout {
                wanted: fire_timeout,
                found,
            });
        }
        Ok(opened)
    }

    /// Everything wdmd has to say (`wdmd -d`): lines of text. The answer has neither length nor end, so it counts
    /// as complete when nothing more comes for a moment; the connection is used up.
    ///
    /// # Errors
    /// Those of sending and receiving.
    pub fn dump_debug(mut self) -> Result<Vec<u8>, ClientError> {
        let command = Request::DumpDebug.name();
        let deadline = self.deadline();
        self.send(&Request::DumpDebug, deadline)?;
        let mut text = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = if text.ends_with(b"\n") {
                left.min(DUMP_PAUSE)
            } else {
                left
            };
            if wait.is_zero() && text.is_empty() {
                return Err(ClientError::TimedOut { command });
            } else if wait.is_zero() {
                return Ok(text);
            }
            let read = self
                .stream
                .set_read_timeout(Some(wait))
                .and_then(|()| (&self.stream).read(&mut buffer));
            match read {
                Ok(0) if text.is_empty() => return Err(ClientError::Closed { command }),
                Ok(0) => return Ok(text),
                Ok(count) if text.len() < crate::MAX_DUMP => {
                    text.extend_from_slice(buffer.get(..count).unwrap_or_default());
                }
                Ok(_) => return Ok(text),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && !text.is_empty() => {
                    return Ok(text);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    return Err(ClientError::TimedOut { command });
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ClientError::Receive { command, source }),
            }
        }
    }

    fn deadline(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(self.timeout).unwrap_or(now)
    }

    /// Sends a message that is not answered.
    fn tell(&mut self, request: &Request) -> Result<(), ClientError> {
        let deadline = self.deadline();
        self.send(request, deadline)
    }

    fn send(&mut self, request: &Request, deadline: Instant) -> Result<(), ClientError> {
        let command = request.name();
        if self.broken {
            return Err(ClientError::Broken { command });
        }
        let bytes = request.message().encode();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let sent = self
                .wait_at_most(deadline, UnixStream::set_write_timeout)
                .and_then(|()| (&self.stream).write(rest));
            match sent {
                Ok(0) => return Err(self.fail(command, io::ErrorKind::WriteZero.into(), true)),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.fail(command, e, true)),
            }
        }
        Ok(())
    }

    fn receive(&mut self, request: &Request, deadline: Instant) -> Result<Message, ClientError> {
        let command = request.name();
        let mut bytes = [0; Message::LEN];
        let mut filled = 0usize;
        while let Some(space) = bytes.get_mut(filled..).filter(|space| !space.is_empty()) {
            let read = self
                .wait_at_most(deadline, UnixStream::set_read_timeout)
                .and_then(|()| (&self.stream).read(space));
            match read {
                Ok(0) => {
                    self.broken = true;
                    return Err(ClientError::Closed { command });
                }
                Ok(count) => filled = filled.saturating_add(count),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.fail(command, e, false)),
            }
        }
        Message::decode(&bytes).map_err(|_| ClientError::Closed { command })
    }

    /// Sets the socket's timeout to what is left.
    fn wait_at_most(
        &self,
        deadline: Instant,
        set: fn(&UnixStream, Option<Duration>) -> io::Result<()>,
    ) -> io::Result<()> {
        match deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::WouldBlock.into()),
            left => set(&self.stream, Some(left)),
        }
    }

    fn fail(&mut self, command: &'static str, source: io::Error, is_send: bool) -> ClientError {
        self.broken = true;
        match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                ClientError::TimedOut { command }
            }
            _ if is_send => ClientError::Send { command, source },
            _ => ClientError::Receive { command, source },
        }
    }

    fn expect(
        &mut self,
        request: &Request,
        answer: &Message,
        number: u32,
    ) -> Result<(), ClientError> {
        if answer.command != number {
            self.broken = true;
            return Err(ClientError::OutOfStep {
                command: request.name(),
            });
        }
        Ok(())
    }
}

/// What a socket can be told: no less, and no more than an hour.
fn at_least_a_millisecond(timeout: Duration) -> Duration {
    timeout.clamp(Duration::from_millis(1), Duration::from_secs(3600))
}

/// Connects, waiting no longer than this for a daemon whose queue is full.
fn connect_within(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let fd = socket::socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let milliseconds = i64::try_from(timeout.as_millis()).unwrap_or(3_600_000);
    socket::setsockopt(
        &fd,
        sockopt::SendTimeout,
        &TimeVal::milliseconds(milliseconds),
    )?;
    socket::connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(UnixStream::from(fd))
}

#[cfg(test)]
mod tests;
