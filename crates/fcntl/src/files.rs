//! The files that are open, each known by its inode.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file, whatever its names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Inode {
    device: u64,
    number: u64,
}

impl Inode {
    /// Of the file that has this name now.
    pub(crate) fn named(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|metadata| Self::of_metadata(&metadata))
    }

    /// Of an open file.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|metadata| Self::of_metadata(&metadata))
    }

    /// A number that no file has, for an open file of which the system says nothing.
    pub(crate) fn unknown(fd: RawFd) -> Self {
        Self {
            device: u64::MAX,
            number: u64::from(fd.unsigned_abs()),
        }
    }

    fn of_metadata(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            number: metadata.ino(),
        }
    }
}

/// Who uses a file here, and descriptors of it that must not be closed before the last user has gone, as that would
/// give up the lock.
#[derive(Debug)]
struct InUse {
    is_shared: bool,
    users: usize,
    parked: Vec<OwnedFd>,
}

/// All files that are locked by this process.
#[derive(Debug, Default)]
pub(crate) struct Files(BTreeMap<Inode, InUse>);

impl Files {
    /// Whether the file may not be opened for one more user.
    pub(crate) fn excludes(&self, inode: Inode, wants_shared: bool) -> bool {
        self.0
            .get(&inode)
            .is_some_and(|known| !(known.is_shared && wants_shared))
    }

    /// Whether anybody here uses the file.
    pub(crate) fn is_used(&self, inode: Inode) -> bool {
        self.0.contains_key(&inode)
    }

    /// Counts a user, to be taken off with [`Files::leave`].
    pub(crate) fn enter(&mut self, inode: Inode, is_shared: bool) {
        let known = self.0.entry(inode).or_insert(InUse {
            is_shared,
            users: 0,
            parked: Vec::new(),
        });
        known.users += 1;
    }

    /// Whether there is only one user left.
    pub(crate) fn is_last(&self, inode: Inode) -> bool {
        self.0.get(&inode).is_none_or(|known| known.users <= 1)
    }

    /// Takes a user off. Its descriptor is closed with that of the last.
    pub(crate) fn leave(&mut self, inode: Inode, descriptor: OwnedFd) {
        let Some(known) = self.0.get_mut(&inode) else {
            return;
        };
        known.parked.push(descriptor);
        known.users = known.users.saturating_sub(1);
        if known.users == 0 {
            self.0.remove(&inode);
        }
    }

    /// Closes a descriptor, but not while somebody here uses the file.
    pub(crate) fn close(&mut self, file: File) {
        if let Ok(inode) = Inode::of(&file) {
            self.park(inode, file.into());
        }
    }

    /// As [`Files::close`], of a file that is known.
    pub(crate) fn park(&mut self, inode: Inode, descriptor: OwnedFd) {
        if let Some(known) = self.0.get_mut(&inode) {
            known.parked.push(descriptor);
        }
    }

    /// The descriptors that must stay open as long as the file is used.
    pub(crate) fn parked(&self, inode: Inode) -> &[OwnedFd] {
        self.0.get(&inode).map_or(&[], |known| &known.parked)
    }
}
