//! Packets on tokio's streams.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::decoder::PacketDecoder;
use crate::packet::Packet;

/// Bytes of one read: most requests fit, and memory is only held while one is read.
const READ: usize = 4096;

/// Reads packets from one stream.
#[derive(Debug, Default)]
pub struct PacketReader {
    decoder: PacketDecoder,
}

impl PacketReader {
    /// The next packet; `None` when the stream has ended. May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::InvalidData`] for what is no packet;
    /// [`io::ErrorKind::UnexpectedEof`] when the stream ends within one.
    pub async fn next_packet(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> io::Result<Option<Packet>> {
        loop {
            let packet = self.decoder.next_packet();
            if let Some(packet) =
                packet.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?
            {
                return Ok(Some(packet));
            }
            let mut buffer = [0; READ];
            let count = stream.read(&mut buffer).await?;
            match buffer.get(..count) {
                Some([]) if self.decoder.is_within_packet() => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Some([]) | None => return Ok(None),
                Some(bytes) => self.decoder.push(bytes),
            }
        }
    }
}

/// Sends a packet.
///
/// # Errors
/// What the system says; [`io::ErrorKind::InvalidInput`] for one that is too large.
pub async fn write_packet(
    stream: &mut (impl AsyncWrite + Unpin),
    packet: &Packet,
) -> io::Result<()> {
    let bytes = packet
        .encode()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    stream.write_all(&bytes).await
}
