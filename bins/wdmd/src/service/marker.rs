//! The mark that a running wdmd leaves in shared memory: it is taken away when wdmd ends in order, stays when wdmd
//! ends otherwise, and is gone after a reset.
//!
//! While it is there, a watchdog may be armed that nobody keeps alive any more, because something that it
//! protected is no longer watched. Opening the device would put the reset off.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

/// Where shared memory objects are; the name in there is the original's (`shm_open("/wdmd")`).
pub const MARKER: &str = "/dev/shm/wdmd";

/// The mark, while this process has it. Dropping it leaves it where it is.
#[derive(Debug)]
pub struct Marker(());

/// Why it cannot be had.
#[derive(Debug)]
pub struct MarkerError {
    errno: i32,
    exists: bool,
}

impl Marker {
    /// Leaves the mark.
    ///
    /// # Errors
    /// If it is there, or cannot be left.
    pub fn leave() -> Result<Self, MarkerError> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(MARKER)
            .map(|_| Self(()))
            .map_err(|error| MarkerError {
                errno: crate::device::errno(&error),
                exists: error.kind() == io::ErrorKind::AlreadyExists,
            })
    }

    /// Takes it away: the watchdog is disarmed.
    pub fn remove(self) {
        let _ = fs::remove_file(MARKER);
    }
}

impl fmt::Display for MarkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errno = self.errno;
        write!(f, "other wdmd not cleanly stopped, shm_open error {errno}")?;
        if self.exists {
            write!(
                f,
                ": {MARKER} is there since an earlier wdmd, which did not end in order. Its watchdog may be armed \
                 and about to reset this host, and a start would put that off. Check that no wdmd runs and that \
                 nothing that it protected does (sanlock client status); wait until the watchdog would have fired \
                 (usually 60 seconds) or reboot. To start without a reboot after that, end its process wdmd-keeper, \
                 which has the device open, and remove {MARKER}"
            )
        } else {
            write!(
                f,
                ": cannot create {MARKER}; is /dev/shm mounted and writable?"
            )
        }
    }
}
