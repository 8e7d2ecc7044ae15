//! The records that `status`, `host_status` and `renewal` stream to the client.

use crate::body::{Lockspace, Resource, ResourceHead};
use crate::error::DecodeError;
use crate::name::{Name, until_nul};
use crate::wire::{Put, Reader};

/// Longest text of a record, with its NUL (`SANLK_STATE_MAXSTR`).
pub const MAX_TEXT: usize = 4096;

/// What a record is about (`SANLK_STATE_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateKind {
    /// 1: the daemon; its name is the host's name.
    Daemon,
    /// 2: a connection; data32 is its pid, its name the owner name.
    Client,
    /// 3: a lockspace; data64 is its host id; the lockspace itself follows the text.
    Lockspace,
    /// 4: a resource; data32 is the pid, data64 the lver; the resource and its disks follow the text.
    Resource,
    /// 5: a host; data32 is its host id, data64 its timestamp.
    Host,
    /// 6: a renewal of the past; data64 is its time.
    Renewal,
    /// A kind this protocol does not know; nothing follows the text.
    Other(u32),
}

impl StateKind {
    /// The kind with this number.
    pub const fn from_number(number: u32) -> StateKind {
        match number {
            1 => StateKind::Daemon,
            2 => StateKind::Client,
            3 => StateKind::Lockspace,
            4 => StateKind::Resource,
            5 => StateKind::Host,
            6 => StateKind::Renewal,
            other => StateKind::Other(other),
        }
    }

    /// The number on the wire.
    pub const fn number(self) -> u32 {
        match self {
            StateKind::Daemon => 1,
            StateKind::Client => 2,
            StateKind::Lockspace => 3,
            StateKind::Resource => 4,
            StateKind::Host => 5,
            StateKind::Renewal => 6,
            StateKind::Other(number) => number,
        }
    }
}

/// What follows the text of a record. It decides the record's kind where there is something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attached {
    /// Nothing.
    Nothing(StateKind),
    /// The lockspace.
    Lockspace(Lockspace),
    /// The resource with its disks.
    Resource(Resource),
}

/// One record: `struct sanlk_state` (80 bytes: type, flags, data32, four bytes of padding, data64 at 16,
/// name at 24, str_len at 72, four bytes of padding), a text, and for lockspaces and resources the
/// structs themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRecord {
    /// Unused.
    pub flags: u32,
    /// Number whose meaning depends on the kind.
    pub data32: u32,
    /// Number whose meaning depends on the kind.
    pub data64: u64,
    /// Name whose meaning depends on the kind.
    pub name: Name,
    /// `key=value` pairs with a space between them, without the NUL that ends them on the wire; cut
    /// after 4095 bytes when encoded. Empty is sent as no text at all.
    pub text: Vec<u8>,
    /// What follows, and so the kind.
    pub attached: Attached,
}

impl StateRecord {
    /// Bytes of the fixed part on the wire.
    pub const LEN: usize = 80;

    /// A record of this kind with everything else empty.
    pub fn new(attached: Attached) -> StateRecord {
        StateRecord {
            flags: 0,
            data32: 0,
            data64: 0,
            name: Name::EMPTY,
            text: Vec::new(),
            attached,
        }
    }

    /// What the record is about.
    pub fn kind(&self) -> StateKind {
        match &self.attached {
            Attached::Nothing(kind) => *kind,
            Attached::Lockspace(_) => StateKind::Lockspace,
            Attached::Resource(_) => StateKind::Resource,
        }
    }

    /// The value of `key` in the text, if it is valid UTF-8.
    pub fn value(&self, key: &str) -> Option<&str> {
        let text = std::str::from_utf8(&self.text).ok()?;
        text.split(' ')
            .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
    }

    /// Reads a record from the front of `bytes`, and says how many bytes it took.
    ///
    /// A resource record may have no disks (an orphan's may), at most four.
    ///
    /// # Errors
    /// [`DecodeError::Short`] says how many bytes are needed to get further; [`DecodeError::TooMany`]
    /// for a text of more than 4096 bytes or more than four disks.
    pub fn decode(bytes: &[u8]) -> Result<(StateRecord, usize), DecodeError> {
        let mut r = Reader::new("status record", bytes);
        let kind = StateKind::from_number(r.u32()?);
        let flags = r.u32()?;
        let data32 = r.u32()?;
        r.skip(4)?;
        let data64 = r.u64()?;
        let name = Name::from_raw(r.array()?);
        let text_len = r.u32()?;
        r.skip(4)?;
        let text_len = usize::try_from(text_len)
            .ok()
            .filter(|len| *len <= MAX_TEXT)
            .ok_or(DecodeError::TooMany {
                what: "length of a status record's text",
                value: text_len.into(),
                limit: MAX_TEXT as u64,
            })?;
        let text = until_nul(r.take(text_len)?).to_vec();
        let attached = match kind {
            StateKind::Lockspace => Attached::Lockspace(Lockspace::read(&mut r)?),
            StateKind::Resource => Attached::Resource(read_attached_resource(&mut r)?),
            other => Attached::Nothing(other),
        };
        let record = StateRecord {
            flags,
            data32,
            data64,
            name,
            text,
            attached,
        };
        Ok((record, r.position()))
    }

    /// Appends the record to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let text = self
            .text
            .get(..MAX_TEXT.saturating_sub(1))
            .unwrap_or(&self.text);
        let wire_len = if text.is_empty() {
            0
        } else {
            text.len().saturating_add(1)
        };
        out.put_u32(self.kind().number());
        out.put_u32(self.flags);
        out.put_u32(self.data32);
        out.pad(4);
        out.put_u64(self.data64);
        out.put(self.name.raw());
        out.put_u32(wire_len as u32);
        out.pad(4);
        out.put(text);
        out.pad(wire_len.saturating_sub(text.len()));
        match &self.attached {
            Attached::Nothing(_) => {}
            Attached::Lockspace(lockspace) => lockspace.encode(out),
            Attached::Resource(resource) => resource.encode(out),
        }
    }
}

fn read_attached_resource(r: &mut Reader<'_>) -> Result<Resource, DecodeError> {
    let head = ResourceHead::read(r)?;
    let count = if head.num_disks == 0 {
        0
    } else {
        head.checked_disks()?
    };
    let mut disks = Vec::with_capacity(count);
    for _ in 0..count {
        disks.push(crate::body::Disk::read(r)?);
    }
    Ok(Resource::from_head(head, disks))
}
