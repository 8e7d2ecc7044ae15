//! Requests from the wire.

use super::{MAX_LVB, MAX_RELEASE, Release, Request, Target};
use crate::body::{
    Disk, HostEvent, Lockspace, Options, Resource, ResourceHead, Rindex, RindexEntry,
};
use crate::command::Command;
use crate::error::DecodeError;
use crate::flags::{
    AcquireFlags, AddFlags, ConfigCommand, ConvertFlags, ForceMode, GetHostsFlags, InqFlags,
    InquireFlags, KillpathFlags, ReleaseFlags, RemFlags, RequestFlags, RestrictFlags,
    RindexOpFlags, SetEventFlags, WriteFlags,
};
use crate::header::{Header, HeaderFault};
use crate::name::HelperText;
use crate::state::StateKind;
use crate::wire::Reader;

impl Request {
    /// Reads a request from its header and the body that `body_plan` asked for.
    ///
    /// # Errors
    /// [`DecodeError`] if the header is no request of the 3.x protocol or the body is not that long.
    pub fn decode(header: &Header, body: &[u8]) -> Result<Request, DecodeError> {
        if let Some(fault) = header.fault() {
            return Err(match fault {
                HeaderFault::Magic(magic) => DecodeError::Magic(magic),
                _ => DecodeError::Command(header.command),
            });
        }
        let command =
            Command::from_number(header.command).ok_or(DecodeError::Command(header.command))?;
        let mut r = Reader::new(command.name(), body);
        let request = read_body(command, header, &mut r)?;
        match r.rest().len() {
            0 => Ok(request),
            extra => Err(DecodeError::Trailing {
                what: command.name(),
                extra,
            }),
        }
    }
}

