//! A client's connection: what it has sent of a message, and what it has still to be sent.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use wdmd_proto::Message;

use super::buffer::Buffer;
use crate::watchdog::Suspended;

/// A connection. It is read from or written to, never both: who does not take an answer is not asked for more.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    buffer: Buffer,
    pending: Pending,
    /// What it has sent and is not read yet was sent after this.
    empty: Suspended,
}

/// What is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pending {
    /// Nothing: the client is listened to.
    Nothing,
    /// The bytes that the connection has.
    Answer,
    /// A dump, from this line on.
    Dump {
        /// Lines that it has got.
        sent: usize,
        /// With the lines that the original does not have.
        details: bool,
    },
}

/// What came.
#[derive(Debug)]
pub(super) enum Read {
    /// A whole message, which was sent after this.
    Message(Message, Suspended),
    /// Less than one, so far.
    Part,
    /// The end, after so many bytes of a message.
    End(usize),
    /// The connection failed.
    Failed(i32),
}

/// What became of something that was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It is on its way.
    Whole,
    /// There is no room for it now.
    NoRoom,
    /// Nobody takes it any more.
    Failed,
}

impl Connection {
    /// One that did not exist before `empty`.
    pub(super) fn new(socket: OwnedFd, empty: Suspended) -> Self {
        Self {
            socket,
            buffer: Buffer::new(),
            pending: Pending::Nothing,
            empty,
        }
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(super) fn pending(&self) -> Pending {
        self.pending
    }

    pub(super) fn set_pending(&mut self, pending: Pending) {
        self.pending = pending;
    }

    /// Reads what there is of one message.
    pub(super) fn read(&mut self) -> Read {
        let socket = self.socket.as_raw_fd();
        match recv(socket, self.buffer.room(), MsgFlags::MSG_DONTWAIT) {
            Ok(0) | Err(Errno::ECONNRESET) => Read::End(self.buffer.filled()),
            Ok(count) => match self.buffer.take(count) {
                Some(message) => Read::Message(message, self.empty),
                None => Read::Part,
            },
            Err(Errno::EAGAIN | Errno::EINTR) => Read::Part,
            Err(errno) => Read::Failed(errno as i32),
        }
    }

    /// Nothing more came until then, if it is listened to.
    pub(super) fn is_empty_at(&mut self, suspended: Suspended) {
        if self.pending == Pending::Nothing && self.buffer.filled() == 0 {
            self.empty = suspended;
        }
    }

    /// Sends an answer, now or when there is room for it.
    pub(super) fn answer(&mut self, message: &Message) -> Sent {
        self.buffer.keep(message);
        self.pending = Pending::Answer;
        self.go_on()
    }

    /// Sends the answer that is pending.
    pub(super) fn go_on(&mut self) -> Sent {
        self.send(self.buffer.kept())
    }

    /// Sends bytes as a whole or not at all: the kernel does not cut what fits into one buffer.
    pub(super) fn send(&self, bytes: &[u8]) -> Sent {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.socket.as_raw_fd(), bytes, flags).map_err(io::Error::from) {
            Ok(count) if count == bytes.len() => Sent::Whole,
            Ok(_) => Sent::Failed,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Sent::NoRoom,
                _ => Sent::Failed,
            },
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
