//! Opening what holds leases, and saying why it could not be opened.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag};
use nix::unistd::{getegid, geteuid, getgroups};

use crate::IoError;
use crate::stat::{stat_open, stat_path};

/// A regular file is taken to have sectors of this size whatever is below it, as in the C program.
const REGULAR_FILE_SECTOR: u32 = 512;

/// What holds leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    RegularFile,
    BlockDevice,
}

pub(crate) struct Opened {
    pub(crate) fd: OwnedFd,
    pub(crate) kind: Kind,
    pub(crate) sector_size: u32,
}

/// Opens a regular file or block device; blocks for as long as the storage does.
///
/// Nothing else is opened at all: opening `/dev/watchdog`, for one, would arm it.
pub(crate) fn open_direct(path: &Path) -> Result<Opened, IoError> {
    let before =
        stat_path(path, libc::STATX_TYPE, 0).map_err(|errno| refused("find", path, errno))?;
    check_kind(path, &before)?;
    // Should it have become a FIFO meanwhile: opened for reading and writing, a FIFO does not block.
    let flags = OFlag::O_RDWR | OFlag::O_DIRECT | OFlag::O_DSYNC | OFlag::O_CLOEXEC;
    let fd = open(path, flags, Mode::empty()).map_err(|errno| explain(path, errno))?;
    let found =
        stat_open(&fd, libc::STATX_TYPE, 0).map_err(|errno| refused("look at", path, errno))?;
    let kind = check_kind(path, &found)?;
    let sector_size = match kind {
        Kind::RegularFile => REGULAR_FILE_SECTOR,
        Kind::BlockDevice => logical_sector_size(path, &fd)?,
    };
    Ok(Opened {
        fd,
        kind,
        sector_size,
    })
}

fn check_kind(path: &Path, found: &libc::statx) -> Result<Kind, IoError> {
    let what = match SFlag::from_bits_truncate(found.stx_mode.into()) & SFlag::S_IFMT {
        SFlag::S_IFREG => return Ok(Kind::RegularFile),
        SFlag::S_IFBLK => return Ok(Kind::BlockDevice),
        // The number that opening it for writing gives.
        SFlag::S_IFDIR => return Err(refused("open", path, Errno::EISDIR)),
        SFlag::S_IFCHR => "a character device",
        SFlag::S_IFIFO => "a FIFO",
        SFlag::S_IFSOCK => "a socket",
        _ => "of an unknown kind",
    };
    Err(IoError::Invalid(format!(
        "open {}: it is {what}; leases are kept in regular files and on block devices",
        path.display()
    )))
}

fn refused(verb: &str, path: &Path, errno: Errno) -> IoError {
    IoError::Os {
        action: format!("{verb} {}", path.display()),
        errno: errno as i32,
    }
}

fn explain(path: &Path, errno: Errno) -> IoError {
    let path = path.display();
    let action = match errno {
        Errno::EACCES => format!("open {path} for reading and writing as {}", whoami()),
        Errno::EINVAL => {
            format!("open {path} with O_DIRECT (its file system may not offer direct I/O)")
        }
        Errno::EROFS => format!("open {path} for writing"),
        _ => format!("open {path}"),
    };
    IoError::Os {
        action,
        errno: errno as i32,
    }
}

nix::ioctl_read_bad!(blksszget, nix::request_code_none!(0x12, 104), libc::c_int);

fn logical_sector_size(path: &Path, fd: &OwnedFd) -> Result<u32, IoError> {
    let mut size: libc::c_int = 0;
    // SAFETY: the descriptor is open, and BLKSSZGET stores one int through the pointer.
    unsafe { blksszget(fd.as_raw_fd(), &raw mut size) }
        .map_err(|errno| refused("ask the sector size of", path, errno))?;
    match u32::try_from(size) {
        Ok(size) if size >= 512 && size.is_power_of_two() => Ok(size),
        _ => Err(IoError::Invalid(format!(
            "{}: sector size {size}",
            path.display()
        ))),
    }
}

/// Whose rights an open was tried with.
fn whoami() -> String {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let mut groups: Vec<u32> = getgroups()
        .unwrap_or_default()
        .iter()
        .map(|g| g.as_raw())
        .collect();
    groups.retain(|other| *other != group);
    let mut text = format!(
        "user {}, group {}",
        with_name(user, Path::new("/etc/passwd")),
        with_name(group, Path::new("/etc/group"))
    );
    for (place, other) in groups.iter().enumerate() {
        text += if place == 0 { ", also in " } else { " " };
        text += &with_name(*other, Path::new("/etc/group"));
    }
    text
}

/// A number with its name, if that stands in the file. Asking the name service instead could take
/// longer than anybody waits, and more stack than these threads have.
fn with_name(id: u32, file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    match name_in(id, &text) {
        Some(name) => format!("{name} ({id})"),
        None => id.to_string(),
    }
}

fn name_in(id: u32, text: &str) -> Option<&str> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == id).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_third_field() {
        let text = "root:x:0:0::/root:/bin/sh\n+::::::\nsanlock:x:179:178::/:\nother:x:1790:0\n";
        assert_eq!(name_in(179, text), Some("sanlock"));
        assert_eq!(name_in(0, text), Some("root"));
        assert_eq!(name_in(178, text), None);
    }

    #[test]
    fn a_refused_open_says_who_tried() {
        let error = explain(Path::new("/leases"), Errno::EACCES);
        let user = geteuid().as_raw().to_string();
        assert!(error.to_string().contains(&user), "{error}");
        assert_eq!(error.code(), -libc::EACCES);
    }

    #[test]
    fn an_unsupported_open_names_direct_io() {
        let error = explain(Path::new("/leases"), Errno::EINVAL);
        assert!(error.to_string().contains("direct I/O"), "{error}");
    }
}
