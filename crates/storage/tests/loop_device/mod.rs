//! Loop devices and mounts for a test, undone at its end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A block device over a file.
pub(crate) struct LoopDevice {
    path: PathBuf,
    attached: bool,
}

impl LoopDevice {
    /// Makes one of `len` zero bytes, or says what is missing.
    pub(crate) fn new(directory: &Path, len: u64, sector_size: u32) -> Result<Self, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("needs root, to set up a loop device".to_owned());
        }
        let backing = directory.join(format!("device-{sector_size}"));
        let made = File::create(&backing).and_then(|file| file.set_len(len));
        made.map_err(|error| format!("{}: {error}", backing.display()))?;
        let output = Command::new("losetup")
            .args(["--find", "--show", "--direct-io=on", "--sector-size"])
            .arg(sector_size.to_string())
            .arg(&backing)
            .output()
            .map_err(|error| format!("losetup: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!(
                "losetup --sector-size {sector_size}: {}",
                said.trim()
            ));
        }
        let path = String::from_utf8_lossy(&output.stdout).trim().into();
        Ok(Self {
            path,
            attached: true,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the file away from behind the device.
    pub(crate) fn detach(&mut self) {
        if std::mem::take(&mut self.attached) {
            let _ = Command::new("losetup")
                .arg("--detach")
                .arg(&self.path)
                .status();
        }
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        self.detach();
    }
}

/// A mounted file system.
pub(crate) struct Mount(PathBuf);

impl Mount {
    pub(crate) fn new(device: &Path, on: &Path, kind: &str) -> Result<Self, String> {
        let made = fs::create_dir_all(on).map_err(|error| error.to_string());
        made.and_then(|()| {
            mount(Some(device), on, Some(kind), MsFlags::empty(), None::<&str>)
                .map_err(|errno| format!("mount {kind}: {errno}"))
        })?;
        Ok(Self(on.to_owned()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
