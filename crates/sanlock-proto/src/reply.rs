//! What the daemon answers.
//!
//! The header of a reply is the request's, with version 1, a length, data and data2 of its own; data
//! is the signed result. Four replies depart from it:
//!
//! * `version` zeroes cmd_flags and seq and sets the magic and the command anew;
//! * the final reply to `shutdown_wait` is an empty header with magic, version and length;
//! * `log_dump` leaves the length of the request and has the number of bytes that follow in data;
//! * the records after `status`, `host_status` and `renewal` are not counted in the length; their end is
//!   the end of the connection.
//!
//! `restrict` copies data2 like all others but then has 0 in it, as every plain result has.

use crate::body::{HostEntry, Lockspace, ResourceHead, RindexEntry};
use crate::command::Command;
use crate::error::DecodeError;
use crate::header::{Header, MAGIC, PROTO};
use crate::state::StateRecord;
use crate::wire::Reader;

/// A reply without its header. `result` is 0 or positive for success, else a number that
/// [`explain`](crate::explain) knows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are named and typed after what they carry
pub enum Reply {
    /// Most commands, and every error of those whose reply has a body only on success.
    Result(i32),
    /// `version` as 0xMMmmpp00: 3.8.5 is 0x03080500.
    Version { version: u32 },
    /// The daemon has ended.
    ShutdownDone,
    /// `count` is how many there are, also if -28 says that not all fit.
    Lockspaces {
        result: i32,
        count: u32,
        lockspaces: Vec<Lockspace>,
    },
    /// `count` is how many there are, also if -28 says that not all fit.
    Hosts {
        result: i32,
        count: u32,
        hosts: Vec<HostEntry>,
    },
    /// `state` as [`text::resources_to_state`](crate::text::resources_to_state) makes it, without its
    /// NUL; `None` if nothing is held or on error.
    Inquire {
        result: i32,
        count: u32,
        state: Option<Vec<u8>>,
    },
    /// The lockspace is sent on error too: as it came. `io_timeout` in seconds.
    ReadLockspace {
        result: i32,
        io_timeout: u32,
        lockspace: Lockspace,
    },
    /// The resource is sent on error too: as it came.
    ReadResource { result: i32, resource: ResourceHead },
    /// The resource is sent on error too: as it came; `count` normally counts the hosts.
    Owners {
        result: i32,
        count: u32,
        resource: ResourceHead,
        hosts: Vec<HostEntry>,
    },
    /// `None` on error.
    Lvb { result: i32, lvb: Option<Vec<u8>> },
    /// update, lookup, create, delete; all zeros on error.
    RindexEntry { result: i32, entry: RindexEntry },
    /// The log buffer's text, without a NUL.
    LogDump(Vec<u8>),
    /// `status`, `host_status`, `renewal`; the records follow until the connection ends. `data2` is the
    /// io timeout for `renewal`, else 0.
    Records {
        result: i32,
        data2: u32,
        records: Vec<StateRecord>,
    },
}

impl Reply {
    /// A failure of `command`, in the shape that libsanlock waits for: several commands send their
    /// body on error too, and the library's `sanlock_read_resource` hangs without it.
    pub fn failure(command: Command, result: i32) -> Reply {
        match command {
            Command::GetLockspaces => Reply::Lockspaces {
                result,
                count: 0,
                lockspaces: Vec::new(),
            },
            Command::GetHosts => Reply::Hosts {
                result,
                count: 0,
                hosts: Vec::new(),
            },
            Command::Inquire => Reply::Inquire {
                result,
                count: 0,
                state: None,
            },
            Command::ReadLockspace => Reply::ReadLockspace {
                result,
                io_timeout: 0,
                lockspace: Lockspace::default(),
            },
            Command::ReadResource => Reply::ReadResource {
                result,
                resource: ResourceHead::default(),
            },
            Command::ReadResourceOwners => Reply::Owners {
                result,
                count: 0,
                resource: ResourceHead::default(),
                hosts: Vec::new(),
            },
            Command::GetLvb => Reply::Lvb { result, lvb: None },
            Command::UpdateRindex
            | Command::LookupRindex
            | Command::CreateResource
            | Command::DeleteResource => Reply::RindexEntry {
                result,
                entry: RindexEntry::default(),
            },
            Command::Status | Command::HostStatus | Command::Renewal => Reply::Records {
                result,
                data2: 0,
                records: Vec::new(),
            },
            _ => Reply::Result(result),
        }
    }

