//! Locks as plain data, to be handed over to another program in the same process.
//!
//! The kernel keeps the locks over `execve` as long as no descriptor of their files is closed. The form is that of the
//! C daemon's state file, in both directions; it does not know the keys that only ours writes, and passes over them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use serde::{Deserialize, Serialize};

use crate::error::StateError;
use crate::files::{Files, Inode};
use crate::record_lock;
use crate::space::{AcquireFlags, OwnerPid, Resource, Space};
use crate::table::LockTable;

/// A lock space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceState {
    /// Its directory; none for the one in which names are paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// What is held in it.
    pub resources: Vec<ResourceState>,
}

/// A resource that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceState {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: String,
    /// The descriptor with which it is open.
    pub fd: RawFd,
    /// True.
    #[serde(rename = "lockHeld")]
    pub lock_held: bool,
    /// [`AcquireFlags::bits`].
    pub flags: u32,
    /// Process ids, as 64-bit numbers without a sign.
    pub owners: Vec<u64>,
    /// Since when, in seconds since 1970. Only ours writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// Further descriptors of the file, which must stay open as long as it is locked. Only ours writes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "parkedFds")]
    pub parked: Vec<RawFd>,
}

/// What was taken over.
#[derive(Debug, Default)]
pub struct Restored {
    /// The locks.
    pub table: LockTable,
    /// About locks that are not held, or may not be: [`StateError::Lost`].
    pub lost: Vec<StateError>,
}

impl LockTable {
    /// All locks as data, the lock space without a directory first; their descriptors stay open over `execve` from now
    /// on.
    ///
    /// # Errors
    /// [`StateError`]; call [`LockTable::take_back`] then, as after an `execve` that failed.
    pub fn hand_over(&self) -> Result<Vec<SpaceState>, StateError> {
        self.set_inherited(true)?;
        std::iter::once(&self.direct)
            .chain(self.spaces.values())
            .map(|space| self.space_state(space))
            .collect()
    }

    /// The descriptors are closed on `execve` again: this process goes on.
    ///
    /// # Errors
    /// [`StateError::Keep`].
    pub fn take_back(&self) -> Result<(), StateError> {
        self.set_inherited(false)
    }

    /// The locks that were handed over to this process. `adopt` makes the owner of a descriptor from its number.
    ///
    /// A lock that is not held any more stays in the table, so that its file is given to nobody else, and is reported.
    ///
    /// # Errors
    /// [`StateError`] for data that make no sense, or a descriptor that is not there. Then nothing has changed: all
    /// descriptors are open, and stay open over `execve`.
    pub fn from_state(
        states: &[SpaceState],
        adopt: &mut dyn FnMut(RawFd) -> io::Result<OwnedFd>,
    ) -> Result<Restored, StateError> {
        check(states)?;
        let mut adopted = adopt_all(states, adopt)?;
        let mut restored = Restored::default();
        let table = &mut restored.table;
        for state in states {
            let space = restore(&mut table.files, state, &mut adopted, &mut restored.lost);
            match &state.directory {
                None => table.direct = space,
                Some(directory) => {
                    table.spaces.insert(directory.clone().into_bytes(), space);
                }
            }
        }
        Ok(restored)
    }

    fn set_inherited(&self, inherited: bool) -> Result<(), StateError> {
        for (_, _, resource) in self.resources() {
            let parked = self.files.parked(resource.inode).iter().map(AsFd::as_fd);
            for descriptor in std::iter::once(resource.file.as_fd()).chain(parked) {
                let flag = match inherited {
                    true => FdFlag::empty(),
                    false => FdFlag::FD_CLOEXEC,
                };
                fcntl(descriptor, FcntlArg::F_SETFD(flag)).map_err(|error| StateError::Keep {
                    path: resource.path.clone(),
                    source: error.into(),
                })?;
            }
        }
        Ok(())
    }

    fn space_state(&self, space: &Space) -> Result<SpaceState, StateError> {
        let directory = space.directory.as_deref().map(utf8).transpose()?;
        let resources = space.resources.iter().map(|(name, resource)| {
            let parked = self.files.parked(resource.inode).iter();
            Ok(ResourceState {
                name: utf8(Path::new(std::ffi::OsStr::from_bytes(name)))?,
                path: utf8(&resource.path)?,
                fd: resource.file.as_raw_fd(),
                lock_held: true,
                flags: resource.flags.bits(),
                // As C widens a pid.
                owners: resource
                    .owners
                    .iter()
                    .map(|owner| i64::from(owner.0) as u64)
                    .collect(),
                since: resource.since.and_then(seconds),
                parked: parked.map(AsRawFd::as_raw_fd).collect(),
            })
        });
        let resources = resources.collect::<Result<_, _>>()?;
        Ok(SpaceState {
            directory,
            resources,
        })
    }
}

