//! What a server does with a packet before it gets to a procedure.
//!
//! The order of the checks is libvirt's, as each has a text of its own.

use crate::error::{ErrorCode, ErrorDomain, RemoteError};
use crate::keepalive;
use crate::packet::{Header, MessageType, Packet, Procedure, Program, Status, Version};
use crate::xdr::{self, Xdr};

/// A program as a server offers it.
#[derive(Debug, Clone, Copy)]
pub struct Served {
    /// Its number.
    pub program: Program,
    /// Its version.
    pub version: Version,
    /// The highest procedure there is; they begin with 1 and leave none out.
    pub last: Procedure,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// A procedure of the program is called.
    Call(Call),
    /// This is to be sent.
    Answer(Packet),
    /// It is not answered.
    Nothing,
}

/// A call, to be answered with [`Call::succeed`] or [`Call::fail`].
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    header: Header,
    payload: Vec<u8>,
}

impl Served {
    /// Says what becomes of a packet.
    #[must_use]
    pub fn receive(&self, packet: Packet) -> Incoming {
        let header = packet.header;
        if keepalive::is_one(&header) {
            return match header.procedure {
                keepalive::PING => Incoming::Answer(keepalive::packet(keepalive::PONG)),
                _ => Incoming::Nothing,
            };
        }
        let is_call = [MessageType::CALL, MessageType::CALL_WITH_FDS].contains(&header.kind);
        if !is_call {
            // Nobody waits for an answer to a reply, a message or a stream's data.
            return Incoming::Nothing;
        }
        let payload = packet.payload;
        let call = Call { header, payload };
        if (header.program, header.version) != (self.program, self.version) {
            // libvirt prints both as signed numbers.
            let [program, version] =
                [header.program.0, header.version.0].map(|number| number as i32);
            let text = format!("Cannot find program {program} version {version}");
            return Incoming::Answer(call.fail(&rpc_error(text)));
        }
        if header.status != Status::OK {
            let text = format!("Unexpected message status {}", header.status.0 as u32);
            return Incoming::Answer(call.fail(&rpc_error(text)));
        }
        if header.procedure.0 < 1 || header.procedure > self.last {
            let text = format!("unknown procedure: {}", header.procedure.0);
            return Incoming::Answer(call.fail(&rpc_error(text)));
        }
        Incoming::Call(call)
    }
}

impl Call {
    /// What is called.
    #[must_use]
    pub fn procedure(&self) -> Procedure {
        self.header.procedure
    }

    /// With which arguments.
    ///
    /// # Errors
    /// The answer for a client that sent something else.
    pub fn arguments<T: Xdr>(&self) -> Result<T, Box<RemoteError>> {
        xdr::from_bytes(&self.payload)
            .map_err(|_| Box::new(rpc_error("Unable to decode message payload")))
    }

    /// The answer of a procedure that did what it was asked to.
    #[must_use]
    pub fn succeed(&self, returned: &impl Xdr) -> Packet {
        Packet::new(self.reply(Status::OK), returned)
    }

    /// The answer of one that did not.
    #[must_use]
    pub fn fail(&self, error: &RemoteError) -> Packet {
        Packet::new(self.reply(Status::ERROR), error)
    }

    fn reply(&self, status: Status) -> Header {
        let kind = MessageType::REPLY;
        Header {
            kind,
            status,
            ..self.header
        }
    }
}

fn rpc_error(text: impl Into<Vec<u8>>) -> RemoteError {
    RemoteError::new(ErrorCode::RPC, ErrorDomain::RPC, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock;
    use crate::packet::Serial;

    const LOCK: Served = Served {
        program: lock::PROGRAM,
        version: lock::VERSION,
        last: lock::CREATE_LOCKSPACE,
    };

    fn call(procedure: Procedure) -> Header {
        Header {
            program: lock::PROGRAM,
            version: lock::VERSION,
            procedure,
            kind: MessageType::CALL,
            serial: Serial(5),
            status: Status::OK,
        }
    }

    fn refusal(header: Header) -> String {
        match LOCK.receive(Packet::new(header, &())) {
            Incoming::Answer(answer) => {
                let kind = MessageType::REPLY;
                let status = Status::ERROR;
                assert_eq!(
                    answer.header,
                    Header {
                        kind,
                        status,
                        ..header
                    }
                );
                xdr::from_bytes::<RemoteError>(&answer.payload)
                    .unwrap()
                    .to_string()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn refusals() {
        let good = call(lock::REGISTER);
        let program = Program(u32::MAX);
        assert_eq!(
            refusal(Header { program, ..good }),
            "Cannot find program -1 version 1"
        );
        let status = Status(3);
        assert_eq!(
            refusal(Header { status, ..good }),
            "Unexpected message status 3"
        );
        for number in [0, -1, 9, i32::MIN, i32::MAX] {
            let wanted = format!("unknown procedure: {number}");
            assert_eq!(refusal(call(Procedure(number))), wanted);
        }
    }

    #[test]
    fn what_is_no_call_is_not_answered() {
        for kind in [1, 2, 3, 5, 6, 7, -1] {
            let header = Header {
                kind: MessageType(kind),
                ..call(lock::REGISTER)
            };
            assert_eq!(LOCK.receive(Packet::new(header, &())), Incoming::Nothing);
        }
    }

    #[test]
    fn a_ping_is_answered() {
        let pong = Incoming::Answer(keepalive::packet(keepalive::PONG));
        assert_eq!(LOCK.receive(keepalive::packet(keepalive::PING)), pong);
        assert_eq!(
            LOCK.receive(keepalive::packet(keepalive::PONG)),
            Incoming::Nothing
        );
    }

    #[test]
    fn a_call_gets_to_its_procedure() {
        let args = lock::RestrictArgs { flags: 7 };
        let packet = Packet::new(call(lock::RESTRICT), &args);
        let Incoming::Call(call) = LOCK.receive(packet) else {
            panic!("not a call");
        };
        assert_eq!(call.procedure(), lock::RESTRICT);
        assert_eq!(call.arguments::<lock::RestrictArgs>(), Ok(args));
        let failed = call.arguments::<lock::ResourceArgs>().unwrap_err();
        assert_eq!(failed.to_string(), "Unable to decode message payload");
        assert_eq!(call.succeed(&()).header.serial, Serial(5));
    }
}
