//! What each command carries, typed.

mod decode;
mod encode;
mod plan;

use crate::body::{
    Disk, HostEvent, Lockspace, Options, Resource, ResourceHead, Rindex, RindexEntry,
};
use crate::command::Command;
use crate::flags::{
    AcquireFlags, AddFlags, ConfigCommand, ConvertFlags, ForceMode, GetHostsFlags, InqFlags,
    InquireFlags, KillpathFlags, ReleaseFlags, RemFlags, RequestFlags, RestrictFlags,
    RindexOpFlags, SetEventFlags, WriteFlags,
};
use crate::name::HelperText;
use crate::state::StateKind;

pub use plan::{BodyPlan, EOPNOTSUPP, MAX_LVB, MAX_RELEASE, body_plan};

/// Whose leases a command is about (the header's data2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The process registered on this very connection (-1).
    ThisConnection,
    /// A process registered on another connection.
    Pid(i32),
}

impl Target {
    /// The target in a header's data2.
    pub const fn from_data2(data2: u32) -> Target {
        match data2 as i32 {
            -1 => Target::ThisConnection,
            pid => Target::Pid(pid),
        }
    }

    /// The value of data2.
    pub const fn data2(self) -> u32 {
        match self {
            Target::ThisConnection => u32::MAX,
            Target::Pid(pid) => pid as u32,
        }
    }
}

/// A request with everything it carries. Flags that a command ignores are dropped on decoding and sent as
/// zero; libsanlock's callers may set them, the daemon does not look.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the fields are named and typed after what they carry
pub enum Request {
    /// Not answered.
    Register,
    /// What the connection gives up.
    Restrict { flags: RestrictFlags },
    /// Answered whatever the protocol version in the header.
    Version,
    /// Not answered; `force` even if there are lockspaces.
    Shutdown { force: bool },
    /// Answered when the daemon ends, or at once with -16.
    ShutdownWait { force: bool },
    /// Records up to and including this kind; `None` for all.
    Status { up_to: Option<StateKind> },
    /// The log buffer.
    LogDump,
    /// All lockspaces.
    GetLockspaces,
    /// Only the lockspace's name counts.
    HostStatus { lockspace: Lockspace },
    /// Only the lockspace's name counts.
    Renewal { lockspace: Lockspace },
    /// The lockspace's name counts, and its host id: 0 for all hosts seen alive.
    GetHosts {
        lockspace: Lockspace,
        flags: GetHostsFlags,
    },
    /// Only the lockspace's name counts; the event is ignored.
    RegEvent {
        lockspace: Lockspace,
        event: HostEvent,
    },
    /// Only the lockspace's name counts.
    EndEvent { lockspace: Lockspace },
    /// The lockspace's name counts, and the event.
    SetEvent {
        lockspace: Lockspace,
        event: HostEvent,
        flags: SetEventFlags,
    },
    /// The lockspace's name counts.
    SetConfig {
        lockspace: Lockspace,
        command: ConfigCommand,
    },
    /// `io_timeout` in seconds, 0 for the daemon's own.
    AddLockspace {
        lockspace: Lockspace,
        flags: AddFlags,
        io_timeout: u32,
    },
    /// Whether exactly this lockspace is joined.
    InqLockspace {
        lockspace: Lockspace,
        flags: InqFlags,
    },
    /// Leave it.
    RemLockspace {
        lockspace: Lockspace,
        flags: RemFlags,
    },
    /// Only the path counts.
    Align { disk: Disk },
    /// Only the name counts.
    ExamineLockspace { lockspace: Lockspace },
    /// Only the names count.
    ExamineResource { resource: ResourceHead },
    /// `max_hosts` is ignored; `io_timeout` in seconds, 0 for the daemon's own.
    WriteLockspace {
        lockspace: Lockspace,
        flags: WriteFlags,
        max_hosts: u32,
        io_timeout: u32,
    },
    /// libsanlock sends max_hosts in data and num_hosts in data2; the C daemon takes num_hosts from data
    /// and ignores data2.
    WriteResource {
        resource: Resource,
        flags: WriteFlags,
        data: u32,
        data2: u32,
    },
    /// A host id of 0 means 1; an empty name matches every lockspace.
    ReadLockspace { lockspace: Lockspace },
    /// Empty names match every lease.
    ReadResource { resource: Resource },
    /// Empty names match every lease.
    ReadResourceOwners { resource: Resource },
    /// At most 4096 bytes; the sector size is the real limit.
    SetLvb {
        resource: ResourceHead,
        lvb: Vec<u8>,
    },
    /// `length` in bytes, 0 (as libsanlock sends) for the sector size.
    GetLvb { resource: ResourceHead, length: u32 },
    /// At most eight resources.
    Acquire {
        target: Target,
        flags: AcquireFlags,
        resources: Vec<Resource>,
        options: Options,
    },
    /// What the flags make of the resources, see [`Release`].
    Release {
        target: Target,
        flags: ReleaseFlags,
        what: Release,
    },
    /// What the target holds.
    Inquire { target: Target, flags: InquireFlags },
    /// The resource's flags say shared or not.
    Convert {
        target: Target,
        flags: ConvertFlags,
        resource: ResourceHead,
    },
    /// Kill program of the target and its arguments.
    Killpath {
        target: Target,
        flags: KillpathFlags,
        path: HelperText,
        args: HelperText,
    },
    /// The resource's lver is the version requested.
    Request {
        resource: Resource,
        flags: RequestFlags,
        force_mode: ForceMode,
    },
    /// Format a resource index.
    FormatRindex {
        rindex: Rindex,
        flags: RindexOpFlags,
    },
    /// Make it anew from the leases found.
    RebuildRindex {
        rindex: Rindex,
        flags: RindexOpFlags,
    },
    /// Add or remove an entry.
    UpdateRindex {
        rindex: Rindex,
        entry: RindexEntry,
        flags: RindexOpFlags,
    },
    /// Find an entry.
    LookupRindex {
        rindex: Rindex,
        entry: RindexEntry,
        flags: RindexOpFlags,
    },
    /// libsanlock sends max_hosts in data and num_hosts in data2.
    CreateResource {
        rindex: Rindex,
        entry: RindexEntry,
        flags: RindexOpFlags,
        data: u32,
        data2: u32,
    },
    /// Clear a lease and its entry.
    DeleteResource {
        rindex: Rindex,
        entry: RindexEntry,
        flags: RindexOpFlags,
    },
}

