//! All lock spaces of a daemon.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::libc;

use crate::error::LockError;
use crate::files::{Files, Inode};
use crate::record_lock::{self, Kind, NotLocked};
use crate::space::{AcquireFlags, OwnerPid, Resource, Space};

/// How often a file that is replaced while it is being locked is tried again.
const TRIES: usize = 1000;

/// Every lock that this process holds, by lock space and name.
///
/// There is one per process, as the locks are the process's. Whatever a file is called, it is given to owners that
/// get on with each other only, and no descriptor of it is closed before the last of them has gone.
#[derive(Debug, Default)]
pub struct LockTable {
    /// Without a directory: names are paths.
    pub(crate) direct: Space,
    pub(crate) spaces: BTreeMap<Vec<u8>, Space>,
    pub(crate) files: Files,
}

impl LockTable {
    /// With the lock space alone in which names are paths.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether there is such a lock space: a directory, or nothing for the one in which names are paths.
    #[must_use]
    pub fn has_space(&self, directory: &[u8]) -> bool {
        self.space(directory).is_some()
    }

    /// Makes a lock space, and its directory if there is none (0700, with those above it). One that is there stays.
    ///
    /// # Errors
    /// [`LockError::NotADirectory`], [`LockError::CreateSpace`].
    pub fn create_space(&mut self, directory: &[u8]) -> Result<(), LockError> {
        if self.has_space(directory) {
            return Ok(());
        }
        let path = PathBuf::from(OsStr::from_bytes(directory));
        match std::fs::metadata(&path) {
            Ok(found) if !found.is_dir() => return Err(LockError::NotADirectory { path }),
            Ok(_) => {}
            Err(_) => {
                let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
                made.map_err(|source| {
                    let path = path.clone();
                    LockError::CreateSpace { path, source }
                })?;
            }
        }
        let space = Space {
            directory: Some(path),
            ..Space::default()
        };
        self.spaces.insert(directory.to_vec(), space);
        Ok(())
    }

    /// Makes a resource's file (0600), unless it is there.
    ///
    /// # Errors
    /// [`LockError::Busy`] if it is held here; [`LockError::Create`].
    pub fn create_resource(&mut self, directory: &[u8], name: &[u8]) -> Result<(), LockError> {
        let path = self.free_path(directory, name)?;
        if Inode::named(&path).is_ok_and(|inode| self.files.is_used(inode)) {
            return Ok(());
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        match options.custom_flags(libc::O_NOCTTY).open(&path) {
            Ok(file) => {
                self.files.close(file);
                Ok(())
            }
            Err(source) => Err(LockError::Create { path, source }),
        }
    }

    /// Removes a resource's file, if it is there.
    ///
    /// # Errors
    /// [`LockError::Busy`] if it is held here, under whatever name; [`LockError::Delete`].
    pub fn delete_resource(&mut self, directory: &[u8], name: &[u8]) -> Result<(), LockError> {
        let path = self.free_path(directory, name)?;
        if Inode::named(&path).is_ok_and(|inode| self.files.is_used(inode)) {
            return Err(busy(name));
        }
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(LockError::Delete { path, source })
            }
            _ => Ok(()),
        }
    }

    /// Acquires a resource for an owner. In a lock space that does not exist there is nothing to acquire.
    ///
    /// # Errors
    /// [`LockError`]: nothing has changed then, except that a file may have been made.
    pub fn acquire(
        &mut self,
        directory: &[u8],
        name: &[u8],
        owner: OwnerPid,
        flags: AcquireFlags,
    ) -> Result<&Resource, LockError> {
        let Some(space) = space_mut(&mut self.direct, &mut self.spaces, directory) else {
            return Err(no_space(directory));
        };
        // Looked up twice, as the borrow checker does not see that the first is returned at once.
        if space.resources.contains_key(name) {
            return match space.resources.get_mut(name) {
                Some(held) if held.flags.shared && flags.shared => {
                    held.owners.push(owner);
                    Ok(held)
                }
                _ => Err(busy(name)),
            };
        }
        let path = space.path_of(name);
        let (file, inode) = open_and_lock(&mut self.files, &path, name, flags)?;
        self.files.enter(inode, flags.shared);
        let resource = Resource {
            path,
            file,
            inode,
            flags,
            owners: vec![owner],
            since: Some(SystemTime::now()),
        };
        Ok(space.resources.entry(name.to_vec()).or_insert(resource))
    }

    /// Releases what an owner has acquired once.
    ///
    /// # Errors
    /// [`LockError::NotLocked`], [`LockError::NotOwner`].
    pub fn release(
        &mut self,
        directory: &[u8],
        name: &[u8],
        owner: OwnerPid,
    ) -> Result<(), LockError> {
        let space = space_mut(&mut self.direct, &mut self.spaces, directory);
        let Some(space) = space else {
            return Err(no_space(directory));
        };
        let Some(held) = space.resources.get_mut(name) else {
            let resource = shown(name);
            return Err(LockError::NotLocked { resource });
        };
        let Some(at) = held.owners.iter().position(|known| *known == owner) else {
            return Err(LockError::NotOwner { owner });
        };
        held.owners.remove(at);
        if held.owners.is_empty() {
            if let Some(last) = space.resources.remove(name) {
                give_up(&mut self.files, last);
            }
        }
        Ok(())
    }

    /// How many resources this owner holds.
    #[must_use]
    pub fn held_by(&self, owner: OwnerPid) -> usize {
        self.resources()
            .filter(|(_, _, resource)| resource.owners.contains(&owner))
            .count()
    }

    /// Releases everything that an owner holds, in all lock spaces, and returns how many resources that were.
    ///
    /// One that it acquired several times is released altogether (the C daemon takes one off and keeps the rest for
    /// ever).
    pub fn release_all(&mut self, owner: OwnerPid) -> usize {
        let mut released = 0;
        let spaces = std::iter::once(&mut self.direct).chain(self.spaces.values_mut());
        for space in spaces {
            for held in space.resources.values_mut() {
                let before = held.owners.len();
                held.owners.retain(|known| *known != owner);
                released += usize::from(held.owners.len() < before);
            }
            let all = std::mem::take(&mut space.resources).into_iter();
            let (held, free): (BTreeMap<_, _>, BTreeMap<_, _>) =
                all.partition(|(_, resource)| !resource.owners.is_empty());
            space.resources = held;
            for resource in free.into_values() {
                give_up(&mut self.files, resource);
            }
        }
        released
    }

    /// All resources that are held: the lock space's directory, empty for none, the name, and the resource.
    pub fn resources(&self) -> impl Iterator<Item = (&[u8], &[u8], &Resource)> {
        let named = self
            .spaces
            .iter()
            .map(|(name, space)| (name.as_slice(), space));
        std::iter::once((&[][..], &self.direct))
            .chain(named)
            .flat_map(|(directory, space)| {
                let resources = space.resources.iter();
                resources.map(move |(name, resource)| (directory, name.as_slice(), resource))
            })
    }

    /// The lock spaces with a directory.
    pub fn directories(&self) -> impl Iterator<Item = &[u8]> {
        self.spaces.keys().map(Vec::as_slice)
    }

    fn space(&self, directory: &[u8]) -> Option<&Space> {
        if directory.is_empty() {
            Some(&self.direct)
        } else {
            self.spaces.get(directory)
        }
    }

    /// The file of a resource that is not held under this name.
    fn free_path(&self, directory: &[u8], name: &[u8]) -> Result<PathBuf, LockError> {
        let space = self.space(directory).ok_or_else(|| no_space(directory))?;
        if space.resources.contains_key(name) {
            return Err(busy(name));
        }
        Ok(space.path_of(name))
    }
}