    /// The result the client will see.
    pub fn result(&self) -> i32 {
        match self {
            Reply::Result(result)
            | Reply::Lockspaces { result, .. }
            | Reply::Hosts { result, .. }
            | Reply::Inquire { result, .. }
            | Reply::ReadLockspace { result, .. }
            | Reply::ReadResource { result, .. }
            | Reply::Owners { result, .. }
            | Reply::Lvb { result, .. }
            | Reply::RindexEntry { result, .. }
            | Reply::Records { result, .. } => *result,
            Reply::Version { .. } | Reply::ShutdownDone => 0,
            Reply::LogDump(text) => i32::try_from(text.len()).unwrap_or(i32::MAX),
        }
    }

    /// The whole message that answers the request with this header.
    pub fn encode(&self, request: &Header) -> Vec<u8> {
        // A log is long: it is copied once only.
        let mut message = vec![0; Header::LEN];
        self.encode_body(&mut message);
        let header = self.header(request, message.len().saturating_sub(Header::LEN));
        let mut head = Vec::with_capacity(Header::LEN);
        header.encode(&mut head);
        message.splice(..Header::LEN, head);
        message
    }

    fn header(&self, request: &Header, body_len: usize) -> Header {
        let result = self.result();
        match self {
            Reply::Result(_) if request.command == Command::SetConfig.number() => {
                request.reply(result, request.data2, body_len)
            }
            Reply::Result(_)
            | Reply::Lvb { .. }
            | Reply::ReadResource { .. }
            | Reply::RindexEntry { .. } => request.reply(result, 0, body_len),
            Reply::Version { version } => {
                Header::request(Command::Version.number(), 0, 0, 0, *version)
            }
            Reply::ShutdownDone => Header {
                magic: MAGIC,
                version: PROTO,
                length: Header::LEN as u32,
                ..Header::default()
            },
            Reply::Lockspaces { count, .. }
            | Reply::Hosts { count, .. }
            | Reply::Inquire { count, .. }
            | Reply::Owners { count, .. } => request.reply(result, *count, body_len),
            Reply::ReadLockspace { io_timeout, .. } => request.reply(result, *io_timeout, body_len),
            Reply::LogDump(_) => Header {
                length: request.length,
                ..request.reply(result, request.data2, 0)
            },
            Reply::Records { data2, .. } => request.reply(result, *data2, 0),
        }
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Reply::Result(_) | Reply::Version { .. } | Reply::ShutdownDone => {}
            Reply::Lockspaces { lockspaces, .. } => {
                lockspaces
                    .iter()
                    .for_each(|lockspace| lockspace.encode(out));
            }
            Reply::Hosts { hosts, .. } => hosts.iter().for_each(|host| host.encode(out)),
            Reply::Inquire { state, .. } => {
                if let Some(state) = state {
                    out.extend_from_slice(state);
                    out.push(0);
                }
            }
            Reply::ReadLockspace { lockspace, .. } => lockspace.encode(out),
            Reply::ReadResource { resource, .. } => resource.encode(out),
            Reply::Owners {
                resource, hosts, ..
            } => {
                resource.encode(out);
                hosts.iter().for_each(|host| host.encode(out));
            }
            Reply::Lvb { lvb, .. } => out.extend_from_slice(lvb.as_deref().unwrap_or_default()),
            Reply::RindexEntry { entry, .. } => entry.encode(out),
            Reply::LogDump(text) => out.extend_from_slice(text),
            Reply::Records { records, .. } => records.iter().for_each(|record| record.encode(out)),
        }
    }

    /// Reads the reply to `command` from its header and body, which must be of the length that
    /// [`reply_body`] gives (for [`ReplyBody::UntilEnd`]: all there is; an incomplete last record is
    /// dropped, as the C command line does).
    ///
    /// # Errors
    /// [`DecodeError`] for a wrong magic, a body that is too short or long, or text in a record that is
    /// too long.
    pub fn decode(command: Command, header: &Header, body: &[u8]) -> Result<Reply, DecodeError> {
        if header.magic != MAGIC {
            return Err(DecodeError::Magic(header.magic));
        }
        let result = header.result();
        let count = header.data2;
        let mut r = Reader::new("reply", body);
        let reply = match command {
            Command::Version => Reply::Version {
                version: header.data2,
            },
            Command::ShutdownWait if header.command == 0 => Reply::ShutdownDone,
            Command::GetLockspaces => Reply::Lockspaces {
                result,
                count,
                lockspaces: read_all(&mut r, Lockspace::LEN, Lockspace::read)?,
            },
            Command::GetHosts => Reply::Hosts {
                result,
                count,
                hosts: read_all(&mut r, HostEntry::LEN, HostEntry::read)?,
            },
            Command::Inquire => {
                let text = r.take(body.len())?;
                let state = (!text.is_empty()).then(|| crate::name::until_nul(text).to_vec());
                Reply::Inquire {
                    result,
                    count,
                    state,
                }
            }
            // A daemon that failed early may have nothing to show.
            Command::ReadLockspace
            | Command::ReadResource
            | Command::ReadResourceOwners
            | Command::UpdateRindex
            | Command::LookupRindex
            | Command::CreateResource
            | Command::DeleteResource
                if result < 0 && body.is_empty() =>
            {
                Reply::Result(result)
            }
            Command::ReadLockspace => Reply::ReadLockspace {
                result,
                io_timeout: header.data2,
                lockspace: Lockspace::read(&mut r)?,
            },
            Command::ReadResource => Reply::ReadResource {
                result,
                resource: ResourceHead::read(&mut r)?,
            },
            Command::ReadResourceOwners => Reply::Owners {
                result,
                count,
                resource: ResourceHead::read(&mut r)?,
                hosts: read_all(&mut r, HostEntry::LEN, HostEntry::read)?,
            },
            Command::GetLvb => {
                let lvb = r.take(body.len())?;
                Reply::Lvb {
                    result,
                    lvb: (!lvb.is_empty()).then(|| lvb.to_vec()),
                }
            }
            Command::UpdateRindex
            | Command::LookupRindex
            | Command::CreateResource
            | Command::DeleteResource => Reply::RindexEntry {
                result,
                entry: RindexEntry::read(&mut r)?,
            },
            Command::LogDump => Reply::LogDump(r.take(body.len())?.to_vec()),
            Command::Status | Command::HostStatus | Command::Renewal => {
                let records = read_records(r.take(body.len())?)?;
                Reply::Records {
                    result,
                    data2: header.data2,
                    records,
                }
            }
            _ => Reply::Result(result),
        };
        match r.rest().len() {
            0 => Ok(reply),
            extra => Err(DecodeError::Trailing {
                what: "reply",
                extra,
            }),
        }
    }
}

