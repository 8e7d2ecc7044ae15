//! One file, through its descriptor.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;

use config::qemu_sanlock_conf::LOCKSPACE;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, fstatat};
use nix::sys::uio::{pread, pwrite};
use nix::unistd::{UnlinkatFlags, unlinkat};
use ondisk::{Decoded, HostId, Leader, Name};
use storage::Buffer;

use crate::directory::{Directory, is_md5};

/// The largest sector of any lease: what is read of a file.
const LARGEST_SECTOR: usize = 4096;

/// Why a file is none that may be removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotALease {
    #[error("its name is not that of a disk's lease")]
    Name,
    #[error("it cannot be opened: {}{}", .0, who_may(*.0))]
    Open(Errno),
    #[error("it is not a regular file")]
    Kind,
    #[error("it has {0} names")]
    Names(u64),
    #[error("it cannot be read: {0}")]
    Read(Errno),
    #[error("{0}")]
    Leader(#[from] ondisk::LeaderFault),
    #[error("its leader has a sector size of {0} bytes")]
    SectorSize(u32),
}

impl NotALease {
    /// Whether nobody knows what it is, as it cannot be looked at.
    pub(crate) fn is_failure(&self) -> bool {
        // A link, a socket or a device that is not there.
        let other = matches!(self, Self::Open(Errno::ELOOP | Errno::ENXIO));
        matches!(self, Self::Open(_) | Self::Read(_)) && !other
    }
}

/// What to do about an error of the system.
fn who_may(error: Errno) -> &'static str {
    match error {
        Errno::EACCES | Errno::EPERM => "; run this as root, or as the user of the lease daemon",
        Errno::EINVAL => "; leases need a file system with direct I/O (O_DIRECT)",
        Errno::EROFS => "; run this on a host that may write to the directory",
        _ => "",
    }
}

/// An open file with a lease of libvirt's lockspace in it, called like the file.
#[derive(Debug)]
pub(crate) struct LeaseFile<'a> {
    directory: &'a Directory,
    name: &'a CStr,
    file: File,
    resource: Name,
    /// As it was when the file was opened.
    first: Leader,
}

impl<'a> LeaseFile<'a> {
    /// Opens the file and judges it.
    pub(crate) fn open(directory: &'a Directory, name: &'a CStr) -> Result<Self, NotALease> {
        if !is_md5(name) {
            return Err(NotALease::Name);
        }
        // No link is followed, and no device or pipe waited for: some do things when they are opened, so what the
        // name means is looked at first.
        let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
        let known = fstatat(directory, name, flags).map_err(NotALease::Open)?;
        if known.st_mode & nix::libc::S_IFMT != nix::libc::S_IFREG {
            return Err(NotALease::Kind);
        }
        let flags = OFlag::O_RDWR
            | OFlag::O_DIRECT
            | OFlag::O_NOFOLLOW
            | OFlag::O_NONBLOCK
            | OFlag::O_NOCTTY
            | OFlag::O_CLOEXEC;
        let file: File = openat(directory, name, flags, Mode::empty())
            .map_err(NotALease::Open)?
            .into();
        let about = file
            .metadata()
            .map_err(|error| NotALease::Open(errno(&error)))?;
        if !about.is_file() {
            return Err(NotALease::Kind);
        }
        if about.nlink() != 1 {
            return Err(NotALease::Names(about.nlink()));
        }
        let resource = Name::from_bytes(name.to_bytes()).map_err(|_| NotALease::Name)?;
        let first = read_leader(&file, &resource)?;
        Ok(Self {
            directory,
            name,
            file,
            resource,
            first,
        })
    }

    /// Who held the lease when the file was opened, if anybody did.
    pub(crate) fn first_owner(&self) -> Option<HostId> {
        self.first.is_owned().then_some(self.first.owner_id)
    }

    /// Whether the lease in this file is held by `host` now and was not when it was opened, and the file still has
    /// its name: what was acquired under that name is in this file.
    pub(crate) fn is_what_was_acquired(&self, host: HostId) -> Result<bool, NotALease> {
        let now = read_leader(&self.file, &self.resource)?;
        let is_ours = now.is_owned() && now.owner_id == host;
        // Each owner adds one.
        let is_new = now.lver > self.first.lver;
        Ok(is_ours && is_new && self.has_its_name()?)
    }

    /// Whether the name still means this file.
    pub(crate) fn has_its_name(&self) -> Result<bool, NotALease> {
        let about = self
            .file
            .metadata()
            .map_err(|error| NotALease::Open(errno(&error)))?;
        let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
        let named = match fstatat(self.directory, self.name, flags) {
            Err(Errno::ENOENT) => return Ok(false),
            named => named.map_err(NotALease::Open)?,
        };
        Ok((named.st_dev, named.st_ino) == (about.dev(), about.ino()))
    }

    /// Takes the file's name away.
    pub(crate) fn unlink(&self) -> Result<(), Errno> {
        unlinkat(self.directory, self.name, UnlinkatFlags::NoRemoveDir)
    }

    /// Marks the lease as removed, for those who still have the file open. The hosts' own sectors stay: who is in
    /// the middle of a ballot must find this host's in them.
    pub(crate) fn mark_removed(&self) -> Result<(), NotALease> {
        let mut leader = read_leader(&self.file, &self.resource)?;
        leader.magic = Leader::CLEAR_MAGIC;
        let sector = usize::try_from(leader.sector_size)
            .ok()
            .filter(|len| matches!(len, 512 | 4096))
            .ok_or(NotALease::SectorSize(leader.sector_size))?;
        let mut buffer = Buffer::zeroed(sector);
        leader.encode(&mut buffer);
        let written = pwrite(self.file.as_fd(), &buffer, 0).map_err(NotALease::Read)?;
        if written == sector {
            Ok(())
        } else {
            Err(NotALease::Read(Errno::EIO))
        }
    }
}

fn read_leader(file: &File, resource: &Name) -> Result<Leader, NotALease> {
    let mut buffer = Buffer::zeroed(LARGEST_SECTOR);
    let len = pread(file.as_fd(), &mut buffer, 0).map_err(NotALease::Read)?;
    let decoded: Decoded<Leader> = Leader::decode(buffer.get(..len).unwrap_or_default())?;
    let lockspace = Name::from_bytes(LOCKSPACE.as_bytes()).map_err(|_| NotALease::Name)?;
    decoded.verify_paxos(&lockspace, resource, HostId(0))?;
    Ok(decoded.record)
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(nix::libc::EIO))
}
