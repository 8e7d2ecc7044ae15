//! What one daemon leaves for the next: the lockspaces that it is in and its host ids there, as files in the run
//! directory.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use ondisk::{HostId, Name};

/// Below the run directory.
const DIRECTORY: &str = "joined";

/// Tells one start of the host from the next.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The notes of one run directory. Each is a file named after a lockspace and a host id in it, with the boot's
/// identity in it: notes of an earlier boot count for nothing, as no process has outlived it.
///
/// A host id has a note of its own, as a daemon that died in a lockspace may be followed by one that joins it under
/// another host id and leaves in order. That says nothing of the processes that the first one left.
#[derive(Debug, Clone)]
pub struct Membership {
    directory: PathBuf,
}

impl Membership {
    /// The notes below a run directory.
    #[must_use]
    pub fn new(run_dir: &Path) -> Self {
        Self {
            directory: run_dir.join(DIRECTORY),
        }
    }

    /// Where they are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Notes that the lockspace was joined under this host id, or left. This waits for the file system.
    ///
    /// # Errors
    /// If the file cannot be written or removed.
    pub fn note(&self, space: &Name, host: HostId, joined: bool) -> io::Result<()> {
        let file = self.directory.join(file_name(space, host));
        if !joined {
            return match fs::remove_file(file) {
                Err(failed) if failed.kind() != ErrorKind::NotFound => Err(failed),
                _ => Ok(()),
            };
        }
        match fs::create_dir(&self.directory) {
            Err(failed) if failed.kind() != ErrorKind::AlreadyExists => return Err(failed),
            _ => {}
        }
        fs::write(file, fs::read(BOOT_ID)?)
    }

    /// Whether a note of this boot says that the lockspace was joined under this host id. This waits for the file system.
    ///
    /// # Errors
    /// If that cannot be read.
    pub fn is_noted(&self, space: &Name, host: HostId) -> io::Result<bool> {
        match fs::read(self.directory.join(file_name(space, host))) {
            Ok(boot) => Ok(boot == fs::read(BOOT_ID)?),
            Err(failed) if failed.kind() == ErrorKind::NotFound => Ok(false),
            Err(failed) => Err(failed),
        }
    }
}

/// A lockspace's name as a file's: letters, digits, `-` and `_` as they are, all else as `%` and two hex digits; then
/// a dot and the host id.
fn file_name(space: &Name, host: HostId) -> String {
    let mut name = String::new();
    for byte in space.as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(*byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(name, "%{byte:02x}");
        }
    }
    let _ = write!(name, ".{host}");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lockspace_has_a_file_of_its_own_within_the_directory() {
        for (name, expected) in [
            ("__LIBVIRT__DISKS__", "__LIBVIRT__DISKS__.7"),
            ("../etc", "%2e%2e%2fetc.7"),
            ("a%2f", "a%252f.7"),
            (".", "%2e.7"),
        ] {
            assert_eq!(file_name(&name.parse().unwrap(), HostId(7)), expected);
        }
    }

    #[test]
    fn what_is_noted_is_found_until_it_is_left_or_the_host_starts_anew() {
        let dir = std::env::temp_dir().join(format!("membership-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let (notes, space) = (Membership::new(&dir), "ls".parse().unwrap());
        let (first, second) = (HostId(1), HostId(2));
        assert!(!notes.is_noted(&space, first).unwrap());
        notes.note(&space, first, false).unwrap();
        notes.note(&space, first, true).unwrap();
        notes.note(&space, first, true).unwrap();
        assert!(notes.is_noted(&space, first).unwrap());
        assert!(!notes.is_noted(&"other".parse().unwrap(), first).unwrap());
        // Another host id comes and goes.
        assert!(!notes.is_noted(&space, second).unwrap());
        notes.note(&space, second, true).unwrap();
        notes.note(&space, second, false).unwrap();
        assert!(notes.is_noted(&space, first).unwrap());
        fs::write(notes.directory().join("ls.1"), "another boot\n").unwrap();
        assert!(!notes.is_noted(&space, first).unwrap());
        notes.note(&space, first, false).unwrap();
        assert!(!notes.directory().join("ls.1").exists());
        fs::remove_dir_all(&dir).unwrap();
    }
}
