//! The client end.

use tokio::io::{AsyncRead, AsyncWrite};

pub use crate::call::CallError;
use crate::call::{Arrival, Calls, arrival, outcome};
use crate::io::{PacketReader, write_packet};
use crate::packet::{Header, Packet, Procedure, Program, Version};
use crate::xdr::Xdr;

/// Calls the procedures of one program over one stream, one after the other.
#[derive(Debug)]
pub struct Client<S> {
    stream: S,
    reader: PacketReader,
    calls: Calls,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// On a stream that is connected.
    pub fn new(stream: S, program: Program, version: Version) -> Self {
        let reader = PacketReader::default();
        let calls = Calls::new(program, version);
        Self {
            stream,
            reader,
            calls,
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
        let call = self.calls.next(procedure, arguments);
        write_packet(&mut self.stream, &call).await?;
        outcome(&self.answer_to(&call.header).await?)
    }

    async fn answer_to(&mut self, call: &Header) -> Result<Packet, CallError> {
        loop {
            let packet = self.reader.next_packet(&mut self.stream).await?;
            match arrival(call, packet.ok_or(CallError::Closed)?) {
                Arrival::Answer(answer) => return Ok(answer),
                Arrival::Reply(reply) => write_packet(&mut self.stream, &reply).await?,
                Arrival::Nothing => {}
            }
        }
    }
}
