//! Whether a path still leads to the file that is open.

use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;

use crate::IoError;
use crate::stat::{stat_open, stat_path};

const WANTED: libc::c_uint = libc::STATX_INO | libc::STATX_NLINK;

/// What tells one file from another.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: (u32, u32),
    inode: u64,
}

/// Whether `path` leads to the open file `fd`; blocks for as long as the storage does.
///
/// A network file system is told not to answer from its cache, which may know a name for a while that another host
/// has removed.
pub(crate) fn leads_to(path: &Path, fd: &OwnedFd) -> Result<bool, IoError> {
    let failed = |errno| IoError::Os {
        action: format!(
            "look whether {} is still the file that is open",
            path.display()
        ),
        errno: errno as i32,
    };
    let open = match stat_open(fd, WANTED, libc::AT_STATX_FORCE_SYNC) {
        // It is known to the server no more.
        Err(Errno::ESTALE) => return Ok(false),
        Ok(about) if about.stx_nlink == 0 => return Ok(false),
        found => found.map_err(failed)?,
    };
    match stat_path(path, WANTED, libc::AT_STATX_FORCE_SYNC) {
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE) => Ok(false),
        Ok(named) => Ok(identity(&named) == identity(&open)),
        Err(errno) => Err(failed(errno)),
    }
}

fn identity(about: &libc::statx) -> Identity {
    Identity {
        device: (about.stx_dev_major, about.stx_dev_minor),
        inode: about.stx_ino,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn a_file_that_was_removed_or_replaced_is_not_at_its_path() {
        let dir = std::env::temp_dir().join(format!("storage-path-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (path, link) = (dir.join("lease"), dir.join("link"));
        let fd: OwnedFd = File::create(&path).unwrap().into();
        assert_eq!(leads_to(&path, &fd), Ok(true));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(leads_to(&link, &fd), Ok(true));
        fs::rename(&path, dir.join("elsewhere")).unwrap();
        assert_eq!(leads_to(&path, &fd), Ok(false), "it has another name");
        File::create(&path).unwrap();
        assert_eq!(leads_to(&path, &fd), Ok(false), "another file has its name");
        fs::remove_file(dir.join("elsewhere")).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(leads_to(&path, &fd), Ok(false), "it has no name");
        let through_a_file = link.join("lease");
        File::create(&path).unwrap();
        assert_eq!(leads_to(&through_a_file, &fd), Ok(false));
        fs::remove_dir_all(&dir).unwrap();
    }
}
