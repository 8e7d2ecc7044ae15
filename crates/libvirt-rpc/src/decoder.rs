//! Packets from a stream of bytes that may be cut anywhere.

use crate::packet::{
    DESCRIPTORS_MAX, HEADER_BYTES, Header, LENGTH_BYTES, MESSAGE_MAX, MessageType, Packet,
};
use crate::xdr::{self, Decoder, Xdr};

/// Why the stream makes no sense from here on; the connection has to be closed, as libvirt does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Shorter than a header.
    #[error("packet {len} bytes received too small, want {}", LENGTH_BYTES + HEADER_BYTES)]
    TooSmall {
        /// As the packet says.
        len: usize,
    },
    /// Longer than any packet.
    #[error("packet {len} bytes received too large, want {MESSAGE_MAX}")]
    TooLarge {
        /// As the packet says, without the length field.
        len: usize,
    },
    /// More descriptors than libvirt takes, or no number of them.
    #[error("received too many descriptors {count}, expected {DESCRIPTORS_MAX} maximum")]
    Descriptors {
        /// As the packet says.
        count: u32,
    },
}

/// Cuts a stream into packets.
///
/// Descriptors that come with a call are announced in it and follow it with one byte each. Nobody sends any to a
/// lock daemon; whoever reads the stream without room for them has them closed by the kernel, and the bytes are
/// skipped here.
#[derive(Debug, Default)]
pub struct PacketDecoder {
    /// What has come and is not taken. Never more than a packet and what came in the same read.
    bytes: Vec<u8>,
    /// How many bytes at the front are done with.
    taken: usize,
    /// Bytes of descriptors that are still to come.
    skip: usize,
}

impl PacketDecoder {
    /// Adds what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether something has come that is not a whole packet yet.
    #[must_use]
    pub fn is_within_packet(&self) -> bool {
        !self.received().is_empty()
    }

    /// What has come and is not taken: a packet's beginning.
    #[must_use]
    pub fn received(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// The next packet, if all of it has come.
    ///
    /// # Errors
    /// From the first error on, always that one.
    pub fn next_packet(&mut self) -> Result<Option<Packet>, FrameError> {
        let skipped = self.skip.min(self.bytes.len().saturating_sub(self.taken));
        self.taken += skipped;
        self.skip -= skipped;
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        let Ok(len) = xdr::from_bytes::<u32>(rest) else {
            return Ok(None);
        };
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len < LENGTH_BYTES + HEADER_BYTES {
            return Err(FrameError::TooSmall { len });
        }
        if len - LENGTH_BYTES > MESSAGE_MAX {
            let len = len - LENGTH_BYTES;
            return Err(FrameError::TooLarge { len });
        }
        let Some(packet) = rest.get(LENGTH_BYTES..len) else {
            return Ok(None);
        };
        let mut decoder = Decoder::new(packet);
        let Ok(header) = Header::decode(&mut decoder) else {
            return Err(FrameError::TooSmall { len });
        };
        let mut skip = 0;
        if header.kind == MessageType::CALL_WITH_FDS {
            let count = u32::decode(&mut decoder).unwrap_or(u32::MAX);
            if count > DESCRIPTORS_MAX {
                return Err(FrameError::Descriptors { count });
            }
            skip = usize::try_from(count).unwrap_or(0);
        }
        let payload = decoder.rest().to_vec();
        self.skip = skip;
        self.taken += len;
        if self.taken == self.bytes.len() {
            // An idle connection holds no memory of what went over it.
            self.bytes = Vec::new();
            self.taken = 0;
        }
        Ok(Some(Packet { header, payload }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Procedure, Program, Serial, Status, Version};

    fn header(kind: MessageType) -> Header {
        Header {
            program: Program(1),
            version: Version(1),
            procedure: Procedure(1),
            kind,
            serial: Serial(7),
            status: Status::OK,
        }
    }

    fn decoder(bytes: &[u8]) -> PacketDecoder {
        let mut decoder = PacketDecoder::default();
        decoder.push(bytes);
        decoder
    }

    #[test]
    fn a_packet_that_comes_byte_by_byte() {
        let packet = Packet::new(header(MessageType::CALL), &5_u64);
        let bytes = packet.encode().unwrap();
        let mut decoder = PacketDecoder::default();
        for (at, byte) in bytes.iter().enumerate() {
            assert_eq!(decoder.next_packet(), Ok(None), "after {at} bytes");
            assert_eq!(decoder.is_within_packet(), at > 0);
            decoder.push(&[*byte]);
        }
        assert_eq!(decoder.next_packet(), Ok(Some(packet)));
        assert!(!decoder.is_within_packet());
    }

    #[test]
    fn lengths_that_cannot_be() {
        for len in [0_u32, 3, 4, 27] {
            let found = decoder(&len.to_be_bytes()).next_packet();
            assert!(matches!(found, Err(FrameError::TooSmall { .. })), "{len}");
        }
        let most = u32::try_from(MESSAGE_MAX + LENGTH_BYTES).unwrap();
        assert_eq!(decoder(&most.to_be_bytes()).next_packet(), Ok(None));
        let more = decoder(&(most + 1).to_be_bytes()).next_packet();
        let len = MESSAGE_MAX + 1;
        assert_eq!(more, Err(FrameError::TooLarge { len }));
        let most = decoder(&[255; 4]).next_packet();
        assert!(matches!(most, Err(FrameError::TooLarge { .. })));
    }

    #[test]
    fn bytes_of_descriptors_are_skipped() {
        let with = Packet::new(header(MessageType::CALL_WITH_FDS), &Some(9_u32));
        // "Some" is read as the number of descriptors, which is 1.
        let mut bytes = with.encode().unwrap();
        let plain = Packet::new(header(MessageType::CALL), &());
        bytes.push(0);
        bytes.extend(plain.encode().unwrap());
        for cut in 0..bytes.len() {
            let mut decoder = decoder(&bytes[..cut]);
            let mut packets = Vec::new();
            while let Ok(Some(packet)) = decoder.next_packet() {
                packets.push(packet);
            }
            decoder.push(&bytes[cut..]);
            while let Ok(Some(packet)) = decoder.next_packet() {
                packets.push(packet);
            }
            assert_eq!(packets.len(), 2, "cut at {cut}");
            assert_eq!(packets[0].payload, [0, 0, 0, 9]);
            assert_eq!(packets[1], plain);
        }
        let many = Packet::new(header(MessageType::CALL_WITH_FDS), &33_u32);
        let found = decoder(&many.encode().unwrap()).next_packet();
        assert_eq!(found, Err(FrameError::Descriptors { count: 33 }));
        let none = Packet::new(header(MessageType::CALL_WITH_FDS), &());
        assert!(decoder(&none.encode().unwrap()).next_packet().is_err());
    }
}
