//! The one message there is (`struct wdmd_header`), and what it means.

use std::fmt;

use crate::error::DecodeError;

/// Name of a client: up to 128 bytes, padded with NULs; 128 bytes without a NUL are a name too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name([u8; Name::LEN]);

impl Name {
    /// Bytes of the field (`WDMD_NAME_SIZE`).
    pub const LEN: usize = 128;

    /// The bytes up to the first NUL; `None` if there are more than 128.
    pub fn from_bytes(bytes: &[u8]) -> Option<Name> {
        let text = until_nul(bytes);
        let mut raw = [0; Name::LEN];
        raw.get_mut(..text.len())?.copy_from_slice(text);
        Some(Name(raw))
    }

    /// The name as it lies on the wire; what follows the first NUL is dropped.
    pub fn from_raw(raw: [u8; Name::LEN]) -> Name {
        Name::from_bytes(&raw).unwrap_or_default()
    }

    /// The bytes up to the first NUL.
    pub fn as_bytes(&self) -> &[u8] {
        until_nul(&self.0)
    }

    /// All 128 bytes.
    pub fn raw(&self) -> &[u8; Name::LEN] {
        &self.0
    }
}

impl Default for Name {
    fn default() -> Self {
        Name([0; Name::LEN])
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A message as it lies on the wire: 176 bytes, little-endian (magic, cmd, len, flags, test_interval,
/// fire_timeout, each 32 bits; last_keepalive at 24, renewal_time at 32, expire_time at 40, each 64 bits; name
/// at 48). All messages have the same size, whatever they use of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Sent as 0 and not looked at.
    pub magic: u32,
    /// Command number, see [`Request`].
    pub command: u32,
    /// Sent as 0 and not looked at.
    pub len: u32,
    /// Sent as 0 and not looked at.
    pub flags: u32,
    /// Seconds between two looks at the clients, in the answer to status.
    pub test_interval: u32,
    /// Seconds after which the device fires: wanted in open_watchdog, in use in the answers.
    pub fire_timeout: u32,
    /// When the device was last kept alive, in seconds of the monotonic clock, in the answer to status.
    pub last_keepalive: u64,
    /// When the client was last well, in seconds of the monotonic clock, in test_live.
    pub renewal_time: u64,
    /// Until when it is well, in seconds of the monotonic clock, in test_live; 0 for no limit.
    pub expire_time: u64,
    /// Who the client is, in register.
    pub name: Name,
}

impl Message {
    /// Bytes on the wire.
    pub const LEN: usize = 176;

    /// Reads a message from the first 176 bytes.
    ///
    /// # Errors
    /// [`DecodeError::Short`].
    pub fn decode(bytes: &[u8]) -> Result<Message, DecodeError> {
        let short = DecodeError::Short {
            needed: Message::LEN,
            got: bytes.len(),
        };
        let (words, rest) = bytes.split_first_chunk::<24>().ok_or(short)?;
        let (times, rest) = rest.split_first_chunk::<24>().ok_or(short)?;
        let (name, _) = rest.split_first_chunk::<{ Name::LEN }>().ok_or(short)?;
        let [magic, command, len, flags, test_interval, fire_timeout] =
            fields::<6, 4>(words).map(u32::from_le_bytes);
        let [last_keepalive, renewal_time, expire_time] =
            fields::<3, 8>(times).map(u64::from_le_bytes);
        Ok(Message {
            magic,
            command,
            len,
            flags,
            test_interval,
            fire_timeout,
            last_keepalive,
            renewal_time,
            expire_time,
            name: Name::from_raw(*name),
        })
    }

    /// The 176 bytes.
    pub fn encode(&self) -> [u8; Message::LEN] {
        let mut bytes = [0; Message::LEN];
        let words = [
            self.magic,
            self.command,
            self.len,
            self.flags,
            self.test_interval,
            self.fire_timeout,
        ];
        let times = [self.last_keepalive, self.renewal_time, self.expire_time];
        let fields = words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .chain(times.iter().flat_map(|time| time.to_le_bytes()))
            .chain(self.name.raw().iter().copied());
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        bytes
    }

    /// The answer to a status message.
    pub fn with_status(&self, status: Status) -> Message {
        Message {
            test_interval: status.test_interval,
            fire_timeout: status.fire_timeout,
            last_keepalive: status.last_keepalive,
            ..*self
        }
    }

    /// The answer to an open_watchdog message: the fire timeout in use, 0 if it failed.
    pub fn with_fire_timeout(&self, fire_timeout: u32) -> Message {
        Message {
            fire_timeout,
            ..*self
        }
    }

    /// What an answer to status says.
    pub fn status(&self) -> Status {
        Status {
            test_interval: self.test_interval,
            fire_timeout: self.fire_timeout,
            last_keepalive: self.last_keepalive,
        }
    }
}

/// `N` fields of `W` bytes.
fn fields<const N: usize, const W: usize>(bytes: &[u8]) -> [[u8; W]; N] {
    let mut out = [[0; W]; N];
    for (to, from) in out.iter_mut().zip(bytes.chunks_exact(W)) {
        to.copy_from_slice(from);
    }
    out
}

/// How the daemon is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Seconds between two looks at the clients.
    pub test_interval: u32,
    /// Seconds after which the device fires.
    pub fire_timeout: u32,
    /// When the device was last kept alive, in seconds of the monotonic clock.
    pub last_keepalive: u64,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// 1: this is who I am. The daemon takes the pid from the socket.
    Register(Name),
    /// 2: do not end while I am here.
    RefcountSet,
    /// 3: you may end.
    RefcountClear,
    /// 4: I was well at `renewal` and will be until `expire`; in seconds of the monotonic clock. An `expire`
    /// of 0 means that I need no watching.
    TestLive {
        /// When the client was last well.
        renewal: u64,
        /// Until when it is well.
        expire: u64,
    },
    /// 5: how are you?
    Status,
    /// 6: tell everything.
    DumpDebug,
    /// 7: open the device with this fire timeout in seconds (after 3.8.5).
    OpenWatchdog {
        /// Seconds.
        fire_timeout: u32,
    },
}

impl Request {
    /// The number on the wire.
    pub const fn number(&self) -> u32 {
        match self {
            Request::Register(_) => 1,
            Request::RefcountSet => 2,
            Request::RefcountClear => 3,
            Request::TestLive { .. } => 4,
            Request::Status => 5,
            Request::DumpDebug => 6,
            Request::OpenWatchdog { .. } => 7,
        }
    }

