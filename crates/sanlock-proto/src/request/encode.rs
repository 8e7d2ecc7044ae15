//! Requests as libsanlock sends them.

use super::{Release, Request};
use crate::body::{ResourceHead, Rindex};
use crate::flags::ReleaseFlags;
use crate::header::Header;
use crate::state::StateKind;
use crate::wire::Put;

impl Request {
    /// The whole message as libsanlock sends it.
    pub fn encode(&self) -> Vec<u8> {
        let (flags, data, data2) = self.header_fields();
        let mut body = Vec::new();
        self.encode_body(&mut body);
        // The library announces a resource's 128 bytes here and sends an entry's 64.
        let announced = match self {
            Request::LookupRindex { .. } => Rindex::LEN + ResourceHead::LEN,
            _ => body.len(),
        };
        let header = Header::request(self.command().number(), flags, announced, data, data2);
        let mut message = Vec::with_capacity(body.len().saturating_add(Header::LEN));
        header.encode(&mut message);
        message.append(&mut body);
        message
    }

    /// cmd_flags, data and data2.
    fn header_fields(&self) -> (u32, u32, u32) {
        match self {
            Request::Register
            | Request::Version
            | Request::LogDump
            | Request::GetLockspaces
            | Request::HostStatus { .. }
            | Request::Renewal { .. }
            | Request::RegEvent { .. }
            | Request::EndEvent { .. }
            | Request::Align { .. }
            | Request::ExamineLockspace { .. }
            | Request::ExamineResource { .. }
            | Request::ReadLockspace { .. }
            | Request::ReadResource { .. }
            | Request::ReadResourceOwners { .. }
            | Request::SetLvb { .. } => (0, 0, 0),
            Request::Restrict { flags } => (flags.bits(), 0, u32::MAX),
            Request::Shutdown { force } | Request::ShutdownWait { force } => {
                (0, u32::from(*force), 0)
            }
            Request::Status { up_to } => (0, up_to.map_or(0, StateKind::number), 0),
            Request::GetHosts { flags, .. } => (flags.bits(), 0, 0),
            Request::SetEvent { flags, .. } => (flags.bits(), 0, 0),
            Request::SetConfig { command, .. } => (0, command.bits(), 0),
            Request::AddLockspace {
                flags, io_timeout, ..
            } => (flags.bits(), *io_timeout, 0),
            Request::InqLockspace { flags, .. } => (flags.bits(), 0, 0),
            Request::RemLockspace { flags, .. } => (flags.bits(), 0, 0),
            Request::WriteLockspace {
                flags,
                max_hosts,
                io_timeout,
                ..
            } => (flags.bits(), *max_hosts, *io_timeout),
            Request::WriteResource {
                flags, data, data2, ..
            } => (flags.bits(), *data, *data2),
            Request::GetLvb { length, .. } => (0, 0, *length),
            Request::Acquire {
                target,
                flags,
                resources,
                ..
            } => (flags.bits(), count(resources.len()), target.data2()),
            Request::Release {
                target,
                flags,
                what,
            } => {
                let (flag, count) = match what {
                    Release::All => (ReleaseFlags::ALL, 0),
                    Release::Orphan(_) => (ReleaseFlags::ORPHAN, 1),
                    Release::Rename { .. } => (ReleaseFlags::RENAME, 2),
                    Release::Resources(list) => (ReleaseFlags::NONE, count(list.len())),
                };
                (flags.union(flag).bits(), count, target.data2())
            }
            Request::Inquire { target, flags } => (flags.bits(), 0, target.data2()),
            Request::Convert { target, flags, .. } => (flags.bits(), 0, target.data2()),
            Request::Killpath { target, flags, .. } => (flags.bits(), 0, target.data2()),
            Request::Request {
                flags, force_mode, ..
            } => (flags.bits(), force_mode.0, 0),
            Request::FormatRindex { flags, .. }
            | Request::RebuildRindex { flags, .. }
            | Request::UpdateRindex { flags, .. }
            | Request::LookupRindex { flags, .. }
            | Request::DeleteResource { flags, .. } => (flags.bits(), 0, 0),
            Request::CreateResource {
                flags, data, data2, ..
            } => (flags.bits(), *data, *data2),
        }
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        match self {
            Request::Register
            | Request::Restrict { .. }
            | Request::Version
            | Request::Shutdown { .. }
            | Request::ShutdownWait { .. }
            | Request::Status { .. }
            | Request::LogDump
            | Request::GetLockspaces
            | Request::Inquire { .. } => {}
            Request::HostStatus { lockspace }
            | Request::Renewal { lockspace }
            | Request::GetHosts { lockspace, .. }
            | Request::EndEvent { lockspace }
            | Request::SetConfig { lockspace, .. }
            | Request::AddLockspace { lockspace, .. }
            | Request::InqLockspace { lockspace, .. }
            | Request::RemLockspace { lockspace, .. }
            | Request::ExamineLockspace { lockspace }
            | Request::WriteLockspace { lockspace, .. }
            | Request::ReadLockspace { lockspace } => lockspace.encode(out),
            Request::RegEvent { lockspace, event }
            | Request::SetEvent {
                lockspace, event, ..
            } => {
                lockspace.encode(out);
                event.encode(out);
            }
            Request::Align { disk } => disk.encode(out),
            Request::ExamineResource { resource }
            | Request::GetLvb { resource, .. }
            | Request::Convert { resource, .. } => resource.encode(out),
            Request::WriteResource { resource, .. }
            | Request::ReadResource { resource }
            | Request::ReadResourceOwners { resource }
            | Request::Request { resource, .. } => resource.encode(out),
            Request::SetLvb { resource, lvb } => {
                resource.encode(out);
                out.put(lvb);
            }
            Request::Acquire {
                resources, options, ..
            } => {
                for resource in resources {
                    resource.encode(out);
                }
                options.encode(out);
            }
            Request::Release { what, .. } => match what {
                Release::All => {}
                Release::Orphan(resource) => resource.encode(out),
                Release::Rename { resource, new_name } => {
                    resource.encode(out);
                    new_name.encode(out);
                }
                Release::Resources(list) => list.iter().for_each(|resource| resource.encode(out)),
            },
            Request::Killpath { path, args, .. } => {
                out.put(&path.to_raw());
                out.put(&args.to_raw());
            }
            Request::FormatRindex { rindex, .. } | Request::RebuildRindex { rindex, .. } => {
                rindex.encode(out);
            }
            Request::UpdateRindex { rindex, entry, .. }
            | Request::LookupRindex { rindex, entry, .. }
            | Request::CreateResource { rindex, entry, .. }
            | Request::DeleteResource { rindex, entry, .. } => {
                rindex.encode(out);
                entry.encode(out);
            }
        }
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
