//! Lockspaces and resources by short names, and results as numbers.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sanlock_proto::client::Registered;
use sanlock_proto::flags::{AcquireFlags, ReleaseFlags, ResourceFlags};
use sanlock_proto::request::Release;
use sanlock_proto::{ClientError, Disk, DiskPath, Lockspace, Name, Resource};

pub const MIB: u64 = 1 << 20;

pub fn name(text: &str) -> Name {
    Name::from_bytes(text.as_bytes()).unwrap()
}

pub fn disk(path: &Path, offset: u64) -> Disk {
    Disk {
        path: DiskPath::from_bytes(path.as_os_str().as_bytes()).unwrap(),
        offset,
    }
}

/// A lockspace at the start of a file.
pub fn lockspace(space: &str, host_id: u64, path: &Path) -> Lockspace {
    Lockspace {
        host_id,
        disk: disk(path, 0),
        ..Lockspace::named(name(space))
    }
}

/// A resource at so many mebibytes of a file.
pub fn resource(space: &str, resource: &str, path: &Path, mebibytes: u64) -> Resource {
    Resource {
        lockspace: name(space),
        name: name(resource),
        disks: vec![disk(path, mebibytes * MIB)],
        ..Resource::default()
    }
}

/// The same resource with flags.
pub fn with(resource: &Resource, flags: ResourceFlags) -> Resource {
    Resource {
        flags: resource.flags | flags,
        ..resource.clone()
    }
}

/// The number that a C client would see.
pub fn code<T: Into<i64>>(result: Result<T, ClientError>) -> i64 {
    match result {
        Ok(value) => value.into(),
        Err(failed) => failed.code().into(),
    }
}

/// The number of a call whose answer is more than a number.
pub fn code_of<T>(result: Result<T, ClientError>) -> i64 {
    code(result.map(|_| 0))
}

/// Takes one lease, without flags.
pub fn acquire(connection: &mut Registered, resource: &Resource) -> i64 {
    code(connection.acquire(AcquireFlags::NONE, std::slice::from_ref(resource), None))
}

/// Gives one lease back.
pub fn release(connection: &mut Registered, resource: &Resource) -> i64 {
    code(connection.release(
        ReleaseFlags::NONE,
        Release::Resources(vec![resource.head()]),
    ))
}

/// The names of the resources that a connection holds.
pub fn held(connection: &mut Registered) -> Vec<String> {
    let Some(state) = connection.inquire().unwrap().state else {
        return Vec::new();
    };
    let resources = sanlock_proto::text::state_to_resources(&state).unwrap();
    resources
        .iter()
        .map(|resource| resource.name.to_string())
        .collect()
}
