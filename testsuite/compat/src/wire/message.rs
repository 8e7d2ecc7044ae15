//! Requests as bytes, laid out as libsanlock sends them. Written for the tests alone: what is
//! tested must not be what speaks.

/// The first word of every header.
pub(crate) const MAGIC: u32 = 0x0428_2010;

/// Command numbers.
pub(crate) mod cmd {
    pub(crate) const REGISTER: u32 = 1;
    pub(crate) const ADD_LOCKSPACE: u32 = 2;
    pub(crate) const REM_LOCKSPACE: u32 = 3;
    pub(crate) const SHUTDOWN: u32 = 4;
    pub(crate) const STATUS: u32 = 5;
    pub(crate) const LOG_DUMP: u32 = 6;
    pub(crate) const ACQUIRE: u32 = 7;
    pub(crate) const RELEASE: u32 = 8;
    pub(crate) const INQUIRE: u32 = 9;
    pub(crate) const RESTRICT: u32 = 10;
    pub(crate) const REQUEST: u32 = 11;
    pub(crate) const ALIGN: u32 = 12;
    pub(crate) const EXAMINE_LOCKSPACE: u32 = 13;
    pub(crate) const EXAMINE_RESOURCE: u32 = 14;
    pub(crate) const HOST_STATUS: u32 = 15;
    pub(crate) const INQ_LOCKSPACE: u32 = 16;
    pub(crate) const KILLPATH: u32 = 17;
    pub(crate) const WRITE_LOCKSPACE: u32 = 18;
    pub(crate) const WRITE_RESOURCE: u32 = 19;
    pub(crate) const READ_LOCKSPACE: u32 = 20;
    pub(crate) const READ_RESOURCE: u32 = 21;
    pub(crate) const GET_LOCKSPACES: u32 = 22;
    pub(crate) const GET_HOSTS: u32 = 23;
    pub(crate) const READ_RESOURCE_OWNERS: u32 = 24;
    pub(crate) const SET_LVB: u32 = 25;
    pub(crate) const GET_LVB: u32 = 26;
    pub(crate) const CONVERT: u32 = 27;
    pub(crate) const VERSION: u32 = 28;
    pub(crate) const SHUTDOWN_WAIT: u32 = 29;
    pub(crate) const REG_EVENT: u32 = 30;
    pub(crate) const END_EVENT: u32 = 31;
    pub(crate) const SET_EVENT: u32 = 32;
    pub(crate) const SET_CONFIG: u32 = 33;
    pub(crate) const RENEWAL: u32 = 34;
    pub(crate) const FORMAT_RINDEX: u32 = 35;
    pub(crate) const UPDATE_RINDEX: u32 = 36;
    pub(crate) const LOOKUP_RINDEX: u32 = 37;
    pub(crate) const CREATE_RESOURCE: u32 = 38;
    pub(crate) const DELETE_RESOURCE: u32 = 39;
    pub(crate) const REBUILD_RINDEX: u32 = 40;
}

/// `data2` of a request about the connection itself.
pub(crate) const SELF: u32 = u32::MAX;

/// The header of a request or a reply: eight words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) magic: u32,
    pub(crate) version: u32,
    pub(crate) cmd: u32,
    pub(crate) cmd_flags: u32,
    pub(crate) length: u32,
    pub(crate) seq: u32,
    pub(crate) data: u32,
    pub(crate) data2: u32,
}

impl Header {
    /// Bytes of a header.
    pub(crate) const LEN: usize = 32;

    /// The header of a request without a body.
    pub(crate) fn new(cmd: u32) -> Header {
        let (cmd_flags, seq, data, data2) = (0, 0, 0, 0);
        Header {
            magic: MAGIC,
            version: 1,
            cmd,
            cmd_flags,
            length: 32,
            seq,
            data,
            data2,
        }
    }

    /// With other data words.
    pub(crate) fn data(mut self, data: u32, data2: u32) -> Header {
        (self.data, self.data2) = (data, data2);
        self
    }

    /// With flags.
    pub(crate) fn flags(mut self, flags: u32) -> Header {
        self.cmd_flags = flags;
        self
    }

    /// The header alone, announcing `body`, and the body behind it.
    pub(crate) fn with(mut self, body: &[u8]) -> Vec<u8> {
        self.length = 32 + u32::try_from(body.len()).unwrap_or(u32::MAX - 32);
        let mut bytes = self.bytes();
        bytes.extend_from_slice(body);
        bytes
    }

    /// As it is sent.
    pub(crate) fn bytes(self) -> Vec<u8> {
        let words = [
            self.magic,
            self.version,
            self.cmd,
            self.cmd_flags,
            self.length,
            self.seq,
            self.data,
            self.data2,
        ];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// As it was received.
    pub(crate) fn read(bytes: &[u8]) -> Header {
        let word = |at: usize| {
            let word = bytes
                .get(at * 4..at * 4 + 4)
                .and_then(|four| four.try_into().ok());
            u32::from_le_bytes(word.unwrap_or_default())
        };
        Header {
            magic: word(0),
            version: word(1),
            cmd: word(2),
            cmd_flags: word(3),
            length: word(4),
            seq: word(5),
            data: word(6),
            data2: word(7),
        }
    }

    /// The result, which is signed.
    pub(crate) fn result(self) -> i32 {
        i32::from_le_bytes(self.data.to_le_bytes())
    }
}

/// `text` in `len` bytes, zeros behind it.
pub(crate) fn padded(text: &str, len: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(len, 0);
    bytes
}

/// A disk: path and offset.
pub(crate) fn disk(path: &str, offset: u64) -> Vec<u8> {
    let mut bytes = padded(path, 1024);
    bytes.extend_from_slice(&offset.to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes
}

/// A lockspace.
pub(crate) fn lockspace(name: &str, host_id: u64, path: &str) -> Vec<u8> {
    let mut bytes = padded(name, 48);
    bytes.extend_from_slice(&host_id.to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&disk(path, 0));
    bytes
}

/// A resource that announces `disks` disks, without them.
pub(crate) fn resource(space: &str, name: &str, flags: u32, disks: u32) -> Vec<u8> {
    let mut bytes = padded(space, 48);
    bytes.extend_from_slice(&padded(name, 48));
    bytes.extend_from_slice(&[0; 24]);
    bytes.extend_from_slice(&flags.to_le_bytes());
    bytes.extend_from_slice(&disks.to_le_bytes());
    bytes
}

/// A resource on one disk.
pub(crate) fn on_disk(space: &str, name: &str, path: &str, offset: u64) -> Vec<u8> {
    let mut bytes = resource(space, name, 0, 1);
    bytes.extend_from_slice(&disk(path, offset));
    bytes
}

/// Options of an acquire.
pub(crate) fn options(owner: &str) -> Vec<u8> {
    padded(owner, 56)
}

/// A resource index.
pub(crate) fn rindex(space: &str, path: &str, offset: u64) -> Vec<u8> {
    let mut bytes = vec![0; 16];
    bytes.extend_from_slice(&padded(space, 48));
    bytes.extend_from_slice(&disk(path, offset));
    bytes
}

/// An entry of a resource index.
pub(crate) fn rentry(name: &str) -> Vec<u8> {
    padded(name, 64)
}

/// An event for a host.
pub(crate) fn event(host_id: u64) -> Vec<u8> {
    [host_id, 1, 2, 3]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect()
}
