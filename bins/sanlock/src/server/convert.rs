//! Between what is on the wire and what the manager works with.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use ondisk::{Generation, HostId, Lver, Name};
use sanlock_proto as proto;

use crate::manager::hosts::HostState;
use crate::manager::spec::{Area, LockspaceSpec, ResourceKey, ResourceSpec};
use crate::manager::{HostEvent, RindexEntrySpec, RindexSpec};

/// A name from the wire.
pub(crate) fn name(name: &proto::Name) -> Name {
    Name::from_raw(*name.raw())
}

/// A name for the wire.
pub(crate) fn wire_name(name: &Name) -> proto::Name {
    proto::Name::from_raw(*name.raw())
}

/// An area from the wire. A path that has no end within its field is kept, as most commands never look at it;
/// opening it fails.
pub(crate) fn area(disk: &proto::Disk) -> Area {
    Area {
        path: PathBuf::from(OsStr::from_bytes(disk.path.as_bytes())),
        offset: disk.offset,
    }
}

/// An area for the wire.
pub(crate) fn wire_disk(area: &Area) -> proto::Disk {
    let path = proto::DiskPath::from_bytes(area.path.as_os_str().as_bytes()).unwrap_or_default();
    proto::Disk {
        path,
        offset: area.offset,
    }
}

/// A lockspace from the wire.
pub(crate) fn lockspace(lockspace: &proto::Lockspace) -> LockspaceSpec {
    LockspaceSpec {
        name: name(&lockspace.name),
        host_id: HostId(lockspace.host_id),
        area: area(&lockspace.disk),
        flags: lockspace.flags.bits(),
    }
}

/// A lockspace for the wire.
pub(crate) fn wire_lockspace(spec: &LockspaceSpec) -> proto::Lockspace {
    proto::Lockspace {
        name: wire_name(&spec.name),
        host_id: spec.host_id.0,
        flags: proto::flags::LockspaceFlags::from_bits(spec.flags),
        disk: wire_disk(&spec.area),
    }
}

/// A resource's identity from the wire.
pub(crate) fn key(head: &proto::ResourceHead) -> ResourceKey {
    ResourceKey {
        space: name(&head.lockspace),
        name: name(&head.name),
    }
}

/// A resource from the wire.
pub(crate) fn resource(resource: &proto::Resource) -> ResourceSpec {
    ResourceSpec {
        key: ResourceKey {
            space: name(&resource.lockspace),
            name: name(&resource.name),
        },
        areas: resource.disks.iter().map(area).collect(),
        flags: resource.flags.bits(),
        lver: Lver(resource.lver),
        data32: resource.data32,
    }
}

/// An event from the wire.
pub(crate) fn event(event: &proto::HostEvent) -> HostEvent {
    HostEvent {
        host_id: HostId(event.host_id),
        generation: Generation(event.generation),
        event: event.event,
        data: event.data,
    }
}

/// A resource index from the wire.
pub(crate) fn rindex(rindex: &proto::Rindex) -> RindexSpec {
    RindexSpec {
        space: name(&rindex.lockspace),
        area: area(&rindex.disk),
        flags: rindex.flags.bits(),
        max_resources: rindex.max_resources,
    }
}

/// An entry of a resource index from the wire.
pub(crate) fn rindex_entry(entry: &proto::RindexEntry) -> RindexEntrySpec {
    RindexEntrySpec {
        name: name(&entry.name),
        offset: entry.offset,
    }
}

/// An entry of a resource index for the wire.
pub(crate) fn wire_rindex_entry(entry: &RindexEntrySpec) -> proto::RindexEntry {
    proto::RindexEntry {
        name: wire_name(&entry.name),
        offset: entry.offset,
        flags: 0,
    }
}

/// A host's state for the wire.
pub(crate) fn wire_host_state(state: HostState) -> u32 {
    match state {
        HostState::Free => proto::flags::HostState::Free,
        HostState::Live => proto::flags::HostState::Live,
        HostState::Fail => proto::flags::HostState::Fail,
        HostState::Dead => proto::flags::HostState::Dead,
        HostState::Unknown => proto::flags::HostState::Unknown,
    }
    .bits()
}
