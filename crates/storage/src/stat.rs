//! What the kernel knows of a file, asked for nothing that is not needed.
//!
//! A file's times above all: whoever has asked for them is shown the next change by a new time (Linux 6.13 and later), and
//! that has to reach the disk with the write. `stat` and `fstat` ask for everything, so that a write behind them was followed
//! by one of the file's times.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

/// Those of the open file's properties that `mask` names (`STATX_*`).
pub(crate) fn stat_open(
    fd: &OwnedFd,
    mask: libc::c_uint,
    flags: libc::c_int,
) -> Result<libc::statx, Errno> {
    statx(fd.as_raw_fd(), c"", flags | libc::AT_EMPTY_PATH, mask)
}

/// Those of the properties of what `path` leads to that `mask` names (`STATX_*`).
pub(crate) fn stat_path(
    path: &Path,
    mask: libc::c_uint,
    flags: libc::c_int,
) -> Result<libc::statx, Errno> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    statx(libc::AT_FDCWD, &path, flags, mask)
}

fn statx(
    dir: RawFd,
    name: &CStr,
    flags: libc::c_int,
    mask: libc::c_uint,
) -> Result<libc::statx, Errno> {
    let mut about = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the name ends with a NUL byte, and the kernel fills in one statx through the pointer; all zeros, which it
    // leaves where it knows nothing, are one as well.
    unsafe {
        let result = libc::statx(dir, name.as_ptr(), flags, mask, about.as_mut_ptr());
        Errno::result(result)?;
        Ok(about.assume_init())
    }
}
