//! One connection to the daemon: sends requests, waits for replies.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::command::Command;
use crate::error::ClientError;
use crate::header::Header;
use crate::reply::{MAX_REPLY, Reply, ReplyBody, reply_body};
use crate::request::Request;

/// Most bytes of status records that are kept: as much as tens of thousands of records.
const MAX_STREAM: u64 = 64 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: UnixStream,
}

impl Connection {
    pub(crate) fn open(
        socket: &Path,
        timeout: Option<Duration>,
    ) -> Result<Connection, ClientError> {
        let connect = || -> io::Result<UnixStream> {
            let stream = UnixStream::connect(socket)?;
            stream.set_read_timeout(timeout)?;
            stream.set_write_timeout(timeout)?;
            Ok(stream)
        };
        connect()
            .map(|stream| Connection { stream })
            .map_err(|source| ClientError::Connect {
                path: socket.display().to_string(),
                source,
            })
    }

    pub(crate) fn send(&mut self, request: &Request) -> Result<(), ClientError> {
        self.stream
            .write_all(&request.encode())
            .map_err(|source| ClientError::Send {
                command: request.command().name(),
                source,
            })
    }

    pub(crate) fn call(&mut self, request: &Request) -> Result<Reply, ClientError> {
        self.call_with_header(request).map(|(_, reply)| reply)
    }

    pub(crate) fn call_with_header(
        &mut self,
        request: &Request,
    ) -> Result<(Header, Reply), ClientError> {
        self.send(request)?;
        let command = request.command();
        let name = command.name();
        let mut bytes = [0; Header::LEN];
        self.read_exact(name, &mut bytes)?;
        let malformed = |source| ClientError::Malformed {
            command: name,
            source,
        };
        let header = Header::decode(&bytes).map_err(malformed)?;
        let body = match reply_body(command, &header).map_err(malformed)? {
            // A partial log is worth showing.
            ReplyBody::Bytes(len) if command == Command::LogDump => {
                self.read_up_to(name, len as u64)?
            }
            ReplyBody::Bytes(len) => {
                let body = self.read_up_to(name, len.min(MAX_REPLY) as u64)?;
                if body.len() < len {
                    return Err(ClientError::Closed { command: name });
                }
                body
            }
            ReplyBody::UntilEnd => self.read_up_to(name, MAX_STREAM)?,
        };
        let reply = Reply::decode(command, &header, &body).map_err(malformed)?;
        Ok((header, reply))
    }

    /// The result of a request that is answered with nothing else.
    pub(crate) fn result(&mut self, request: &Request) -> Result<i32, ClientError> {
        let result = self.call(request)?.result();
        super::check(request.command(), result)
    }

    fn read_exact(&mut self, command: &'static str, bytes: &mut [u8]) -> Result<(), ClientError> {
        self.stream
            .read_exact(bytes)
            .map_err(|source| match source.kind() {
                io::ErrorKind::UnexpectedEof => ClientError::Closed { command },
                _ => ClientError::Receive { command, source },
            })
    }

    /// So many bytes, or what there is until the end of the connection.
    fn read_up_to(&mut self, command: &'static str, limit: u64) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        (&self.stream)
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|source| ClientError::Receive { command, source })?;
        Ok(bytes)
    }
}
