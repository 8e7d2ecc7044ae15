//! Lock spaces: names of resources, and who holds them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::files::Inode;
use crate::record_lock::Kind;

/// The process that a lock is held for, as its client named it: a number, not a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerPid(pub i32);

impl fmt::Display for OwnerPid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a resource is acquired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AcquireFlags {
    /// Others may have it too, if they say the same.
    pub shared: bool,
    /// Its file is made if there is none, and removed with the last owner.
    pub autocreate: bool,
}

impl AcquireFlags {
    pub(crate) fn kind(self) -> Kind {
        if self.shared {
            Kind::Shared
        } else {
            Kind::Exclusive
        }
    }

    /// As the hand-over's file has them.
    #[must_use]
    pub fn bits(self) -> u32 {
        u32::from(self.shared) | u32::from(self.autocreate) << 1
    }

    /// From those.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        Self {
            shared: bits & 1 != 0,
            autocreate: bits & 2 != 0,
        }
    }
}

/// A resource that is held.
#[derive(Debug)]
pub struct Resource {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    pub(crate) inode: Inode,
    pub(crate) flags: AcquireFlags,
    pub(crate) owners: Vec<OwnerPid>,
    pub(crate) since: Option<SystemTime>,
}

impl Resource {
    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it was acquired first.
    #[must_use]
    pub fn flags(&self) -> AcquireFlags {
        self.flags
    }

    /// Who holds it; somebody who acquired it twice is there twice.
    #[must_use]
    pub fn owners(&self) -> &[OwnerPid] {
        &self.owners
    }

    /// Since when, if it is known.
    #[must_use]
    pub fn since(&self) -> Option<SystemTime> {
        self.since
    }
}

/// A lock space's resources by their names.
#[derive(Debug, Default)]
pub(crate) struct Space {
    pub(crate) directory: Option<PathBuf>,
    pub(crate) resources: BTreeMap<Vec<u8>, Resource>,
}

impl Space {
    /// The file of a resource: in the lock space's directory, or what the name itself says.
    pub(crate) fn path_of(&self, name: &[u8]) -> PathBuf {
        match &self.directory {
            // As the C daemon joins them: an absolute name does not leave the directory by itself.
            Some(directory) => {
                let joined = [directory.as_os_str().as_bytes(), name].join(&b'/');
                PathBuf::from(OsStr::from_bytes(&joined))
            }
            None => PathBuf::from(OsStr::from_bytes(name)),
        }
    }
}