    /// The name for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Request::Register(_) => "register",
            Request::RefcountSet => "refcount_set",
            Request::RefcountClear => "refcount_clear",
            Request::TestLive { .. } => "test_live",
            Request::Status => "status",
            Request::DumpDebug => "dump_debug",
            Request::OpenWatchdog { .. } => "open_watchdog",
        }
    }

    /// The message as libwdmd sends it.
    pub fn message(&self) -> Message {
        let empty = Message {
            command: self.number(),
            ..Message::default()
        };
        match *self {
            Request::Register(name) => Message { name, ..empty },
            Request::TestLive { renewal, expire } => Message {
                renewal_time: renewal,
                expire_time: expire,
                ..empty
            },
            Request::OpenWatchdog { fire_timeout } => Message {
                fire_timeout,
                ..empty
            },
            Request::RefcountSet
            | Request::RefcountClear
            | Request::Status
            | Request::DumpDebug => empty,
        }
    }
}

impl TryFrom<&Message> for Request {
    type Error = DecodeError;

    /// What the message asks for; the daemon lets an unknown command pass without an answer.
    fn try_from(message: &Message) -> Result<Request, DecodeError> {
        Ok(match message.command {
            1 => Request::Register(message.name),
            2 => Request::RefcountSet,
            3 => Request::RefcountClear,
            4 => Request::TestLive {
                renewal: message.renewal_time,
                expire: message.expire_time,
            },
            5 => Request::Status,
            6 => Request::DumpDebug,
            7 => Request::OpenWatchdog {
                fire_timeout: message.fire_timeout,
            },
            other => return Err(DecodeError::Command(other)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_begins_at_48_and_needs_no_end() {
        let name = Name::from_bytes(&[b'n'; 128]).unwrap();
        let bytes = Request::Register(name).message().encode();
        assert_eq!(bytes[48..], [b'n'; 128]);
        assert!(Name::from_bytes(&[b'n'; 129]).is_none());
    }

    #[test]
    fn an_answer_is_the_message_with_a_few_fields_filled_in() {
        let asked = Message {
            magic: 7,
            flags: 9,
            ..Request::Status.message()
        };
        let status = Status {
            test_interval: 10,
            fire_timeout: 60,
            last_keepalive: 5,
        };
        let answer = asked.with_status(status);
        assert_eq!((answer.magic, answer.flags, answer.command), (7, 9, 5));
        assert_eq!(answer.status(), status);
    }

    #[test]
    fn a_short_message_is_none() {
        let bytes = Request::Status.message().encode();
        assert!(Message::decode(&bytes[..175]).is_err());
        let other = Message {
            command: 8,
            ..Message::default()
        };
        assert_eq!(Request::try_from(&other), Err(DecodeError::Command(8)));
    }
}