/// What is to be released. The flags are looked at in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// [`ReleaseFlags::ALL`].
    All,
    /// [`ReleaseFlags::ORPHAN`]: an empty resource name means all orphans of the lockspace.
    Orphan(ResourceHead),
    /// [`ReleaseFlags::RENAME`].
    Rename {
        /// What is released.
        resource: ResourceHead,
        /// What its lease is called then.
        new_name: ResourceHead,
    },
    /// None of these flags: each of these.
    Resources(Vec<ResourceHead>),
}

impl Request {
    /// The command.
    pub fn command(&self) -> Command {
        match self {
            Request::Register => Command::Register,
            Request::Restrict { .. } => Command::Restrict,
            Request::Version => Command::Version,
            Request::Shutdown { .. } => Command::Shutdown,
            Request::ShutdownWait { .. } => Command::ShutdownWait,
            Request::Status { .. } => Command::Status,
            Request::LogDump => Command::LogDump,
            Request::GetLockspaces => Command::GetLockspaces,
            Request::HostStatus { .. } => Command::HostStatus,
            Request::Renewal { .. } => Command::Renewal,
            Request::GetHosts { .. } => Command::GetHosts,
            Request::RegEvent { .. } => Command::RegEvent,
            Request::EndEvent { .. } => Command::EndEvent,
            Request::SetEvent { .. } => Command::SetEvent,
            Request::SetConfig { .. } => Command::SetConfig,
            Request::AddLockspace { .. } => Command::AddLockspace,
            Request::InqLockspace { .. } => Command::InqLockspace,
            Request::RemLockspace { .. } => Command::RemLockspace,
            Request::Align { .. } => Command::Align,
            Request::ExamineLockspace { .. } => Command::ExamineLockspace,
            Request::ExamineResource { .. } => Command::ExamineResource,
            Request::WriteLockspace { .. } => Command::WriteLockspace,
            Request::WriteResource { .. } => Command::WriteResource,
            Request::ReadLockspace { .. } => Command::ReadLockspace,
            Request::ReadResource { .. } => Command::ReadResource,
            Request::ReadResourceOwners { .. } => Command::ReadResourceOwners,
            Request::SetLvb { .. } => Command::SetLvb,
            Request::GetLvb { .. } => Command::GetLvb,
            Request::Acquire { .. } => Command::Acquire,
            Request::Release { .. } => Command::Release,
            Request::Inquire { .. } => Command::Inquire,
            Request::Convert { .. } => Command::Convert,
            Request::Killpath { .. } => Command::Killpath,
            Request::Request { .. } => Command::Request,
            Request::FormatRindex { .. } => Command::FormatRindex,
            Request::RebuildRindex { .. } => Command::RebuildRindex,
            Request::UpdateRindex { .. } => Command::UpdateRindex,
            Request::LookupRindex { .. } => Command::LookupRindex,
            Request::CreateResource { .. } => Command::CreateResource,
            Request::DeleteResource { .. } => Command::DeleteResource,
        }
    }

    /// Whose leases the request is about, if it is about someone's.
    pub fn target(&self) -> Option<Target> {
        match self {
            Request::Acquire { target, .. }
            | Request::Release { target, .. }
            | Request::Inquire { target, .. }
            | Request::Convert { target, .. }
            | Request::Killpath { target, .. } => Some(*target),
            _ => None,
        }
    }
}
