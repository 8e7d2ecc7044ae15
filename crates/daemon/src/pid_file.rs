//! One daemon per run directory.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid};

use crate::Error;

/// Makes a run directory with this mode if there is none, and gives it to `owner`, if one is named,
/// also if there was one. The mode of one that exists stays.
///
/// Upstream's lease daemon makes its own with 0775 and gives it to its user and, as root, to root's
/// group, so that root without `CAP_DAC_OVERRIDE` (SELinux) can still write; its watchdog daemon
/// makes its own with 0755.
///
/// # Errors
/// What the kernel refused.
pub fn make_run_dir(path: &Path, mode: u32, owner: Option<(Uid, Gid)>) -> Result<(), Error> {
    let shown = path.display();
    match fs::create_dir(path) {
        // The mode of the call would be cut by the umask, which is not ours to change.
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(|error| Error::os(format!("set the mode of {shown}"), error))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            let action = as_root(format!("make directory {shown}"), &error);
            return Err(Error::os(action, error));
        }
    }
    let Some((uid, gid)) = owner else {
        return Ok(());
    };
    let now = fs::metadata(path).map_err(|error| Error::os(format!("look at {shown}"), error))?;
    if now.uid() == uid.as_raw() && now.gid() == gid.as_raw() {
        // Only root may change it, but it need not be changed.
        return Ok(());
    }
    nix::unistd::chown(path, Some(uid), Some(gid)).map_err(|error| {
        let action = format!("give {shown} to uid {uid}, gid {gid}");
        Error::os(as_root(action, &error.into()), error)
    })
}

/// What was tried, and whom the host lets do it if not us.
fn as_root(action: String, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!("{action}, which root may do"),
        _ => action,
    }
}

/// The locked pid file. The lock lasts as long as this does.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    // Holds the lock. Closing any other descriptor of the file would drop it too (POSIX locks are the
    // process's), so nothing else in the process opens the path.
    _file: File,
}

impl PidFile {
    /// Locks `name` in the run directory and writes this process's pid and a newline into it.
    ///
    /// It must be called after the last fork: the lock does not pass to a child.
    ///
    /// # Errors
    /// [`Error::AlreadyRunning`] if another process holds the lock, or what the kernel refused.
    pub fn acquire(directory: &Path, name: &str) -> Result<Self, Error> {
        let path = directory.join(name);
        let shown = path.display();
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(&path)
            .map_err(|error| Error::os(as_root(format!("open {shown}"), &error), error))?;
        lock(&file, &path)?;
        file.set_len(0)
            .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()))
            .map_err(|error| Error::os(format!("write {shown}"), error))?;
        Ok(Self { path, _file: file })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file and gives the lock up, as upstream's watchdog daemon does when it ends. The
    /// lease daemon's stays: dropping this does not remove it.
    pub fn remove(self) {
        // While it is still locked, so that it is not another daemon's.
        let _ = fs::remove_file(&self.path);
    }
}

/// A write lock on the whole file, without waiting.
fn lock(file: &File, path: &Path) -> Result<(), Error> {
    let mut whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open, and the kernel reads one flock structure, which is ours.
    if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const whole) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if !matches!(error.raw_os_error(), Some(libc::EACCES | libc::EAGAIN)) {
        return Err(Error::os(format!("lock {}", path.display()), error));
    }
    // SAFETY: as above; the kernel writes the lock that is in the way into the structure.
    let told = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut whole) } == 0;
    let held = told && whole.l_type != libc::F_UNLCK as libc::c_short;
    Err(Error::AlreadyRunning {
        path: path.to_owned(),
        pid: (held && whole.l_pid > 0).then_some(whole.l_pid),
    })
}