fn read_body(command: Command, h: &Header, r: &mut Reader<'_>) -> Result<Request, DecodeError> {
    let target = Target::from_data2(h.data2);
    Ok(match command {
        Command::Register => Request::Register,
        Command::Restrict => Request::Restrict {
            flags: RestrictFlags::from_bits(h.flags),
        },
        Command::Version => Request::Version,
        Command::Shutdown => Request::Shutdown { force: h.data != 0 },
        Command::ShutdownWait => Request::ShutdownWait { force: h.data != 0 },
        Command::Status => Request::Status {
            up_to: (h.data != 0).then(|| StateKind::from_number(h.data)),
        },
        Command::LogDump => Request::LogDump,
        Command::GetLockspaces => Request::GetLockspaces,
        Command::HostStatus => Request::HostStatus {
            lockspace: Lockspace::read(r)?,
        },
        Command::Renewal => Request::Renewal {
            lockspace: Lockspace::read(r)?,
        },
        Command::GetHosts => Request::GetHosts {
            lockspace: Lockspace::read(r)?,
            flags: GetHostsFlags::from_bits(h.flags),
        },
        Command::RegEvent => Request::RegEvent {
            lockspace: Lockspace::read(r)?,
            event: HostEvent::read(r)?,
        },
        Command::EndEvent => Request::EndEvent {
            lockspace: Lockspace::read(r)?,
        },
        Command::SetEvent => Request::SetEvent {
            lockspace: Lockspace::read(r)?,
            event: HostEvent::read(r)?,
            flags: SetEventFlags::from_bits(h.flags),
        },
        Command::SetConfig => Request::SetConfig {
            lockspace: Lockspace::read(r)?,
            command: ConfigCommand::from_bits(h.data),
        },
        Command::AddLockspace => Request::AddLockspace {
            lockspace: Lockspace::read(r)?,
            flags: AddFlags::from_bits(h.flags),
            io_timeout: h.data,
        },
        Command::InqLockspace => Request::InqLockspace {
            lockspace: Lockspace::read(r)?,
            flags: InqFlags::from_bits(h.flags),
        },
        Command::RemLockspace => Request::RemLockspace {
            lockspace: Lockspace::read(r)?,
            flags: RemFlags::from_bits(h.flags),
        },
        Command::Align => Request::Align {
            disk: Disk::read(r)?,
        },
        Command::ExamineLockspace => Request::ExamineLockspace {
            lockspace: Lockspace::read(r)?,
        },
        Command::ExamineResource => Request::ExamineResource {
            resource: ResourceHead::read(r)?,
        },
        Command::WriteLockspace => Request::WriteLockspace {
            lockspace: Lockspace::read(r)?,
            flags: WriteFlags::from_bits(h.flags),
            max_hosts: h.data,
            io_timeout: h.data2,
        },
        Command::WriteResource => Request::WriteResource {
            resource: Resource::read(r)?,
            flags: WriteFlags::from_bits(h.flags),
            data: h.data,
            data2: h.data2,
        },
        Command::ReadLockspace => Request::ReadLockspace {
            lockspace: Lockspace::read(r)?,
        },
        Command::ReadResource => Request::ReadResource {
            resource: Resource::read(r)?,
        },
        Command::ReadResourceOwners => Request::ReadResourceOwners {
            resource: Resource::read(r)?,
        },
        Command::SetLvb => {
            let resource = ResourceHead::read(r)?;
            let len = r.rest().len();
            if len > MAX_LVB {
                return Err(DecodeError::TooMany {
                    what: "length of a lock value block",
                    value: len as u64,
                    limit: MAX_LVB as u64,
                });
            }
            Request::SetLvb {
                resource,
                lvb: r.take(len)?.to_vec(),
            }
        }
        Command::GetLvb => Request::GetLvb {
            resource: ResourceHead::read(r)?,
            length: h.data2,
        },
        Command::Acquire => {
            let wanted = usize::try_from(h.data as i32).unwrap_or(0);
            if wanted > crate::MAX_RESOURCES {
                return Err(DecodeError::TooMany {
                    what: "number of resources to acquire",
                    value: wanted as u64,
                    limit: crate::MAX_RESOURCES as u64,
                });
            }
            let mut resources = Vec::with_capacity(wanted);
            for _ in 0..wanted {
                resources.push(Resource::read(r)?);
            }
            Request::Acquire {
                target,
                flags: AcquireFlags::from_bits(h.flags),
                resources,
                options: Options::read(r)?,
            }
        }
        Command::Release => read_release(h, r)?,
        Command::Inquire => Request::Inquire {
            target,
            flags: InquireFlags::from_bits(h.flags),
        },
        Command::Convert => Request::Convert {
            target,
            flags: ConvertFlags::from_bits(h.flags),
            resource: ResourceHead::read(r)?,
        },
        Command::Killpath => Request::Killpath {
            target,
            flags: KillpathFlags::from_bits(h.flags),
            path: HelperText::from_raw(&r.array()?),
            args: HelperText::from_raw(&r.array()?),
        },
        Command::Request => Request::Request {
            resource: Resource::read(r)?,
            flags: RequestFlags::from_bits(h.flags),
            force_mode: ForceMode(h.data),
        },
        Command::FormatRindex => Request::FormatRindex {
            rindex: Rindex::read(r)?,
            flags: RindexOpFlags::from_bits(h.flags),
        },
        Command::RebuildRindex => Request::RebuildRindex {
            rindex: Rindex::read(r)?,
            flags: RindexOpFlags::from_bits(h.flags),
        },
        Command::UpdateRindex => Request::UpdateRindex {
            rindex: Rindex::read(r)?,
            entry: RindexEntry::read(r)?,
            flags: RindexOpFlags::from_bits(h.flags),
        },
        Command::LookupRindex => Request::LookupRindex {
            rindex: Rindex::read(r)?,
            entry: RindexEntry::read(r)?,
            flags: RindexOpFlags::from_bits(h.flags),
        },
        Command::CreateResource => Request::CreateResource {
            rindex: Rindex::read(r)?,
            entry: RindexEntry::read(r)?,
            flags: RindexOpFlags::from_bits(h.flags),
            data: h.data,
            data2: h.data2,
        },
        Command::DeleteResource => Request::DeleteResource {
            rindex: Rindex::read(r)?,
            entry: RindexEntry::read(r)?,
            flags: RindexOpFlags::from_bits(h.flags),
        },
        Command::NewerCommand(number) => return Err(DecodeError::Command(number)),
    })
}

fn read_release(h: &Header, r: &mut Reader<'_>) -> Result<Request, DecodeError> {
    let flags = ReleaseFlags::from_bits(h.flags);
    let what = if flags.contains(ReleaseFlags::ALL) {
        Release::All
    } else if flags.contains(ReleaseFlags::ORPHAN) {
        Release::Orphan(ResourceHead::read(r)?)
    } else if flags.contains(ReleaseFlags::RENAME) {
        Release::Rename {
            resource: ResourceHead::read(r)?,
            new_name: ResourceHead::read(r)?,
        }
    } else {
        let wanted = usize::try_from(h.data)
            .ok()
            .filter(|n| *n <= MAX_RELEASE)
            .ok_or(DecodeError::TooMany {
                what: "number of resources to release",
                value: h.data.into(),
                limit: MAX_RELEASE as u64,
            })?;
        let mut list = Vec::new();
        for _ in 0..wanted {
            list.push(ResourceHead::read(r)?);
        }
        Release::Resources(list)
    };
    if !matches!(what, Release::Resources(_)) {
        // Resources that the flag makes superfluous.
        r.skip(r.rest().len())?;
    }
    Ok(Request::Release {
        target: Target::from_data2(h.data2),
        flags,
        what,
    })
}
