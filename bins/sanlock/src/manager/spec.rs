//! What clients name: lockspaces and resources with the storage that holds their leases.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use ondisk::{HostId, Lver, Name};

/// An area on storage: a path and the byte where the area begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Area {
    /// A regular file or block device.
    pub path: PathBuf,
    /// Bytes from its start.
    pub offset: u64,
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            String::from_utf8_lossy(self.path.as_os_str().as_bytes()),
            self.offset
        )
    }
}

/// A lockspace as a client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockspaceSpec {
    /// Its name.
    pub name: Name,
    /// The host id that this host holds, or wants, in it; where one is looked up, zero matches any.
    pub host_id: HostId,
    /// Where its delta leases are.
    pub area: Area,
    /// The client's `SANLK_LSF_*` flags.
    pub flags: u32,
}

impl fmt::Display for LockspaceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.name, self.host_id, self.area)
    }
}

/// A resource's identity: its lockspace's name and its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceKey {
    /// The lockspace.
    pub space: Name,
    /// The resource.
    pub name: Name,
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.space, self.name)
    }
}

/// A resource as a client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceSpec {
    /// Its lockspace and name.
    pub key: ResourceKey,
    /// Where its lease is; more than one area makes a lease that is held by a majority of them.
    pub areas: Vec<Area>,
    /// The client's `SANLK_RES_*` flags.
    pub flags: u32,
    /// The version that the client expects or asks for.
    pub lver: Lver,
    /// The number of hosts to set, where a flag says so.
    pub data32: u32,
}
