//! The client end on a stream that blocks: for programs that have nothing else to do.

use std::io::{self, Read, Write};

pub use crate::call::CallError;
use crate::call::{Arrival, Calls, arrival, outcome};
use crate::decoder::PacketDecoder;
use crate::packet::{Header, Packet, Procedure, Program, Version};
use crate::xdr::Xdr;

/// Bytes of one read.
const READ: usize = 4096;

/// Calls the procedures of one program over one stream, one after the other. Time limits are the stream's.
#[derive(Debug)]
pub struct Client<S> {
    stream: S,
    decoder: PacketDecoder,
    calls: Calls,
}

impl<S: Read + Write> Client<S> {
    /// On a stream that is connected.
    pub fn new(stream: S, program: Program, version: Version) -> Self {
        Self {
            stream,
            decoder: PacketDecoder::default(),
            calls: Calls::new(program, version),
        }
    }

    /// The stream.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// Calls a procedure and waits for what it returns. Pings are answered meanwhile; events and whatever else
    /// comes are passed over.
    ///
    /// # Errors
    /// [`CallError`]. After any but [`CallError::Refused`] the connection is of no further use.
    pub fn call<R: Xdr>(
        &mut self,
        procedure: Procedure,
        arguments: &impl Xdr,
    ) -> Result<R, CallError> {
        let call = self.calls.next(procedure, arguments);
        self.write(&call)?;
        outcome(&self.answer_to(&call.header)?)
    }

    fn write(&mut self, packet: &Packet) -> io::Result<()> {
        let bytes = packet
            .encode()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.stream.write_all(&bytes)
    }

    fn answer_to(&mut self, call: &Header) -> Result<Packet, CallError> {
        loop {
            match arrival(call, self.next_packet()?) {
                Arrival::Answer(answer) => return Ok(answer),
                Arrival::Reply(reply) => self.write(&reply)?,
                Arrival::Nothing => {}
            }
        }
    }

    fn next_packet(&mut self) -> Result<Packet, CallError> {
        loop {
            let packet = self.decoder.next_packet();
            if let Some(packet) =
                packet.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
            {
                return Ok(packet);
            }
            let mut buffer = [0; READ];
            let count = match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            match buffer.get(..count) {
                Some([]) | None => return Err(CallError::Closed),
                Some(bytes) => self.decoder.push(bytes),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keepalive;
    use crate::packet::{MessageType, Serial, Status};
    use crate::{ErrorCode, ErrorDomain, RemoteError};

    /// What a server says, whatever it is told; and what it was told.
    struct Script {
        says: io::Cursor<Vec<u8>>,
        heard: Vec<u8>,
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            // Byte by byte, as a stream may come.
            let end = buffer.len().min(1);
            self.says.read(&mut buffer[..end])
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.heard.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn packet(kind: MessageType, status: Status, value: &impl Xdr) -> Packet {
        let header = Header {
            program: Program(9),
            version: Version(1),
            procedure: Procedure(3),
            kind,
            serial: Serial(0),
            status,
        };
        Packet::new(header, value)
    }

    fn client(packets: &[Packet]) -> Client<Script> {
        let says: Vec<u8> = packets.iter().flat_map(|p| p.encode().unwrap()).collect();
        let script = Script {
            says: io::Cursor::new(says),
            heard: Vec::new(),
        };
        Client::new(script, Program(9), Version(1))
    }

    #[test]
    fn pings_are_answered_and_events_passed_over() {
        let mut client = client(&[
            packet(MessageType::MESSAGE, Status::OK, &1_u32),
            keepalive::packet(keepalive::PING),
            packet(MessageType::REPLY, Status::OK, &5_u32),
        ]);
        assert_eq!(client.call::<u32>(Procedure(3), &()).unwrap(), 5);
        let pong = keepalive::packet(keepalive::PONG).encode().unwrap();
        assert!(client.stream().heard.ends_with(&pong));
    }

    #[test]
    fn errors_are_told_apart() {
        let refusal = RemoteError::new(ErrorCode::RPC, ErrorDomain::RPC, "no");
        let refused = packet(MessageType::REPLY, Status::ERROR, &refusal);
        let outcome = client(&[refused]).call::<u32>(Procedure(3), &());
        assert!(matches!(outcome, Err(CallError::Refused(error)) if *error == refusal));
        let short = packet(MessageType::REPLY, Status::OK, &());
        let outcome = client(&[short]).call::<u32>(Procedure(3), &());
        assert!(matches!(outcome, Err(CallError::Answer(_))));
        let outcome = client(&[]).call::<u32>(Procedure(3), &());
        assert!(matches!(outcome, Err(CallError::Closed)));
    }
}