/// As a method of a part, so that the other parts stay free.
fn space_mut<'a>(
    direct: &'a mut Space,
    spaces: &'a mut BTreeMap<Vec<u8>, Space>,
    directory: &[u8],
) -> Option<&'a mut Space> {
    if directory.is_empty() {
        Some(direct)
    } else {
        spaces.get_mut(directory)
    }
}

/// Opens the file that has this name and locks it, so that it still has the name when it is locked.
fn open_and_lock(
    files: &mut Files,
    path: &Path,
    name: &[u8],
    flags: AcquireFlags,
) -> Result<(File, Inode), LockError> {
    for _ in 0..TRIES {
        // Before it is opened, as it could not be closed again without giving up the lock that is held.
        if Inode::named(path).is_ok_and(|inode| files.excludes(inode, flags.shared)) {
            return Err(busy(name));
        }
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(flags.autocreate)
            .mode(0o600);
        let opened = options.custom_flags(libc::O_NOCTTY).open(path);
        let file = opened.map_err(|source| {
            let path = path.to_owned();
            match flags.autocreate {
                true => LockError::OpenOrCreate { path, source },
                false => LockError::Open { path, source },
            }
        })?;
        let inode = Inode::of(&file).map_err(|source| {
            let path = path.to_owned();
            LockError::Status { path, source }
        })?;
        if files.excludes(inode, flags.shared) {
            // It got its name between the look and the opening.
            files.close(file);
            return Err(busy(name));
        }
        match record_lock::take(&file, flags.kind()) {
            Ok(()) => {}
            Err(refused) => {
                files.close(file);
                return Err(match refused {
                    NotLocked::Held => busy(name),
                    NotLocked::Os(source) => {
                        let path = path.to_owned();
                        LockError::Lock { path, source }
                    }
                });
            }
        }
        if Inode::named(path).is_ok_and(|now| now == inode) {
            return Ok((file, inode));
        }
        // Removed or replaced by whoever held it before: others will open another file.
        files.close(file);
    }
    Err(busy(name))
}

/// Closes the file of a resource that nobody holds any more, and removes it if it was made for the resource.
fn give_up(files: &mut Files, resource: Resource) {
    let Resource {
        path,
        file,
        inode,
        flags,
        ..
    } = resource;
    // Nobody else may have it, here or elsewhere, and the name must still be its own.
    let is_ours = flags.autocreate
        && files.is_last(inode)
        && (!flags.shared || record_lock::take(&file, Kind::Exclusive).is_ok())
        && Inode::named(&path).is_ok_and(|named| named == inode);
    if is_ours {
        // While it is locked, so that whoever opened it meanwhile sees that it lost its name. If it cannot be
        // removed, it stays as an empty file without a lock.
        let _ = std::fs::remove_file(&path);
    }
    files.leave(inode, file.into());
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn busy(name: &[u8]) -> LockError {
    let resource = shown(name);
    LockError::Busy { resource }
}

fn no_space(directory: &[u8]) -> LockError {
    let path = PathBuf::from(OsStr::from_bytes(directory));
    LockError::NoSpace { path }
}

#[cfg(test)]
mod tests;
