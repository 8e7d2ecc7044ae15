//! The client end.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::RemoteError;
use crate::io::{PacketReader, write_packet};
use crate::keepalive;
use crate::packet::{Header, MessageType, Packet, Procedure, Program, Serial, Status, Version};
use crate::xdr::{self, Xdr, XdrError};

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server did not do it.
    #[error("{0}")]
    Refused(Box<RemoteError>),
    /// The connection failed; it cannot be used any more.
    #[error("cannot talk to the server: {0}")]
    Connection(#[from] io::Error),
    /// The server closed the connection.
    #[error("the server closed the connection before it answered")]
    Closed,
    /// The server answered with what is no answer to this.
    #[error("the server's answer makes no sense: {0}")]
    Answer(#[from] XdrError),
}

/// Calls the procedures of one program over one stream, one after the other.
#[derive(Debug)]
pub struct Client<S> {
    stream: S,
    reader: PacketReader,
    program: Program,
    version: Version,
    serial: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// On a stream that is connected.
    pub fn new(stream: S, program: Program, version: Version) -> Self {
        let reader = PacketReader::default();
        Self {
            stream,
            reader,
            program,
            version,
            serial: 0,
        }
    }

    /// The stream.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Calls a procedure and waits for what it returns. Pings are answered meanwhile.
    ///
    /// # Errors
    /// [`CallError`]. After any but [`CallError::Refused`] the connection is of no further use.
    pub async fn call<R: Xdr>(
        &mut self,
        procedure: Procedure,
        arguments: &impl Xdr,
    ) -> Result<R, CallError> {
        let serial = Serial(self.serial);
        self.serial = self.serial.wrapping_add(1);
        let header = Header {
            program: self.program,
            version: self.version,
            procedure,
            kind: MessageType::CALL,
            serial,
            status: Status::OK,
        };
        write_packet(&mut self.stream, &Packet::new(header, arguments)).await?;
        let answer = self.answer_to(serial).await?;
        match answer.header.status {
            Status::OK => Ok(xdr::from_bytes(&answer.payload)?),
            _ => Err(CallError::Refused(Box::new(xdr::from_bytes(
                &answer.payload,
            )?))),
        }
    }

    async fn answer_to(&mut self, serial: Serial) -> Result<Packet, CallError> {
        loop {
            let packet = self.reader.next_packet(&mut self.stream).await?;
            let packet = packet.ok_or(CallError::Closed)?;
            let header = &packet.header;
            if keepalive::is_one(header) && header.procedure == keepalive::PING {
                write_packet(&mut self.stream, &keepalive::packet(keepalive::PONG)).await?;
            } else if header.kind == MessageType::REPLY && header.serial == serial {
                return Ok(packet);
            }
        }
    }
}
