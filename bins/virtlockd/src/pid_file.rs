//! One daemon per pid file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::RawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use daemon::Inherited;
use fcntl::Kind;
use fcntl::record_lock::{self, NotLocked};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

/// The locked pid file: by the same byte as the C daemon's, so that the two do not run side by side.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    // Holds the lock.
    file: File,
}

impl PidFile {
    /// The one that the program before has locked and left open for this one; none if it has not.
    pub(crate) fn take_over(path: &Path, inherited: &mut Inherited) -> Option<Self> {
        let named = std::fs::metadata(path).ok()?;
        let is_it = |fd: &RawFd| {
            let found = std::fs::metadata(format!("/proc/self/fd/{fd}"));
            found.is_ok_and(|found| (found.dev(), found.ino()) == (named.dev(), named.ino()))
        };
        let fd = inherited.numbers().find(is_it)?;
        let file = File::from(inherited.take(fd).ok()?);
        if record_lock::take(&file, Kind::Exclusive).is_err() {
            // Not closed: the process may have another of the same file.
            std::mem::forget(file);
            return None;
        }
        let path = path.to_owned();
        Some(Self { path, file })
    }

    /// Keeps it open and locked for the program that is executed next, or not.
    pub(crate) fn set_inherited(&self, inherited: bool) {
        let flag = match inherited {
            true => FdFlag::empty(),
            false => FdFlag::FD_CLOEXEC,
        };
        // Without it another daemon may begin to start in that moment, and is told that this one is here then.
        let _ = fcntl(&self.file, FcntlArg::F_SETFD(flag));
    }

    /// Locks it and writes this process's pid into it, without a newline, as the C daemon does.
    ///
    /// # Errors
    /// A sentence for the user.
    pub(crate) fn acquire(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        loop {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false).mode(0o644);
            let mut file = options
                .open(path)
                .map_err(|error| format!("Failed to open pid file '{shown}': {error}"))?;
            record_lock::take(&file, Kind::Exclusive).map_err(|refused| match refused {
                NotLocked::Held => {
                    let by = match record_lock::holder(&file, Kind::Exclusive) {
                        Some(pid) if pid > 0 => format!("process {pid}"),
                        _ => "another process".to_owned(),
                    };
                    format!("Failed to acquire pid file '{shown}': {by} holds it; is a virtlockd running?")
                }
                NotLocked::Os(error) => format!("Failed to acquire pid file '{shown}': {error}"),
            })?;
            let locked = file
                .metadata()
                .map(|metadata| (metadata.dev(), metadata.ino()));
            let named = std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
            if !matches!((locked, named), (Ok(locked), Ok(named)) if locked == named) {
                // The one before has just removed it.
                continue;
            }
            let pid = std::process::id().to_string();
            file.set_len(0)
                .and_then(|()| file.write_all(pid.as_bytes()))
                .map_err(|error| format!("Failed to write to pid file '{shown}': {error}"))?;
            let path = path.to_owned();
            return Ok(Self { path, file });
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // While it is locked, so that it is not another daemon's.
        let _ = std::fs::remove_file(&self.path);
    }
}
