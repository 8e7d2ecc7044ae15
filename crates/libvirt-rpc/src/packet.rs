//! One packet: length, header, payload.

use crate::xdr::{self, Decoder, Encoder, Xdr, XdrError, xdr_structs};

/// Most bytes of a packet, its length field not counted (`VIR_NET_MESSAGE_MAX`).
pub const MESSAGE_MAX: usize = 33_554_432;

/// Bytes of the length field (`VIR_NET_MESSAGE_LEN_MAX`). The length counts them.
pub const LENGTH_BYTES: usize = 4;

/// Bytes of the header (`VIR_NET_MESSAGE_HEADER_MAX`).
pub const HEADER_BYTES: usize = 24;

/// Most bytes of a payload (`VIR_NET_MESSAGE_PAYLOAD_MAX`).
pub const PAYLOAD_MAX: usize = MESSAGE_MAX - HEADER_BYTES;

/// Most bytes of a string in packets in general (`VIR_NET_MESSAGE_STRING_MAX`).
pub const STRING_MAX: usize = 4_194_304;

/// Most file descriptors that come with a packet (`VIR_NET_MESSAGE_NUM_FDS_MAX`).
pub const DESCRIPTORS_MAX: u32 = 32;

macro_rules! numbers {
    ($($(#[$about:meta])* $name:ident($type:ty);)*) => { $(
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $type);

        impl Xdr for $name {
            fn encode(&self, to: &mut Encoder) {
                self.0.encode(to);
            }

            fn decode(from: &mut Decoder<'_>) -> Result<Self, XdrError> {
                <$type>::decode(from).map(Self)
            }
        }
    )* };
}

numbers! {
    /// Which program a packet is for.
    Program(u32);
    /// Which version of the program.
    Version(u32);
    /// Which of the program's procedures. Numbers that are none are passed on, to be answered.
    Procedure(i32);
    /// What kind of packet it is.
    MessageType(i32);
    /// Which call a reply answers.
    Serial(u32);
    /// How it went.
    Status(i32);
}

impl MessageType {
    /// From a client: a procedure's arguments.
    pub const CALL: Self = Self(0);
    /// From a server: what the procedure returns, or why it failed.
    pub const REPLY: Self = Self(1);
    /// Either way, not answered.
    pub const MESSAGE: Self = Self(2);
    /// Data of a stream.
    pub const STREAM: Self = Self(3);
    /// A call with file descriptors: their number stands before the arguments.
    pub const CALL_WITH_FDS: Self = Self(4);
    /// A reply with file descriptors.
    pub const REPLY_WITH_FDS: Self = Self(5);
    /// A hole in a stream.
    pub const STREAM_HOLE: Self = Self(6);
}

impl Status {
    /// As it should; always so in calls.
    pub const OK: Self = Self(0);
    /// The payload is a [`RemoteError`](crate::RemoteError).
    pub const ERROR: Self = Self(1);
    /// More of the stream follows.
    pub const CONTINUE: Self = Self(2);
}

xdr_structs! {
    /// What stands before each payload.
    #[derive(Copy, Eq)]
    pub struct Header {
        /// The program.
        pub program: Program,
        /// Its version.
        pub version: Version,
        /// Its procedure.
        pub procedure: Procedure,
        /// Call, reply or other.
        pub kind: MessageType,
        /// Chosen by the client for a call, repeated in the reply.
        pub serial: Serial,
        /// Whether it failed.
        pub status: Status,
    }
}

/// A payload that is too large to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a payload of {len} bytes does not fit a packet, at most {PAYLOAD_MAX} do")]
pub struct TooLarge {
    /// Its bytes.
    pub len: usize,
}

/// A header and the bytes behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The header.
    pub header: Header,
    /// What follows it. Of [`MessageType::CALL_WITH_FDS`], what follows the number of descriptors.
    pub payload: Vec<u8>,
}

impl Packet {
    /// With a payload that is the encoding of a value.
    pub fn new(header: Header, value: &impl Xdr) -> Self {
        let payload = xdr::to_bytes(value);
        Self { header, payload }
    }

    /// The bytes to send. For kinds without descriptors.
    ///
    /// # Errors
    /// When libvirt would not take it.
    pub fn encode(&self) -> Result<Vec<u8>, TooLarge> {
        let len = self.payload.len();
        if len > PAYLOAD_MAX {
            return Err(TooLarge { len });
        }
        let whole = LENGTH_BYTES + HEADER_BYTES + len;
        let mut encoder = Encoder::after(Vec::with_capacity(whole));
        encoder.length(whole);
        self.header.encode(&mut encoder);
        let mut bytes = encoder.into_bytes();
        bytes.extend_from_slice(&self.payload);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_counts_itself() {
        let header = Header {
            program: Program(1),
            version: Version(2),
            procedure: Procedure(-3),
            kind: MessageType::REPLY,
            serial: Serial(4),
            status: Status::ERROR,
        };
        let bytes = Packet::new(header, &9_u32).encode().unwrap();
        let words: Vec<i32> = bytes
            .chunks(4)
            .map(|word| i32::from_be_bytes(word.try_into().unwrap()))
            .collect();
        assert_eq!(words, [32, 1, 2, -3, 1, 4, 1, 9]);
        let payload = vec![0; PAYLOAD_MAX + 1];
        assert!(Packet { header, payload }.encode().is_err());
    }
}