fn utf8(path: &Path) -> Result<String, StateError> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| StateError::NotUtf8(path.to_owned()))
}

fn seconds(time: SystemTime) -> Option<u64> {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .map(|since| since.as_secs())
}

/// All names and all descriptors are there once, except for those that names of one file share.
fn check(states: &[SpaceState]) -> Result<(), StateError> {
    let mut directories = BTreeSet::new();
    let mut descriptors = BTreeSet::new();
    for state in states {
        if !directories.insert(&state.directory) {
            let directory = state.directory.clone().unwrap_or_default();
            return Err(StateError::Twice(directory));
        }
        let mut names = BTreeSet::new();
        for resource in &state.resources {
            if !names.insert(&resource.name) || !descriptors.insert(resource.fd) {
                return Err(StateError::Twice(resource.name.clone()));
            }
        }
    }
    let parked = states
        .iter()
        .flat_map(|state| &state.resources)
        .find(|resource| resource.parked.iter().any(|fd| descriptors.contains(fd)));
    parked.map_or(Ok(()), |resource| {
        Err(StateError::Twice(resource.name.clone()))
    })
}

/// Every descriptor, or none: those that were adopted before one that is missing are left open.
fn adopt_all(
    states: &[SpaceState],
    adopt: &mut dyn FnMut(RawFd) -> io::Result<OwnedFd>,
) -> Result<BTreeMap<RawFd, OwnedFd>, StateError> {
    let mut adopted = BTreeMap::new();
    for resource in states.iter().flat_map(|state| &state.resources) {
        let all = std::iter::once(&resource.fd).chain(&resource.parked);
        for fd in all {
            if adopted.contains_key(fd) {
                continue;
            }
            let taken = adopt(*fd).and_then(|taken| {
                let flag = FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC);
                match fcntl(&taken, flag) {
                    Ok(_) => Ok(taken),
                    Err(error) => {
                        leave_open(taken);
                        Err(error.into())
                    }
                }
            });
            match taken {
                Ok(taken) => {
                    adopted.insert(*fd, taken);
                }
                Err(source) => {
                    adopted.into_values().for_each(leave_open);
                    let path = PathBuf::from(&resource.path);
                    return Err(StateError::Missing {
                        fd: *fd,
                        path,
                        source,
                    });
                }
            }
        }
    }
    Ok(adopted)
}

/// Gives a descriptor back to the process, for whoever is executed next.
fn leave_open(descriptor: OwnedFd) {
    // It stays open here whatever becomes of that.
    let _ = fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::empty()));
    let _ = descriptor.into_raw_fd();
}

fn restore(
    files: &mut Files,
    state: &SpaceState,
    adopted: &mut BTreeMap<RawFd, OwnedFd>,
    lost: &mut Vec<StateError>,
) -> Space {
    let mut resources = BTreeMap::new();
    for resource in &state.resources {
        // All of them were adopted.
        let Some(file) = adopted.remove(&resource.fd).map(File::from) else {
            continue;
        };
        let path = PathBuf::from(&resource.path);
        let flags = AcquireFlags::from_bits(resource.flags);
        // Changes nothing if it is still held, and tells if it is not.
        if let Err(refused) = record_lock::take(&file, flags.kind()) {
            let (path, why) = (path.clone(), refused.to_string());
            lost.push(StateError::Lost { path, why });
        }
        // A file of which the system says nothing any more is like no other.
        let inode = Inode::of(&file).unwrap_or_else(|_| Inode::unknown(resource.fd));
        files.enter(inode, flags.shared);
        for fd in &resource.parked {
            // Another name of the file may have brought it already.
            if let Some(parked) = adopted.remove(fd) {
                files.park(inode, parked);
            }
        }
        let since = resource.since.map(Duration::from_secs);
        let restored = Resource {
            path,
            file,
            inode,
            flags,
            owners: resource
                .owners
                .iter()
                .map(|owner| OwnerPid(*owner as i32))
                .collect(),
            since: since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)),
        };
        resources.insert(resource.name.clone().into_bytes(), restored);
    }
    let directory = state.directory.as_ref().map(PathBuf::from);
    Space {
        directory,
        resources,
    }
}
