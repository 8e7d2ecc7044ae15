//! Events between the hosts of a lockspace.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use super::{Client, Connection};
use crate::body::{EventCallback, HostEvent, Lockspace};
use crate::command::Command;
use crate::error::ClientError;
use crate::flags::SetEventFlags;
use crate::name::Name;
use crate::request::Request;

/// A connection on which the daemon delivers a lockspace's events. Wait for it with poll(2) (see
/// [`AsFd`]), then take events until there is none.
#[derive(Debug)]
pub struct EventStream {
    connection: Connection,
    lockspace: Name,
}

impl AsFd for EventStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.stream.as_fd()
    }
}

impl EventStream {
    /// The lockspace whose events come.
    pub fn lockspace(&self) -> Name {
        self.lockspace
    }

    /// The next event if one is there (`sanlock_get_event`); does not wait. `None` is -11 (EAGAIN) in C.
    ///
    /// # Errors
    /// -1 when the daemon has closed the connection or sent half an event.
    pub fn next_event(&mut self) -> Result<Option<EventCallback>, ClientError> {
        let command = "get_event";
        let mut bytes = [0; EventCallback::LEN];
        match self.connection.stream.read(&mut bytes) {
            Ok(EventCallback::LEN) => EventCallback::decode(&bytes)
                .map(Some)
                .map_err(|source| ClientError::Malformed { command, source }),
            Ok(_) => Err(ClientError::Closed { command }),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(source) => Err(ClientError::Receive { command, source }),
        }
    }
}

impl Client {
    /// Registers for the events of a lockspace (`sanlock_reg_event`).
    ///
    /// # Errors
    /// -2 lockspace not joined, -22 no name, -50 (ENOCSI) when 32 connections are registered.
    pub fn reg_event(&self, lockspace: Name) -> Result<EventStream, ClientError> {
        let mut connection = self.connect()?;
        connection.result(&Request::RegEvent {
            lockspace: Lockspace::named(lockspace),
            event: HostEvent::default(),
        })?;
        connection
            .stream
            .set_nonblocking(true)
            .map_err(|source| ClientError::Receive {
                command: Command::RegEvent.name(),
                source,
            })?;
        Ok(EventStream {
            connection,
            lockspace,
        })
    }

    /// Ends a registration (`sanlock_end_event`): says so on the connection, closes it, and makes the daemon
    /// look.
    ///
    /// # Errors
    /// [`ClientError::Send`] when the daemon had closed it already (-114, EALREADY, in C).
    pub fn end_event(&self, mut events: EventStream) -> Result<(), ClientError> {
        let lockspace = Lockspace::named(events.lockspace);
        // The daemon looks for four bytes on each event connection.
        events
            .connection
            .stream
            .write_all(&1u32.to_le_bytes())
            .map_err(|_| ClientError::Send {
                command: Command::EndEvent.name(),
                source: io::Error::from_raw_os_error(114),
            })?;
        drop(events);
        self.result(&Request::EndEvent { lockspace }).map(|_| ())
    }

    /// Sends an event to another host with the next renewal (`sanlock_set_event`).
    ///
    /// # Errors
    /// -2 lockspace not joined, -22 bad host id or no name, -16 another event is still being delivered.
    pub fn set_event(
        &self,
        lockspace: Name,
        event: HostEvent,
        flags: SetEventFlags,
    ) -> Result<i32, ClientError> {
        self.result(&Request::SetEvent {
            lockspace: Lockspace::named(lockspace),
            event,
            flags,
        })
    }
}
