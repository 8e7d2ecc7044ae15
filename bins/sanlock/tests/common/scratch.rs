//! Directories that are removed again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A new, empty directory of this process's own.
pub struct Scratch(PathBuf);

impl Scratch {
    /// On the file system where the tests are built.
    pub fn new() -> Self {
        Self::within(Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    /// In memory, if direct I/O works there; for what would otherwise wait for a disk thousands of times.
    pub fn in_memory() -> Self {
        use std::os::unix::fs::OpenOptionsExt;
        let memory = Self::within(Path::new("/dev/shm"));
        let direct = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(nix::fcntl::OFlag::O_DIRECT.bits())
            .open(memory.0.join("probe"));
        match direct {
            Ok(_) => memory,
            Err(_) => Self::new(),
        }
    }

    fn within(parent: &Path) -> Self {
        let path = parent.join(format!("sanlock-test-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A directory in it.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A file in it, of so many mebibytes.
    pub fn file(&self, name: &str, mebibytes: u64) -> PathBuf {
        empty_file(&self.0.join(name), mebibytes)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file of so many mebibytes, all zeros.
pub fn empty_file(path: &Path, mebibytes: u64) -> PathBuf {
    File::create(path)
        .unwrap()
        .set_len(mebibytes << 20)
        .unwrap();
    path.to_owned()
}
