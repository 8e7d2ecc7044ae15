//! The 32 bytes in front of every message (`struct sm_header`).

use crate::error::DecodeError;
use crate::wire::{Put, Reader};

/// First word of every message (`SM_MAGIC`).
pub const MAGIC: u32 = 0x0428_2010;

/// Protocol version: major in the upper 16 bits, minor in the lower (`SM_PROTO`).
pub const PROTO: u32 = 0x0000_0001;

/// Eight 32-bit words, little-endian, no padding: magic, version, cmd, cmd_flags, length, seq, data,
/// data2. Nothing is checked when it is read; see [`Header::fault`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u32,
    /// [`PROTO`]; 0 and any minor version are accepted from clients.
    pub version: u32,
    /// Command number, see [`Command`](crate::Command).
    pub command: u32,
    /// Flags of the command.
    pub flags: u32,
    /// Bytes of the whole message, this header included, as announced by the sender. The daemon
    /// relies on it for `set_lvb` only.
    pub length: u32,
    /// Sequence number; sent as 0 and copied into the reply.
    pub seq: u32,
    /// A number whose meaning depends on the command; the signed result in a reply.
    pub data: u32,
    /// A second such number: for acquire and its relatives the target pid, or -1 for "this connection".
    pub data2: u32,
}

/// Why a header cannot be a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// The first word is not [`MAGIC`].
    #[error("magic {0:#010x} instead of 0x04282010")]
    Magic(u32),
    /// The major protocol version is newer than ours.
    #[error("protocol version {0:#010x} is newer than 0x00000001")]
    Version(u32),
    /// The command number means nothing to any known sanlock.
    #[error("unknown command {0}")]
    Command(u32),
}

impl Header {
    /// Bytes on the wire.
    pub const LEN: usize = 32;

    /// A request header as libsanlock sends it: magic, version 1, seq 0, length counting `body_len`.
    pub fn request(command: u32, flags: u32, body_len: usize, data: u32, data2: u32) -> Header {
        Header {
            magic: MAGIC,
            version: PROTO,
            command,
            flags,
            length: total_length(body_len),
            seq: 0,
            data,
            data2,
        }
    }

    /// Reads a header from the first 32 bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`] for fewer than 32 bytes; nothing else is checked.
    pub fn decode(bytes: &[u8]) -> Result<Header, DecodeError> {
        let mut r = Reader::new("message header", bytes);
        Ok(Header {
            magic: r.u32()?,
            version: r.u32()?,
            command: r.u32()?,
            flags: r.u32()?,
            length: r.u32()?,
            seq: r.u32()?,
            data: r.u32()?,
            data2: r.u32()?,
        })
    }

    /// Appends the 32 bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for word in [
            self.magic,
            self.version,
            self.command,
            self.flags,
            self.length,
            self.seq,
            self.data,
            self.data2,
        ] {
            out.put_u32(word);
        }
    }

    /// The header of the reply to this request: everything copied, version 1, `result` in data,
    /// data2 as given, length counting `body_len`.
    pub fn reply(&self, result: i32, data2: u32, body_len: usize) -> Header {
        Header {
            version: PROTO,
            length: total_length(body_len),
            data: result as u32,
            data2,
            ..*self
        }
    }

    /// The signed result in a reply.
    pub fn result(&self) -> i32 {
        self.data as i32
    }

    /// Bytes that the sender says follow the header; 0 when the length is less than the header's own.
    pub fn announced_body(&self) -> usize {
        usize::try_from(self.length)
            .unwrap_or(usize::MAX)
            .saturating_sub(Header::LEN)
    }

    /// Whether the C daemon would take this as a request at all. When not, it drops the 32 bytes,
    /// answers nothing and goes on with what follows as the next header.
    pub fn fault(&self) -> Option<HeaderFault> {
        use crate::command::Command;
        if self.magic != MAGIC {
            return Some(HeaderFault::Magic(self.magic));
        }
        let major = self.version & 0xffff_0000;
        if major > (PROTO & 0xffff_0000) && self.command != Command::Version.number() {
            return Some(HeaderFault::Version(self.version));
        }
        match Command::from_number(self.command) {
            Some(_) => None,
            None => Some(HeaderFault::Command(self.command)),
        }
    }
}

fn total_length(body_len: usize) -> u32 {
    u32::try_from(body_len.saturating_add(Header::LEN)).unwrap_or(u32::MAX)
}
