//! One daemon per pid file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use fcntl::Kind;
use fcntl::record_lock::{self, NotLocked};

/// The locked pid file: by the same byte as the C daemon's, so that the two do not run side by side.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    // Holds the lock.
    _file: File,
}

impl PidFile {
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
            return Ok(Self { path, _file: file });
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // While it is locked, so that it is not another daemon's.
        let _ = std::fs::remove_file(&self.path);
    }
}