/// What follows the header of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyBody {
    /// So many bytes.
    Bytes(usize),
    /// Everything until the connection ends.
    UntilEnd,
}

/// Largest body of a reply that a client accepts: the C daemon's send buffer (`LOG_DUMP_SIZE`, 1 MiB)
/// and some space.
pub const MAX_REPLY: usize = 2 * crate::MAX_CLIENT_MSG;

/// What follows the header of a reply to `command`.
///
/// Lists are as long as the length says, which is less than the count says if -28 (ENOSPC) was the
/// result; the C library waits for the count then.
///
/// # Errors
/// [`DecodeError::TooMany`] if it were more than [`MAX_REPLY`].
pub fn reply_body(command: Command, header: &Header) -> Result<ReplyBody, DecodeError> {
    let len = match command {
        Command::Status | Command::HostStatus | Command::Renewal => return Ok(ReplyBody::UntilEnd),
        // rejected before the daemon knew what to send
        Command::ReadLockspace
        | Command::ReadResource
        | Command::ReadResourceOwners
        | Command::UpdateRindex
        | Command::LookupRindex
        | Command::CreateResource
        | Command::DeleteResource
        | Command::GetLockspaces
        | Command::GetHosts
        | Command::Inquire
        | Command::GetLvb => header.announced_body(),
        Command::LogDump => usize::try_from(header.result()).unwrap_or(0),
        _ => 0,
    };
    if len > MAX_REPLY {
        return Err(DecodeError::TooMany {
            what: "length of a reply",
            value: len as u64,
            limit: MAX_REPLY as u64,
        });
    }
    Ok(ReplyBody::Bytes(len))
}

fn read_all<'a, T>(
    r: &mut Reader<'a>,
    len: usize,
    read: impl Fn(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let mut list = Vec::new();
    while r.rest().len() >= len {
        list.push(read(r)?);
    }
    Ok(list)
}

fn read_records(mut bytes: &[u8]) -> Result<Vec<StateRecord>, DecodeError> {
    let mut records = Vec::new();
    loop {
        match StateRecord::decode(bytes) {
            Ok((record, used)) => {
                records.push(record);
                bytes = bytes.get(used..).unwrap_or_default();
            }
            Err(DecodeError::Short { .. }) => return Ok(records),
            Err(e) => return Err(e),
        }
    }
}
