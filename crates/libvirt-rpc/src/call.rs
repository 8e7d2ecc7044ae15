//! One call, its answer, and what else may come meanwhile: for the client ends.

use std::io;

use crate::error::RemoteError;
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

/// The calls of one program on one connection, one after the other.
#[derive(Debug)]
pub(crate) struct Calls {
    program: Program,
    version: Version,
    serial: u32,
}

/// What to do with a packet that came while an answer is awaited.
#[derive(Debug, PartialEq)]
pub(crate) enum Arrival {
    /// It is the answer.
    Answer(Packet),
    /// It is to be answered with this.
    Reply(Packet),
    /// It is of no interest: an event, or the answer to nothing that was asked.
    Nothing,
}

impl Calls {
    pub(crate) fn new(program: Program, version: Version) -> Self {
        Self {
            program,
            version,
            serial: 0,
        }
    }

    /// The next call.
    pub(crate) fn next(&mut self, procedure: Procedure, arguments: &impl Xdr) -> Packet {
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
        Packet::new(header, arguments)
    }
}

/// Judges what came while the answer to `call` is awaited.
pub(crate) fn arrival(call: &Header, packet: Packet) -> Arrival {
    let header = &packet.header;
    if keepalive::is_one(header) {
        return if header.procedure == keepalive::PING {
            Arrival::Reply(keepalive::packet(keepalive::PONG))
        } else {
            Arrival::Nothing
        };
    }
    // A server that does not know the program or its version says so with numbers of its own.
    let answers = header.kind == MessageType::REPLY && header.serial == call.serial;
    if answers {
        Arrival::Answer(packet)
    } else {
        Arrival::Nothing
    }
}

/// What the procedure returned, or why it did not.
pub(crate) fn outcome<R: Xdr>(answer: &Packet) -> Result<R, CallError> {
    match answer.header.status {
        Status::OK => Ok(xdr::from_bytes(&answer.payload)?),
        _ => Err(CallError::Refused(Box::new(xdr::from_bytes(
            &answer.payload,
        )?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called() -> Header {
        let mut calls = Calls::new(Program(7), Version(1));
        calls.next(Procedure(1), &());
        let header = calls.next(Procedure(2), &()).header;
        assert_eq!(header.serial, Serial(1));
        header
    }

    #[test]
    fn only_the_answer_is_an_answer() {
        let call = called();
        let packet = |kind, serial| {
            let header = Header {
                kind,
                serial: Serial(serial),
                ..call
            };
            Packet::new(header, &())
        };
        let answer = packet(MessageType::REPLY, 1);
        assert_eq!(arrival(&call, answer.clone()), Arrival::Answer(answer));
        for other in [
            packet(MessageType::REPLY, 0),
            // An event.
            packet(MessageType::MESSAGE, 1),
            packet(MessageType::STREAM, 1),
            keepalive::packet(keepalive::PONG),
        ] {
            assert_eq!(arrival(&call, other), Arrival::Nothing);
        }
        let ping = keepalive::packet(keepalive::PING);
        let pong = keepalive::packet(keepalive::PONG);
        assert_eq!(arrival(&call, ping), Arrival::Reply(pong));
    }
}
