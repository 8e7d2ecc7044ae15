//! One connection: its bytes both ways, and what has been said on it.
//!
//! Whatever a successor needs to go on with it is here and not in the task that serves it, so that at any moment the
//! connection can be handed over.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use daemon::Process;
use fcntl::OwnerPid;
use libvirt_rpc::{Packet, PacketDecoder};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

use crate::clients::Peer;
use crate::lock_program::Session;
use crate::server::Service;

/// Bytes of one read: most requests fit, and memory is only held while one is read.
const READ: usize = 4096;

/// How soon a write is tried again when there is no descriptor by which to wait for it.
const NO_DESCRIPTORS: Duration = Duration::from_millis(10);

/// A stream of which only what comes in is waited for. tokio's own waits for room to write, too, and would be woken each
/// time the other end has read an answer.
pub(crate) type PeerStream = AsyncFd<std::os::unix::net::UnixStream>;

/// Makes one of a stream.
///
/// # Errors
/// What the system says.
pub(crate) fn peer_stream(stream: UnixStream) -> io::Result<PeerStream> {
    wait_for(stream.into_std()?, Interest::READABLE)
}

// Deprecated for what may name another descriptor each time it is asked, which a stream never does; what comes in its
// place is not safe to call.
#[allow(deprecated)]
fn wait_for(stream: std::os::unix::net::UnixStream, interest: Interest) -> io::Result<PeerStream> {
    AsyncFd::with_interest(stream, interest)
}

/// A connection.
pub(crate) struct Connection {
    pub(crate) service: Service,
    /// Its number among the server's clients.
    pub(crate) id: u64,
    pub(crate) peer: Peer,
    pub(crate) stream: PeerStream,
    pub(crate) session: RefCell<Session>,
    /// The other end's process, once it has registered as the owner itself.
    pub(crate) process: RefCell<Option<Process>>,
    decoder: RefCell<PacketDecoder>,
    /// What the other end has not taken yet of an answer.
    unsent: RefCell<Vec<u8>>,
}

impl Connection {
    /// On which nothing has been said.
    pub(crate) fn new(service: Service, id: u64, peer: Peer, stream: PeerStream) -> Self {
        Self {
            service,
            id,
            peer,
            stream,
            session: RefCell::default(),
            process: RefCell::default(),
            decoder: RefCell::default(),
            unsent: RefCell::default(),
        }
    }

    /// Goes on where another program stopped.
    pub(crate) fn restore(&self, session: Session, received: &[u8], unsent: Vec<u8>) {
        self.session.replace(session);
        self.decoder.borrow_mut().push(received);
        self.unsent.replace(unsent);
    }

    /// The other end's pid.
    pub(crate) fn pid(&self) -> OwnerPid {
        OwnerPid(self.peer.pid)
    }

    /// Whether the other end takes locks for itself, and not for another process.
    pub(crate) fn is_owner(&self) -> bool {
        self.session.borrow().owner() == Some(self.pid())
    }

    /// Remembers the owner's process: when it registers, while it is certainly there, so that no other that gets its
    /// pid later is taken for it.
    pub(crate) fn watch_owner(&self) {
        if self.is_owner() && self.process.borrow().is_none() {
            self.process.replace(Process::open(self.peer.pid).ok());
        }
    }

    /// Whether no message is halfway, in either direction.
    pub(crate) fn is_settled(&self) -> bool {
        !self.decoder.borrow().is_within_packet() && self.unsent.borrow().is_empty()
    }

    /// The beginning of a request, and the end of an answer.
    pub(crate) fn halves(&self) -> (Vec<u8>, Vec<u8>) {
        let received = self.decoder.borrow().received().to_vec();
        (received, self.unsent.borrow().clone())
    }

    /// The next packet; `None` when the stream has ended.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::InvalidData`] for what is no packet;
    /// [`io::ErrorKind::UnexpectedEof`] when the stream ends within one.
    pub(crate) async fn next_packet(&self) -> io::Result<Option<Packet>> {
        loop {
            let packet = self.decoder.borrow_mut().next_packet();
            let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
            if let Some(packet) = packet.map_err(invalid)? {
                return Ok(Some(packet));
            }
            let mut ready = poll_fn(|context| self.stream.poll_read_ready(context)).await?;
            let mut buffer = [0; READ];
            let count = match ready.get_inner().read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    continue;
                }
                read => read?,
            };
            if (1..READ).contains(&count) {
                // That was all, so the next wait begins without another attempt, which fails with every client that
                // waits for its answers. What comes from now on is told anew, as waiting is by edge.
                ready.clear_ready();
            }
            let mut decoder = self.decoder.borrow_mut();
            match buffer.get(..count) {
                Some([]) if decoder.is_within_packet() => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Some([]) | None => return Ok(None),
                Some(bytes) => decoder.push(bytes),
            }
        }
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// As [`Connection::flush`]; [`io::ErrorKind::InvalidInput`] for one that is too large.
    pub(crate) async fn send(&self, packet: &Packet) -> io::Result<()> {
        let bytes = packet
            .encode()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        if !self.unsent.borrow().is_empty() {
            self.unsent.borrow_mut().extend_from_slice(&bytes);
        } else {
            self.unsent.replace(bytes);
        }
        self.flush().await
    }

    /// Sends what is left of an answer.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) async fn flush(&self) -> io::Result<()> {
        loop {
            let sent = {
                let mut unsent = self.unsent.borrow_mut();
                if unsent.is_empty() {
                    // An idle connection holds no memory of what went over it.
                    *unsent = Vec::new();
                    return Ok(());
                }
                let sent = self.stream.get_ref().write(&unsent);
                sent.map(|count| drop(unsent.drain(..count)))
            };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.room().await?,
                sent => sent?,
            }
        }
    }

    /// Waits until the other end has taken something: rarely, so what that takes is not kept.
    async fn room(&self) -> io::Result<()> {
        // The same socket cannot be waited for twice by one name.
        let Ok(other) = self.stream.get_ref().try_clone() else {
            // There are no descriptors left.
            tokio::time::sleep(NO_DESCRIPTORS).await;
            return Ok(());
        };
        let other = wait_for(other, Interest::WRITABLE)?;
        let _ = other.writable().await?;
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.get_ref().as_fd()
    }
}
