//! How large a request the kernel passes to a block device in one piece.
//!
//! The kernel splits a request that is larger than the queue's `max_sectors_kb`, 512 KiB by default on
//! older kernels, so that a 1 MiB read of a lease area becomes two. sanlock raises the limit when it
//! joins a lockspace (observed in its sources: `diskio.c`, `lockspace.c`). Partitions have no queue of
//! their own: for them, as for regular files, nothing is known and nothing is changed.
//!
//! These functions block, and looking at the path may hang: run them by [`crate::DirectIo::run`].

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::IoError;

/// What the configuration says about the limit (`max_sectors_kb` in `sanlock.conf`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxSectors {
    /// Leave it as it is.
    Ignore,
    /// As large as a lease area.
    Align,
    /// So many KiB.
    Kib(u32),
}

impl Default for MaxSectors {
    /// 1 MiB, as the C program's `DEFAULT_MAX_SECTORS_KB_NUM`.
    fn default() -> Self {
        Self::Kib(1024)
    }
}

impl MaxSectors {
    /// What to set the limit to, in KiB: nothing if it is to stay, or the hardware's own limit is too
    /// small both for what is wanted and for 1 MiB in its place.
    #[must_use]
    pub fn wanted_kib(self, align_size: usize, hardware_kib: u32) -> Option<u32> {
        const ONE_MIB: u32 = 1024;
        let wanted = match self {
            Self::Ignore | Self::Kib(0) => return None,
            Self::Align => u32::try_from(align_size / 1024).ok()?,
            Self::Kib(kib) => kib,
        };
        if wanted <= hardware_kib {
            return Some(wanted);
        }
        (wanted >= ONE_MIB && hardware_kib >= ONE_MIB).then_some(ONE_MIB)
    }
}

/// The request queue of a block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockQueue {
    directory: PathBuf,
}

impl BlockQueue {
    /// The queue of the device at `path`; none for a regular file.
    ///
    /// # Errors
    /// [`IoError::Os`] if the path cannot be looked at.
    pub fn of(path: &Path) -> Result<Option<Self>, IoError> {
        let found = fs::metadata(path).map_err(|error| failed("find", path, &error))?;
        if !found.file_type().is_block_device() {
            return Ok(None);
        }
        let (major, minor) = (libc::major(found.rdev()), libc::minor(found.rdev()));
        let directory = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/queue"));
        Ok(Some(Self { directory }))
    }

    /// The file that holds the limit: what a helper with more rights writes the number to.
    #[must_use]
    pub fn max_sectors_file(&self) -> PathBuf {
        self.directory.join("max_sectors_kb")
    }

    /// The limit in force, in KiB.
    ///
    /// # Errors
    /// [`IoError::Os`] if it cannot be read, [`IoError::Invalid`] if it is no number.
    pub fn max_sectors_kib(&self) -> Result<u32, IoError> {
        read_number(&self.max_sectors_file())
    }

    /// The largest limit that the hardware takes, in KiB.
    ///
    /// # Errors
    /// As [`BlockQueue::max_sectors_kib`].
    pub fn hardware_max_sectors_kib(&self) -> Result<u32, IoError> {
        read_number(&self.directory.join("max_hw_sectors_kb"))
    }

    /// Sets the limit, unless it is in force already. Says whether it wrote.
    ///
    /// # Errors
    /// [`IoError::Os`] if it cannot be read or written: only root may write it.
    pub fn set_max_sectors_kib(&self, kib: u32) -> Result<bool, IoError> {
        if self.max_sectors_kib()? == kib {
            return Ok(false);
        }
        let file = self.max_sectors_file();
        fs::write(&file, kib.to_string())
            .map_err(|error| failed(&format!("write {kib} to"), &file, &error))?;
        Ok(true)
    }
}

/// The limit of the device at `path` in KiB.
///
/// # Errors
/// [`IoError::Invalid`] if it is no block device, else as [`BlockQueue::max_sectors_kib`].
pub fn max_sectors_kb(path: &Path) -> Result<u32, IoError> {
    queue_of(path)?.max_sectors_kib()
}

/// Sets the limit of the device at `path` in KiB, unless it is in force already.
///
/// # Errors
/// [`IoError::Invalid`] if it is no block device, else as [`BlockQueue::set_max_sectors_kib`].
pub fn set_max_sectors_kb(path: &Path, kib: u32) -> Result<(), IoError> {
    queue_of(path)?.set_max_sectors_kib(kib).map(drop)
}

fn queue_of(path: &Path) -> Result<BlockQueue, IoError> {
    BlockQueue::of(path)?
        .ok_or_else(|| IoError::Invalid(format!("{} is no block device", path.display())))
}

fn read_number(file: &Path) -> Result<u32, IoError> {
    let text = fs::read_to_string(file).map_err(|error| failed("read", file, &error))?;
    let number = text.trim().parse::<u64>().map_err(|_| {
        IoError::Invalid(format!(
            "{} holds no number: {:?}",
            file.display(),
            text.trim()
        ))
    })?;
    // Some drivers have no limit and show one beyond 32 bits.
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

fn failed(verb: &str, path: &Path, error: &std::io::Error) -> IoError {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    IoError::Os {
        action: format!("{verb} {}", path.display()),
        errno,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn the_limit_follows_the_configuration_and_the_hardware() {
        let large = 1 << 20;
        assert_eq!(MaxSectors::default().wanted_kib(MIB, large), Some(1024));
        assert_eq!(MaxSectors::Ignore.wanted_kib(MIB, large), None);
        assert_eq!(MaxSectors::Kib(0).wanted_kib(MIB, large), None);
        assert_eq!(MaxSectors::Align.wanted_kib(8 * MIB, large), Some(8192));
        assert_eq!(MaxSectors::Kib(4096).wanted_kib(MIB, large), Some(4096));
    }

    #[test]
    fn small_hardware_gets_one_mib_or_is_left_alone() {
        assert_eq!(MaxSectors::Align.wanted_kib(8 * MIB, 8192), Some(8192));
        assert_eq!(MaxSectors::Align.wanted_kib(8 * MIB, 4096), Some(1024));
        assert_eq!(MaxSectors::Kib(2048).wanted_kib(MIB, 1024), Some(1024));
        assert_eq!(MaxSectors::Kib(1024).wanted_kib(MIB, 512), None);
        assert_eq!(MaxSectors::Kib(768).wanted_kib(MIB, 512), None);
        assert_eq!(MaxSectors::Kib(256).wanted_kib(MIB, 512), Some(256));
    }

    #[test]
    fn a_file_has_no_queue() {
        let file = std::env::current_exe().unwrap();
        assert_eq!(BlockQueue::of(&file).unwrap(), None);
        assert!(matches!(max_sectors_kb(&file), Err(IoError::Invalid(_))));
        let missing = BlockQueue::of(Path::new("/nonexistent")).unwrap_err();
        assert_eq!(missing.code(), -libc::ENOENT);
    }
}
