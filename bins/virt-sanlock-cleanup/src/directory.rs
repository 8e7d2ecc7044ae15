//! The directory of leases.

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use config::qemu_sanlock_conf::LOCKSPACE;
use nix::dir::Dir;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// The directory, opened once: what is done to its files is done through its descriptor.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    file: File,
}

impl Directory {
    /// Opens it.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let opened = std::path::absolute(path)
            .and_then(|path| Ok((open(&path, flags, Mode::empty())?, path)));
        let (fd, path) = opened.map_err(|error| {
            format!(
                "cannot open the directory of leases, {}: {error}\n\
                 It is what disk_lease_dir in qemu-sanlock.conf says; libvirt's users make it, and only root \
                 may be allowed to look into it.",
                path.display()
            )
        })?;
        let file = fd.into();
        Ok(Self { path, file })
    }

    /// Its path, which begins with `/`.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The names in it that the original looks at, in order: all but the lockspace's and hidden ones.
    pub(crate) fn names(&self) -> Result<Vec<CString>, String> {
        let wrong = |error: &dyn std::fmt::Display| {
            format!("cannot list the directory {}: {error}", self.path.display())
        };
        let copy = self.file.try_clone().map_err(|error| wrong(&error))?;
        let mut dir = Dir::from_fd(copy.into()).map_err(|error| wrong(&error))?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            let entry = entry.map_err(|error| wrong(&error))?;
            let name = entry.file_name();
            if !is_hidden(name) && name.to_bytes() != LOCKSPACE.as_bytes() {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// The path of a file in it.
    pub(crate) fn path_of(&self, name: &CStr) -> PathBuf {
        self.path.join(OsStr::from_bytes(name.to_bytes()))
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn is_hidden(name: &CStr) -> bool {
    name.to_bytes().starts_with(b".")
}

/// Whether a file can be a lease of a disk by its name: an MD5 sum in the digits that libvirt writes.
pub(crate) fn is_md5(name: &CStr) -> bool {
    let name = name.to_bytes();
    name.len() == 32
        && name
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_leases() {
        assert!(is_md5(c"d41d8cd98f00b204e9800998ecf8427e"));
        for other in [
            c"",
            c"..",
            c"D41D8CD98F00B204E9800998ECF8427E",
            c"d41d8cd98f00b204e9800998ecf8427",
            c"d41d8cd98f00b204e9800998ecf8427e\n",
            c"__LIBVIRT__DISKS__",
        ] {
            assert!(!is_md5(other), "{other:?}");
        }
    }
}
